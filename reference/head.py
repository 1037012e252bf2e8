"""The language-model head: from one context vector to the next token, in NumPy.

    context [..., d]      what the model knows so far, after the final layer norm
        |   compute_logits       one score per token: the product with every row of the embedding [V, d]
    logits [..., V]
        |   apply_temperature    divide: below 1 sharpens, above 1 flattens
        |   keep_top_k           all but the k best become -inf
        |   softmax              scores become probabilities, -inf becomes exactly 0
    probs [..., V]
        |   multinomial          one draw: an exponential race (as PyTorch) ...
        |   inverse_cdf          ... or a walk along the running sum (as most other runtimes)
    token ids [..., n]

d is the hidden size, V the vocabulary size, "..." any number of batch axes, or none; a row is one index into them.
float32 in, float32 out; float64 in, float64 out; float16 and bfloat16 (of ml_dtypes) are computed in float32. Nothing
is modified in place. Randomness is always an argument. NumPy's error settings change nothing. The rules in brackets
are those of `SPEC.md`. The `check_...` functions of `validation.py` return an argument ready to compute with, or raise
TypeError (wrong kind) or ValueError (wrong value).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .validation import (
    ExponentialSource,
    check_count,
    check_factors,
    check_generator,
    check_logits,
    check_noise,
    check_probabilities,
    check_scaled,
    check_temperature,
    check_total,
    check_uniform,
)


def compute_logits(context: ArrayLike, embedding: ArrayLike) -> np.ndarray:
    """One score per token: `logits[..., v] = sum_i context[..., i] * embedding[v, i]`  [LOGITS-1].

    `(..., d), (V, d) -> (..., V)`. The context vector is the last block's output after the final layer norm, what
    Transformers returns as `last_hidden_state[:, -1]`; the embedding of GPT-2 is tied, input and output share it
    (Press & Wolf 2017, https://arxiv.org/abs/1608.05859). It is read once and never copied. The order of summation is
    the BLAS library's, so two machines may differ in the last bits, within the bound that `bounds/` derives.
    Raises: TypeError for integers, complex and objects; ValueError if the two d differ.

    >>> compute_logits(np.array([3.0, 4.0]), np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]]))
    array([ 3. ,  4. , -2.5])
    """
    context, embedding = check_factors(context, embedding)
    rows = context.reshape(math.prod(context.shape[:-1]), context.shape[-1])  # [..., d] -> [rows, d]; -1 fails at d = 0
    with np.errstate(all="ignore"):  # BLAS libraries may raise flags on good input; bad logits are refused later
        return (rows @ embedding.T).reshape(*context.shape[:-1], len(embedding))  # [rows, V] -> [..., V]


def apply_temperature(logits: ArrayLike, temperature: float) -> np.ndarray:
    """`logits / temperature`, a true division  [TEMP-1].

    `(..., V) -> (..., V)`. Multiplying by the reciprocal is another function: it differs in the last bit for most
    temperatures. Ackley, Hinton & Sejnowski introduced it in 1985; Transformers has it as `TemperatureLogitsWarper`.
    Raises: ValueError if the temperature is not finite and > 0 (for greedy decoding use `argmax`), for nan or +inf
    logits, a row of only -inf, and where the quotient overflows.

    >>> apply_temperature(np.array([1.0, 2.0, -np.inf]), 0.5)
    array([  2.,   4., -inf])
    """
    logits = check_logits(logits)
    with np.errstate(all="ignore"):  # an overflow is refused below
        quotient = logits / check_temperature(temperature, logits.dtype)
    return check_scaled(quotient, temperature)


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Ids of the k largest of each row, largest first, equal ones by id ascending: `(..., V) -> (..., min(k, V))`."""
    rows, k = scores.reshape(-1, scores.shape[-1]), min(k, scores.shape[-1])  # [..., V] -> [rows, V]
    ids = np.empty((len(rows), k), dtype=np.int64)
    for row, winners in zip(rows, ids, strict=True):
        kth = np.partition(row, -k)[-k]  # the k-th largest, found without sorting all V
        candidates = np.flatnonzero(row >= kth)  # ids ascending; more than k where several tie with the k-th
        order = np.argsort(-row[candidates], kind="stable")  # stable: of equal scores the lower id stays in front
        winners[:] = candidates[order[:k]]
    return ids.reshape(*scores.shape[:-1], k)


def top_k(logits: ArrayLike, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest logits and their token ids  [TOPK-1 to TOPK-5].

    `(..., V) -> values, token_ids`, each `(..., min(k, V))`, by value descending, then by token id ascending. Exactly
    k survive; of tokens tied for the last place the lowest ids do. `torch.topk` and most runtimes leave ties open;
    ONNX's TopK settles them this way, and so does `jax.lax.top_k`, signed zeros aside.
    Raises: ValueError for k < 1 (k > V means V), nan, +inf or a row of only -inf; TypeError if k is not an integer.

    >>> top_k(np.array([1.0, 2.0, 3.0, 2.0, 2.0]), 3)
    (array([3., 2., 2.]), array([2, 1, 3]))
    """
    logits, k = check_logits(logits), check_count("k", k)
    token_ids = _largest(logits, k)
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


def keep_top_k(logits: ArrayLike, k: int, ties: Literal["lowest_id", "all"] = "lowest_id") -> np.ndarray:
    """The logits with -inf everywhere but at the survivors  [TOPK-6, TOPK-7].

    `(..., V) -> (..., V)`. `ties="lowest_id"` keeps exactly k, those of `top_k`; `ties="all"` keeps every logit that
    is not below the k-th, as `TopKLogitsWarper` in Transformers does (Fan et al. 2018, https://arxiv.org/abs/1805.04833).
    Raises: as `top_k`; ValueError for another word in `ties`.

    >>> keep_top_k(np.array([1.0, 2.0, 3.0, 2.0]), 2), keep_top_k(np.array([1.0, 2.0, 3.0, 2.0]), 2, ties="all")
    (array([-inf,   2.,   3., -inf]), array([-inf,   2.,   3.,   2.]))
    """
    logits, k = check_logits(logits), check_count("k", k)
    token_ids = _largest(logits, k)
    values = np.take_along_axis(logits, token_ids, axis=-1)
    if ties == "all":
        return np.where(logits >= values[..., -1:], logits, -np.inf)
    if ties != "lowest_id":
        raise ValueError(f"ties is {ties!r}: it must be 'lowest_id' or 'all'")
    kept = np.full_like(logits, -np.inf)
    np.put_along_axis(kept, token_ids, values, axis=-1)
    return kept


def softmax(logits: ArrayLike) -> np.ndarray:
    """Probabilities: `exp(x_i) / sum_j exp(x_j)` over the last axis  [SOFTMAX-1 to SOFTMAX-4].

    `(..., V) -> (..., V)`. The row's maximum is subtracted first: GPT-2's logits sit near -100, where exp underflows
    to 0/0, and above 88 it overflows (Blanchard, Higham & Higham 2021, https://doi.org/10.1093/imanum/draa038).
    -inf gives exactly 0.
    Raises: ValueError for nan or +inf and for a row of only -inf.

    >>> softmax(np.array([-100.0, -100.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    logits = check_logits(logits)
    with np.errstate(all="ignore"):  # a spread beyond the dtype's range: exp(-inf) is 0, as it should be
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True)


def multinomial(probs: ArrayLike, num_samples: int = 1, *, rng: ExponentialSource) -> np.ndarray:
    """Token ids drawn without replacement by an exponential race: the n largest of `probs / E`  [DRAW-1 to DRAW-6].

    `(..., V) -> (..., num_samples)`, in the order drawn; E is standard exponential noise, one number per element of
    `probs`, in its dtype, from `rng.standard_exponential(size=..., dtype=...)`. E / p is an arrival time, exponential
    of rate p, and the first to arrive is token v with probability `probs[v] / sum(probs)`, whatever the sum (Efraimidis
    & Spirakis 2006). `torch.multinomial` computes this on the CPU: `rng=TorchGenerator(seed)` draws its tokens. A token
    of probability zero is never drawn.
    Raises: ValueError for negative, nan or infinite probabilities, a row that sums to zero, fewer tokens of non-zero
    probability than `num_samples`, and noise that is negative or not finite.

    >>> multinomial(np.array([0.0, 1.0, 3.0]), 2, rng=np.random.default_rng(0))
    array([2, 1])
    """
    num_samples = check_count("num_samples", num_samples)
    probs = check_probabilities(probs, num_samples)
    noise = check_noise(check_generator(rng).standard_exponential(size=probs.shape, dtype=probs.dtype), probs)
    race = np.full_like(probs, -1)  # where tokens of probability zero stay: behind all others
    with np.errstate(all="ignore"):  # noise may be 0, which wins; abs: -log(1) is -0.0
        np.divide(probs, np.abs(noise), out=race, where=probs > 0)
    return _largest(race, num_samples)


def inverse_cdf(probs: ArrayLike, uniform: ArrayLike) -> np.ndarray:
    """The first token id, in id order, whose running sum exceeds `uniform * total`  [CDF-1 to CDF-4].

    `(..., V), (...) -> (...)`; `uniform` is in [0, 1), one number per row. The running sum is kept in float64: in
    float32 it often ends below its own total, and then the end of the walk decides (Devroye 1986, ch. II.2). Only ids
    of probability > 0 are returned; if rounding leaves none whose sum exceeds, the last of them.
    Raises: ValueError for `probs` as in `multinomial`, for a sum that overflows and for `uniform` outside [0, 1).

    >>> inverse_cdf(np.array([0.0, 0.25, 0.0, 0.75]), np.array(0.25))
    array(3)
    """
    probs = check_probabilities(probs)
    uniform = check_uniform(uniform, probs.shape[:-1])
    with np.errstate(all="ignore"):  # an overflow is refused by the check
        running = check_total(np.cumsum(probs, axis=-1, dtype=np.float64))  # [..., V]
        target = uniform * running[..., -1]  # [..., V] -> [...]
    exceeds = running > target[..., None]  # the sum rises only at tokens of probability > 0: the first is one of them
    last = probs.shape[-1] - 1 - np.argmax(probs[..., ::-1] > 0, axis=-1)
    return np.where(exceeds.any(axis=-1), exceeds.argmax(axis=-1), last)


def lm_head(context: ArrayLike, embedding: ArrayLike, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    """The whole head up to the draw: `(..., d), (V, d) -> probs (..., V)`, zero outside the top k  [HEAD-1].

    The defaults are a temperature of 0.7 and the 50 best tokens. `multinomial` or `inverse_cdf` draws from the result.
    Raises: as the four stages.

    >>> lm_head(np.array([1.0]), np.array([[0.0], [2.0], [2.0], [1.0]]), temperature=1.0, k=2)
    array([0. , 0.5, 0.5, 0. ])
    """
    logits = compute_logits(context, embedding)  # [..., d] -> [..., V]
    logits = apply_temperature(logits, temperature)
    logits = keep_top_k(logits, k)
    return softmax(logits)

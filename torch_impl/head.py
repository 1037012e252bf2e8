"""The language-model head in PyTorch: the same names, signatures and refusals as the NumPy reference, on tensors.

Read `reference/head.py` first; the docstrings here say what PyTorch does differently. Every stage is built from
PyTorch's own operations, takes any number of batch axes, and stays on the device of its input. float32 in, float32
out; float64 in, float64 out; float16 and bfloat16 are computed in float32. Nothing is modified in place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from . import validation


def compute_logits(context: Tensor, embedding: Tensor) -> Tensor:
    """`(..., d), (V, d) -> (..., V)`: `torch.nn.functional.linear`, the product with every embedding row  [LOGITS-1].

    Raises: TypeError for integers, complex numbers and anything but tensors; ValueError if the two d differ.

    >>> compute_logits(torch.tensor([3.0, 4.0]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]]))
    tensor([ 3.0000,  4.0000, -2.5000])
    """
    return product(*validation.check_factors(context, embedding))


def product(rows: Tensor, embedding: Tensor) -> Tensor:
    """`rows @ embedding.T` in their own dtype, whatever is set outside  [HEAD-2]."""
    with exact_products(rows.device.type):
        return torch.nn.functional.linear(rows, embedding)


@contextmanager
def exact_products(device: str) -> Iterator[None]:
    """Within this block, float32 products are float32.

    Under `torch.autocast`, PyTorch would round both factors to 16 bits. After a call such as
    `torch.set_float32_matmul_precision("medium")` it would multiply in bfloat16 or TF32. That switch is for the whole
    process: other threads multiply in float32 too while the block lasts.
    """
    switches: dict[str, Any] = {"cpu": torch.backends.mkldnn, "cuda": torch.backends.cuda}
    switch = getattr(switches.get(device), "matmul", None)
    before = getattr(switch, "fp32_precision", "none")  # PyTorch before 2.9 has no such switch
    with torch.autocast(device, enabled=False):
        if before in ("none", "ieee") or switch is None:  # "none": nothing was set
            yield
            return
        switch.fp32_precision = "ieee"
        try:
            yield
        finally:
            switch.fp32_precision = before


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """`logits / temperature`, a true division  [TEMP-1].

    The temperature becomes a tensor first: PyTorch on CUDA turns a division by a Python number into a multiplication
    by its reciprocal, which is another function in the last bit.
    Raises: ValueError for a temperature that is not finite and > 0, nan or +inf logits, a row of only -inf, and a
    quotient that overflows.

    >>> apply_temperature(torch.tensor([1.0, 2.0, -torch.inf]), 0.5)
    tensor([2., 4., -inf])
    """
    logits = validation.check_logits(logits)
    quotient = logits / validation.check_temperature(temperature, logits)
    return validation.check_logits(quotient, validation.QUOTIENT.format(temperature))


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row by value descending, then by place ascending: `(..., n) -> values, places` `(..., k)`.

    `torch.topk` gives the k-th value; which of several equal scores it keeps depends on shape, k and device, so the
    choice is made here: every score above the k-th value, then the first ones among those equal to it.
    """
    kth = torch.topk(scores, k, dim=-1).values[..., -1:]
    above, tied = scores > kth, scores == kth  # [..., n]
    room = k - above.sum(dim=-1, keepdim=True)
    survivors = above | (tied & (tied.cumsum(dim=-1) <= room))  # exactly k a row
    places = survivors.nonzero()[:, -1].reshape(*scores.shape[:-1], k)  # [..., k], ascending
    values, order = scores.gather(-1, places).sort(dim=-1, descending=True, stable=True)
    return values, places.gather(-1, order)


def top_k(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest logits and their token ids, `(..., V) -> (..., min(k, V))` twice  [TOPK-1 to TOPK-5].

    Raises: ValueError for k < 1 and for logits as above; TypeError if k is not an integer.

    >>> top_k(torch.tensor([1.0, 2.0, 3.0, 2.0, 2.0]), 3)
    (tensor([3., 2., 2.]), tensor([2, 1, 3]))
    """
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    return largest(logits, min(k, logits.shape[-1]))


def keep_top_k(logits: Tensor, k: int, ties: Literal["lowest_id", "all"] = "lowest_id") -> Tensor:
    """The logits with -inf everywhere but at the survivors, `(..., V) -> (..., V)`  [TOPK-6, TOPK-7].

    `ties="lowest_id"` keeps exactly k, scattered along the last axis; `ties="all"` keeps every logit that is not below
    the k-th, the rule of `TopKLogitsWarper` in Transformers.
    Raises: as `top_k`; ValueError for another word in `ties`.

    >>> keep_top_k(torch.tensor([1.0, 2.0, 3.0, 2.0]), 2)
    tensor([-inf, 2., 3., -inf])
    """
    values, token_ids = top_k(logits, k)
    logits = validation.check_logits(logits)
    if ties == "all":
        return logits.masked_fill(logits < values[..., -1:], -torch.inf)
    if ties != "lowest_id":
        raise ValueError(f"ties is {ties!r}: it must be 'lowest_id' or 'all'")
    return torch.full_like(logits, -torch.inf).scatter(-1, token_ids, values)


def softmax(logits: Tensor) -> Tensor:
    """`torch.softmax` over the last axis; -inf gives exactly 0  [SOFTMAX-1 to SOFTMAX-4].

    Raises: ValueError for nan or +inf and for a row of only -inf, which PyTorch would turn into nan.

    >>> softmax(torch.tensor([-100.0, -100.0, -torch.inf]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    return torch.softmax(validation.check_logits(logits), dim=-1)


def race(probs: Tensor, noise: Tensor) -> Tensor:
    """`probs / noise`, of which the largest win: `(..., n), (..., n) -> (..., n)`  [DRAW-2].

    Quotients that overflow are tied, so the first of them wins, and a probability of zero comes after all others.
    """
    return (probs / noise).clamp(max=torch.finfo(probs.dtype).max).masked_fill(probs == 0, -1)


def multinomial(probs: Tensor, num_samples: int = 1, *, rng: torch.Generator) -> Tensor:
    """Token ids drawn as `torch.multinomial` does, without replacement: `(..., V) -> (..., num_samples)`  [DRAW-1].

    `torch.multinomial` itself draws a single sample. It lets a token of probability zero win where every rival's
    `p / E` underflows to 0 (`[0, 1e-45]` gives id 0 in 15 of 200 seeds); such a draw is repeated on the same noise with
    those tokens out of the race. Of several samples it leaves the order of equal quotients open, so these are drawn
    here, from the noise that it would take  [DRAW-2 to DRAW-6].
    Raises: ValueError for negative, nan or infinite probabilities, a row that sums to zero, and fewer tokens of
    non-zero probability than `num_samples`; TypeError if `rng` is not a `torch.Generator`.

    >>> multinomial(torch.tensor([0.0, 1.0, 3.0]), 2, rng=torch.Generator().manual_seed(0))
    tensor([2, 1])
    """
    num_samples, rng = validation.check_count("num_samples", num_samples), validation.check_generator(rng)
    probs = validation.check_probabilities(probs, num_samples)
    rows = probs.reshape(-1, probs.shape[-1])  # torch.multinomial takes one batch axis: [..., V] -> [rows, V]
    before = rng.get_state()
    token_ids = torch.multinomial(rows, 1, generator=rng)
    if num_samples > 1 or not rows.gather(-1, token_ids).all():
        rng.set_state(before)
        token_ids = largest(race(rows, torch.empty_like(rows).exponential_(generator=rng)), num_samples)[1]
    return token_ids.reshape(*probs.shape[:-1], num_samples)


def inverse_cdf(probs: Tensor, uniform: Any) -> Tensor:
    """The first token id, in id order, whose running sum exceeds `uniform * total`: `(..., V), (...) -> (...)`.

    The running sum is kept in float64 and only ids of probability > 0 are returned; if rounding leaves none whose sum
    exceeds, the last of them  [CDF-1 to CDF-4].
    Raises: ValueError for `probs` as in `multinomial`, for a sum that overflows and for `uniform` outside [0, 1).

    >>> inverse_cdf(torch.tensor([0.0, 0.25, 0.0, 0.75]), torch.tensor(0.25))
    tensor(3)
    """
    probs = validation.check_probabilities(probs)
    uniform = validation.check_uniform(uniform, probs)
    running = validation.check_total(probs.cumsum(dim=-1, dtype=torch.float64))  # [..., V]
    target = uniform * running[..., -1]
    exceeds = (running > target[..., None]) & (probs > 0)
    last = probs.shape[-1] - 1 - (probs > 0).flip(-1).int().argmax(dim=-1)
    return torch.where(exceeds.any(dim=-1), exceeds.int().argmax(dim=-1), last)


def lm_head(context: Tensor, embedding: Tensor, temperature: float = 0.7, k: int = 50) -> Tensor:
    """The whole head up to the draw: `(..., d), (V, d) -> probs (..., V)`, zero outside the top k  [HEAD-1].

    Raises: what the stages raise.

    >>> lm_head(torch.tensor([1.0]), torch.tensor([[0.0], [2.0], [2.0], [1.0]]), temperature=1.0, k=2)
    tensor([0.0000, 0.5000, 0.5000, 0.0000])
    """
    logits = compute_logits(context, embedding)  # [..., d] -> [..., V]
    logits = apply_temperature(logits, temperature)
    logits = keep_top_k(logits, k)
    return softmax(logits)

"""Log-probabilities, as interfaces return them: of every token, of the best, of a given one, and their mean.

They are *raw* from the logits of the model, and *processed* from what temperature, penalties and filters have left:
the same functions of other logits. `scoring.py` computes them from contexts, in bounded memory. In nats: divide by
`ln 2` for bits. Read `head.py` first: dtypes and batch axes are as there. Logits are refused as by `softmax`, ids
outside [0, V) too  [LOGPROB-5].
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .filter_validation import check_targets, check_word
from .head import top_k
from .validation import check_logits, check_token_ids


def log_probs(logits: ArrayLike) -> np.ndarray:
    """`z - max - ln sum exp(z - max)`, over the last axis: `(..., V) -> (..., V)`  [LOGPROB-1].

    -inf stays -inf. The logarithm of `softmax` is another function: it is -inf where a probability underflows
    (Blanchard, Higham & Higham 2021, https://doi.org/10.1093/imanum/draa038).

    >>> log_probs(np.array([0.0, 0.0, -np.inf, -1000.0]))
    array([-6.93147181e-01, -6.93147181e-01,            -inf, -1.00069315e+03])
    """
    logits = check_logits(logits)
    with np.errstate(all="ignore"):  # a spread beyond the dtype's range
        x = logits - logits.max(axis=-1, keepdims=True)
        return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def top_log_probs(logits: ArrayLike, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest log-probabilities and their token ids, of equal logits the lowest first  [LOGPROB-2].

    `(..., V) -> values, token_ids`, each `(..., min(k, V))`, in the order of `top_k`.
    Raises: as `top_k`.

    >>> top_log_probs(np.log([0.25, 0.5, 0.25]), 2)
    (array([-0.69314718, -1.38629436]), array([1, 0]))
    """
    token_ids = top_k(logits, k)[1]
    return np.take_along_axis(log_probs(logits), token_ids, axis=-1), token_ids


def rank(logits: ArrayLike, token_ids: ArrayLike, ties: Literal["lowest_id", "all"] = "lowest_id") -> np.ndarray:
    """How many tokens come before the given one: 0 for the most probable  [LOGPROB-3].

    `(..., V), (...) -> (...)`. The order is that of `top_k`. With `ties="all"` every other token that is as probable
    comes before it too: that is vLLM's rank, which starts at 1.
    Raises: ValueError for another word.

    >>> rank(np.array([1.0, 3.0, 3.0]), np.array(1)), rank(np.array([1.0, 3.0, 3.0]), np.array(1), ties="all")
    (array(0), array(1))
    """
    logits = check_logits(logits)
    token_ids = check_token_ids(token_ids, logits.shape[:-1], logits.shape[-1], "row of logits")[..., None]
    given = np.take_along_axis(logits, token_ids, axis=-1)  # [..., 1]
    ids = np.arange(logits.shape[-1])
    all_ties = check_word("ties", ties, "lowest_id", "all") == "all"
    before = (logits > given) | (logits == given) & (ids != token_ids if all_ties else ids < token_ids)
    return np.asarray(np.count_nonzero(before, axis=-1))


def cross_entropy(logits: ArrayLike, token_ids: ArrayLike, ignore_index: int = -100) -> np.ndarray:
    """Minus the mean log-probability of the given tokens, but for positions that are ignored  [LOGPROB-4].

    `(..., V), (...) -> ()`. Position i is given the token that follows it: shift before the call, as `ForCausalLMLoss`
    of Transformers does inside. `torch.nn.functional.cross_entropy`.
    Raises: ValueError if every position is ignored.

    >>> cross_entropy(np.log([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]), np.array([0, 0, -100]))  # (ln 2 + ln 4) / 2
    array(1.03972077)
    """
    logits = check_logits(logits)
    token_ids, counted = check_targets(token_ids, logits.shape, ignore_index)
    scores = np.take_along_axis(log_probs(logits), token_ids[..., None], axis=-1)[..., 0]
    return np.asarray(-scores[counted].mean(dtype=np.float64), logits.dtype)

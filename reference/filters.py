"""Filters: which tokens may be drawn at all. Each takes logits and returns them with -inf where a token falls.

    keep_top_p, keep_typical, keep_top_h                     the first tokens of a ranking, up to a sum
    keep_min_p, keep_epsilon, keep_eta, keep_top_n_sigma     what reaches a threshold
    keep_xtc                                                 at random, all but the top choices

Read `head.py` first: dtypes, refusals and batch axes are as there. At least one token survives, and a masked one never
does, nor does it count  [FILTER-1]. Probabilities and sums are in float64, each rounded: with float32 sums over 128,000
tokens the end of a nucleus may move by thousands.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .filter_validation import check_share, check_word
from .head import top_k
from .validation import check_logits, check_positive, check_uniform

Until = Literal["reached", "exceeded"]
Ties = Literal["lowest_id", "all"]


def _weights(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`exp(z - max)` in float64, 1 for the largest, and the sum: `(..., V) -> (..., V), (..., 1)`."""
    with np.errstate(all="ignore"):  # a spread beyond float64's range: exp(-inf) is 0, as it should be
        weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return weights, weights.sum(axis=-1, keepdims=True)


def _surprise(weights: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`-ln p` of each token, and `-p ln p`, its part of the entropy: `(..., V), (..., 1) -> (..., V)` twice."""
    with np.errstate(all="ignore"):  # ln 0, of a token that adds nothing
        surprise = np.log(total) - np.log(weights)
        return surprise, np.where(weights > 0, weights / total * surprise, 0)


def _end(ranked: np.ndarray, share: float, until: str) -> np.ndarray:
    """The place at which the running sum has that share of the total: `(..., V) -> (..., 1)`."""
    running = np.cumsum(ranked, axis=-1)
    enough = share * running[..., -1:]
    full = running >= enough if check_word("until", until, "reached", "exceeded") == "reached" else running > enough
    full[..., -1] = True  # where no sum exceeds the share
    return full.argmax(axis=-1)[..., None]


def keep_top_p(logits: ArrayLike, p: float, until: Until = "reached", ties: Ties = "lowest_id") -> np.ndarray:
    """The nucleus: the most probable tokens, up to the first at which their running sum reaches p  [FILTER-2].

    `(..., V) -> (..., V)`, by logit descending, then by id ascending; enough is `sum exp(z - max) >= p * total`. With
    `until="exceeded"` an equal sum is not enough (sglang, llama2.c); `ties="all"` keeps every logit that equals the
    last one kept (FlashInfer)  [FILTER-3]. p = 1 keeps everything. `TopPLogitsWarper` in Transformers, but for ties
    (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751).
    Raises: ValueError for a p outside (0, 1] and for an unknown word.

    >>> halves = np.array([0.0, 0.0, -np.inf])
    >>> keep_top_p(halves, 0.5), keep_top_p(halves, 0.5, until="exceeded")
    (array([  0., -inf, -inf]), array([  0.,   0., -inf]))
    """
    logits, p = check_logits(logits), check_share("p", p)
    ids = np.argsort(-logits, axis=-1, kind="stable")  # stable: of equal logits the lower id stays in front
    end = _end(np.take_along_axis(_weights(logits)[0], ids, axis=-1), p, until)
    last = np.take_along_axis(ids, end, axis=-1)  # [..., 1]
    lowest = np.take_along_axis(logits, last, axis=-1)
    all_ties = check_word("ties", ties, "lowest_id", "all") == "all"
    tied = (logits == lowest) & (all_ties | (np.arange(logits.shape[-1]) <= last))
    return np.where((logits > lowest) | tied | (p == 1), logits, -np.inf)


def keep_min_p(logits: ArrayLike, p: float) -> np.ndarray:
    """The tokens at least p times as probable as the most probable one: `exp(z - max) >= p`  [FILTER-4].

    `(..., V) -> (..., V)`; p = 0 keeps all, p = 1 every largest one. llama.cpp and mlx-lm write `z >= max + ln p`: the
    same but for rounding. `MinPLogitsWarper` in Transformers (Nguyen et al. 2024, https://arxiv.org/abs/2407.01082).
    Raises: ValueError for a p outside [0, 1].

    >>> keep_min_p(np.array([0.0, -2.0, -3.0]), 0.1)  # exp(-2) = 0.135, exp(-3) = 0.0498
    array([  0.,  -2., -inf])
    """
    logits, p = check_logits(logits), check_share("p", p, "[0, 1]")
    return np.where(_weights(logits)[0] >= p, logits, -np.inf)


def keep_typical(logits: ArrayLike, mass: float) -> np.ndarray:
    """The tokens whose surprise `-ln p` is closest to the entropy, up to where they sum to the mass  [FILTER-5].

    `(..., V) -> (..., V)`; the sum is one of probabilities. What is as close as the last one, as computed, stays too,
    and the most probable token may fall.
    `TypicalLogitsWarper` in Transformers (Meister et al. 2023, https://arxiv.org/abs/2202.00666).
    Raises: ValueError for a mass outside (0, 1).

    >>> keep_typical(np.log([0.5, 0.25, 0.125, 0.125]), 0.2)  # entropy 1.75 ln 2: nearest is 2 ln 2, of 0.25
    array([       -inf, -1.38629436,        -inf,        -inf])
    """
    logits, mass = check_logits(logits), check_share("mass", mass, "(0, 1)")
    weights, total = _weights(logits)
    surprise, parts = _surprise(weights, total)
    distance = np.abs(surprise - parts.sum(axis=-1, keepdims=True))
    ids = np.argsort(distance, axis=-1, kind="stable")
    end = _end(np.take_along_axis(weights, ids, axis=-1), mass, "reached")
    last = np.take_along_axis(distance, np.take_along_axis(ids, end, axis=-1), axis=-1)
    return np.where(distance <= last, logits, -np.inf)


def keep_epsilon(logits: ArrayLike, cutoff: float) -> np.ndarray:
    """The tokens with a probability of at least `cutoff`, and every largest one in any case  [FILTER-6].

    `(..., V) -> (..., V)`. `EpsilonLogitsWarper` in Transformers (Hewitt et al. 2022, https://arxiv.org/abs/2210.15191).
    Raises: ValueError for a cutoff outside (0, 1).

    >>> keep_epsilon(np.log([0.5, 0.3, 0.2]), 0.25)
    array([-0.69314718, -1.2039728 ,        -inf])
    """
    logits, cutoff = check_logits(logits), check_share("cutoff", cutoff, "(0, 1)")
    weights, total = _weights(logits)
    return np.where((weights >= cutoff * total) | (logits == logits.max(axis=-1, keepdims=True)), logits, -np.inf)


def keep_eta(logits: ArrayLike, cutoff: float) -> np.ndarray:
    """As `keep_epsilon` with `min(cutoff, sqrt(cutoff) exp(-entropy))` in place of the cutoff  [FILTER-6].

    `(..., V) -> (..., V)`. The flatter the distribution, the lower the threshold. `EtaLogitsWarper` in Transformers,
    whose docstring has `sqrt(cutoff * exp(-entropy))`, another number (Hewitt et al. 2022, section 4).
    Raises: as `keep_epsilon`.

    >>> keep_eta(np.log([0.5, 0.3, 0.2]), 0.25)  # sqrt(0.25) exp(-1.03) = 0.178
    array([-0.69314718, -1.2039728 , -1.60943791])
    """
    logits, cutoff = check_logits(logits), check_share("cutoff", cutoff, "(0, 1)")
    weights, total = _weights(logits)
    entropy = _surprise(weights, total)[1].sum(axis=-1, keepdims=True)  # [..., 1]
    threshold = np.minimum(cutoff, np.sqrt(cutoff) * np.exp(-entropy))
    return np.where((weights >= threshold * total) | (logits == logits.max(axis=-1, keepdims=True)), logits, -np.inf)


def keep_top_h(logits: ArrayLike, h: float) -> np.ndarray:
    """Of the 100 largest, as many as have a running sum of `-q ln q` of at most h times their entropy  [FILTER-7].

    `(..., V) -> (..., V)`; q is the softmax of the 100 largest alone (`TOPK-2` says which). The first stays in any
    case; h = 1 keeps all 100. `TopHLogitsWarper` in Transformers (Potraghloo et al. 2025, https://arxiv.org/abs/2509.02510).
    Raises: ValueError for an h outside (0, 1].

    >>> keep_top_h(np.log([0.5, 0.25, 0.125, 0.125]), 0.5)  # 0.347 is at most 0.5 * 1.213, and 0.693 is not
    array([-0.69314718,        -inf,        -inf,        -inf])
    """
    logits, h = check_logits(logits), check_share("h", h)
    values, ids = top_k(logits, 100)
    with np.errstate(all="ignore"):  # subnormal terms
        running = np.cumsum(_surprise(*_weights(values))[1], axis=-1)
        stays = running <= h * running[..., -1:]
    stays[..., 0] = True
    kept = np.full_like(logits, -np.inf)
    np.put_along_axis(kept, ids, np.where(stays, values, -np.inf), axis=-1)
    return kept


def keep_top_n_sigma(logits: ArrayLike, n: float) -> np.ndarray:
    """The logits that are at least `max - n s`, where s is the standard deviation of the unmasked ones  [FILTER-8].

    `(..., V) -> (..., V)`; s divides by their number, not by one less. But for rounding, a temperature changes nothing.
    llama.cpp has it as `top_n_sigma` (Tang et al. 2024, https://arxiv.org/abs/2411.07641).
    Raises: ValueError for an n that is not finite and > 0.

    >>> keep_top_n_sigma(np.array([4.0, 3.0, 0.0, 1.0, -np.inf]), 1.0)  # s = 1.58
    array([  4.,   3., -inf, -inf, -inf])
    """
    logits, sigmas = check_logits(logits), check_positive("n", n, np.dtype(np.float64))
    unmasked, wide = logits > -np.inf, logits.astype(np.float64)
    size = np.abs(wide).max(axis=-1, keepdims=True, where=unmasked, initial=1e-300)  # for squares in range
    with np.errstate(all="ignore"):
        deviation = np.std(wide / size, axis=-1, keepdims=True, where=unmasked) * size  # [..., 1]
        return np.where(wide >= wide.max(axis=-1, keepdims=True) - sigmas * deviation, logits, -np.inf)


def keep_xtc(logits: ArrayLike, threshold: float, probability: float, uniform: ArrayLike) -> np.ndarray:
    """Exclude top choices: of the tokens that reach the threshold, all but the least probable fall  [FILTER-9].

    `(..., V), (...) -> (..., V)`, in rows whose `uniform`, in [0, 1), is below `probability`. What is below the
    threshold or equals the least stays. llama.cpp, mlx-lm (https://github.com/oobabooga/text-generation-webui/pull/6335).
    Raises: ValueError for a threshold outside (0, 1], a probability outside [0, 1] and a uniform outside [0, 1).

    >>> keep_xtc(np.log([0.5, 0.3, 0.2]), 0.25, 0.5, np.array(0.4))
    array([       -inf, -1.2039728 , -1.60943791])
    """
    logits, threshold = check_logits(logits), check_share("threshold", threshold)
    probability, uniform = check_share("probability", probability, "[0, 1]"), check_uniform(uniform, logits.shape[:-1])
    weights, total = _weights(logits)
    least = np.where(weights >= threshold * total, logits, np.inf).min(axis=-1, keepdims=True)
    return np.where((logits > least) & (uniform < probability)[..., None], -np.inf, logits)


def greedy(logits: ArrayLike) -> np.ndarray:
    """No filter: the id of the largest logit, the lowest of several: `(..., V) -> (...)`  [FILTER-10].

    >>> greedy(np.array([1.0, 3.0, 3.0]))
    array(1)
    """
    return np.asarray(check_logits(logits).argmax(axis=-1))

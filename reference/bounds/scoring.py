"""The bound of log-probabilities, as `reference.scoring` computes them in blocks of the vocabulary."""

from typing import Any

import numpy as np

from .arithmetic import EXP_ULPS, LOG_ULPS, covers_float64, gamma, smallest_normal, unit_roundoff


def log_probs(logits: Any, dtype: str, error: Any = 0.0, blocks: int = 1) -> np.ndarray:
    """Absolute error of `z - max - log sum_j exp(z_j - max)`: `(..., V) -> (..., V)`, from logits off by `error`.

    `scoring.log_probs` takes the sum in up to `blocks` parts with a running maximum: whenever the maximum rises, the
    weights so far are rescaled by `exp(old maximum - new maximum)`. The error builds up in these steps:

    - The exponents of a weight and of its factors are all <= 0 and add up to `x_j = z_j - max`. However many there are,
      their subtractions therefore round by `u |x_j|` in all.
    - Each block adds one exp and one product. A weight is then off by the factor `exp(a_j)` with
      `|a_j| <= A_j = u |x_j| + blocks (eps_exp + u) + error`.
    - The sum S of n weights is off by the factor `sum_j p_j exp(A_j)` and by `gamma_(n + blocks)`. Weights that
      underflow add at most n times the smallest normal number.
    - S >= 1, because the weight of the maximum is 1. Its logarithm is off by `-log(1 - sum_error)` and by the accuracy
      of the log function. Two subtractions round after that.

    -inf gives exactly -inf and has bound 0.
    """
    z = np.asarray(logits, dtype=np.float64)
    alive = np.isfinite(z)
    u, n = unit_roundoff(dtype), z.shape[-1]
    x = np.where(alive, z - z.max(axis=-1, keepdims=True), 0.0)
    weights = np.where(alive, np.exp(x), 0.0)
    total = weights.sum(axis=-1, keepdims=True)
    eps_exp, eps_log = 2 * EXP_ULPS * u, 2 * LOG_ULPS * u
    worst = np.max(np.where(alive, error, 0.0), axis=-1, keepdims=True)
    a = u * (np.abs(x) + 2 * worst) + blocks * (eps_exp + u) / (1 - eps_exp - u) + error
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.sum(np.where(weights > 0, weights / total * np.expm1(a), 0.0), axis=-1, keepdims=True)
        growth = gamma(n + blocks, dtype)
        sum_error = off + growth * (1 + off) + (n + blocks) * smallest_normal(dtype)
        of_log = np.where(sum_error < 1, -np.log1p(-np.minimum(sum_error, 1 - 2.0**-53)), np.inf)
        bound = error + u * (np.abs(x) + 2 * worst) + of_log + eps_log * (np.log(total) + of_log)
        bound = bound + u * (np.abs(x) + np.log(total) + bound) + smallest_normal(dtype)
    return np.where(alive, bound * covers_float64(n), 0.0)


def cross_entropy(logits: Any, token_ids: Any, counted: Any, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Error of minus the mean of the log-probabilities of `token_ids` where `counted`: `(..., V), (...) -> ()`.

    The mean of their bounds, `gamma_(n+1)` for a sum of n in any order and its quotient, and one rounding to the dtype.
    """
    z = np.asarray(logits, dtype=np.float64)
    x = z - z.max(axis=-1, keepdims=True)
    exact = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    ids = np.where(counted, token_ids, 0)[..., None]
    scores, off = (
        np.take_along_axis(a, ids, axis=-1)[..., 0][np.asarray(counted)] for a in (exact, log_probs(z, dtype, error))
    )
    grows = gamma(scores.size + 2, dtype)
    return np.asarray(off.mean() + grows * (np.abs(scores).mean() + off.mean()) + smallest_normal(dtype))

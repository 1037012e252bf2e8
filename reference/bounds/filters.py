"""Bounds of what filters compare with their parameters: how far off a correct computation may find it.

A filter has no error of its own: a token stays or falls. But it compares rounded numbers. Where such a number is within
its bound of the parameter, two correct implementations may decide otherwise. Each function is for logits that are off
by at most `error`, and covers the rounding of the parameter to the dtype. A parameter that the dtype holds, on a row
whose probabilities and their sums are exact, has a bound of 0.
"""

from typing import Any

import numpy as np

from .arithmetic import EXP_ULPS, LOG_ULPS, gamma, smallest_normal, unit_roundoff
from .head import softmax
from .output_layer import centred_square
from .scoring import log_probs


def is_exact(logits: Any) -> np.ndarray:
    """Which rows have 2**m equal logits, all others masked: `(..., V) -> (..., 1)`, bool.

    Each weight is exp(0) = 1, each probability 2**-m, and each sum a whole multiple of that: nothing rounds.
    """
    z = np.asarray(logits, dtype=np.float64)
    alive = z > -np.inf
    n = alive.sum(axis=-1, keepdims=True)
    flat = np.where(alive, z, np.inf).min(axis=-1, keepdims=True) == z.max(axis=-1, keepdims=True)
    exact: np.ndarray = flat & ((n & (n - 1)) == 0)
    return exact


def _parameter(value: float, dtype: str) -> float:
    """How far off the parameter may be in the dtype: not at all if the dtype holds it."""
    held = dtype == "float64" or float(np.float32(value)) == value
    return 0.0 if held else unit_roundoff(dtype) * abs(value) + smallest_normal(dtype)


def running_share(logits: Any, share: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of a running sum of probabilities, in any order, against `share`: `(..., V) -> (..., 1)`  [FILTER-2, FILTER-5].

    The n probabilities are off by the bound of `softmax` each, and by no more than all of them in any part of the row.
    Their additions round by `gamma_n`. A sum from the other end, `1 - (the rest)`, has the same errors and rounds twice
    more, as does a comparison of weights with `share * total`.
    """
    alive = np.asarray(logits, dtype=np.float64) > -np.inf
    off = np.sum(softmax(logits, dtype, error), axis=-1, keepdims=True)
    n = int(alive.sum(axis=-1).max(initial=1))
    bound = off + gamma(n + 2, dtype) * (1 + off)
    exact = is_exact(logits) & np.all(np.broadcast_to(error, alive.shape) == 0, axis=-1, keepdims=True)
    return np.where(exact, 0.0, bound) + _parameter(share, dtype)


def probability(logits: Any, cutoff: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of each probability against `cutoff`: `(..., V) -> (..., V)`  [FILTER-6, FILTER-9].

    That of `softmax`; a comparison of weights with `cutoff * total` has one product in place of the division.
    """
    exact = is_exact(logits) & np.all(np.broadcast_to(error, np.shape(logits)) == 0, axis=-1, keepdims=True)
    rounds = softmax(logits, dtype, error) + unit_roundoff(dtype) * cutoff + smallest_normal(dtype)
    return np.where(exact, 0.0, rounds) + _parameter(cutoff, dtype)


def weight(logits: Any, p: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of `exp(z - max)` against p: `(..., V) -> (..., V)`  [FILTER-4].

    - As probabilities, `q_i >= p max q`: the sum is the same on both sides. What is left are two exps, the difference
      `x = z - max`, two divisions and a product: `u |x| + 2 eps_exp + 4 u` in the exponent.
    - As logits, `z >= max + ln p`: the logarithm is off by `eps_log |ln p|`, and the sum rounds by `u |max + ln p|`,
      which at the threshold is `u |z|`.

    The bound is the sum of both. The largest is at or above any p <= 1, however that is rounded: its bound is 0.
    """
    z = np.asarray(logits, dtype=np.float64)
    alive = z > -np.inf
    u, w = unit_roundoff(dtype), smallest_normal(dtype)
    x = np.where(alive, z - z.max(axis=-1, keepdims=True), 0.0)
    worst = np.max(np.where(alive, error, 0.0), axis=-1, keepdims=True)
    threshold = abs(np.log(p)) if p > 0 else 0.0
    a = u * (np.abs(x) + 2 * np.abs(np.where(alive, z, 0)) + 4) + 2 * 2 * EXP_ULPS * u + 2 * LOG_ULPS * u * threshold
    a = a + np.where(alive, error, 0.0) + worst
    n = alive.sum(axis=-1, keepdims=True)
    bound = np.exp(x) * np.expm1(a) + (2 + n) * w + _parameter(p, dtype)
    surely = (x == 0) & (np.broadcast_to(error, z.shape) == 0)
    return np.where(alive & ~surely, bound, 0.0)


def entropy(logits: Any, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of `-sum q ln q`: `(..., V) -> (..., 1)`  [FILTER-5 to FILTER-7].

    With `L = -ln q >= 0`, off by the bound of `log_probs`, and q, off by that of `softmax`, each of n products is off
    by `b (L + e) + q e`, and rounds once; the sum rounds by `gamma_n`. The terms of
    `ln sum w - sum w x / sum w` are no larger.
    """
    surprise, of_surprise, q, of_q = _surprise(logits, dtype, error)
    terms = of_q * (surprise + of_surprise) + q * of_surprise
    sizes = (q + of_q) * (surprise + of_surprise)
    n = int((q > 0).sum(axis=-1).max(initial=1))
    bound: np.ndarray = np.sum(terms + gamma(n + 2, dtype) * sizes, axis=-1, keepdims=True)
    return bound


def _surprise(logits: Any, dtype: str, error: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`-ln q`, its bound, q and its bound, each `(..., V)`; all 0 for a masked token."""
    z = np.asarray(logits, dtype=np.float64)
    alive = z > -np.inf
    x = np.where(alive, z - z.max(axis=-1, keepdims=True), -np.inf)
    total = np.exp(x).sum(axis=-1, keepdims=True)
    surprise = np.where(alive, np.log(total) - np.where(alive, x, 0), 0.0)
    return surprise, log_probs(z, dtype, error), np.exp(x) / total, softmax(z, dtype, error)


def distance(logits: Any, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of `|-ln q - H|`: `(..., V) -> (..., V)`  [FILTER-5]. One subtraction, of two numbers off by their bounds."""
    surprise, of_surprise, *_ = _surprise(logits, dtype, error)
    off = of_surprise + entropy(logits, dtype, error)
    return off + unit_roundoff(dtype) * (surprise + off)


def eta(logits: Any, cutoff: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of the threshold `min(cutoff, sqrt(cutoff) exp(-H))`: `(..., V) -> (..., 1)`  [FILTER-6].

    exp turns the error of H into a factor; it, the root and the product round once each.
    """
    surprise, _, q, _ = _surprise(logits, dtype, error)
    h = np.sum(q * surprise, axis=-1, keepdims=True)
    off = entropy(logits, dtype, error) + 2 * EXP_ULPS * unit_roundoff(dtype) + 4 * unit_roundoff(dtype)
    bound: np.ndarray = np.sqrt(cutoff) * np.exp(-h) * np.expm1(off) + _parameter(cutoff, dtype)
    return bound


def running_entropy(logits: Any, h: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of a running sum of `-q ln q` against h times the whole: `(..., V) -> (..., 1)`  [FILTER-7].

    Both are off by at most the bound of the whole; the product rounds once.
    """
    surprise, _, q, _ = _surprise(logits, dtype, error)
    whole, off = np.sum(q * surprise, axis=-1, keepdims=True), entropy(logits, dtype, error)
    bound: np.ndarray = 2 * off + (unit_roundoff(dtype) + _parameter(h, dtype)) * (whole + off)
    return bound


def threshold(logits: Any, n: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Of `max - n s`, with s the standard deviation of the unmasked: `(..., V) -> (..., 1)`  [FILTER-8].

    The variance is off as that of `layer_norm`, in two passes or by Welford's updates. The root of what is off by m is
    off by at most `sqrt(s**2 + m) - sqrt(max(s**2 - m, 0))`. Root, product and difference round once each. Logits that
    were divided by the largest, so that no square overflows, carry one rounding more, which `layer_norm` has room for.
    """
    z = np.asarray(logits, dtype=np.float64)
    off = np.broadcast_to(error, z.shape)
    bound = np.empty((*z.shape[:-1], 1))
    for row in np.ndindex(z.shape[:-1]):
        alive = z[row] > -np.inf
        bound[row] = _threshold(z[row][alive], n, dtype, float(off[row][alive].max()))
    return bound


def _threshold(z: np.ndarray, n: float, dtype: str, error: float) -> float:
    """Of one row of unmasked logits `(V,)`."""
    u, size = unit_roundoff(dtype), 2.0 ** max(0, int(np.frexp(np.abs(z).max())[1]))  # a power of two: exact
    _, _, (square,), (moved,) = centred_square(z / size, dtype)
    s = float(np.sqrt(square))
    more, less = float(np.sqrt(square + moved)) - s, s - float(np.sqrt(max(square - moved, 0.0)))
    off = n * (max(more, less) * size + 2 * error) + error
    largest = abs(float(z.max())) + n * s * size + off
    return float(off + 4 * u * largest + _parameter(n, dtype) * s * size + smallest_normal(dtype))

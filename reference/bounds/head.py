"""Bounds of the stages of the head: logits, temperature, softmax, and the two draws."""

from typing import Any

import numpy as np

from .arithmetic import EXP_ULPS, LOG_ULPS, covers_float64, gamma, probabilistic_gamma, smallest_normal, unit_roundoff


def exact_logits(context: Any, embedding: Any) -> np.ndarray:
    """`(..., d), (V, d) -> (..., V)`: the product in float64, the value that errors are measured from.

    It is itself off by at most `logits(context, embedding, "float64")`. A judge therefore adds that to the bound.
    """
    h, w = (np.asarray(factor).astype(np.float64) for factor in (context, embedding))
    exact: np.ndarray = h @ w.T
    return exact


def logits(
    context: Any, embedding: Any, dtype: str, *others: str, probabilistic: bool = False, bias: Any = None
) -> np.ndarray:
    """`|z^ - z| <= gamma_d sum_i |h_i| |w_i|`: `(..., d), (V, d) -> (..., V)`  [LOGITS-2].

    Each product is rounded once and takes part in at most d - 1 additions. That makes d roundings, in any order of
    summation (Higham 2002, sec. 3.1, 4.2); a fused multiply-add only omits some of them. Each operation that underflows
    adds at most the smallest normal number. With several dtypes the result is the sum of their bounds: how far apart
    two results in these dtypes can be. A `bias` `(V,)` may enter the sum at any place, as one more product.
    """
    d = np.shape(context)[-1] + (bias is not None)
    relative = sum((probabilistic_gamma if probabilistic else gamma)(d, name) for name in (dtype, *others))
    return relative * _magnitude(context, embedding, bias) + 2 * d * sum(map(smallest_normal, (dtype, *others)))


def _magnitude(context: Any, embedding: Any, bias: Any = None) -> np.ndarray:
    """`sum_i |h_i| |w_i|`, and the bias's magnitude, not below the exact value: `(..., d), (V, d) -> (..., V)`."""
    h, w = np.abs(np.asarray(context, dtype=np.float64)), np.asarray(embedding)
    blocks = [h @ np.abs(w[start : start + 8192].astype(np.float64)).T for start in range(0, len(w), 8192)]
    total: np.ndarray = np.concatenate(blocks, axis=-1) * (1 + 2 * gamma(h.shape[-1], "float64"))
    return total if bias is None else total + np.abs(np.asarray(bias, dtype=np.float64))


def deviation(context: Any, embedding: Any, *dtypes: str, bias: Any = None) -> np.ndarray:
    """`sqrt(d) u sum_i |h_i| |w_i|`: no order of summation has a larger standard deviation  [LOGITS-2].

    The error is a sum of at most d independent roundings with mean zero, each at most `u sum_i |h_i| |w_i|` (Higham &
    Mary 2019, theorem 3.1). With several dtypes: of the difference of two results in these dtypes. `bias` is as in
    `logits`.
    """
    units = float(np.sqrt(sum(unit_roundoff(dtype) ** 2 for dtype in dtypes)))
    return np.sqrt(np.shape(context)[-1] + (bias is not None)) * units * _magnitude(context, embedding, bias)


def never_rounds(context: Any, embedding: Any, dtype: str) -> np.ndarray:
    """Where every order of summation is exact, as with small whole numbers: `(..., d), (V, d) -> (..., V)`, bool.

    All products of a logit are multiples of one power of two, `g`: the last place of h times that of w. Where
    `sum_i |h_i| |w_i| <= g / u`, each partial sum is such a multiple with no more digits than the dtype has.
    """
    h, w = np.asarray(context), np.asarray(embedding)
    needed = _magnitude(h, w) * unit_roundoff(dtype)
    last_of_h, last_of_w = _last_place(h)[..., None], _last_place(w[:, :4])
    # A few columns rule out nearly every token of a real embedding. The others are looked at whole.
    candidates = (needed <= last_of_h * last_of_w).any(axis=tuple(range(h.ndim - 1)))
    last_of_w[candidates] = _last_place(w[candidates])
    unit = last_of_h * last_of_w
    exact: np.ndarray = candidates & (needed <= unit) & (unit >= smallest_normal(dtype))
    return exact


def _last_place(numbers: np.ndarray) -> np.ndarray:
    """The largest power of two of which all numbers of a row are multiples: `(..., d) -> (...)`. Infinite for zeros."""
    digits, exponent = np.frexp(numbers.astype(np.float64))
    whole = np.ldexp(np.abs(digits), 53).astype(np.int64)
    lowest = np.where(whole > 0, np.ldexp((whole & -whole).astype(np.float64), exponent - 53), np.inf)
    smallest: np.ndarray = lowest.min(axis=-1, initial=np.inf)
    return smallest


def temperature(logits: Any, temperature: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Error of `z / T` from logits that are off by at most `error`: `(error + u (|z| + error)) / T`  [TEMP-1].

    One correctly rounded division (IEEE 754), so bit-identical logits give bit-identical quotients. T is the
    temperature after it was rounded to the dtype.
    """
    z = np.abs(np.asarray(logits, dtype=np.float64))
    scaled = (error + unit_roundoff(dtype) * (z + error)) / temperature + smallest_normal(dtype)
    return np.where(np.isfinite(z), scaled, 0.0)


def softmax(logits: Any, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Absolute error of the softmax of logits that are themselves off by at most `error`  [SOFTMAX-1].

    With x = logits - max, the computed weight is `exp(x_i (1 + e))(1 + eps)`, that is `exp(x_i + a_i)` with
    `|a_i| <= A_i = u |x_i| + eps_exp + error`. The sum of the n weights above 0 is off by at most the factor
    `sum_j p_j exp(A_j)`, and by `gamma_n` for its additions. The division rounds once more. To first order the relative
    error is

        u (|x_i| + sum_j p_j |x_j|) + 2 eps_exp + gamma_n + u

    The closed form in the code also holds where these terms are not small. -inf gives exactly 0 and has bound 0.
    """
    z = np.asarray(logits, dtype=np.float64)
    alive = np.isfinite(z)
    u, n = unit_roundoff(dtype), alive.sum(axis=-1, keepdims=True)
    x = np.where(alive, z - z.max(axis=-1, keepdims=True), 0.0)
    weights = np.where(alive, np.exp(x), 0.0)
    p = weights / weights.sum(axis=-1, keepdims=True)
    eps_exp = 2 * EXP_ULPS * u
    # The logit and the maximum both carry an error, and the subtraction rounds their difference. Hence the 2 below;
    # the error of the maximum is the same for every token of the row.
    worst = np.max(np.where(alive, error, 0.0), axis=-1, keepdims=True)
    a = u * (np.abs(x) + 2 * worst) + eps_exp / (1 - eps_exp) + error
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        # These are (1 + off)(1 + gamma) - 1 and exp(a)(1 + u) / (1 - sum_error) - 1. They are written with expm1, since
        # "- 1" at the end would cancel nearly all digits of numbers so close to 1.
        off = np.sum(np.where(p > 0, p * np.expm1(a), 0.0), axis=-1, keepdims=True)
        gamma_n = np.where(n * u < 1, n * u / np.abs(1 - n * u), np.inf)
        sum_error = off + gamma_n * (1 + off) + n * smallest_normal(dtype)
        relative = np.where(sum_error < 1, (np.expm1(a) * (1 + u) + u + sum_error) / (1 - sum_error), np.inf)
        bound = np.where(p > 0, p * relative, 0.0) + 2 * smallest_normal(dtype)
    return np.where(alive, np.minimum(bound * covers_float64(n), 1.0), 0.0)


def race(probs: Any, noise: Any, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Absolute error of the race values `p / E`, from probabilities that are off by at most `error`  [DRAW-1].

    `(error + u (p + error)) / E`: one correctly rounded division. From the same noise, two implementations may draw
    different tokens only where the race values of the two tokens are closer than the sum of their errors.
    """
    p, e = np.asarray(probs, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = (error + unit_roundoff(dtype) * (p + error)) / e + smallest_normal(dtype)
    return np.where(p > 0, bound, 0.0)


def running_sum(probs: Any, dtype: str = "float64", error: Any = 0.0) -> np.ndarray:
    """How far a running sum may be from its target `uniform * total` for rounding to decide the draw  [CDF-1].

    `(..., V) -> (...)`. In any order of summation a running sum is off by at most `gamma_V` of the total. The target is
    off by that and one more rounding. Together that is at most `2 gamma_(V+1) total`, and as much again for the judge,
    which evaluates both in float64. If the probabilities are off by at most `error`, the running sum and the target
    each move by at most the sum of these errors.
    """
    p = np.asarray(probs, dtype=np.float64)
    total, n = p.sum(axis=-1), p.shape[-1] + 1
    moved = 2 * np.broadcast_to(error, p.shape).sum(axis=-1)
    return 2 * (gamma(n, dtype) + gamma(n, "float64")) * total + moved + smallest_normal(dtype)


def gumbel(probs: Any, uniform: Any, dtype: str) -> np.ndarray:
    """Absolute error of `ln p - ln(-ln u)` where the logarithms are accurate to LOG_ULPS, or 8 u  [STREAM-5].

    `10 u (|ln p| + |g| + 1)`, where `g = -ln(-ln u)`: each logarithm is off by `8 u` of itself, the inner one moves the
    outer by `8 u` more, and the sum is rounded once. The rest is room for products of these, and for the judge.
    """
    with np.errstate(divide="ignore"):
        scores = np.log(np.asarray(probs, np.float64)), np.log(-np.log(np.asarray(uniform, np.float64)))
    sizes = np.abs(scores[0]) + np.abs(scores[1]) + 1
    return np.where(np.isfinite(sizes), (2 * LOG_ULPS + 2) * unit_roundoff(dtype) * sizes, 0.0)

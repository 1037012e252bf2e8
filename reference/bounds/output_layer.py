"""Bounds of the output layers of other families: the two norms, and what finishes the logits."""

from typing import Any

import numpy as np

from .arithmetic import RSQRT_ULPS, TANH_ULPS, covers_float64, gamma, smallest_normal, unit_roundoff

FEW = 16  # roundings beside the d of a sum, with room for another form of the same operation


def rms_norm(hidden: Any, weight: Any, epsilon: float, weight_offset: float, dtype: str) -> np.ndarray:
    """Absolute error of `h r g` with `r = 1 / sqrt(mean(h**2) + epsilon)` and g the weight with its offset  [OUT-3].

    `(..., d), (d,) -> (..., d)`. Each square is rounded once, their sum at most d - 1 times in any order, and the mean
    once or, as a product with 1/d, twice. All terms are >= 0, so `m = mean(h**2)` is off by a factor within `gamma_d+2`
    of 1, epsilon by two roundings, its own and that of the addition, and `m + epsilon` in all by

        theta = (gamma_d+16 m + gamma_2 epsilon + 2 w) / (m + epsilon)

    Here w is the smallest normal number, for squares that underflow. r is off by `1 / sqrt(1 - theta)` and by
    RSQRT_ULPS; g and the two products round once each. Products that underflow add w each.
    """
    h = np.asarray(hidden, dtype=np.float64)
    mean_square = np.square(h).mean(axis=-1, keepdims=True)
    moved = gamma(h.shape[-1] + FEW, dtype) * mean_square
    return _scaled(h, 0.0, mean_square, moved, _factor(weight, weight_offset), 0.0, epsilon, dtype)


def layer_norm(hidden: Any, weight: Any, bias: Any, epsilon: float, weight_offset: float, dtype: str) -> np.ndarray:
    """Absolute error of `(h - mean) r g + b` with `r = 1 / sqrt(v + epsilon)` and v the biased variance  [OUT-3].

    `(..., d), (d,), (d,) or None -> (..., d)`. Let q be the root of `mean(h**2)`, s that of v.

    - The mean, in any order of summation, is off by at most `D = gamma_d+16 q`. So is, in the root mean square, each
      mean on the way of Welford's updates: the k-th is off by at most `u (sum_{i<=k} |h_i| + 3 sum_{j<=k} |a_j| / k)`
      with `a_k = h_k - mean_{k-1}`; the squares of the second part are 18 u^2 d v (1 + log d) in all, by Cauchy.
    - In two passes a mean off by D adds D^2 to the variance. In one pass as Welford's, each term `a_k b_k`, with
      `b_k = h_k - mean_k`, is off by `|a_k| D + |b_k| D + D^2`; since `sum a_k**2 <= 2 d v`, their mean is at most
      `X = 2 sqrt(2) s D + D^2`. To merge parts of a row (Chan, Golub & LeVeque 1983) only shortens the chains.
    - The terms are >= 0. So v is off by `X + gamma_d+16 (v + X)` at most, and never below 0. `v + epsilon`, r, g and
      the products are as in `rms_norm`; `h - mean` is off by D and its rounding, and the bias is added once more.

    One pass as `mean(h**2) - mean**2` is off by `u d q**2`, not by `u d q s`: it breaks the rule where q is far
    above s.
    """
    centred, off, variance, moved = centred_square(hidden, dtype)
    added = 0.0 if bias is None else np.asarray(bias, dtype=np.float64)
    return _scaled(centred, off, variance, moved, _factor(weight, weight_offset), added, epsilon, dtype)


def centred_square(hidden: Any, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`h - mean` and what the mean may be off by; the variance and what it may be off by, as in `layer_norm`.

    `(..., d) -> (..., d), (..., 1), (..., 1), (..., 1)`.
    """
    h = np.asarray(hidden, dtype=np.float64)
    centred = h - h.mean(axis=-1, keepdims=True)
    centred = centred - centred.mean(axis=-1, keepdims=True)  # what the first mean was off by
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    grows = gamma(h.shape[-1] + FEW, dtype)
    off = grows * np.sqrt(np.square(h).mean(axis=-1, keepdims=True)) + smallest_normal(dtype)
    with np.errstate(invalid="ignore"):  # inf times 0
        of_variance = 2 * np.sqrt(2 * variance) * off + off**2
        moved = of_variance + grows * (variance + of_variance)
    return centred, off, variance, moved


def _factor(weight: Any, weight_offset: float) -> np.ndarray:
    factor: np.ndarray = np.asarray(weight, dtype=np.float64) + weight_offset
    return factor


def _scaled(
    c: np.ndarray, off: Any, square: np.ndarray, moved: Any, g: np.ndarray, bias: Any, epsilon: float, dtype: str
) -> np.ndarray:
    """Error of `c / sqrt(square + epsilon) * g + bias`, where c is off by `off` and the mean square by `moved`."""
    u, w = unit_roundoff(dtype), smallest_normal(dtype)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        theta = (moved + gamma(2, dtype) * epsilon + 2 * w) / (square + epsilon)
        r = 1 / np.sqrt(square + epsilon)
        # However far off the mean square is, it is not below 0: so r is at most that of epsilon alone. By logarithms,
        # since the difference of two numbers so close would have no digits.
        alone = np.log1p(-gamma(2, dtype)) - np.log1p(square / epsilon)
        shrinks = np.maximum(np.log1p(-np.minimum(theta, 1)), alone)
        of_r = r * np.maximum(np.expm1(-shrinks / 2), -np.expm1(-np.log1p(theta) / 2))
        of_product = np.abs(g) * (off * (r + of_r) + np.abs(c) * of_r)
        exact = np.abs(c * r * g)
        rounds = gamma(2 * RSQRT_ULPS + 4, dtype)  # r; and h - mean, g and the products, once each
        bound = of_product + rounds * (exact + of_product) + 2 * w * (1 + np.abs(g))
        bound = bound + u * (exact + np.abs(bias) + bound) if np.ndim(bias) else bound
    return np.where(np.isnan(bound), np.inf, bound) * covers_float64(c.shape[-1])


def finish_logits(
    logits: Any, bias: Any, multiplier: float, divisor: float, cap: float, dtype: str, error: Any = 0.0
) -> np.ndarray:
    """Error of `cap * tanh(z / cap)` with `z = (l + b) multiplier / divisor`, from logits off by `error`  [OUT-6].

    The numbers are those rounded to the dtype. Each of the three operations of z rounds once; w is for a result that
    underflows. The cap is a contraction, `|d/dz cap tanh(z / cap)| <= 1`: it hands the error of z on, and no more. The
    rounding of `x = z / cap` moves `tanh x` by at most `u |x| / cosh(x)^2 <= u |tanh x|`. tanh is accurate to
    TANH_ULPS, and the product rounds once. So the cap adds `gamma_(2 TANH_ULPS + 2) |y| + w (1 + cap)`.

    Without an error of the logits and without a cap there is nothing to allow: each operation has one right result.
    This bound is then for two implementations that compute in different dtypes. -inf gives -inf and has bound 0.
    """
    u, w = unit_roundoff(dtype), smallest_normal(dtype)
    z = given = np.asarray(logits, dtype=np.float64)
    off = np.broadcast_to(error, z.shape)
    if bias is not None:
        z = z + np.asarray(bias, dtype=np.float64)
        off = off + u * (np.abs(z) + off) + w
    for factor in (multiplier, 1 / divisor):
        if factor != 1:  # a factor of 1 changes no bit
            z, off = z * factor, off * factor
            off = off + u * (np.abs(z) + off) + w
    if np.isfinite(cap):
        capped = np.minimum(cap * np.tanh(np.abs(z) / cap) + off, cap)
        off = off + gamma(2 * TANH_ULPS + 2, dtype) * capped + w * (1 + cap)
    return np.where(np.isfinite(given), off * covers_float64(1), 0.0)

"""How far two correct implementations may differ: a derived bound for each element, no tolerance picked by hand.

Each function returns the largest error, against the exact value, that a correct computation in a given dtype can have.
The bound holds for any order of summation, with or without fused multiply-add, on any processor. Two implementations
of a stage that compute in dtypes a and b may differ by the sum of their two bounds. Bounds are float64 arrays.

The model of arithmetic: each operation is rounded to nearest, `fl(x op y) = (x op y)(1 + e)` with `|e| <= u`. A result
that underflows has an absolute error besides; it may also be flushed to zero. `exp` is accurate to EXP_ULPS units in
the last place. glibc and CUDA stay below 2, the vector libraries of NumPy and PyTorch below 4. A hardware
approximation such as CUDA's `__expf` does not conform.
Sources: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2002), ch. 2 to 4; N. J. Higham & T. Mary, A New
Approach to Probabilistic Rounding Error Analysis (2019); P. Blanchard, D. J. Higham & N. J. Higham, Accurately
Computing the Log-Sum-Exp and Softmax Functions (2021).
"""

from typing import Any

import numpy as np

EXP_ULPS = 4
_PRECISION = {"float16": 11, "bfloat16": 8, "tfloat32": 11, "float32": 24, "float64": 53}  # bits of the significand
_SMALLEST_NORMAL = {"float16": -14, "bfloat16": -126, "tfloat32": -126, "float32": -126, "float64": -1022}


def unit_roundoff(dtype: str) -> float:
    """`u`: the largest relative error of one rounding to nearest, 2**-24 for float32."""
    if dtype not in _PRECISION:
        raise ValueError(f"dtype is {dtype!r}: it must be one of {', '.join(_PRECISION)}")
    return 2.0 ** -_PRECISION[dtype]


def smallest_normal(dtype: str) -> float:
    """The smallest positive normal number, 2**-126 for float32. Smaller results lose bits or are flushed to zero."""
    unit_roundoff(dtype)  # refuses unknown names
    return 2.0 ** _SMALLEST_NORMAL[dtype]


def gamma(n: int, dtype: str) -> float:
    """`gamma_n = n u / (1 - n u)`: bounds the relative error of n roundings in a row (Higham 2002, lemma 3.1)."""
    nu = n * unit_roundoff(dtype)
    return nu / (1 - nu) if nu < 1 else np.inf


def probabilistic_gamma(n: int, dtype: str, confidence: float = 1 - 1e-9) -> float:
    """As `gamma`, but it holds only with probability `confidence`, if roundings are independent and have mean zero.

    `exp(lambda sqrt(n) u + n u^2 / (1 - u)) - 1` holds with probability `1 - 2 exp(-lambda^2 (1 - u)^2 / 2)`
    (Higham & Mary 2019, theorem 2.4). Real roundings may all go the same way, so nothing is wrong beyond it. The judges
    mark as *unusual* what is too large for `deviation`, which looks at all errors of a result together.
    """
    u = unit_roundoff(dtype)
    factor = np.sqrt(2 * np.log(2 / (1 - confidence))) / (1 - u)
    return float(np.expm1(factor * np.sqrt(n) * u + n * u * u / (1 - u)))


def mean_square(n: int, confidence: float = 1 - 1e-6) -> float:
    """The mean square of n errors, each in units of its `deviation`: exceeded with probability 1 - `confidence`.

    `1 + 2 sqrt(t / n) + 2 t / n` with `t = -log(1 - confidence)`. The error of roundings with mean zero is sub-Gaussian
    (Higham & Mary 2019, by Azuma's inequality). So its squares have at most the tail of a chi-squared variable
    (D. Hsu, S. Kakade & T. Zhang, A Tail Inequality for Quadratic Forms of Subgaussian Random Vectors, 2012).
    """
    t = -np.log(1 - confidence)
    return float(1 + 2 * np.sqrt(t / n) + 2 * t / n)


def largest(n: int, confidence: float = 1 - 1e-6) -> float:
    """The largest of n errors, each in units of its `deviation`: exceeded with probability 1 - `confidence`.

    Each exceeds `lambda` with probability `2 exp(-lambda^2 / 2)` at most, and so any of n with n times that.
    """
    return float(np.sqrt(2 * np.log(2 * n / (1 - confidence))))


def exact_logits(context: Any, embedding: Any) -> np.ndarray:
    """`(..., d), (V, d) -> (..., V)`: the product in float64, the value that errors are measured from.

    It is itself off by at most `logits(context, embedding, "float64")`. A judge therefore adds that to the bound.
    """
    h, w = (np.asarray(factor).astype(np.float64) for factor in (context, embedding))
    exact: np.ndarray = h @ w.T
    return exact


def logits(context: Any, embedding: Any, dtype: str, *others: str, probabilistic: bool = False) -> np.ndarray:
    """`|z^ - z| <= gamma_d sum_i |h_i| |w_i|`: `(..., d), (V, d) -> (..., V)`  [LOGITS-2].

    Each product is rounded once and takes part in at most d - 1 additions. That makes d roundings, in any order of
    summation (Higham 2002, sec. 3.1, 4.2); a fused multiply-add only omits some of them. Each operation that underflows
    adds at most the smallest normal number. With several dtypes the result is the sum of their bounds: how far apart
    two results in these dtypes can be.
    """
    d = np.shape(context)[-1]
    relative = sum((probabilistic_gamma if probabilistic else gamma)(d, name) for name in (dtype, *others))
    return relative * _magnitude(context, embedding) + 2 * d * sum(map(smallest_normal, (dtype, *others)))


def _magnitude(context: Any, embedding: Any) -> np.ndarray:
    """`sum_i |h_i| |w_i|`, not below the exact value: `(..., d), (V, d) -> (..., V)`."""
    h, w = np.abs(np.asarray(context, dtype=np.float64)), np.asarray(embedding)
    blocks = [h @ np.abs(w[start : start + 8192].astype(np.float64)).T for start in range(0, len(w), 8192)]
    total: np.ndarray = np.concatenate(blocks, axis=-1) * (1 + 2 * gamma(h.shape[-1], "float64"))
    return total


def deviation(context: Any, embedding: Any, *dtypes: str) -> np.ndarray:
    """`sqrt(d) u sum_i |h_i| |w_i|`: no order of summation has a larger standard deviation  [LOGITS-2].

    The error is a sum of at most d independent roundings with mean zero, each at most `u sum_i |h_i| |w_i|` (Higham &
    Mary 2019, theorem 3.1). With several dtypes: of the difference of two results in these dtypes.
    """
    units = float(np.sqrt(sum(unit_roundoff(dtype) ** 2 for dtype in dtypes)))
    return np.sqrt(np.shape(context)[-1]) * units * _magnitude(context, embedding)


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
    covers_float64 = 1 + 2 * (n + 8) * unit_roundoff("float64")  # the rounding of this function itself
    return np.where(alive, np.minimum(bound * covers_float64, 1.0), 0.0)


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


LOG_ULPS = 4  # accuracy of log, for the same libraries as EXP_ULPS


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
    covers_float64 = 1 + 2 * (n + 8) * unit_roundoff("float64")  # the rounding of this function itself
    return np.where(alive, bound * covers_float64, 0.0)

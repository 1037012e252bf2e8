"""The arithmetic that all bounds are made of: unit roundoff, underflow, many roundings, elementary functions."""

from typing import Any

import numpy as np

# The accuracy of elementary functions in units in the last place: glibc and CUDA stay below 2, the vector libraries of
# NumPy and PyTorch below 4. Of tanh, glibc and V8 reach 2.2, NumPy 1.4 and PyTorch 0.8.
EXP_ULPS = LOG_ULPS = TANH_ULPS = 4
# That of 1 / sqrt: a square root and a division are within 1, CUDA's rsqrt within 2. A hardware approximation, such as
# the 12 bits of `rsqrtps`, does not conform.
RSQRT_ULPS = 4
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


def covers_float64(n: Any) -> Any:
    """The factor by which a bound over n terms is raised, for the rounding of its own evaluation in float64."""
    return 1 + 2 * (n + 8) * unit_roundoff("float64")

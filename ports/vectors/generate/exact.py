"""Exact arithmetic, rounded once: where every number that a vector expects comes from.

Sums, products, quotients and comparisons are fractions; exp and log1p are taken by mpmath to 400 bits. Nothing here
computes in floats, and nothing comes from the heads that the vectors judge.
"""

import math
import random
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Context
from fractions import Fraction
from operator import mul
from typing import Any

import mpmath
import numpy as np

_FORMATS = {"float32": (24, -149, 128), "float64": (53, -1074, 1024)}  # bits, smallest and beyond the greatest power
_BITS = 400
_FOUR_DIGITS_UP = Context(prec=4, rounding=ROUND_CEILING)


def rounded(value: Fraction, dtype: str) -> float:
    """The number of `dtype` nearest to `value`, ties to even, as IEEE 754: subnormals exact, beyond the range infinite.

    >>> rounded(Fraction(1, 3), "float32"), rounded(Fraction(2**128), "float32")
    (0.3333333432674408, inf)
    """
    digits, lowest, beyond = _FORMATS[dtype]
    if value == 0:
        return 0.0
    magnitude = abs(value)
    power = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    power -= Fraction(2) ** power > magnitude
    unit = max(power - digits + 1, lowest)
    whole = round(magnitude / Fraction(2) ** unit)
    number = math.inf if whole >= 2 ** (beyond - unit) else math.ldexp(whole, unit)
    return math.copysign(number, value)


def rows(array: np.ndarray) -> list[list[float]]:
    """The rows of `(..., V)`, one after the other, in float64."""
    flat: list[list[float]] = array.astype(np.float64).reshape(-1, array.shape[-1]).tolist()
    return flat


def fractions(row: Iterable[float]) -> list[Any]:
    """Numbers as fractions; infinities and nan stay floats."""
    return [Fraction(x) if math.isfinite(x) else x for x in row]


def divisor(temperature: float, dtype: str) -> Fraction:
    """The temperature as rounded to the dtype of the logits, which they are divided by (TEMP-1)."""
    return Fraction(rounded(Fraction(temperature), dtype))


def compute_dtype(*arrays: Any) -> str:
    """float64 if any array is, else float32: 16 bits are computed in float32 (HEAD-2)."""
    return "float64" if any(np.asarray(a).dtype == np.float64 for a in arrays) else "float32"


def product(context: np.ndarray, embedding: np.ndarray) -> list[list[Fraction]]:
    """Logits `(rows, V)` as fractions."""
    tokens = [fractions(token) for token in rows(embedding)]
    contexts = [fractions(row) for row in rows(context)]
    return [[sum(map(mul, row, token), Fraction(0)) for token in tokens] for row in contexts]


def softmax(row: Sequence[Any]) -> list[float]:
    """exp over the sum of exps of fractions and -inf, each probability rounded once to float64."""
    highest = max(row)
    with mpmath.workprec(_BITS):
        weights = [mpmath.mpf(0) if x == -math.inf else mpmath.exp(_mpf(x - highest)) for x in row]
        total = mpmath.fsum(weights)
        # Below 2^-1200 nothing is left in float64, and an exact fraction would be far too long.
        return [
            0.0 if weight < mpmath.ldexp(total, -1200) else rounded(_as_fraction(weight / total), "float64")
            for weight in weights
        ]


def norm(
    row: Sequence[Fraction], factor: Sequence[Fraction], bias: Sequence[Fraction], epsilon: Fraction, centred: bool
) -> list[float]:
    """`(h - mean) / sqrt(mean square + epsilon) * factor + bias`, each number rounded once to float64."""
    mean = sum(row, Fraction(0)) / len(row) if centred else Fraction(0)
    c = [h - mean for h in row]
    with mpmath.workprec(_BITS):
        root = mpmath.sqrt(_mpf(sum((x * x for x in c), Fraction(0)) / len(c) + epsilon))
        return [
            rounded(_as_fraction(_mpf(x * g) / root) + b, "float64") for x, g, b in zip(c, factor, bias, strict=True)
        ]


def finished(logit: float, bias: float, multiplier: Fraction, divisor: Fraction, dtype: str) -> float:
    """A logit after the bias and the scale, three roundings; the sign of a zero as IEEE 754 has it."""
    if not math.isfinite(logit):
        return logit
    added = rounded(Fraction(logit) + Fraction(bias), dtype)
    if added == 0:  # of two zeros or of opposites: -0 only from two of them
        added = -0.0 if math.copysign(1, logit) == math.copysign(1, bias) == -1 else 0.0
    multiplied = math.copysign(rounded(Fraction(added) * multiplier, dtype), added)
    return math.copysign(rounded(Fraction(multiplied) / divisor, dtype), added)


def capped(z: Fraction, cap: Fraction) -> float:
    """`cap * tanh(z / cap)`, rounded once to float64."""
    with mpmath.workprec(_BITS):
        return rounded(_as_fraction(_mpf(cap) * mpmath.tanh(_mpf(z / cap))), "float64")


def _mpf(value: Fraction) -> Any:
    return mpmath.mpf(value.numerator) / value.denominator


def _as_fraction(value: Any) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    magnitude = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -magnitude if sign else magnitude


def rounded_up(bound: float) -> float:
    """The bound to four digits, never smaller, so that a person can read it."""
    return float(_FOUR_DIGITS_UP.create_decimal_from_float(float(bound)))


class Stream:
    """PyTorch's CPU stream (RNG-1 to RNG-4) on CPython's MT19937, seeded by `init_genrand`, its logarithms by mpmath.

    It shares no code with `reference.TorchGenerator`. A number whose last bit hangs on how good a C library's log1p is
    has no place in a vector: `exponential` raises where it is farther than `margin` units in the last place from the
    exact value (float64), or another if the logarithm were off by a unit in double precision (float32).
    """

    def __init__(self, seed: int) -> None:
        state = [seed & 0xFFFF_FFFF]
        for i in range(1, 624):
            state.append(1_812_433_253 * (state[-1] ^ state[-1] >> 30) + i & 0xFFFF_FFFF)
        self._words = random.Random()
        self._words.setstate((3, (*state, 624), None))

    def output(self) -> int:
        """The next 32 bits."""
        return self._words.getrandbits(32)

    def _uniform53(self) -> Fraction:
        high, low = self.output(), self.output()
        return Fraction((high << 32 | low) & 2**53 - 1, 2**53)

    def uniform(self, n: int, dtype: str) -> list[float]:
        """`torch.rand(n)`."""
        if dtype == "float64":
            return [float(self._uniform53()) for _ in range(n)]
        return [(self._words.getrandbits(32) & 2**24 - 1) / 2**24 for _ in range(n)]

    def exponential(self, n: int, dtype: str, margin: float = 0.3) -> list[float]:
        """`torch.empty(n).exponential_()`."""
        return [_exponential(self._uniform53(), dtype, Fraction(margin)) for _ in range(n)]


def _exponential(u: Fraction, dtype: str, margin: Fraction) -> float:
    with mpmath.workprec(_BITS):
        exact = _as_fraction(-mpmath.log1p(-_mpf(u)))
    number = rounded(exact, dtype)
    unit = Fraction(math.ulp(number)) if number else Fraction(0)
    safe = (
        abs(exact - Fraction(number)) <= margin * unit
        if dtype == "float64"
        else rounded(exact - unit, dtype) == rounded(exact + unit, dtype) == number
    )
    if not safe:
        raise ValueError(f"U = {u}: the last bit of its exponential hangs on the C library; take another seed")
    return number

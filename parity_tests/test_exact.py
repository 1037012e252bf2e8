"""Logits, quotients and probabilities against exact arithmetic: each within its derived bound."""

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import bounds

from . import strategies
from .heads import Head
from .strategies import compute_dtype

spec = pytest.mark.spec
TINY = strategies.factors(max_vocab=6)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`|a - b|` in float64, rounded up; 0 where both are -inf."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0, np.abs(a.astype(np.float64) - b)) * (1 + 2.0**-50)


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mpmath.workdps(60):
        yield


def exact_logit(context: np.ndarray, row: np.ndarray) -> Fraction:
    return sum((Fraction(float(h)) * Fraction(float(w)) for h, w in zip(context, row, strict=True)), Fraction(0))


@spec("LOGITS-2")
@given(TINY)
def test_logits(head: Head, pair: tuple[np.ndarray, np.ndarray]) -> None:
    context, embedding = pair
    logits, bound = (
        head.compute_logits(context, embedding),
        bounds.logits(context, embedding, compute_dtype(context).name),
    )
    for index in np.ndindex(logits.shape):
        error = abs(Fraction(float(logits[index])) - exact_logit(context[index[:-1]], embedding[index[-1]]))
        assert error <= Fraction(float(bound[index]))


@spec("TEMP-1")
@given(strategies.logits(max_vocab=8, shapes=st.just(())), strategies.temperatures)
def test_temperature(head: Head, row: np.ndarray, temperature: float) -> None:
    """Also where the logits themselves are off by a known error."""
    dtype = compute_dtype(row)
    divisor = float(dtype.type(temperature))
    scaled = head.apply_temperature(row, temperature)
    off = np.where(np.isfinite(row), row * row.dtype.type(1e-3), row)
    moved = head.apply_temperature(off, temperature)
    error = distance(off, row)
    for result, bound in (
        (scaled, bounds.temperature(row, divisor, dtype.name)),
        (moved, bounds.temperature(row, divisor, dtype.name, error)),
    ):
        for i in np.flatnonzero(np.isfinite(row)):
            exact = Fraction(float(row[i])) / Fraction(divisor)
            assert abs(Fraction(float(result[i])) - exact) <= Fraction(float(bound[i]))


def exact_softmax(row: np.ndarray) -> list[Any]:
    weights = [mpmath.exp(mpmath.mpf(float(x))) if x > -np.inf else mpmath.mpf(0) for x in row]
    total = mpmath.fsum(weights)
    return [weight / total for weight in weights]


@spec("SOFTMAX-1")
@given(strategies.logits(max_vocab=12, shapes=st.just(())))
def test_softmax(head: Head, row: np.ndarray) -> None:
    probs, bound = head.softmax(row), bounds.softmax(row, compute_dtype(row).name)
    for p, exact, allowed in zip(probs, exact_softmax(row), bound, strict=True):
        assert abs(mpmath.mpf(float(p)) - exact) <= mpmath.mpf(float(allowed))


@spec("SOFTMAX-1")
@given(strategies.logits(max_vocab=12, shapes=st.just(())), st.integers(0, 2**16), st.sampled_from([1e-6, 1e-3, 0.3]))
def test_softmax_of_logits_that_are_off(head: Head, row: np.ndarray, seed: int, size: float) -> None:
    """Exact softmax of the true logits, computed softmax of perturbed ones: within the bound for that error."""
    noise = np.random.default_rng(seed).uniform(-size, size, row.shape)
    off = np.where(np.isfinite(row), row + noise, row).astype(row.dtype)
    error = distance(off, row)
    bound = bounds.softmax(row, compute_dtype(row).name, error)
    for p, exact, allowed in zip(head.softmax(off), exact_softmax(row), bound, strict=True):
        assert abs(mpmath.mpf(float(p)) - exact) <= mpmath.mpf(float(allowed))

"""The bounds against exact arithmetic: no honest computation exceeds them, and they are not so wide as to be empty."""

from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import bounds

from .. import strategies
from ..judges.roundings import rounded
from ..strategies import compute_dtype
from ..test_exact import TINY, exact_logit

spec = pytest.mark.spec


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mpmath.workdps(60):
        yield


@spec("LOGITS-2")
@given(TINY)
def test_the_logits_bound_is_the_formula(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """`gamma_d sum |h||w|` in rationals: its float64 evaluation never falls short of it, and hardly exceeds it."""
    context, embedding = pair
    bound, d = bounds.logits(context, embedding, "float32"), context.shape[-1]
    u = Fraction(1, 2**24)
    gamma = d * u / (1 - d * u)
    for index in np.ndindex(bound.shape):
        formula = gamma * exact_logit(np.abs(context[index[:-1]]), np.abs(embedding[index[-1]]))
        assert formula <= Fraction(float(bound[index])) <= formula * Fraction(1001, 1000) + Fraction(2 * d, 2**126)


@spec("DRAW-1")
@given(strategies.probabilities(max_vocab=8), st.integers(0, 2**16))
def test_race(probs: np.ndarray, seed: int) -> None:
    probs = probs.astype(compute_dtype(probs))
    noise = np.random.default_rng(seed).standard_exponential(probs.shape).astype(probs.dtype)
    with np.errstate(all="ignore"):
        race = probs / noise
    bound = bounds.race(probs, noise, probs.dtype.name)
    for index in np.ndindex(probs.shape):
        if probs[index] > 0 and noise[index] > 0 and np.isfinite(race[index]):
            exact = Fraction(float(probs[index])) / Fraction(float(noise[index]))
            assert abs(Fraction(float(race[index])) - exact) <= Fraction(float(bound[index]))


@spec("CDF-1")
@given(strategies.probabilities(max_vocab=30))
def test_running_sum(probs: np.ndarray) -> None:
    """In float64 and in float32, from the left and from the right: no running sum is off by more."""
    for dtype in ("float64", compute_dtype(probs).name):
        with np.errstate(over="ignore"):
            running = np.cumsum(probs, axis=-1, dtype=dtype)
        bound = bounds.running_sum(probs, dtype)
        for row in np.ndindex(probs.shape[:-1]):
            exact = Fraction(0)
            for weight, computed in zip(probs[row], running[row], strict=True):
                exact += Fraction(float(weight))
                assert abs(Fraction(float(computed)) - exact) <= Fraction(float(bound[row]))


@spec("LOGITS-2")
def test_reduced_precision_is_outside(gpt2_shaped: tuple[np.ndarray, np.ndarray]) -> None:
    """At GPT-2's shape an honest float32 product stays far inside, rounded inputs exceed the bound many times."""
    context, embedding = gpt2_shaped[0][:2].astype(np.float64), gpt2_shaped[1].astype(np.float64)
    exact, bound = context @ embedding.T, bounds.logits(context, embedding, "float32")
    honest = gpt2_shaped[0][:2] @ gpt2_shaped[1].T
    ratios = {"float32": float(np.max(np.abs(honest - exact) / bound))}
    for dtype in ("tfloat32", "float16", "bfloat16"):
        ratios[dtype] = float(np.max(np.abs(rounded(context, dtype) @ rounded(embedding, dtype).T - exact) / bound))
    print(f"largest error / bound at GPT-2's shape: {ratios}")
    assert ratios["float32"] < 0.1
    assert min(ratios[dtype] for dtype in ("tfloat32", "float16", "bfloat16")) > 2


@spec("SOFTMAX-1")
def test_the_softmax_bound_tells_precisions_apart() -> None:
    """At GPT-2's vocabulary: 16-bit probabilities are far outside, the honest ones far inside."""
    row = (np.random.default_rng(0).standard_normal(50_257) * 3 - 100).astype(np.float32)
    shifted = row.astype(np.float64) - row.max()
    exact = np.exp(shifted) / np.exp(shifted).sum()
    bound = bounds.softmax(row, "float32")
    weights = np.exp(row - row.max())
    assert (np.abs(weights / weights.sum() - exact) <= bound / 10).all()
    assert np.max(np.abs(rounded(exact, "bfloat16") - exact) / bound) > 1
    assert np.max(np.abs(exact * (1 + 2.0**-7) - exact) / bound) > 1


@spec("LOGITS-2")
def test_bounds_grow_with_the_length_and_the_roundoff() -> None:
    names = ("float64", "float32", "float16", "bfloat16")
    for n in (1, 100, 768):
        assert sorted(names, key=lambda dtype: bounds.gamma(n, dtype)) == list(names)
        assert bounds.gamma(n + 1, "float32") > bounds.gamma(n, "float32")
    assert bounds.probabilistic_gamma(768, "float32") < bounds.gamma(768, "float32")
    assert bounds.gamma(2**24, "float32") == np.inf  # the theory has nothing to say beyond n u = 1
    with pytest.raises(ValueError, match=r"dtype is 'int8': it must be one of float16, bfloat16"):
        bounds.gamma(3, "int8")

"""Stage 5, second form: the draw as a walk along the running sum, with the uniform as an argument."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import reference

from . import strategies
from .heads import Head
from .verdict import compare

spec = pytest.mark.spec
LARGEST_FLOAT32_UNIFORM, LARGEST_UNIFORM = 1 - 2.0**-24, 1 - 2.0**-53


@spec("CDF-1", "CDF-2", "HEAD-4")
@given(st.data(), strategies.probabilities())
def test_against_the_exact_running_sum(head: Head, data: st.DataObject, probs: np.ndarray) -> None:
    uniform = data.draw(strategies.uniforms(probs.shape[:-1]))
    token_ids = head.inverse_cdf(probs, uniform)
    assert np.shape(token_ids) == probs.shape[:-1]
    compare("inverse_cdf", reference.inverse_cdf(probs, uniform), token_ids, probs=probs, uniform=uniform).require()


@spec("CDF-1")
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any), st.integers(0, 63))
def test_in_exact_arithmetic(head: Head, weights: list[int], sixty_fourths: int) -> None:
    """Whole weights and u in 64ths leave nothing to round: every boundary is hit exactly, "exceeds" means exceeds."""
    target = Fraction(sixty_fourths, 64) * sum(weights)
    running, expected = 0, None
    for token, weight in enumerate(weights):
        running += weight
        if expected is None and running > target and weight:
            expected = token
    assert int(head.inverse_cdf(np.array(weights, np.float32), np.array(sixty_fourths / 64))) == expected


@spec("CDF-1", "CDF-2", "CDF-3")
@pytest.mark.parametrize(
    ("probs", "uniform", "token"),
    [
        ([0.0, 1.0], 0.0, 1),  # a leading zero at u = 0
        ([0.0, 0.0, 1.0, 0.0], LARGEST_UNIFORM, 2),  # trailing zeros at the largest u
        ([0.25, 0.25, 0.5], 0.25, 1),  # on a boundary: exceeds, not reaches
        ([0.2, 0.5, 0.3], 0.1, 0),  # id order, not rank order
        ([0.4, 0.0, 0.0], 0.9, 0),  # not normalised: u is scaled by the total
        ([1.0] * 12 + [0.0], LARGEST_FLOAT32_UNIFORM, 11),  # a float32 sum of 1/12 ends below this u
        ([2.0, 2.0], 0.5, 1),
    ],
)
def test_corners(head: Head, probs: list[float], uniform: float, token: int) -> None:
    for dtype in (np.float32, np.float64):
        assert int(head.inverse_cdf(np.array(probs, dtype), np.array(uniform))) == token


@spec("CDF-2")
@pytest.mark.parametrize("v", [13, 1_000, 50_257])
def test_the_end_of_the_walk_is_a_possible_token(head: Head, v: int) -> None:
    """Masked softmaxes of real size at the largest uniforms: never a masked token, never V."""
    rng = np.random.default_rng(v)
    rows = (rng.standard_normal((20, v)) * 3).astype(np.float32)
    rows[:, rng.random(v) < 0.5] = -np.inf
    rows[:, -1] = -np.inf
    rows[:, 0] = 0
    probs = reference.softmax(rows)
    for uniform in (0.0, LARGEST_FLOAT32_UNIFORM, LARGEST_UNIFORM):
        token_ids = head.inverse_cdf(probs, np.full(20, uniform))
        assert (np.take_along_axis(probs, np.asarray(token_ids)[:, None], axis=-1) > 0).all()


@spec("CDF-2")
def test_the_fall_through_is_taken(head: Head) -> None:
    """A subnormal total: u * total rounds up to the total, no running sum exceeds it, the last possible id is drawn."""
    smallest = np.finfo(np.float64).smallest_subnormal
    for probs in ([0.0, smallest, 0.0], [0.0, 0.0, smallest]):
        row = np.array(probs)
        assert 0.9 * row.sum() == row.sum()
        assert int(head.inverse_cdf(row, np.array(0.9))) == int(np.flatnonzero(row)[-1])
    # Beside a row that is decided earlier: neither row's end may be taken for the other's.
    rows = np.array([[0.0, smallest, 0.0], [0.5, 0.25, 0.25]])
    assert np.asarray(head.inverse_cdf(rows, np.array([0.9, 0.0]))).tolist() == [1, 0]


@spec("CDF-1")
def test_a_long_tail_is_not_lost_in_the_sum(head: Head) -> None:
    """One token of weight 1 and 2,048 of 2**-25, half a float32 ulp: added up in float32 the tail would never count."""
    probs = np.array([1.0] + [2.0**-25] * 2_048, np.float32)
    total = 1 + 2_048 * 2.0**-25
    for token in (0, 1, 700, 2_048):
        below_its_end = 1 + (token - 0.5) * 2.0**-25  # in the middle of the token's own stretch
        assert int(head.inverse_cdf(probs, np.array(below_its_end / total))) == token


@spec("CDF-1")
def test_distribution(head: Head) -> None:
    weights = np.array([1.0, 0.0, 2.0, 5.0])
    rows = 40_000
    uniform = np.random.default_rng(11).random(rows)
    token_ids = head.inverse_cdf(np.tile(weights, (rows, 1)), uniform)
    counts = np.bincount(np.asarray(token_ids), minlength=4)
    assert counts[1] == 0
    possible = weights > 0
    assert stats.chisquare(counts[possible], weights[possible] / 8 * rows).pvalue > 1e-9


@spec("CDF-3")
@pytest.mark.parametrize("uniform", [np.float32(0.5), np.array(0.5), np.array(0.5, np.float16)])
def test_uniform_in_any_float(head: Head, uniform: Any) -> None:
    assert int(head.inverse_cdf(np.array([0.25, 0.75], np.float32), np.asarray(uniform))) == 1

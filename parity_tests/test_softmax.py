"""Stage 4: softmax."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import bounds

from . import strategies
from .heads import Head
from .verdict import compare

spec = pytest.mark.spec


@spec("SOFTMAX-1", "SOFTMAX-2", "SOFTMAX-3", "HEAD-2", "HEAD-4")
@given(strategies.logits())
def test_within_the_bound(head: Head, row: np.ndarray) -> None:
    probs = head.softmax(row)
    assert probs.dtype == strategies.compute_dtype(row)
    compare("softmax", reference.softmax(row), probs, logits=row).require()


@spec("SOFTMAX-3")
@given(strategies.logits())
def test_masked_tokens_are_exactly_zero(head: Head, row: np.ndarray) -> None:
    assert (head.softmax(row)[row == -np.inf] == 0).all()


@spec("SOFTMAX-3")
@pytest.mark.parametrize("row", [[-12_000.0, -np.inf, -12_001.0], [-3e38, -np.inf], [-np.inf, -70_000.0]])
def test_no_finite_logit_is_as_low_as_a_mask(head: Head, row: list[float]) -> None:
    """An additive mask of -10,000, or of float16's lowest number, would win here."""
    probs = np.asarray(head.softmax(np.array(row, np.float32)))
    assert ((probs > 0) == np.isfinite(row)).all()


@spec("SOFTMAX-2")
@given(strategies.logits())
def test_rows_sum_to_one_within_the_bound(head: Head, row: np.ndarray) -> None:
    probs = head.softmax(row).astype(np.float64)
    allowed = bounds.softmax(row, strategies.compute_dtype(row).name).sum(axis=-1) + bounds.gamma(
        row.shape[-1], "float64"
    )
    assert (np.abs(probs.sum(axis=-1) - 1) <= allowed).all()


@spec("SOFTMAX-2")
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=20), st.sampled_from([-1024, -100, 64, 1024, 2**16]))
def test_shift_invariant(head: Head, values: list[int], shift: int) -> None:
    """Whole numbers are shifted without rounding, far beyond exp's range: the same distribution, the same bound."""
    row = np.array(values, np.float32)
    shifted = head.softmax(row + np.float32(shift))
    compare("softmax", reference.softmax(row), shifted, logits=row).require()


@spec("SOFTMAX-2")
@pytest.mark.parametrize("row", [[-104.0] * 3, [0.0, 89.0, 0.0], [1000.0] * 5, [-1e30, -1e30], [3e38, -3e38]])
def test_where_a_naive_exp_overflows_or_underflows(head: Head, row: list[float]) -> None:
    logits = np.array(row, np.float32)
    compare("softmax", reference.softmax(logits), head.softmax(logits), logits=logits).require()


@spec("SOFTMAX-1")
def test_half_precision_goes_to_float32(head: Head) -> None:
    probs = head.softmax(np.array([0.0, 1.0, -np.inf], np.float16))
    assert probs.dtype == np.float32
    logits = np.array([0.0, 1.0, -np.inf], np.float32)
    compare("softmax", reference.softmax(logits), probs, logits=logits).require()


@spec("SOFTMAX-1")
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_at_gpt2_vocabulary(head: Head, scale: float) -> None:
    logits = (np.random.default_rng(1).standard_normal((4, 50_257)) * scale - 100).astype(np.float32)
    compare("softmax", reference.softmax(logits), head.softmax(logits), logits=logits).require()


@spec("HEAD-4")
@given(strategies.logits(shapes=st.just((3,))))
def test_a_row_alone_and_anywhere_in_a_batch(head: Head, rows: np.ndarray) -> None:
    alone = np.stack([np.asarray(head.softmax(row)) for row in rows])
    for order in ([0, 1, 2], [2, 0, 1], [1, 1, 1]):
        compare("softmax", alone[order], head.softmax(rows[order]), logits=rows[order]).require()

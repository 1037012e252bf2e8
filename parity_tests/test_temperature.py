"""Stage 2: temperature, one true division."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given

import reference

from . import strategies
from .heads import Head
from .verdict import compare

spec = pytest.mark.spec


@spec("TEMP-1", "HEAD-2", "HEAD-4")
@given(strategies.logits(), strategies.temperatures)
def test_bit_identical(head: Head, row: np.ndarray, temperature: float) -> None:
    scaled = head.apply_temperature(row, temperature)
    compare(
        "apply_temperature",
        reference.apply_temperature(row, temperature),
        scaled,
        logits=row,
        temperature=temperature,
    ).require()


@spec("TEMP-1")
@given(strategies.logits(dtypes=("float32",), max_vocab=8), strategies.temperatures)
def test_correctly_rounded(head: Head, row: np.ndarray, temperature: float) -> None:
    """Against rational arithmetic: the nearest float32 to the exact quotient, so no reciprocal, no double rounding."""
    divisor = Fraction(float(np.float32(temperature)))
    scaled = head.apply_temperature(row, temperature)
    for value, result in zip(row.ravel(), scaled.ravel(), strict=True):
        if np.isfinite(value):
            exact = Fraction(float(value)) / divisor
            neighbours = (np.nextafter(result, np.float32(-np.inf)), np.nextafter(result, np.float32(np.inf)))
            error = abs(Fraction(float(result)) - exact)
            assert all(error <= abs(Fraction(float(n)) - exact) for n in neighbours if np.isfinite(n))
        else:
            assert result == -np.inf


@spec("TEMP-1")
@given(strategies.logits(), strategies.temperatures)
def test_order_is_kept(head: Head, row: np.ndarray, temperature: float) -> None:
    scaled = head.apply_temperature(row, temperature)
    order = np.argsort(row, axis=-1, kind="stable")
    rising = np.take_along_axis(scaled, order, axis=-1)
    assert (rising[..., 1:] >= rising[..., :-1]).all()


@spec("TEMP-1")
@given(strategies.logits())
def test_temperature_one_changes_nothing_and_two_halves(head: Head, row: np.ndarray) -> None:
    np.testing.assert_array_equal(head.apply_temperature(row, 1.0), row)
    assume((np.abs(row[np.isfinite(row)]) > 1e-30).all())  # halving a subnormal rounds
    np.testing.assert_array_equal(head.apply_temperature(row, 2.0) * 2, row)


@spec("TEMP-1", "HEAD-2")
def test_16_bit_logits_are_divided_in_float32(head: Head) -> None:
    """Rounded back to float16, 1/3 would be 0.33325195."""
    scaled = head.apply_temperature(np.array([1.0, 10.0], np.float16), 3)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == (np.array([1, 10], np.float32) / np.float32(3)).tolist()


@spec("TEMP-3")
def test_single_logits_may_overflow_downwards(head: Head) -> None:
    scaled = head.apply_temperature(np.array([0.0, -3e38], np.float32), 0.5)
    assert scaled.tolist() == [0.0, -np.inf]

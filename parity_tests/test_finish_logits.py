"""What comes after the product in other families: bias, scale, cap."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference

from . import strategies
from .heads import Head
from .test_refusals import words
from .verdict import Word, compare

spec = pytest.mark.spec
f32, INF, NAN = np.float32, np.inf, np.nan
ROW, BIAS = np.array([4, -100, 0.3], f32), np.array([1, 0, -0.1], f32)


def judged(head: Head, **given: Any) -> np.ndarray:
    """The finished logits of a head; raises if they diverge from the reference or if an input is modified."""
    before = {name: np.array(value) for name, value in given.items()}
    finished = np.asarray(head.finish_logits(**given))
    for name, value in before.items():
        np.testing.assert_array_equal(given[name], value)
    verdict = compare("finish_logits", reference.finish_logits(**given), finished, **given).require()
    assert verdict.word == Word.IDENTICAL or given.get("cap", INF) < INF
    return finished


@spec("OUT-5", "OUT-6", "HEAD-2", "HEAD-3", "HEAD-4")
@given(strategies.arguments("finish_logits"))
def test_exact_without_a_cap_and_within_the_bound_with_one(head: Head, case: dict[str, Any]) -> None:
    finished = judged(head, **case)
    assert finished.dtype == strategies.compute_dtype(case["logits"])
    assert (finished[case["logits"] == -INF] == -INF).all()
    judged(head, **{**case, "cap": INF})


@spec("OUT-5")
@given(strategies.arguments("finish_logits", ("float32",)))
def test_three_roundings(head: Head, case: dict[str, Any]) -> None:
    """Each rounded from float64, where rounding twice changes nothing: no product in place of the division."""
    multiplier, divisor = (np.float64(f32(case[name])) for name in ("multiplier", "divisor"))
    wide = (case["logits"].astype(np.float64) + case["bias"]).astype(f32)
    wide = (wide * multiplier).astype(f32)
    expected = (wide / divisor).astype(f32)
    np.testing.assert_array_equal(head.finish_logits(**{**case, "cap": INF}), expected)


@spec("OUT-5")
def test_nothing_is_given(head: Head) -> None:
    """The logits as they are, -0 and the mask included; a bias of None is none."""
    row = np.array([1.5, -0.0, -INF, 3e38], f32)
    for finished in (head.finish_logits(row), head.finish_logits(row, None)):
        assert np.asarray(finished).tobytes() == row.tobytes()
    doubled = np.asarray(head.finish_logits(row[:2], multiplier=2.0))
    assert doubled.tobytes() == np.array([3.0, -0.0], f32).tobytes()


@spec("OUT-5")
def test_in_this_order(head: Head) -> None:
    assert judged(head, logits=ROW[:2], bias=BIAS[:2], multiplier=3.0, divisor=2.0).tolist() == [7.5, -150.0]


@spec("OUT-6")
@pytest.mark.parametrize("cap", [1e-3, 5.0, 30.0, 1e6, 1e30])
@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_caps_far_below_the_logits_and_far_above(head: Head, cap: float, dtype: str) -> None:
    """exp(2 z / cap) overflows for the lowest cap: no formula with it will do."""
    logits = (np.random.default_rng(3).standard_normal((2, 257)) * 60).astype(dtype)
    finished = judged(head, logits=logits, bias=np.zeros(257, dtype), multiplier=2.0, divisor=3.0, cap=cap)
    assert (np.abs(finished) <= cap * (1 + 1e-6)).all()


@spec("OUT-6")
def test_a_masked_token_stays_masked(head: Head) -> None:
    finished = judged(head, logits=np.array([1, -INF, -1e4], f32), cap=30.0)
    assert finished[1] == -INF
    assert finished[2] == -30


@spec("HEAD-4", "OUT-5")
@given(strategies.logits(shapes=st.just((3,))), strategies.scales)
def test_a_row_alone_and_anywhere_in_a_batch(head: Head, rows: np.ndarray, scale: float) -> None:
    alone = np.stack([np.asarray(head.finish_logits(row, None, scale)) for row in rows])
    for order in ([0, 1, 2], [2, 0, 1], [1, 1, 1]):
        np.testing.assert_array_equal(head.finish_logits(rows[order], None, scale), alone[order])


@spec("OUT-5", "HEAD-2")
def test_a_float64_bias_makes_all_float64(head: Head) -> None:
    assert np.asarray(head.finish_logits(ROW, BIAS.astype(np.float64))).dtype == np.float64


@spec("OUT-7", "HEAD-5")
@pytest.mark.parametrize("name", ["multiplier", "divisor", "cap"])
@pytest.mark.parametrize("value", [0.0, -1.0, NAN, -INF, 1e-46])
def test_scales(head: Head, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=words(head, rf"{name} is .*(0|1|inf|nan).*it must be (finite and )?> 0")):
        head.finish_logits(ROW, BIAS, **{name: value})


@spec("OUT-7", "HEAD-5")
@pytest.mark.parametrize("name", ["multiplier", "divisor"])
@pytest.mark.parametrize("value", [INF, 1e39])
def test_infinite_scales(head: Head, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=words(head, rf"{name} is .*it must be finite and > 0")):
        head.finish_logits(ROW, BIAS, **{name: value})


@spec("OUT-7", "HEAD-2")
@pytest.mark.parametrize("name", ["multiplier", "divisor", "cap"])
@pytest.mark.parametrize("value", ["1", None, True, [1.0], np.array(1.0)])
def test_scales_of_another_kind(head: Head, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=words(head, rf"{name} is .*one real number")):
        head.finish_logits(ROW, BIAS, **{name: value})


@spec("OUT-7", "HEAD-5")
@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (BIAS[:1], r"bias has shape \(1,\): it must be \(3,\)"),
        (BIAS[None], r"bias has shape \(1, 3\): it must be \(3,\)"),
        (np.array([0, NAN, 0], f32), r"bias\[1\] is nan: it must be finite"),
        (np.array([0, 0, -INF], f32), r"bias\[2\] is -inf"),
    ],
)
def test_bias(head: Head, bias: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.finish_logits(ROW, bias)


@spec("OUT-7", "HEAD-2")
def test_bias_of_another_kind(head: Head) -> None:
    with pytest.raises(TypeError, match=words(head, r"bias has dtype .*int64")):
        head.finish_logits(ROW, np.zeros(3, np.int64))


@spec("OUT-7", "HEAD-5")
@pytest.mark.parametrize("cap", [INF, 30.0])
@pytest.mark.parametrize(
    "given_", [{"multiplier": 1e38}, {"divisor": 1e-38}, {"bias": np.array([0, -3.4e38, 0], f32), "multiplier": 2.0}]
)
def test_a_finite_logit_that_overflows(head: Head, given_: dict[str, Any], cap: float) -> None:
    with pytest.raises(ValueError, match=words(head, r"\(\(logits \+ bias\) .*\)\[1\] is -inf: it overflows")):
        head.finish_logits(np.array([0.5, -100, 0.3], f32), **given_, cap=cap)

"""The layer norm of GPT-2, Phi and Cohere: centred, over the root of the biased variance plus epsilon."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import norms, strategies
from .heads import Head

spec = pytest.mark.spec
f32 = np.float32


@spec("OUT-1", "OUT-3", "HEAD-2", "HEAD-3", "HEAD-4")
@given(strategies.arguments("layer_norm"))
def test_within_the_bound(head: Head, case: dict[str, Any]) -> None:
    norms.judged(head, "layer_norm", **case)


@spec("OUT-1", "OUT-3")
@pytest.mark.parametrize("d", [7, 768, 4_096, 8_192])
def test_with_outlier_dimensions(head: Head, d: int) -> None:
    norms.judged(head, "layer_norm", **norms.real(d))


@spec("OUT-1", "OUT-3")
@pytest.mark.parametrize("far", [300.0, -3_000.0, 1e5])
@given(st.integers(2, 40), st.integers(0, 2**16))
def test_with_a_mean_far_above_the_spread(far: float, head: Head, d: int, seed: int) -> None:
    """`mean(h**2) - mean**2` has no digit left here; two passes and Welford's updates do."""
    hidden = (np.random.default_rng(seed).standard_normal((2, d)) + far).astype(f32)
    norms.judged(head, "layer_norm", hidden=hidden, weight=np.ones(d, f32), bias=np.zeros(d, f32))


@spec("OUT-1")
def test_whole_numbers(head: Head) -> None:
    """Mean 2, variance 1, epsilon 3: half of what the row is above its mean, twice the weight, and the bias."""
    hidden, weight, bias = (np.array(row, f32) for row in ([1, 3, 3, 1], [2, 4, 2, 4], [0, 1, 0, -8]))
    norms.judged(head, "layer_norm", [-1, 3, 1, -10], hidden=hidden, weight=weight, bias=bias, epsilon=3.0)


@spec("OUT-1")
def test_without_a_bias_and_by_default(head: Head) -> None:
    """Epsilon is 1e-5, the offset 0, and there is no bias: of hidden states so small, epsilon is half."""
    hidden, weight = np.array([1, -1], f32) * f32(1e-5**0.5), np.array([1, 2], f32)
    zero = {"bias": np.zeros(2, f32), "epsilon": 1e-5, "weight_offset": 0.0}
    norms.judged(head, "layer_norm", hidden=hidden, weight=weight, **zero)
    bare = np.asarray(head.layer_norm(hidden, weight))
    np.testing.assert_array_equal(bare, head.layer_norm(hidden, weight, **zero))
    np.testing.assert_array_equal(bare, head.layer_norm(hidden, weight, None))


@spec("OUT-1", "HEAD-2")
def test_one_float64_argument_makes_all_float64(head: Head) -> None:
    hidden, ones = np.array([1, 2, 4], f32), np.ones(3, f32)
    assert np.asarray(head.layer_norm(hidden, ones, ones.astype(np.float64))).dtype == np.float64
    assert np.asarray(head.layer_norm(hidden, ones.astype(np.float64), ones)).dtype == np.float64


@spec("OUT-4")
@pytest.mark.parametrize("bias", [np.ones(1, f32), np.array([1, np.nan, 0], f32)])
def test_bias_refused(head: Head, bias: np.ndarray) -> None:
    norms.refuses(head, "layer_norm", "bias", bias, r"bias(\[1\] is nan| has shape \(1,\): it must be \(3,\))")


@spec("OUT-4", "HEAD-5")
@pytest.mark.parametrize(("name", "value", "message"), norms.BAD)
def test_refused(head: Head, name: str, value: Any, message: str) -> None:
    norms.refuses(head, "layer_norm", name, value, message)


@spec("OUT-4", "HEAD-5", "HEAD-2")
@pytest.mark.parametrize(("name", "value"), norms.OF_ANOTHER_KIND)
def test_of_another_kind(head: Head, name: str, value: Any) -> None:
    norms.refuses(head, "layer_norm", name, value)

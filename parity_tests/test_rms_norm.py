"""The RMS norm of Llama, Qwen, Granite and Gemma: nothing is centred."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from . import norms, strategies
from .heads import Head

spec = pytest.mark.spec
f32 = np.float32


@spec("OUT-2", "OUT-3", "HEAD-2", "HEAD-3", "HEAD-4")
@given(strategies.arguments("rms_norm"))
def test_within_the_bound(head: Head, case: dict[str, Any]) -> None:
    norms.judged(head, "rms_norm", **case)


@spec("OUT-2", "OUT-3")
@pytest.mark.parametrize("d", [7, 768, 4_096, 8_192])
def test_with_outlier_dimensions(head: Head, d: int) -> None:
    norms.judged(head, "rms_norm", **{name: value for name, value in norms.real(d).items() if name != "bias"})


@spec("OUT-2")
def test_whole_numbers(head: Head) -> None:
    """Mean square 25, epsilon 11: a sixth of the row, times the weight; and times 1 + weight, as Gemma has it."""
    given: dict[str, Any] = {"hidden": np.array([1, 7], f32), "weight": np.array([6, 12], f32), "epsilon": 11.0}
    norms.judged(head, "rms_norm", [1, 14], **given)
    of_gemma = {"hidden": np.array([12, -12], f32), "weight": np.array([12, 25], f32), "epsilon": 25.0}
    norms.judged(head, "rms_norm", [12, -24], **of_gemma, weight_offset=1.0)


@spec("OUT-2")
def test_defaults(head: Head) -> None:
    """Epsilon is 1e-6 and the offset 0: of hidden states so small, epsilon is half."""
    hidden, weight = np.array([1, -1], f32) * f32(1e-3), np.array([1, 2], f32)
    norms.judged(head, "rms_norm", hidden=hidden, weight=weight, epsilon=1e-6, weight_offset=0.0)
    given = head.rms_norm(hidden, weight, epsilon=1e-6, weight_offset=0.0)
    np.testing.assert_array_equal(head.rms_norm(hidden, weight), given)


@spec("OUT-2")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_offset_is_added_in_the_compute_dtype(head: Head, dtype: str) -> None:
    """1 + 15.8125 is no bfloat16 number."""
    weight = np.array([15.8125, -0.0078125, 0.00390625], f32).astype(dtype)
    norms.judged(head, "rms_norm", hidden=np.array([3, 5, 7], dtype), weight=weight, epsilon=1e-6, weight_offset=1.0)


@spec("OUT-4", "HEAD-5")
@pytest.mark.parametrize(("name", "value", "message"), norms.BAD)
def test_refused(head: Head, name: str, value: Any, message: str) -> None:
    norms.refuses(head, "rms_norm", name, value, message)


@spec("OUT-4", "HEAD-5", "HEAD-2")
@pytest.mark.parametrize(("name", "value"), norms.OF_ANOTHER_KIND)
def test_of_another_kind(head: Head, name: str, value: Any) -> None:
    norms.refuses(head, "rms_norm", name, value)

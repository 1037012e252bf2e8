"""What the tests of both norms ask: `test_layer_norm.py` and `test_rms_norm.py` ask it of their own."""

import re
from typing import Any

import numpy as np
import pytest

import reference
from reference.operations import OPERATIONS

from .heads import Head
from .strategies import compute_dtype
from .verdict import compare

f32 = np.float32
HIDDEN, WEIGHT = np.array([[1, -2, 4], [0.5, 0, 3]], f32), np.array([0.5, 1, -2], f32)


def judged(head: Head, operation: str, expected: Any = None, **given: Any) -> None:
    """Raises if the norm of a head diverges from what is expected, by default the reference's.

    It also raises if the result has another dtype, or if an input is modified.
    """
    before = {name: np.array(value) for name, value in given.items()}
    normed = np.asarray(getattr(head, operation)(**given))
    for name, value in before.items():
        np.testing.assert_array_equal(given[name], value)
    assert normed.dtype == compute_dtype(given["hidden"])
    ours = getattr(reference, operation)(**given)
    for right in (ours,) if expected is None else (ours, np.array(expected, normed.dtype)):
        compare(operation, right, normed, **given).require()


def real(d: int, rows: int = 3) -> dict[str, Any]:
    """Hidden states, weight and bias of a real model's size: a few dimensions are 40 times as large as the rest."""
    rng = np.random.default_rng(d)
    hidden = rng.standard_normal((rows, d), dtype=f32)
    hidden[:, rng.integers(0, d, 3)] *= 40
    weight, bias = 1 + rng.standard_normal((2, d), dtype=f32) / 4
    return {"hidden": hidden, "weight": weight, "bias": bias}


# Argument, its bad value, what the message says.
BAD: tuple[tuple[str, Any, str], ...] = (
    ("hidden", np.array([[1, 2, 3], [0, np.nan, 1]], f32), r"hidden\[1, 1\] is nan: .*finite"),
    ("hidden", np.array([1, np.inf, 3], f32), r"hidden\[1\] is inf"),
    ("hidden", np.zeros((2, 0), f32), r"hidden has shape \(2, 0\): its last axis is empty"),
    ("hidden", np.array(1.0, f32), r"hidden is a single number"),
    ("hidden", np.array([1e30, 1, 1], f32), r"the mean square of hidden is inf: .*overflows"),
    ("weight", np.array([1, -np.inf, 3], f32), r"weight\[1\] is -inf"),
    ("weight", np.ones(1, f32), r"weight has shape \(1,\): it must be \(3,\).*hidden \(shape \(2, 3\)\)"),
    ("weight", np.ones((2, 3), f32), r"weight has shape \(2, 3\): it must be \(3,\)"),
    ("weight", np.full(3, 3e38, f32), r"the norm of hidden\[0, \d\] is -?inf: it overflows"),
    ("epsilon", 0.0, r"epsilon is 0\.0: it must be finite and > 0"),
    ("epsilon", -1e-6, r"epsilon is -1e-06"),
    ("epsilon", np.nan, r"epsilon is nan"),
    ("epsilon", np.inf, r"epsilon is inf"),
    ("epsilon", 1e-46, r"epsilon is 1e-46 \(0\.0 in .*float32\)"),
    ("weight_offset", np.nan, r"weight_offset is nan: it must be finite"),
    ("weight_offset", 1e39, r"weight_offset is 1e\+39 \(inf in .*float32\): it must be finite"),
)
OF_ANOTHER_KIND: tuple[tuple[str, Any], ...] = (
    ("hidden", np.ones((2, 3), np.int64)),
    ("weight", np.ones(3, np.bool_)),
    ("epsilon", "1e-5"),
    ("epsilon", True),
    ("weight_offset", None),
)


def refuses(head: Head, operation: str, name: str, value: Any, message: str = "") -> None:
    """The head refuses this bad value of an argument, in these words if they are ours; without a message as a kind."""
    given = OPERATIONS[operation].given({"hidden": HIDDEN, "weight": WEIGHT, "bias": WEIGHT}) | {name: value}
    with pytest.raises(ValueError if message else TypeError) as caught:
        getattr(head, operation)(**given)
    if head.our_words:
        assert re.search(message or rf"{name} (has dtype|is)", str(caught.value)), caught.value

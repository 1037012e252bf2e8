"""Judges the output layers of other families: the norms, and what finishes the logits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from reference import bounds
from reference.operations import OPERATIONS

from .elements import compute_dtype, elementwise
from .words import Verdict, Word, diverged, same_bits


def layer_norm(expected: np.ndarray, actual: np.ndarray, dtype: str | None, **given: Any) -> Verdict:
    """Each side must be within its bound of the exact layer norm."""
    return _norm(
        "OUT-1",
        exact_layer_norm,
        bounds.layer_norm,
        expected,
        actual,
        dtype,
        {"bias": None, **OPERATIONS["layer_norm"].defaults, **given},
    )


def rms_norm(expected: np.ndarray, actual: np.ndarray, dtype: str | None, **given: Any) -> Verdict:
    """Each side must be within its bound of the exact RMS norm."""
    return _norm(
        "OUT-2", exact_rms_norm, bounds.rms_norm, expected, actual, dtype, {**OPERATIONS["rms_norm"].defaults, **given}
    )


def exact_layer_norm(hidden: Any, weight: Any, bias: Any, epsilon: float, weight_offset: float) -> np.ndarray:
    """In float64, which counts as exact where float32 is judged; its own bound is added to theirs."""
    h, g = _wide(hidden, weight)
    centred = h - h.mean(axis=-1, keepdims=True)
    centred = centred - centred.mean(axis=-1, keepdims=True)  # what the first mean was off by
    normed: np.ndarray = exact_rms_norm(centred, g, epsilon, weight_offset)
    return normed if bias is None else normed + _wide(bias)[0]


def exact_rms_norm(hidden: Any, weight: Any, epsilon: float, weight_offset: float) -> np.ndarray:
    """As `exact_layer_norm`."""
    h, g = _wide(hidden, weight)
    normed: np.ndarray = (weight_offset + g) * h / np.sqrt((h * h).mean(axis=-1, keepdims=True) + epsilon)
    return normed


def _wide(*arrays: Any) -> list[np.ndarray]:
    return [np.asarray(array).astype(np.float64) for array in arrays]


def _norm(
    rule: str,
    exact_norm: Callable[..., np.ndarray],
    bound_of: Callable[..., np.ndarray],
    expected: np.ndarray,
    actual: np.ndarray,
    dtype: str | None,
    given: dict[str, Any],
) -> Verdict:
    """The verdict on a norm; epsilon and the offset are rounded to the dtype first."""
    given |= {name: float(expected.dtype.type(given[name])) for name in ("epsilon", "weight_offset")}
    dtype = dtype or compute_dtype(expected)
    exact, slack = exact_norm(**given), bound_of(**given, dtype="float64")
    bound = {d: bound_of(**given, dtype=d) + slack for d in {dtype, compute_dtype(expected)}}
    verdict = elementwise(rule, expected, actual, exact, bound, dtype)
    if verdict.conforms:
        return verdict
    row = verdict.place[:-1]
    return replace(verdict, inputs=given | {"hidden": np.asarray(given["hidden"])[row]})


def finish_logits(expected: np.ndarray, actual: np.ndarray, dtype: str | None, **given: Any) -> Verdict:
    """Without a cap the results must be bit-identical, unless the two compute in different dtypes. With one, in bounds.

    A masked token must be -inf.
    """
    logits, bias = np.asarray(given.pop("logits")), given.pop("bias", None)
    numbers = {
        name: float(expected.dtype.type(x)) for name, x in (OPERATIONS["finish_logits"].defaults | given).items()
    }
    if numbers["cap"] == np.inf and dtype in (None, expected.dtype.name):
        if same_bits(expected, actual):
            return Verdict(word=Word.IDENTICAL)
        wrong = ~((expected == actual) & (np.signbit(expected) == np.signbit(actual)))
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        reason = "not the bias, the multiplier and the divisor, each rounded once"
        verdict = diverged("OUT-5", reason, place=place, actual=actual[place], expected=expected[place])
    else:
        dtype = dtype or compute_dtype(expected)
        slack = bounds.finish_logits(logits, bias, **numbers, dtype="float64")
        bound = {
            d: bounds.finish_logits(logits, bias, **numbers, dtype=d) + slack for d in {dtype, compute_dtype(expected)}
        }
        verdict = elementwise("OUT-6", expected, actual, exact_finish(logits, bias, **numbers), bound, dtype)
    if verdict.conforms:
        return verdict
    of_token = {} if bias is None else {"bias": np.asarray(bias)[verdict.place[-1]]}
    return replace(verdict, inputs={"logit": logits[verdict.place], **of_token, **given})


def exact_finish(logits: Any, bias: Any, multiplier: float, divisor: float, cap: float) -> np.ndarray:
    """As `exact_layer_norm`."""
    given = _wide(logits)[0]
    z = (given if bias is None else given + _wide(bias)[0]) * multiplier / divisor
    return np.where(given == -np.inf, given, cap * np.tanh(z / cap) if np.isfinite(cap) else z)

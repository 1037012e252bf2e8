"""Judges penalties and bans: one rounding and hence exact, but for the frequency penalty, which has a bound."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from reference import bounds
from reference.operations import OPERATIONS, STEPS

from .elements import elementwise
from .words import Verdict, Word, diverged, same_bits


def _exactly(operation: str) -> Callable[..., Verdict]:
    rule = OPERATIONS[operation].rule

    def judge(expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, **given: Any) -> Verdict:
        if dtype not in (None, expected.dtype.name):
            own = expected.dtype.name
            bound = {d: bounds.rounded_once(expected, d) + bounds.rounded_once(expected, own) for d in (dtype, own)}
            return elementwise(rule, expected, actual, expected.astype(np.float64), bound, dtype)
        if same_bits(expected, actual):
            return Verdict(word=Word.IDENTICAL)
        wrong = ~((expected == actual) & (np.signbit(expected) == np.signbit(actual)))
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        inputs = {"logit": np.asarray(logits)[place], **given}
        reason = "not the logit after the penalty, rounded once"
        return diverged(rule, reason, place=place, actual=actual[place], expected=expected[place], inputs=inputs)

    judge.__doc__ = f"`{operation}`: the same bits."
    return judge


JUDGES = {
    name: _exactly(name) for name in STEPS if OPERATIONS[name].family == "penalties" and not OPERATIONS[name].rounds
}


def counts(history: Any, shape: tuple[int, ...]) -> np.ndarray:
    """How often each token occurs in the history of its row: `(..., n) -> (..., V)`."""
    ids = np.asarray(history)
    found = np.zeros(shape, np.int64)
    for row in np.ndindex(shape[:-1]):
        found[row] = np.bincount(ids[row].astype(np.int64), minlength=shape[-1])
    return found


def frequency_penalty(
    expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, history: Any, penalty: float
) -> Verdict:
    """`x - a c`, each side within its bound: the penalty may be multiplied or added up."""
    logits = np.asarray(logits)
    occurs, each = counts(history, logits.shape), float(expected.dtype.type(penalty))
    own = expected.dtype.name
    exact = logits.astype(np.float64) - each * occurs
    slack = bounds.frequency_penalty(logits, occurs, each, "float64")
    bound = {d: bounds.frequency_penalty(logits, occurs, each, d) + slack for d in {dtype or own, own}}
    verdict = elementwise("PENALTY-3", expected, actual, exact, bound, dtype or own)
    if verdict.conforms:
        return verdict
    place = verdict.place
    return replace(verdict, inputs={"logit": logits[place], "occurs": int(occurs[place]), "penalty": penalty})

"""Stages whose result is judged element by element, each within its derived bound: logits, temperature, softmax."""

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import bounds
from reference.validation import COMPUTE_DTYPE

from . import precision
from .words import Verdict, Word, same_bits

_RULE = {"compute_logits": "LOGITS-2", "apply_temperature": "TEMP-1", "softmax": "SOFTMAX-1"}


def _elementwise(
    stage: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    exact: np.ndarray,
    our_bound: np.ndarray,
    their_bound: np.ndarray,
    case: Callable[[tuple[int, ...]], dict[str, Any]],
) -> Verdict:
    """IDENTICAL, WITHIN_BOUND or DIVERGED, each side held to its own bound around the exact value.

    The ratio is that of `theirs`, also where the two are identical.
    """
    our_ratio, our_place = worst_element(ours, exact, our_bound)
    ratio, place = worst_element(theirs, exact, their_bound)
    if ratio <= 1 and our_ratio <= 1:
        return Verdict(Word.IDENTICAL if same_bits(ours, theirs) else Word.WITHIN_BOUND, stage, ratio)
    reason = "outside the derived bound"
    if our_ratio > 1:
        ratio, place, reason = our_ratio, our_place, "the reference itself is outside its bound"
    elif np.isnan(theirs[place]):
        reason = "not a number"
    return Verdict(Word.DIVERGED, stage, ratio, _RULE[stage], place, ours[place], theirs[place], reason, case(place))


def worst_element(values: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """The largest error / bound and its place; infinite where an exact value (bound 0) is missed, or for nan."""
    if values.size == 0:
        return 0.0, ()
    with np.errstate(invalid="ignore", divide="ignore"):
        same = values == exact
        error = np.where(same, 0.0, np.abs(values.astype(np.float64) - exact))
        ratio = np.where(same, 0.0, error / bound)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    place = tuple(int(i) for i in np.unravel_index(np.argmax(ratio), ratio.shape))
    return float(ratio[place]), place


def compute_dtype(array: np.ndarray) -> str:
    """The dtype that a conforming head computes in, by name (HEAD-2)."""
    return np.dtype(COMPUTE_DTYPE.get(array.dtype.name, array.dtype)).name


def compute_logits(ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, context: Any, embedding: Any) -> Verdict:
    """Logits, each side within its bound of the exact product; outside, the rounding that explains it is named."""
    context, embedding = np.asarray(context), np.asarray(embedding)
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    computed = compute_dtype(ours), dtype or compute_dtype(ours)
    bound = {d: bounds.logits(context, embedding, d, "float64") for d in set(computed)}  # float64 is the oracle's
    our_bound, their_bound = (bound[d] for d in computed)
    verdict = _elementwise(
        "compute_logits",
        ours,
        theirs,
        exact,
        our_bound,
        their_bound,
        lambda place: {"context": context[place[:-1]], f"embedding[{place[-1]}]": embedding[place[-1]]},
    )
    if verdict.word != Word.DIVERGED:
        return verdict
    explanation = precision.explain(theirs, context, embedding)
    return verdict if explanation is None else _because(verdict, f"{verdict.reason} ({explanation})")


def _because(verdict: Verdict, reason: str) -> Verdict:
    return Verdict(**{**vars(verdict), "reason": reason})


def apply_temperature(
    ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, logits: Any, temperature: float
) -> Verdict:
    """Quotients: bit-identical, or within the bounds where the two compute in different dtypes."""
    divisor = float(ours.dtype.type(temperature))
    logits = np.asarray(logits)
    exact = logits.astype(np.float64) / divisor
    if dtype in (None, ours.dtype.name):  # one rounding of the same numbers: the same bits, or another function
        if same_bits(ours, theirs):
            return Verdict(Word.IDENTICAL, "apply_temperature")
        wrong = ~((ours == theirs) & (np.signbit(ours) == np.signbit(theirs)))
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        reason = "not the correctly rounded quotient"
        case = {"logit": logits[place], "temperature": temperature}
        return Verdict(
            Word.DIVERGED, "apply_temperature", 0.0, "TEMP-1", place, ours[place], theirs[place], reason, case
        )
    our_bound, their_bound = (bounds.temperature(logits, divisor, d) for d in (ours.dtype.name, dtype))
    return _elementwise(
        "apply_temperature",
        ours,
        theirs,
        exact,
        our_bound,
        their_bound,
        lambda place: {"logit": logits[place], "temperature": temperature},
    )


def exact_softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax in float64, the oracle where float32 is judged."""
    z = np.asarray(logits, dtype=np.float64)
    weights = np.exp(z - z.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax(ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, logits: Any) -> Verdict:
    """Probabilities, each side within its bound of the exact softmax."""
    logits = np.asarray(logits)
    exact, slack = exact_softmax(logits), bounds.softmax(logits, "float64")
    our_bound = bounds.softmax(logits, compute_dtype(ours)) + slack
    their_bound = bounds.softmax(logits, dtype or compute_dtype(ours)) + slack
    verdict = _elementwise(
        "softmax", ours, theirs, exact, our_bound, their_bound, lambda place: {"logits": logits[place[:-1]]}
    )
    if verdict.word == Word.DIVERGED and verdict.place and logits[verdict.place] == -np.inf:
        return Verdict(**{**vars(verdict), "rule": "SOFTMAX-3", "reason": "a masked token has a probability"})
    return verdict

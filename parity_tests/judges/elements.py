"""Judges the operations that compute numbers: logits, temperature and softmax. Each element has a derived bound."""

from dataclasses import replace
from typing import Any

import numpy as np

from reference import bounds
from reference.validation import COMPUTE_DTYPE

from . import precision
from .unusual import figure, next_to_others
from .words import Verdict, Word, diverged, same_bits


def compute_dtype(array: np.ndarray) -> str:
    """The name of the dtype that a conforming head computes in (HEAD-2)."""
    return np.dtype(COMPUTE_DTYPE.get(array.dtype.name, array.dtype)).name


def exact_softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax in float64, which counts as exact where float32 is judged; its own bound is added to theirs."""
    z = np.asarray(logits, dtype=np.float64)
    weights = np.exp(z - z.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def worst_element(values: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> tuple[float, tuple[int, ...]]:
    """The largest error / bound, and its place. It is infinite for nan, and for any error where the bound is 0."""
    if values.size == 0:
        return 0.0, ()
    with np.errstate(invalid="ignore", divide="ignore"):
        same = values == exact
        error = np.where(same, 0.0, np.abs(values.astype(np.float64) - exact))
        ratio = np.where(same, 0.0, error / bound)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    place = tuple(int(i) for i in np.unravel_index(np.argmax(ratio), ratio.shape))
    return float(ratio[place]), place


def elementwise(
    rule: str,
    expected: np.ndarray,
    actual: np.ndarray,
    exact: np.ndarray,
    bounds_of: dict[str, np.ndarray],
    dtype: str,
) -> Verdict:
    """IDENTICAL, WITHIN_BOUND or DIVERGED: each side must be within the bound of its dtype around the exact value.

    The ratio is that of `actual`, even if the two are identical. The caller adds the inputs to the verdict.
    """
    reference_ratio, reference_place = worst_element(expected, exact, bounds_of[compute_dtype(expected)])
    ratio, place = worst_element(actual, exact, bounds_of[dtype])
    if ratio <= 1 and reference_ratio <= 1:
        word = Word.IDENTICAL if same_bits(expected, actual) else Word.WITHIN_BOUND
        return Verdict(word=word, ratio=ratio)
    reason = "outside the derived bound"
    if reference_ratio > 1:
        ratio, place, reason = reference_ratio, reference_place, "the reference itself is outside its bound"
    elif np.isnan(actual[place]):
        reason = "not a number"
    return diverged(rule, reason, ratio=ratio, place=place, actual=actual[place], expected=expected[place])


def compute_logits(
    expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, context: Any, embedding: Any
) -> Verdict:
    """Logits: each side must be within its bound of the exact product. If not, a rounding that explains it is named.

    Within the bound, no rounding of the inputs or the result may explain the logits better than the exact product.
    """
    context, embedding = np.asarray(context), np.asarray(embedding)
    dtype = dtype or compute_dtype(expected)
    exact = bounds.exact_logits(context, embedding)
    bound = {d: logits_bound(context, embedding, d) for d in {dtype, compute_dtype(expected)}}
    verdict = elementwise("LOGITS-2", expected, actual, exact, bound, dtype)
    explanation = None
    if dtype == "float32" and actual.size:
        explanation = precision.explains_better(actual, context, embedding, exact) or precision.stored_in(
            actual, context, embedding, exact
        )
    if verdict.conforms and not explanation:
        return _with_figure(verdict, actual, exact, dtype, context, embedding)
    if verdict.conforms:
        ratio, place = worst_element(actual, exact, bound[dtype])
        at = {"place": place, "actual": actual[place], "expected": expected[place]}
        verdict = diverged("LOGITS-2", "within the bound, but not by the rounding of float32", ratio=ratio, **at)
    explanation = explanation or precision.explain(actual, context, embedding)
    *row, token = verdict.place
    return replace(
        verdict,
        reason=verdict.reason + (f" ({explanation})" if explanation else ""),
        inputs={"context": context[tuple(row)], f"embedding[{token}]": embedding[token]},
    )


def logits_bound(context: np.ndarray, embedding: np.ndarray, dtype: str) -> np.ndarray:
    """How far logits computed in `dtype` may be from `bounds.exact_logits`: not at all where no order rounds."""
    bound = bounds.logits(context, embedding, dtype, "float64")
    return np.where(bounds.never_rounds(context, embedding, dtype), 0.0, bound)


def _with_figure(
    verdict: Verdict, actual: np.ndarray, exact: np.ndarray, dtype: str, context: np.ndarray, embedding: np.ndarray
) -> Verdict:
    """The verdict on logits within the bound, with the statistical figure and, if it is above 1, what it means."""
    deviation = bounds.deviation(context, embedding, dtype, "float64")
    underflow = 2 * context.shape[-1] * bounds.smallest_normal(dtype)
    found = figure(actual - exact, deviation, underflow, along=exact)
    if found <= 1:
        return replace(verdict, figure=found)
    rows, tokens = precision.furthest(actual, context, embedding, exact)
    chosen = np.ix_(rows, tokens)
    h, w = (x.astype(dtype) for x in (context.reshape(-1, context.shape[-1])[rows], embedding[tokens]))
    true, unit = (x.reshape(-1, len(embedding))[chosen] for x in (exact, deviation))

    def size(logits: np.ndarray) -> float:
        return float(np.sqrt(np.mean(((logits - true) / np.where(unit > 0, unit, np.inf)) ** 2)))

    compared = next_to_others(h, w, size(actual.reshape(-1, len(embedding))[chosen]), size)
    return replace(verdict, figure=found, reason=compared)


def apply_temperature(
    expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, temperature: float
) -> Verdict:
    """Quotients: they must be bit-identical, or within the bounds if the two compute in different dtypes."""
    divisor = float(expected.dtype.type(temperature))
    logits = np.asarray(logits)
    if dtype in (None, expected.dtype.name):  # one correct rounding of the same numbers can only give the same bits
        if same_bits(expected, actual):
            return Verdict(word=Word.IDENTICAL)
        wrong = ~((expected == actual) & (np.signbit(expected) == np.signbit(actual)))
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        reason = "not the correctly rounded quotient"
        verdict = diverged("TEMP-1", reason, place=place, actual=actual[place], expected=expected[place])
    else:
        exact = logits.astype(np.float64) / divisor
        bound = {d: bounds.temperature(logits, divisor, d) for d in (expected.dtype.name, dtype)}
        verdict = elementwise("TEMP-1", expected, actual, exact, bound, dtype)
    if verdict.conforms:
        return verdict
    return replace(verdict, inputs={"logit": logits[verdict.place], "temperature": temperature})


def softmax(expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any) -> Verdict:
    """Probabilities: each side must be within its bound of the exact softmax."""
    logits = np.asarray(logits)
    dtype = dtype or compute_dtype(expected)
    slack = bounds.softmax(logits, "float64")
    bound = {d: bounds.softmax(logits, d) + slack for d in {dtype, compute_dtype(expected)}}
    verdict = elementwise("SOFTMAX-1", expected, actual, exact_softmax(logits), bound, dtype)
    if verdict.conforms:
        return verdict
    verdict = replace(verdict, inputs={"logits": logits[verdict.place[:-1]]})
    if logits[verdict.place] == -np.inf:
        return replace(verdict, rule="SOFTMAX-3", reason="a masked token has a probability")
    return verdict

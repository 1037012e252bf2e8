"""Judges log-probabilities: the numbers within their bounds, ids and ranks exactly."""

from dataclasses import replace
from typing import Any

import numpy as np

from reference import bounds

from . import survivors
from .elements import compute_dtype, elementwise
from .words import Verdict, Word, diverged


def exact_log_probs(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities in float64, which count as exact for float32; their own bound is added to theirs."""
    z = np.asarray(logits, dtype=np.float64)
    x = z - z.max(axis=-1, keepdims=True)
    exact: np.ndarray = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return exact


def _bounds(logits: np.ndarray, *dtypes: str) -> dict[str, np.ndarray]:
    slack = bounds.log_probs(logits, "float64")
    return {dtype: bounds.log_probs(logits, dtype) + slack for dtype in dtypes}


def log_probs(expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any) -> Verdict:
    """Each side must be within its bound of the exact log-probability."""
    logits, own = np.asarray(logits), compute_dtype(expected)
    bound = _bounds(logits, dtype or own, own)
    verdict = elementwise("LOGPROB-1", expected, actual, exact_log_probs(logits), bound, dtype or own)
    return verdict if verdict.conforms else replace(verdict, inputs={"logits": logits[verdict.place[:-1]]})


def top_log_probs(
    expected: Any, actual: Any, dtype: str | None, *, logits: Any, k: int, ties: str = "lowest_id"
) -> Verdict:
    """The ids are those of top-k, and so is their order; the numbers are within their bounds."""
    logits = np.asarray(logits)
    (ours, ids), (theirs, found) = (tuple(map(np.asarray, pair)) for pair in (expected, actual))
    picked = np.where((found >= 0) & (found < logits.shape[-1]), found, 0).astype(np.int64)
    if found.shape != ids.shape or theirs.shape != ours.shape:
        return diverged("LOGPROB-2", "another number of them", actual=list(found.shape), expected=list(ids.shape))
    if theirs.dtype != np.dtype(dtype or ours.dtype):
        return diverged("HEAD-2", "not this dtype", actual=theirs.dtype, expected=ours.dtype)
    values = [np.take_along_axis(logits, np.asarray(x), axis=-1) for x in (ids, picked)]
    chosen = survivors.top_k((values[0], ids), (values[1], found), dtype, logits=logits, k=k, ties=ties)
    if not chosen.conforms:
        return replace(chosen, rule="LOGPROB-2")
    own = compute_dtype(ours)
    bound = {d: np.take_along_axis(b, picked, axis=-1) for d, b in _bounds(logits, dtype or own, own).items()}
    exact = np.take_along_axis(exact_log_probs(logits), picked, axis=-1)
    verdict = elementwise("LOGPROB-1", ours, theirs, exact, bound, dtype or own)
    return verdict if verdict.conforms else replace(verdict, inputs={"logits": logits[verdict.place[:-1]], "k": k})


def rank(
    expected: Any, actual: Any, dtype: str | None, *, logits: Any, token_ids: Any, ties: str = "lowest_id"
) -> Verdict:
    """Comparisons only: exact. With ties="any" a rank may be anywhere among the tied."""
    logits, token_ids = np.asarray(logits), np.asarray(token_ids)
    given = np.take_along_axis(logits, token_ids[..., None], axis=-1)
    above, tied = (np.count_nonzero(found, axis=-1) for found in (logits > given, logits == given))
    low, high = (above, above + tied - 1) if ties == "any" else (expected, expected)
    wrong = ~((actual >= low) & (actual <= high))
    if wrong.any():
        row = tuple(int(i) for i in np.argwhere(wrong)[0])
        inputs = {"logits": logits[row], "token_id": token_ids[row], "ties": ties}
        return diverged(
            "LOGPROB-3", "another rank", place=row, actual=actual[row], expected=expected[row], inputs=inputs
        )
    return Verdict(word=Word.IDENTICAL if np.array_equal(expected, actual) else Word.TIE_BREAK)


def cross_entropy(
    expected: np.ndarray,
    actual: np.ndarray,
    dtype: str | None,
    *,
    logits: Any,
    token_ids: Any,
    ignore_index: int = -100,
) -> Verdict:
    """Minus the mean, within the mean of the bounds."""
    logits, token_ids, own = np.asarray(logits), np.asarray(token_ids), compute_dtype(expected)
    counted = token_ids != ignore_index
    ids = np.where(counted, token_ids, 0)[..., None]
    exact = -np.take_along_axis(exact_log_probs(logits), ids, axis=-1)[..., 0][counted].mean()
    slack = bounds.cross_entropy(logits, token_ids, counted, "float64")
    bound = {d: bounds.cross_entropy(logits, token_ids, counted, d) + slack for d in (dtype or own, own)}
    verdict = elementwise("LOGPROB-4", expected, actual, np.asarray(exact), bound, dtype or own)
    inputs = {"logits": logits, "token_ids": token_ids, "ignore_index": ignore_index}
    return verdict if verdict.conforms else replace(verdict, inputs=inputs)

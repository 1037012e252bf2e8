"""Judges the operations that select tokens. On given logits, top-k only compares: it is exact."""

from typing import Any

import numpy as np

from .words import Verdict, Word, diverged, same_bits


def top_k(expected: Any, actual: Any, dtype: str | None, *, logits: Any, k: int, ties: str = "lowest_id") -> Verdict:
    """Top-k compares and never rounds, so values, ids and their order must be exact. With ties="any", values are."""
    logits = np.asarray(logits)
    if len(actual) != 2 or np.asarray(expected[0]).dtype != np.asarray(actual[0]).dtype:
        wanted, found = np.asarray(expected[0]).dtype, ", ".join(str(np.asarray(x).dtype) for x in actual)
        reason = "not values of this dtype and token ids"
        return diverged("HEAD-2", reason, actual=found, expected=wanted)
    for name, rule, a, b in zip(("values", "token ids"), ("TOPK-1", "TOPK-2"), expected, actual, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return diverged("TOPK-1", "another number of survivors", actual=list(b.shape), expected=list(a.shape))
        wrong = (a != b) | (np.signbit(a) != np.signbit(b))
        if ties == "any":  # equal values may change places, so the sign of a zero may too
            wrong = (a != b) if name == "values" else ~_any_of_the_tied(logits, np.asarray(actual[0]), b)
        if wrong.any():
            row = tuple(int(i) for i in np.argwhere(wrong)[0][:-1])
            if sorted(a[row].tolist()) == sorted(b[row].tolist()):  # the right survivors in the wrong order
                rule = "TOPK-3"
            inputs = {"logits": logits[row], "k": k}
            return diverged(rule, f"other {name}", place=row, actual=b[row], expected=a[row], inputs=inputs)
    return Verdict(word=Word.IDENTICAL)


def _any_of_the_tied(logits: np.ndarray, values: np.ndarray, token_ids: np.ndarray) -> np.ndarray:
    """Which of these ids are tokens with that very value, each at most once in its row."""
    in_range = (token_ids >= 0) & (token_ids < logits.shape[-1])
    found = np.take_along_axis(logits, np.where(in_range, token_ids, 0).astype(np.int64), axis=-1)
    once = np.ones(token_ids.shape, dtype=bool)
    for row in np.ndindex(token_ids.shape[:-1]):
        once[row] = np.isin(np.arange(token_ids.shape[-1]), np.unique(token_ids[row], return_index=True)[1])
    same: np.ndarray = in_range & once & (found == values) & (np.signbit(found) == np.signbit(values))
    return same


def keep_top_k(
    expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, k: int, ties: str = "lowest_id"
) -> Verdict:
    """This must be exact: the survivors keep their bits, and everything else is -inf."""
    if same_bits(expected, actual):
        return Verdict(word=Word.IDENTICAL)
    logits = np.asarray(logits)
    wrong = ~(expected == actual) | (np.signbit(expected) != np.signbit(actual))
    row = tuple(int(i) for i in np.argwhere(wrong)[0][:-1])
    kept, found = (np.flatnonzero(x[row] > -np.inf) for x in (expected, actual))
    if ties == "any":
        return _any_of_k(expected, actual, logits, k)
    inputs = {"logits": logits[row], "k": k, "ties": ties}
    if np.array_equal(kept, found):
        reason = "survivors or mask changed"
        return diverged("TOPK-6", reason, place=row, actual=actual[row], expected=expected[row], inputs=inputs)
    rule = "TOPK-7" if ties == "all" else "TOPK-1" if len(kept) != len(found) else "TOPK-2"
    return diverged(rule, "other survivors", place=row, actual=found, expected=kept, inputs=inputs)


def _any_of_k(expected: np.ndarray, actual: np.ndarray, logits: np.ndarray, k: int) -> Verdict:
    """`keep_top_k` where any of the tied tokens may stay: as many of each value as the reference keeps."""
    kept = actual > -np.inf
    for row in np.ndindex(logits.shape[:-1]):
        inputs = {"logits": logits[row], "k": k, "ties": "any"}
        if not same_bits(actual[row], np.where(kept[row], logits[row], -np.inf).astype(actual.dtype)):
            reason = "survivors or mask changed"
            return diverged("TOPK-6", reason, place=row, actual=actual[row], expected=expected[row], inputs=inputs)
        if not np.array_equal(np.sort(actual[row]), np.sort(expected[row])):
            reason = "other survivors than the k greatest"
            return diverged("TOPK-1", reason, place=row, actual=actual[row], expected=expected[row], inputs=inputs)
    return Verdict(word=Word.TIE_BREAK)

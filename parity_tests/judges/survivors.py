"""Judges the operations that select tokens: top-k, and the whole head.

On given logits, top-k is exact. In the whole head the logits carry rounding errors, so rounding may decide which tokens
survive.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from reference import bounds

from .elements import compute_dtype, exact_softmax, worst_element
from .words import Verdict, Word, diverged, same_bits


def top_k(expected: Any, actual: Any, dtype: str | None, *, logits: Any, k: int) -> Verdict:
    """Top-k compares and never rounds, so values, ids and their order must be exact."""
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
        if wrong.any():
            row = tuple(int(i) for i in np.argwhere(wrong)[0][:-1])
            if sorted(a[row].tolist()) == sorted(b[row].tolist()):  # the right survivors in the wrong order
                rule = "TOPK-3"
            inputs = {"logits": logits[row], "k": k}
            return diverged(rule, f"other {name}", place=row, actual=b[row], expected=a[row], inputs=inputs)
    return Verdict(word=Word.IDENTICAL)


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
    inputs = {"logits": logits[row], "k": k, "ties": ties}
    if np.array_equal(kept, found):
        reason = "survivors or mask changed"
        return diverged("TOPK-6", reason, place=row, actual=actual[row], expected=expected[row], inputs=inputs)
    rule = "TOPK-7" if ties == "all" else "TOPK-1" if len(kept) != len(found) else "TOPK-2"
    return diverged(rule, "other survivors", place=row, actual=found, expected=kept, inputs=inputs)


def lm_head(
    expected: np.ndarray,
    actual: np.ndarray,
    dtype: str | None,
    *,
    context: Any,
    embedding: Any,
    temperature: float = 0.7,
    k: int = 50,
    ties: str = "lowest_id",
) -> Verdict:
    """The whole head: could rounding have chosen these survivors, and are their probabilities within the bound?

    The bound of the logits is carried through the temperature and the softmax (HEAD-1). The reference is judged in the
    same way, so that its own errors are noticed.
    """
    context, embedding = np.asarray(context), np.asarray(embedding)
    dtype = dtype or compute_dtype(expected)
    divisor = float(expected.dtype.type(temperature))
    exact = bounds.exact_logits(context, embedding)
    computed = dtype, compute_dtype(expected)
    # The "exact" logits are computed in float64 and have an error too: hence the second dtype.
    bound = {d: bounds.logits(context, embedding, d, "float64") for d in set(computed)}
    scaled = exact / divisor
    worst = Verdict(word=Word.IDENTICAL)
    for prefix, probs, d in zip(("", "the reference itself: "), (actual, expected), computed, strict=True):
        error = bounds.temperature(exact, divisor, d, bound[d])
        for row in np.ndindex(scaled.shape[:-1]):
            verdict = _row_of_probs(probs[row], scaled[row], error[row], min(k, len(embedding)), d, ties)
            if not verdict.conforms:
                place = (*row, *verdict.place)
                return replace(
                    verdict,
                    place=place,
                    actual=actual[place],
                    expected=expected[place],
                    reason=prefix + verdict.reason,
                    inputs={"context": context[row], "temperature": temperature, "k": k},
                )
            if list(Word).index(verdict.word) > list(Word).index(worst.word) or verdict.ratio > worst.ratio:
                worst = verdict
    if same_bits(expected, actual):
        return replace(worst, word=Word.IDENTICAL)
    same_support = np.array_equal(expected > 0, actual > 0)
    return replace(worst, word=Word.WITHIN_BOUND if same_support else Word.TIE_BREAK)


def _row_of_probs(probs: np.ndarray, scaled: np.ndarray, error: np.ndarray, k: int, dtype: str, ties: str) -> Verdict:
    """The verdict on one row of probabilities, from the exact scaled logits and the error that each may have.

    Two tokens may change places if their logits are closer than the sum of their errors. So more than one set of
    survivors may be right, and the probabilities depend on the set: each survivor shares the total with the others.
    The row is therefore judged in two steps. First, the survivors must be a set that rounding could have chosen. Then
    the probabilities must fit the softmax over that very set, and not over the exact top k.
    """
    order = np.lexsort((np.arange(len(scaled)), -scaled))  # by value descending, then by id
    top = np.zeros(len(scaled), dtype=bool)
    top[order[:k]] = True
    last, runner_up = order[k - 1], order[min(k, len(order) - 1)]
    # A token from outside the exact top k may come in if it is too close to the k-th, the last one that survives. A
    # token from inside may go if it is too close to the (k + 1)-th, the best one that does not.
    may_come_in, may_go = (np.abs(scaled - scaled[i]) <= error + error[i] for i in (last, runner_up))
    support = probs > 0
    intruders = np.flatnonzero(support & ~top & ~may_come_in)
    if len(intruders):
        return diverged("TOPK-1", "a token survives from outside the top k", place=(int(intruders[0]),))
    # With ties="all", more than k may survive: those that tie with the k-th. The check above has let no others in.
    if ties == "lowest_id" and support.sum() > k:
        place = (int(np.flatnonzero(support & may_come_in)[-1]),)
        return diverged("TOPK-1", "more than k tokens survive", place=place)
    # A survivor far below the best one may have a probability so small that it underflows to 0. Then it cannot be told
    # from a token that was cut. If fewer than k tokens have a probability, the best of the others count as survivors.
    survivors = support.copy()
    for token in order[:k]:
        if survivors.sum() >= k:
            break
        survivors[token] = True
    missing = np.flatnonzero(top & ~survivors & ~may_go)
    if len(missing):
        return diverged("TOPK-1", "a token of the top k is missing", place=(int(missing[0]),))
    kept = np.where(survivors, scaled, -np.inf)
    bound = bounds.softmax(kept, dtype, error) + bounds.softmax(kept, "float64")
    ratio, worst = worst_element(probs, exact_softmax(kept), bound)
    if ratio <= 1:
        return Verdict(word=Word.WITHIN_BOUND, ratio=ratio)
    return diverged("HEAD-1", "a probability outside the derived bound", place=worst, ratio=ratio)

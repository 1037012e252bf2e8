"""Stages that select: top-k, exact on given logits, and the whole head, whose survivors rounding may decide."""

from typing import Any

import numpy as np

from reference import bounds

from .elements import compute_dtype, exact_softmax, worst_element
from .words import Verdict, Word, same_bits


def top_k(ours: Any, theirs: Any, dtype: str | None, *, logits: Any, k: int) -> Verdict:
    """Comparisons only, no rounding: values and ids are exact, their order included."""
    logits = np.asarray(logits)
    if len(theirs) != 2 or np.asarray(ours[0]).dtype != np.asarray(theirs[0]).dtype:
        a, b = np.asarray(ours[0]).dtype, [np.asarray(x).dtype for x in theirs]
        return Verdict(Word.DIVERGED, "top_k", 0.0, "HEAD-2", (), a, b, "not values of this dtype and token ids")
    for name, rule, a, b in zip(("values", "token ids"), ("TOPK-1", "TOPK-2"), ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return Verdict(Word.DIVERGED, "top_k", 0.0, "TOPK-1", (), a.shape, b.shape, "another number of survivors")
        wrong = (a != b) | (np.signbit(a) != np.signbit(b))
        if wrong.any():
            row = tuple(int(i) for i in np.argwhere(wrong)[0][:-1])
            if sorted(a[row].tolist()) == sorted(b[row].tolist()):
                rule = "TOPK-3"
            case = {"logits": logits[row], "k": k}
            return Verdict(Word.DIVERGED, "top_k", 0.0, rule, row, a[row], b[row], f"other {name}", case)
    return Verdict(Word.IDENTICAL, "top_k")


def keep_top_k(
    ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, logits: Any, k: int, ties: str = "lowest_id"
) -> Verdict:
    """Exact: the survivors keep their bits, everything else is -inf."""
    if same_bits(ours, theirs):
        return Verdict(Word.IDENTICAL, "keep_top_k")
    logits = np.asarray(logits)
    row = tuple(int(i) for i in np.argwhere(~(ours == theirs) | (np.signbit(ours) != np.signbit(theirs)))[0][:-1])
    kept, their_kept = (np.flatnonzero(x[row] > -np.inf) for x in (ours, theirs))
    case = {"logits": logits[row], "k": k, "ties": ties}
    if np.array_equal(kept, their_kept):
        return Verdict(
            Word.DIVERGED, "keep_top_k", 0.0, "TOPK-6", row, ours[row], theirs[row], "survivors or mask changed", case
        )
    rule = "TOPK-7" if ties == "all" else "TOPK-1" if len(kept) != len(their_kept) else "TOPK-2"
    return Verdict(Word.DIVERGED, "keep_top_k", 0.0, rule, row, kept, their_kept, "other survivors", case)


def lm_head(
    ours: np.ndarray,
    theirs: np.ndarray,
    dtype: str | None,
    *,
    context: Any,
    embedding: Any,
    temperature: float = 0.7,
    k: int = 50,
    ties: str = "lowest_id",
) -> Verdict:
    """The composed head: survivors judged as sets at rounding distance, probabilities within the propagated bound."""
    context, embedding = np.asarray(context), np.asarray(embedding)
    dtype = dtype or compute_dtype(ours)
    divisor = float(ours.dtype.type(temperature))
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    computed = dtype, compute_dtype(ours)
    bound = {d: bounds.logits(context, embedding, d, "float64") for d in set(computed)}  # float64 is the oracle's
    scaled = exact / divisor
    identical, worst = same_bits(ours, theirs), Verdict(Word.IDENTICAL, "lm_head")
    for name, probs, d in zip(("theirs", "the reference's"), (theirs, ours), computed, strict=True):
        error = bounds.temperature(exact, divisor, d, bound[d])
        for row in np.ndindex(scaled.shape[:-1]):
            verdict = _row_of_probs(probs[row], scaled[row], error[row], min(k, len(embedding)), d, ties)
            if verdict.word == Word.DIVERGED:
                case = {"context": context[row], "temperature": temperature, "k": k}
                place = (*row, *verdict.place)
                return Verdict(
                    Word.DIVERGED,
                    "lm_head",
                    verdict.ratio,
                    verdict.rule,
                    place,
                    ours[place],
                    theirs[place],
                    f"{name}: {verdict.reason}",
                    case,
                )
            if list(Word).index(verdict.word) > list(Word).index(worst.word) or verdict.ratio > worst.ratio:
                worst = verdict
    if identical:
        return Verdict(Word.IDENTICAL, "lm_head", worst.ratio)
    same_support = np.array_equal(ours > 0, theirs > 0)
    return Verdict(Word.WITHIN_BOUND if same_support else Word.TIE_BREAK, "lm_head", worst.ratio)


def _row_of_probs(probs: np.ndarray, scaled: np.ndarray, error: np.ndarray, k: int, dtype: str, ties: str) -> Verdict:
    order = np.lexsort((np.arange(len(scaled)), -scaled))  # by value descending, then by id
    top = np.zeros(len(scaled), dtype=bool)
    top[order[:k]] = True
    last, runner_up = order[k - 1], order[min(k, len(order) - 1)]
    # From outside, a token may come in where its value is closer to the k-th than both their errors allow to tell;
    # from inside, it may go where it is as close to the (k + 1)-th.
    may_come_in, may_go = (np.abs(scaled - scaled[i]) <= error + error[i] for i in (last, runner_up))
    support = probs > 0
    intruders = np.flatnonzero(support & ~top & ~may_come_in)
    if len(intruders):
        place = (int(intruders[0]),)
        return Verdict(Word.DIVERGED, "lm_head", 0.0, "TOPK-1", place, reason="a token survives from outside the top k")
    if ties == "lowest_id" and support.sum() > k:
        place = (int(np.flatnonzero(support & may_come_in)[-1]),)
        return Verdict(Word.DIVERGED, "lm_head", 0.0, "TOPK-1", place, reason="more than k tokens survive")
    # Their survivors: what has a probability, and of the rest, best first, what underflowed to zero.
    survivors = support.copy()
    for token in order[:k]:
        if survivors.sum() >= k:
            break
        survivors[token] = True
    missing = np.flatnonzero(top & ~survivors & ~may_go)
    if len(missing):
        place = (int(missing[0]),)
        return Verdict(Word.DIVERGED, "lm_head", 0.0, "TOPK-1", place, reason="a token of the top k is missing")
    kept = np.where(survivors, scaled, -np.inf)
    bound = bounds.softmax(kept, dtype, error) + bounds.softmax(kept, "float64")
    ratio, place = worst_element(probs, exact_softmax(kept), bound)
    if ratio <= 1:
        return Verdict(Word.WITHIN_BOUND, "lm_head", ratio)
    return Verdict(Word.DIVERGED, "lm_head", ratio, "HEAD-1", place, reason="a probability outside the derived bound")

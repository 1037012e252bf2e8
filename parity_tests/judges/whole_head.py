"""Judges the whole head, where the logits carry rounding errors: these may decide which tokens survive."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reference import bounds
from weights_export.output_layer import finished

from . import precision
from .elements import compute_dtype, exact_softmax, logits_bound, worst_element
from .unusual import figure, next_to_others
from .words import Verdict, Word, diverged, same_bits


@dataclass(frozen=True)
class _Row:
    """One row of the head in a dtype.

    `scaled` are the exact logits divided by the temperature, with the `error` that each may have. `ranked` are the
    numbers that decide which tokens survive, with the error that each of those may have.
    """

    scaled: np.ndarray
    error: np.ndarray
    ranked: np.ndarray
    doubt: np.ndarray
    k: int
    ties: str
    dtype: str


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
    finish: Mapping[str, Any] | None = None,
) -> Verdict:
    """Could rounding have chosen these survivors, and are their probabilities within the bound?

    The bound of the logits is carried through the temperature and the softmax (HEAD-1). What does not depend on it is
    judged without it: the sum of each row, and the rows whose logits are exact in any order of summation. The reference
    is judged in the same way, so that its own errors are noticed. `ties` is the rule of the implementation; the
    reference's is `lowest_id`. `finish` are all arguments of `finish_logits`, for a head that finishes its logits
    before the temperature.
    """
    context, embedding = np.asarray(context), np.asarray(embedding)
    dtype = dtype or compute_dtype(expected)
    divisor = float(expected.dtype.type(temperature))
    computes_in = dtype, compute_dtype(expected)
    if finish:
        exact, slack = finished(context, embedding, finish, "float64")
        bound_in = {name: finished(context, embedding, finish, name)[1] + slack for name in set(computes_in)}
    else:
        exact = bounds.exact_logits(context, embedding)
        bound_in = {name: logits_bound(context, embedding, name) for name in set(computes_in)}
    k = min(k, len(embedding))
    worst = Verdict(word=Word.IDENTICAL)
    for prefix, probs, computed, rule in (
        ("", actual, computes_in[0], ties),
        ("the reference itself: ", expected, computes_in[1], "lowest_id"),
    ):
        for row, of_row in _rows(exact, bound_in[computed], divisor, k, rule, computed):
            verdict = _row_of_probs(probs[row], of_row)
            if not verdict.conforms:
                place = (*row, *verdict.place)
                at = {"place": place, "actual": actual[place], "expected": expected[place]}
                inputs = {"context": context[row], "temperature": temperature, "k": k}
                return replace(verdict, reason=prefix + verdict.reason, inputs=inputs, **at)
            if list(Word).index(verdict.word) > list(Word).index(worst.word) or verdict.ratio > worst.ratio:
                worst = verdict
    if same_bits(expected, actual):
        return replace(worst, word=Word.IDENTICAL)
    same_support = np.array_equal(expected > 0, actual > 0)
    worst = replace(worst, word=Word.WITHIN_BOUND if same_support else Word.TIE_BREAK)
    if not finish:
        return _by_its_logits(worst, actual, exact, divisor, dtype, context, embedding)
    if finish["cap"] < np.inf:  # probabilities tell logits up to a constant: too little to undo a cap
        return worst
    divisor *= finish["divisor"] / finish["multiplier"]
    exact = bounds.exact_logits(context, embedding)
    return _by_its_logits(worst, actual, exact, divisor, dtype, context, embedding, finish["bias"], roundings=4)


def _rows(
    exact: np.ndarray, bound: np.ndarray, divisor: float, k: int, ties: str, dtype: str
) -> Iterator[tuple[tuple[int, ...], _Row]]:
    """Each row with its index.

    Where no logit of a row rounds, the quotients are ranked as TEMP-1 rounds them, and exactly so. In the
    probabilities, a head that computes all of this at once may keep more digits of them.
    """
    scaled, error = exact / divisor, bounds.temperature(exact, divisor, dtype, bound)
    for row in np.ndindex(exact.shape[:-1]):
        ranked, doubt = scaled[row], error[row]
        if (bound[row] == 0).all():
            ranked = (exact[row].astype(dtype) / np.dtype(dtype).type(divisor)).astype(np.float64)
            doubt = np.zeros_like(ranked)
        yield row, _Row(scaled[row], error[row], ranked, doubt, k, ties, dtype)


def _row_of_probs(probs: np.ndarray, of: _Row) -> Verdict:
    """The verdict on one row of probabilities.

    Two tokens may change places if their logits are closer than the sum of their errors. So more than one set of
    survivors may be right, and the probabilities depend on the set: each survivor shares the total with the others.
    The row is therefore judged in two steps. First, the survivors must be a set that rounding could have chosen. Then
    the probabilities must fit the softmax over that very set, and not over the exact top k.
    """
    wrong = np.flatnonzero(~(probs >= 0))
    if len(wrong):
        return diverged("HEAD-1", "a probability that is negative or not a number", place=(int(wrong[0]),))
    scaled, error, k = of.ranked, of.doubt, of.k
    order = np.lexsort((np.arange(len(scaled)), -scaled))  # by value descending, then by id
    last, runner_up = order[k - 1], order[min(k, len(order) - 1)]
    top = np.zeros(len(scaled), dtype=bool)
    top[order[:k]] = True
    if of.ties == "all":
        top |= scaled == scaled[last]
    # A token from outside the exact top k may come in if it is too close to the k-th, the last one that survives. A
    # token from inside may go if it is too close to the (k + 1)-th, the best one that does not. Exact ties are no
    # matter of rounding: the rule for ties decides them.
    may_come_in, may_go = (_close(scaled, error, int(i), of.ties == "any") for i in (last, runner_up))
    support = probs > 0
    intruders = np.flatnonzero(support & ~top & ~may_come_in)
    if len(intruders):
        return _wrong_survivor("a token survives from outside the top k", int(intruders[0]), scaled, int(last))
    # With ties="all", more than k may survive: those that tie with the k-th. The check above has let no others in.
    if of.ties != "all" and support.sum() > k:
        place = (int(np.flatnonzero(support & may_come_in)[-1]) if (support & may_come_in).any() else int(last),)
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
        return _wrong_survivor("a token of the top k is missing", int(missing[0]), scaled, int(last))
    alive = np.flatnonzero(survivors)
    kept, of_alive = of.scaled[alive], probs[alive]
    bound = bounds.softmax(kept, of.dtype, of.error[alive]) + bounds.softmax(kept, "float64")
    ratio, worst = worst_element(of_alive, exact_softmax(kept), bound)
    if ratio > 1:
        place = (int(alive[worst[0]]),)
        return diverged("HEAD-1", "a probability outside the derived bound", place=place, ratio=ratio)
    with np.errstate(divide="ignore"):
        logs = np.log(of_alive.astype(np.float64))
    total = of_alive.sum(dtype=np.float64)
    allowed = (bounds.softmax(logs, of.dtype) + bounds.softmax(logs, "float64")).sum()  # whatever the logits were
    if abs(total - 1) > allowed:
        reason = f"the probabilities of the row sum to {total:.9g}, not to 1"
        return diverged("SOFTMAX-2", reason, place=(int(alive[np.argmax(of_alive)]),), ratio=abs(total - 1) / allowed)
    return Verdict(word=Word.WITHIN_BOUND, ratio=ratio)


def _wrong_survivor(reason: str, token: int, scaled: np.ndarray, last: int) -> Verdict:
    """Which rule it breaks: that for ties, if the token ties with the last one that survives."""
    tied = scaled[token] == scaled[last]
    return diverged("TOPK-2" if tied else "TOPK-1", reason + " (a tie)" * bool(tied), place=(token,))


def _close(scaled: np.ndarray, error: np.ndarray, token: int, ties: bool) -> np.ndarray:
    """The tokens whose order next to `token` rounding may change; with `ties` also those that tie with it exactly."""
    allowed = error + error[token]
    close: np.ndarray = (np.abs(scaled - scaled[token]) <= allowed) & ((allowed > 0) | ties)
    return close


def _by_its_logits(
    verdict: Verdict,
    probs: np.ndarray,
    exact: np.ndarray,
    divisor: float,
    dtype: str,
    context: np.ndarray,
    embedding: np.ndarray,
    bias: np.ndarray | None = None,
    roundings: int = 1,
) -> Verdict:
    """The verdict on probabilities within the bound, by what they tell about the logits of the survivors.

    `T log p` is the logit with its `bias`, but for a constant of its row. The logit must not be explained by a rounding
    of the inputs (LOGITS-2). And its errors have a statistical figure: what the softmax may add is taken for certain,
    the rest for random. Between sum and softmax a logit is rounded so many times: `roundings`.
    """
    told = probs >= bounds.smallest_normal(dtype)
    logs = np.log(probs.astype(np.float64), out=np.full(probs.shape, np.nan), where=told)
    added = 0.0 if bias is None else np.asarray(bias, dtype=np.float64)
    logits = logs * divisor - added
    if dtype == "float32":
        explanation = precision.explains_better(logits, context, embedding, exact)
        if explanation:
            reason = f"within the bound, but not by the rounding of float32 ({explanation})"
            return diverged("LOGITS-2", reason, ratio=verdict.ratio)
    variance = bounds.deviation(context, embedding, dtype, "float64", bias=bias) ** 2
    deviation = np.sqrt(variance + roundings * (bounds.unit_roundoff(dtype) * (exact + added)) ** 2) / divisor
    softmax = np.where(told, bounds.softmax(np.where(told, logs, -np.inf), dtype) / np.where(told, probs, 1), 0.0)

    def errors(quotients: np.ndarray) -> np.ndarray:
        """In units of the deviation, less a constant of each row."""
        return precision.centred(quotients - exact / divisor, told, deviation)

    found = figure(
        np.where(told, errors(logits / divisor) * deviation, np.nan),
        deviation,
        softmax,
        along=precision.centred(exact + added, told, deviation) * deviation,
    )
    if found <= 1:
        return replace(verdict, figure=found)

    def size(of: np.ndarray) -> float:
        return float(np.linalg.norm(errors(of.reshape(exact.shape) / divisor)))

    h, w = context.reshape(-1, context.shape[-1]).astype(dtype), embedding.astype(dtype)
    return replace(verdict, figure=found, reason=next_to_others(h, w, size(logits), size))

"""Four words for "is it the same?": `compare(stage, ours, theirs, **inputs) -> Verdict`.

    IDENTICAL     the same bits
    WITHIN_BOUND  other bits, every element inside the derived bound
    TIE_BREAK     another token or survivor, but the candidates are closer than the bound: rounding's coin flip
    DIVERGED      anything else

`ours` is a result of the reference for the given inputs, `theirs` what the implementation under test returned for the
same inputs. Both are judged against the exact value, so that a fault of the reference shows too. Bounds come from
`reference.bounds`; no tolerance is picked here. An implementation may compute in another dtype than the reference:
name it with `dtype`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from reference import bounds
from reference.validation import COMPUTE_DTYPE

from . import precision


class Word(StrEnum):
    """The four verdicts, best first."""

    IDENTICAL = "IDENTICAL"
    WITHIN_BOUND = "WITHIN_BOUND"
    TIE_BREAK = "TIE_BREAK"
    DIVERGED = "DIVERGED"


@dataclass(frozen=True)
class Verdict:
    """One comparison. `ratio` is the worst error divided by its bound; the other fields say where and why."""

    word: Word
    stage: str
    ratio: float = 0.0
    rule: str = ""
    place: tuple[int, ...] = ()
    ours: Any = None
    theirs: Any = None
    reason: str = ""
    case: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """At most eight lines: the verdict, the rule, the worst element, the smallest case."""
        if self.word != Word.DIVERGED:
            return f"{self.stage}: {self.word}" + (f", error {self.ratio:.2g} x bound" if self.ratio else "")
        ratio = f", error {self.ratio:.3g} x bound" if self.ratio else ""
        place = f" at [{', '.join(map(str, self.place))}]" if self.place else ""
        lines = [f"{self.stage}: DIVERGED from {self.rule}: {self.reason}{ratio}"]
        lines.append(f"  ours {_brief(self.ours)}, theirs {_brief(self.theirs)}{place}")
        lines += [f"  {name} = {_brief(value)}" for name, value in list(self.case.items())[:6]]
        return "\n".join(lines)

    def require(self) -> "Verdict":
        """Raises AssertionError with the message if the two diverged."""
        if self.word == Word.DIVERGED:
            raise AssertionError(str(self))
        return self


def _brief(value: Any, width: int = 200) -> str:
    text = " ".join(np.array2string(value, threshold=12, edgeitems=4).split()) if isinstance(value, np.ndarray) else ""
    return (text or repr(value))[:width]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape, dtype and bit patterns; the sign of zero counts."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b)
        and bool(np.all(np.signbit(a) == np.signbit(b)))
    )


def compare(stage: str, ours: Any, theirs: Any, dtype: str | None = None, **inputs: Any) -> Verdict:
    """Judge `theirs` against `ours` for one stage of the head.

    `stage` is a function name of `reference.head`; `inputs` are its arguments by name, and for `multinomial` the
    `noise` in place of `rng`. `dtype` is the one the other implementation computed in (default: that of `ours`).
    Raises ValueError for an unknown stage.
    """
    judge = _JUDGES.get(stage)
    if judge is None:
        raise ValueError(f"stage is {stage!r}: it must be one of {', '.join(_JUDGES)}")
    if stage == "top_k":
        return judge(ours, theirs, dtype, **inputs)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    for rule, what, a, b in (
        (RULE[stage], "shape", ours.shape, theirs.shape),
        ("HEAD-2", "dtype", np.dtype(dtype) if dtype and ours.dtype.kind == "f" else ours.dtype, theirs.dtype),
    ):
        if a != b:
            return Verdict(Word.DIVERGED, stage, rule=rule, ours=a, theirs=b, reason=f"another {what}")
    return judge(ours, theirs, dtype, **inputs)


RULE = {
    "compute_logits": "LOGITS-2",
    "apply_temperature": "TEMP-1",
    "top_k": "TOPK-1",
    "keep_top_k": "TOPK-6",
    "softmax": "SOFTMAX-1",
    "multinomial": "DRAW-1",
    "inverse_cdf": "CDF-1",
    "lm_head": "HEAD-1",
}


def _elementwise(
    stage: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    exact: np.ndarray,
    our_bound: np.ndarray,
    their_bound: np.ndarray,
    case: Callable[[tuple[int, ...]], dict[str, Any]],
) -> Verdict:
    """IDENTICAL, WITHIN_BOUND or DIVERGED, each side held to its own bound around the exact value."""
    if same_bits(ours, theirs) and _worst(ours, exact, our_bound)[0] <= 1:
        return Verdict(Word.IDENTICAL, stage)
    (our_ratio, our_place), (ratio, place) = _worst(ours, exact, our_bound), _worst(theirs, exact, their_bound)
    if ratio <= 1 and our_ratio <= 1:
        return Verdict(Word.WITHIN_BOUND, stage, ratio=ratio)
    reason = "outside the derived bound"
    if our_ratio > 1:
        ratio, place, reason = our_ratio, our_place, "the reference itself is outside its bound"
    elif np.isnan(theirs[place]):
        reason = "not a number"
    return Verdict(Word.DIVERGED, stage, ratio, RULE[stage], place, ours[place], theirs[place], reason, case(place))


def _worst(values: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> tuple[float, tuple[int, ...]]:
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


def _compute_dtype(array: np.ndarray) -> str:
    return np.dtype(COMPUTE_DTYPE.get(array.dtype.name, array.dtype)).name


def _logits(ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, context: Any, embedding: Any) -> Verdict:
    context, embedding = np.asarray(context), np.asarray(embedding)
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    slack = bounds.logits(context, embedding, "float64")  # the oracle's own rounding
    our_bound = bounds.logits(context, embedding, _compute_dtype(ours)) + slack
    their_bound = bounds.logits(context, embedding, dtype or _compute_dtype(ours)) + slack
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


def _temperature(
    ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, logits: Any, temperature: float
) -> Verdict:
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


def _top_k(ours: Any, theirs: Any, dtype: str | None, *, logits: Any, k: int) -> Verdict:
    """Comparisons only, no rounding: values and ids are exact, their order included."""
    logits = np.asarray(logits)
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


def _keep_top_k(
    ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, logits: Any, k: int, ties: str = "lowest_id"
) -> Verdict:
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


def exact_softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax in float64, the oracle where float32 is judged."""
    z = np.asarray(logits, dtype=np.float64)
    weights = np.exp(z - z.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _softmax(ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, logits: Any) -> Verdict:
    logits = np.asarray(logits)
    exact, slack = exact_softmax(logits), bounds.softmax(logits, "float64")
    our_bound = bounds.softmax(logits, _compute_dtype(ours)) + slack
    their_bound = bounds.softmax(logits, dtype or _compute_dtype(ours)) + slack
    verdict = _elementwise(
        "softmax", ours, theirs, exact, our_bound, their_bound, lambda place: {"logits": logits[place[:-1]]}
    )
    if verdict.word == Word.DIVERGED and verdict.place and logits[verdict.place] == -np.inf:
        return Verdict(**{**vars(verdict), "rule": "SOFTMAX-3", "reason": "a masked token has a probability"})
    return verdict


def _multinomial(
    ours: np.ndarray,
    theirs: np.ndarray,
    dtype: str | None,
    *,
    probs: Any,
    noise: Any,
    error: Any = 0.0,
    num_samples: int = 1,
) -> Verdict:
    """Token ids drawn from the same noise. `error` is how far the probabilities themselves may be off."""
    probs, noise = np.asarray(probs), np.asarray(noise)
    dtype = dtype or _compute_dtype(probs)
    with np.errstate(divide="ignore", invalid="ignore"):
        race = np.where(probs > 0, np.abs(probs.astype(np.float64) / noise), -np.inf)
    bound = bounds.race(probs, noise, dtype, error) + bounds.race(probs, noise, "float64")
    identical = np.array_equal(ours, theirs)
    for row in np.ndindex(probs.shape[:-1]):
        for who, ids in (("theirs", theirs[row]), ("the reference's", ours[row])):
            fault = _race_fault(ids, race[row], bound[row], probs[row])
            if fault:
                rule, reason = fault
                case = {"probs": probs[row], "noise": noise[row]}
                return Verdict(
                    Word.DIVERGED, "multinomial", 0.0, rule, row, ours[row], theirs[row], f"{who}: {reason}", case
                )
    return Verdict(Word.IDENTICAL if identical else Word.TIE_BREAK, "multinomial")


def _race_fault(ids: np.ndarray, race: np.ndarray, bound: np.ndarray, probs: np.ndarray) -> tuple[str, str] | None:
    """Why `ids` cannot be the order of arrival of this race, or None."""
    if not ((ids >= 0) & (ids < len(race))).all():
        return "DRAW-2", "a token id outside the vocabulary"
    if len(set(ids.tolist())) != len(ids):
        return "DRAW-3", "a token drawn twice"
    if (probs[ids] <= 0).any():
        return "DRAW-2", "a token of probability zero"
    remaining = race.copy()
    for token in ids:
        best = int(np.argmax(remaining))
        with np.errstate(invalid="ignore"):
            behind = remaining[best] - race[token]
        if behind > bound[best] + bound[token]:
            return "DRAW-1", f"token {best} is ahead of {token} by more than the bound"
        remaining[token] = -np.inf
    return None


def _inverse_cdf(
    ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, probs: Any, uniform: Any, error: Any = 0.0
) -> Verdict:
    """The id whose running sum first exceeds u * total, judged at the distance that rounding may move a running sum."""
    probs, uniform = np.asarray(probs), np.asarray(uniform, dtype=np.float64)
    bound = bounds.running_sum(probs, dtype or "float64", error)
    for row in np.ndindex(probs.shape[:-1]):
        p = probs[row].astype(np.float64)
        running = np.cumsum(p)
        target = float(uniform[row]) * running[-1]
        slack = bound[row]
        for who, token in (("theirs", int(theirs[row])), ("the reference's", int(ours[row]))):
            reason, rule = "", "CDF-1"
            if not 0 <= token < len(p):
                reason, rule = "a token id outside the vocabulary", "CDF-2"
            elif p[token] <= 0:
                reason, rule = "a token of probability zero", "CDF-2"
            elif not (running[token] > target - slack and running[token] - p[token] <= target + slack):
                reason = "the running sum does not cross u * total there"
            if reason:
                case = {"probs": probs[row], "uniform": float(uniform[row])}
                return Verdict(
                    Word.DIVERGED, "inverse_cdf", 0.0, rule, row, ours[row], theirs[row], f"{who}: {reason}", case
                )
    return Verdict(Word.IDENTICAL if np.array_equal(ours, theirs) else Word.TIE_BREAK, "inverse_cdf")


def _lm_head(
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
    dtype = dtype or _compute_dtype(ours)
    divisor = float(ours.dtype.type(temperature))
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    slack = bounds.logits(context, embedding, "float64")
    scaled = exact / divisor
    identical, worst = same_bits(ours, theirs), Verdict(Word.IDENTICAL, "lm_head")
    for name, probs, d in (("theirs", theirs, dtype), ("the reference's", ours, _compute_dtype(ours))):
        error = bounds.temperature(exact, divisor, d, bounds.logits(context, embedding, d) + slack)
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
        return Verdict(Word.IDENTICAL, "lm_head")
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
    ratio, place = _worst(probs, exact_softmax(kept), bound)
    if ratio <= 1:
        return Verdict(Word.WITHIN_BOUND, "lm_head", ratio)
    return Verdict(Word.DIVERGED, "lm_head", ratio, "HEAD-1", place, reason="a probability outside the derived bound")


_JUDGES: dict[str, Callable[..., Verdict]] = {
    "compute_logits": _logits,
    "apply_temperature": _temperature,
    "top_k": _top_k,
    "keep_top_k": _keep_top_k,
    "softmax": _softmax,
    "multinomial": _multinomial,
    "inverse_cdf": _inverse_cdf,
    "lm_head": _lm_head,
}

"""The likely mistake: which of the suite's mutants gives the very answers that the port gives where it is wrong.

Every mutant of the operation answers the same vectors. One that is wrong where the port is wrong, with the same wrong
answer, and right where it is right, explains it. Where no mutant does, the flags of the failing vectors say what they
look for, and for logits the precision fingerprint says which rounding would explain them.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from parity_tests.heads import Head, keeps_with
from parity_tests.judges import precision
from parity_tests.judges.words import BAD, Word
from parity_tests.mutants import MUTANTS, Mutant
from reference.operations import OPERATIONS

from ..values import from_json
from ..vectors import Case, Note, arguments, load_all
from .answers import Answered, Answers, recorded
from .port import from_head


def likely_mistakes(answers: Answers) -> dict[str, str]:
    """For each operation with a failure what it looks like; an operation that nothing explains has no entry."""
    by_op: dict[str, Answers] = {}
    for number, answered in answers.items():
        by_op.setdefault(answered.case.op, {})[number] = answered
    found = {}
    for op, of_op in by_op.items():
        failing = [answered.case for answered in of_op.values() if answered.verdict.word in BAD]
        if failing:
            found[op] = _explain(op, of_op, failing)
    return {op: text for op, text in found.items() if text}


def _explain(op: str, answers: Answers, failing: Sequence[Case]) -> str:
    """One mistake if one explains every failure; else those of the answers, and which bad input goes unrefused."""
    left = {case.id for case in failing}
    candidates = [(mutant, _explained(answers, _answers_of(mutant, op))) for mutant in _candidates(op)]
    unrefused = {case.id: case for case in failing if case.result == "invalid"}
    if not any(ids >= left for _, ids in candidates) and left - unrefused.keys():
        left -= unrefused.keys()
    else:
        unrefused = {}
    named: list[str] = []
    while left:  # a port may have made more than one mistake: each mutant explains what it explains
        best = max(len(ids & left) for _, ids in candidates)
        if not best:
            break
        equals = [(mutant, ids) for mutant, ids in candidates if len(ids & left) == best]
        # Of mutants that explain the same failures, those that are wrong nowhere else say it best.
        fewest = min(_elsewhere(answers, mutant, op) for mutant, _ in equals)
        equals = [(mutant, ids) for mutant, ids in equals if _elsewhere(answers, mutant, op) == fewest]
        named.append(" or ".join(dict.fromkeys(mutant.looks_like for mutant, _ in equals)))
        left -= equals[0][1]
    parts = ["looks like: " + "; and ".join(dict.fromkeys(named))] if named else []
    if left:
        parts.append(_fingerprint(op, answers, left) or _what_they_look_for(left))
    if unrefused:
        codes = sorted({str(case.answers[0].expected.get("code")) for case in unrefused.values()})
        parts.append(f"bad input is answered or dies, not refused: {', '.join(codes)}")
    return "; and ".join(part for part in parts if part)


def _candidates(op: str) -> Iterable[Mutant]:
    """Mutants of the operation itself, and of the operations that it is made of."""
    return [mutant for stage in _made_of(op) for mutant in MUTANTS if mutant.stage == stage]


def _made_of(op: str) -> list[str]:
    """The operation, and those inside it, each before its own parts."""
    return [op, *(inner for part in OPERATIONS[op].parts for inner in _made_of(part))]


def _head(mutant: Mutant, op: str) -> Head:
    """The mutant's head with `op` made of its mistaken stage where it is another one's mistake."""
    head = mutant.head
    if mutant.stage in (op, "torch_rng"):
        return head
    if mutant.stage == "top_k":
        head = head.but(head.name, keep_top_k=keeps_with(head.top_k))
    return head.composed()


@cache
def _cases() -> dict[str, tuple[Case, ...]]:
    return {vectors.op: tuple(vectors.cases) for vectors in load_all()}


@cache
def _notes() -> dict[tuple[str, str], Note]:
    """By operation and flag: two operations may have a flag of the same name."""
    return {(vectors.op, name): note for vectors in load_all() for name, note in vectors.notes.items()}


@cache
def _answers_by_name(name: str, op: str) -> Answers:
    mutant = next(m for m in MUTANTS if str(m) == name)
    answers: Answers = {}
    for _ in recorded(from_head(_head(mutant, op)), _cases()[op], answers):
        pass
    return answers


def _answers_of(mutant: Mutant, op: str) -> Answers:
    return _answers_by_name(str(mutant), op)


def _explained(answers: Answers, mutants: Answers) -> set[int]:
    """Vectors that the port and the mutant both fail, with the same wrong answer."""
    return {
        number
        for number, answered in answers.items()
        if answered.verdict.word == Word.DIVERGED
        and number in mutants
        and mutants[number].verdict.word in BAD
        and _same(answered, mutants[number])
    }


def _elsewhere(answers: Answers, mutant: Mutant, op: str) -> int:
    """How many vectors the mutant fails and the port does not."""
    theirs = _answers_of(mutant, op)
    right = [number for number, answered in answers.items() if answered.verdict.conforms and number in theirs]
    return sum(not theirs[number].verdict.conforms for number in right)


def _same(one: Answered, other: Answered) -> bool:
    """Whether two wrong answers are one: both refused, both changed their input, or the same numbers.

    Floats are the same when they are as close as two correct answers to one question may be.
    """
    if (one.verdict.rule == "HEAD-3") != (other.verdict.rule == "HEAD-3"):
        return False
    a, b = one.answer, other.answer
    if isinstance(a, Exception) or isinstance(b, Exception):
        return isinstance(a, Exception) and isinstance(b, Exception)
    bounds = one.case.answers[0].bound or {}
    return a.keys() == b.keys() and all(_close(a[name], b[name], bounds.get(name)) for name in a)


def _close(a: Any, b: Any, bound: Any) -> bool:
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(_close(x, y, None) for x, y in zip(a, b, strict=True))
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or (a.dtype.kind != b.dtype.kind):
        return False
    if a.dtype.kind in "iu" or bound is None:
        return np.array_equal(a, b, equal_nan=a.dtype.kind not in "iu")
    allowed = from_json(bound)
    if allowed.shape != a.shape:
        return True  # the wrong shape is the mistake
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= 2 * allowed)
    return bool(near.all())


def _fingerprint(op: str, answers: Answers, left: set[int]) -> str:
    """Which rounding explains the logits, if one does for all of them."""
    if op != "compute_logits":
        return ""
    found = set()
    for number in left:
        case, answer = answers[number].case, answers[number].answer
        given = arguments(case.inputs)
        logits = answer.get("logits") if isinstance(answer, dict) else None
        if not isinstance(logits, np.ndarray) or logits.shape != (
            *given["context"].shape[:-1],
            len(given["embedding"]),
        ):
            return ""
        found.add(precision.explain(logits, given["context"], given["embedding"]))
    return str(found.pop()) if len(found) == 1 and None not in found else ""


def _what_they_look_for(left: set[int]) -> str:
    """The mistakes named by the flags that all the unexplained failures share, else by the first one's."""
    by_id = {case.id: case for of_op in _cases().values() for case in of_op}
    flags = [{(by_id[number].op, flag) for flag in by_id[number].flags} for number in sorted(left)]
    shared = set.intersection(*flags) if flags else set()
    names = sorted(shared or (flags[0] if flags else set()))
    return "the failing vectors look for: " + "; ".join(_notes()[name].mistake for name in names) if names else ""

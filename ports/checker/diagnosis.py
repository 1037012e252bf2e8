"""The likely mistake of a port: the known mistake that would give the same wrong answers.

The suite has *mutants*: each is the reference with one mistake that a real system made. Every mutant of an operation
answers the same vectors as the port. Then the search goes like this:

1. A mutant *explains* a vector if both the port and the mutant get it wrong, with the same wrong answer.
2. If one mutant explains every failure, it is the answer. Otherwise bad input that the port does not refuse is set
   aside: a port without checks fails all such vectors at once, and no mutant does.
3. Of the failures left, take the mutant that explains the most. A port may have several mistakes, so repeat this with
   the failures that remain, until no mutant explains any of them.
4. Two mutants often explain equally many failures. Then the better one is wrong about fewer of the vectors that the
   port gets right. If they are still equal, both are named.
5. If failures remain, say which rounding would explain them (for logits). If none does, say which mistakes the failing
   vectors were written to find: their *flags*.
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
    """For each operation with failures, what its mistake looks like. Operations that nothing explains have no entry."""
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
    """The mistakes of one operation in a line. The numbers below are those of the steps in the module's docstring."""
    left = {case.id for case in failing}
    # 1. What each mutant explains.
    candidates = [(mutant, _explained(answers, _answers_of(mutant, op))) for mutant in _candidates(op)]
    unrefused = {case.id: case for case in failing if case.result == "invalid"}
    # 2. One mutant for everything, or the unrefused input apart, unless there are no other failures.
    if not any(ids >= left for _, ids in candidates) and left - unrefused.keys():
        left -= unrefused.keys()
    else:
        unrefused = {}
    named: list[str] = []
    while left:  # 3. The mutant that explains the most, again and again.
        best = max(len(ids & left) for _, ids in candidates)
        if not best:
            break
        equals = [(mutant, ids) for mutant, ids in candidates if len(ids & left) == best]
        # 4. Of equally good mutants, those that are wrong in the fewest other places.
        fewest = min(_elsewhere(answers, mutant, op) for mutant, _ in equals)
        equals = [(mutant, ids) for mutant, ids in equals if _elsewhere(answers, mutant, op) == fewest]
        named.append(" or ".join(dict.fromkeys(mutant.looks_like for mutant, _ in equals)))
        left -= equals[0][1]
    parts = ["looks like: " + "; and ".join(dict.fromkeys(named))] if named else []
    if left:  # 5. What no mutant explains.
        parts.append(_fingerprint(op, answers, left) or _what_they_look_for(left))
    if unrefused:
        codes = sorted({str(case.answers[0].expected.get("code")) for case in unrefused.values()})
        parts.append(f"bad input is answered or dies, not refused: {', '.join(codes)}")
    return "; and ".join(part for part in parts if part)


def _candidates(op: str) -> Iterable[Mutant]:
    """The mutants of the operation itself, then those of the operations that it is made of."""
    return [mutant for stage in _made_of(op) for mutant in MUTANTS if mutant.stage == stage]


def _made_of(op: str) -> list[str]:
    """The operation and all operations inside it, each before its own parts."""
    return [op, *(inner for part in OPERATIONS[op].parts for inner in _made_of(part))]


def _head(mutant: Mutant, op: str) -> Head:
    """The mutant's head. If the mistake is in a stage inside `op`, then `op` is rebuilt on that stage.

    A mutant replaces one function only. Its `lm_head` would still be the reference's, and show nothing of the mistake.
    """
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
    """The notes by operation and flag, because two operations may have a flag of the same name."""
    return {(vectors.op, name): note for vectors in load_all() for name, note in vectors.notes.items()}


@cache  # all mutants of an operation answer all its vectors: seconds, needed only once
def _answers_by_name(name: str, op: str) -> Answers:
    mutant = next(m for m in MUTANTS if str(m) == name)
    answers: Answers = {}
    for _ in recorded(from_head(_head(mutant, op)), _cases()[op], answers):
        pass
    return answers


def _answers_of(mutant: Mutant, op: str) -> Answers:
    return _answers_by_name(str(mutant), op)


def _explained(answers: Answers, mutants: Answers) -> set[int]:
    """The vectors that the port and the mutant both fail with the same wrong answer.

    Vectors to which the port gave no answer (ERRORED) never count: a crash would match every mutant that raises.
    """
    return {
        number
        for number, answered in answers.items()
        if answered.verdict.word == Word.DIVERGED
        and number in mutants
        and mutants[number].verdict.word in BAD
        and _same(answered, mutants[number])
    }


def _elsewhere(answers: Answers, mutant: Mutant, op: str) -> int:
    """How many vectors the mutant fails and the port passes."""
    theirs = _answers_of(mutant, op)
    right = [number for number, answered in answers.items() if answered.verdict.conforms and number in theirs]
    return sum(not theirs[number].verdict.conforms for number in right)


def _same(one: Answered, other: Answered) -> bool:
    """Whether two wrong answers are the same: both refused, both changed their input, or both gave the same numbers.

    The port and the mutant share a mistake, not an order of summation. So floats count as the same if they are as close
    as two correct answers may be.
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
        return True  # both have the same wrong shape: that is the mistake, and there is no bound for such elements
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        # Each of two correct answers may be off by the bound, in opposite directions.
        near = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= 2 * allowed)
    return bool(near.all())


def _fingerprint(op: str, answers: Answers, left: set[int]) -> str:
    """The rounding that explains the logits of all these vectors, or "" if there is no such rounding."""
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
    """The mistakes named by the flags that all unexplained failures share, or if they share none, by the first's."""
    by_id = {case.id: case for of_op in _cases().values() for case in of_op}
    flags = [{(by_id[number].op, flag) for flag in by_id[number].flags} for number in sorted(left)]
    shared = set.intersection(*flags) if flags else set()
    names = sorted(shared or (flags[0] if flags else set()))
    return "the failing vectors look for: " + "; ".join(_notes()[name].mistake for name in names) if names else ""

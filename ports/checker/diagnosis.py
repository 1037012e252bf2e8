"""The likely mistake of a port: the known mistake that gives the very same wrong answers.

The suite has *mutants*: each is the reference with one mistake that a real system made. Every mutant of an operation
answers the same vectors as the port. A mutant *explains* the port if it gives the same wrong answer to every vector
that the port gets wrong, and gets no other wrong. Where several do, all are named. Where none does, the mistake is not
recognised; then the rules are named, and what the failing vectors were written to find.

Wrong numbers are explained apart from bad input that is not refused: a port without checks fails all of the latter.
What got no answer explains nothing, as a crash would match every mutant that raises.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from parity_tests.heads import Head, keeps_with
from parity_tests.judges import precision
from parity_tests.judges.words import BAD, Word
from parity_tests.mutants import MUTANTS, Mutant
from reference import bounds
from reference.operations import OPERATIONS

from ..vectors import Case, Note, load_all
from .answers import Answered, Answers, Beyond
from .asking import Recorder, Seen
from .judge import judge, of_head


def likely_mistakes(answers: Answers, beyond: Sequence[Beyond] = ()) -> dict[str, str]:
    """For each operation with wrong answers or missing refusals, what its mistake looks like, in a line.

    `beyond` are wrong answers to other cases than the vectors: a mistake must give these too.
    """
    by_op: dict[str, Answers] = {}
    for number, answered in answers.items():
        by_op.setdefault(answered.case.op, {})[number] = answered
    found = {op: _explain(op, of_op, [one for one in beyond if one[0] == op]) for op, of_op in by_op.items()}
    return {op: text for op, text in found.items() if text}


def _explain(op: str, answers: Answers, beyond: Sequence[Beyond]) -> str:
    """The mistake of one operation: one that explains everything; else of its numbers, and which codes are missing."""
    numbers, unrefused = (
        {number for number, answered in answers.items() if answered.verdict.word == word and answered.verdict.repeats}
        for word in (Word.DIVERGED, Word.UNREFUSED)
    )
    if not numbers | unrefused:
        return ""
    failing = {number for number, answered in answers.items() if not answered.verdict.conforms}
    known = _names(op, answers, numbers | unrefused, failing, beyond)
    if known:
        return f"looks like: {known}"
    parts = []
    if numbers:
        known = _names(op, answers, numbers, failing, beyond) or _fingerprint(op, answers, numbers)
        parts.append(f"looks like: {known}" if known else _not_recognised(answers, numbers))
    if unrefused:
        codes = sorted({str(answers[number].case.answers[0].expected.get("code")) for number in unrefused})
        missing = f"bad input is answered, or refused with another code than {', '.join(codes)}"
        parts.append(missing if parts else f"looks like: {missing}")
    return "; and ".join(parts)


def _names(op: str, answers: Answers, explained: set[int], allowed: set[int], beyond: Sequence[Beyond]) -> str:
    """The mistakes that explain these vectors, and get none wrong but `allowed`; "" if there are none."""
    right = answers.keys() - allowed

    def explains(mutant: Mutant) -> bool:
        """Most mutants do not explain the first vector, and need no other."""
        return (
            all(_is_that_of(mutant, answers[number]) for number in explained)
            and all(_answer_of(mutant, op, number).verdict.word not in BAD for number in right)
            and all(_gives(mutant, *one) for one in beyond)
        )

    return " or ".join(dict.fromkeys(mutant.looks_like for mutant in _candidates(op) if explains(mutant)))


def _is_that_of(mutant: Mutant, answered: Answered) -> bool:
    """Whether the mutant gives the same wrong answer."""
    theirs = _answer_of(mutant, answered.case.op, answered.case.id)
    return theirs.verdict.word in BAD and _same(answered, theirs)


def _not_recognised(answers: Answers, failing: set[int]) -> str:
    """What there is to say of a mistake that nobody knows: its rules, and the flags that all failures share."""
    cases = [answers[number].case for number in sorted(failing)]
    rules = ", ".join(dict.fromkeys(answers[number].verdict.rule for number in sorted(failing)))
    shared = set.intersection(*({(case.op, flag) for flag in case.flags} for case in cases))
    looked_for = "; ".join(_notes()[name].mistake for name in sorted(shared))
    return f"not recognised: it breaks {rules}" + (f"; all of these vectors look for: {looked_for}" if shared else "")


def _candidates(op: str) -> Iterable[Mutant]:
    """The mutants of the operation itself, then those of the operations that it is made of."""
    return [mutant for stage in made_of(op) for mutant in MUTANTS if mutant.stage == stage]


def made_of(op: str) -> list[str]:
    """The operation and all operations inside it, each before its own parts."""
    return [op, *(inner for part in OPERATIONS[op].parts for inner in made_of(part))]


def head_for(mutant: Mutant, op: str) -> Head:
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
def _cases() -> dict[tuple[str, int], Case]:
    return {(case.op, case.id): case for vectors in load_all() for case in vectors.cases}


@cache
def _notes() -> dict[tuple[str, str], Note]:
    """The notes by operation and flag, because two operations may have a flag of the same name."""
    return {(vectors.op, name): note for vectors in load_all() for name, note in vectors.notes.items()}


@cache
def _answer_of(mutant: Mutant, op: str, number: int) -> Answered:
    """The mutant's answer to a vector."""
    case, port = _cases()[op, number], Recorder(of_head(head_for(mutant, op)), Seen())
    return Answered(case, judge(case, port), port.answer)


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
    bounds = one.case.answers[0].bounds
    return a.keys() == b.keys() and all(_close(a[name], b[name], bounds.get(name)) for name in a)


def _close(a: Any, b: Any, bound: Any) -> bool:
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(_close(x, y, None) for x, y in zip(a, b, strict=True))
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or (a.dtype.kind != b.dtype.kind):
        return False
    if a.dtype.kind in "iu" or bound is None:
        return np.array_equal(a, b, equal_nan=a.dtype.kind not in "iu")
    if bound.shape != a.shape:
        return True  # both have the same wrong shape: that is the mistake, and there is no bound for such elements
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        # Each of two correct answers may be off by the bound, in opposite directions.
        near = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= 2 * bound)
    return bool(near.all())


def _gives(mutant: Mutant, op: str, given: dict[str, Any], answer: Any) -> bool:
    """Whether the mutant answers like the port: to the bit, or as close as two right answers may be."""
    with np.errstate(all="ignore"):
        try:
            ours = of_head(head_for(mutant, op))(op, dict(given))
        except Exception:
            return isinstance(answer, Exception)
    if not isinstance(answer, dict) or answer.keys() != ours.keys():
        return False
    if not OPERATIONS[op].rounds:
        return all(np.array_equal(answer[name], ours[name]) for name in ours)
    a, b = (np.asarray(next(iter(x.values())), np.float64) for x in (answer, ours))
    allowed = _allowed(op, given, ours)
    if a.shape != b.shape or a.shape != allowed.shape:  # the same wrong shape is the mistake; there is no bound for it
        return a.shape == b.shape
    with np.errstate(invalid="ignore"):
        return bool(((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= 2 * allowed)).all())


def _allowed(op: str, given: dict[str, Any], result: dict[str, Any]) -> np.ndarray:
    """How far a right answer that is rounded may be from the exact one."""
    dtype = next(iter(result.values())).dtype.name
    if "embedding" not in given:
        return bounds.softmax(given["logits"], dtype)
    error = bounds.logits(given["context"], given["embedding"], dtype)
    return error if op == "compute_logits" else close_to(result["probs"], error / given.get("temperature", 0.7), dtype)


def close_to(probs: np.ndarray, error: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """How far probabilities may be from these, if the scaled logits of their survivors are off by at most `error`."""
    with np.errstate(divide="ignore"):
        return bounds.softmax(np.log(probs.astype(np.float64)), dtype, error)


def _fingerprint(op: str, answers: Answers, failing: set[int]) -> str:
    """The rounding that explains the logits of all these vectors, or "" if there is no such rounding."""
    if op != "compute_logits":
        return ""
    found = set()
    for number in failing:
        case, answer = answers[number].case, answers[number].answer
        given = case.arguments
        logits = answer.get("logits") if isinstance(answer, dict) else None
        shape = (*given["context"].shape[:-1], len(given["embedding"]))
        if not isinstance(logits, np.ndarray) or logits.shape != shape:
            return ""
        found.add(precision.explain(logits, given["context"], given["embedding"]))
    return str(found.pop()).removeprefix("looks like ") if len(found) == 1 and None not in found else ""

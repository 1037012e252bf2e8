"""The vectors, first one of each operation to tell a broken harness from a wrong port, then all of them."""

from collections.abc import Iterator
from typing import Any

from ..vectors import Case, Vectors, arguments
from .judge import Outcome, Word, judge
from .port import Port
from .results import Mark, Result, brief

_MARKS = {
    Word.ACCEPTED: Mark.TIE_BREAK,
    Word.FAILED: Mark.DIVERGED,
    Word.ERRORED: Mark.ERRORED,
    Word.SKIPPED: Mark.NOT_CHECKED,
}


def smoke_cases(files: list[Vectors]) -> list[Case]:
    """The plainest valid case of each operation: the first of its file."""
    return [next(case for case in vectors.cases if case.result == "valid") for vectors in files]


def run(port: Port, cases: list[Case], phase: str) -> Iterator[tuple[Case, Outcome | None, Result]]:
    """Each case with its outcome (None where it is none of the port's business) and what is reported of it."""
    for case in cases:
        reason = port.lacks(case.op, {}) or port.lacks(case.op, arguments(case.inputs))
        if reason:
            yield case, None, Result(phase, case.op, Mark.NOT_CHECKED, reason=reason)
        else:
            outcome = judge(case, port.call)
            yield case, outcome, _result(phase, outcome)


def _result(phase: str, outcome: Outcome) -> Result:
    case = outcome.case
    mark = _MARKS.get(outcome.word)
    if mark is None:  # passed
        refused = case.result == "invalid"
        mark = Mark.REFUSED if refused else Mark.WITHIN_BOUND if outcome.ratio else Mark.IDENTICAL
        return Result(phase, case.op, mark, outcome.ratio)  # counted; nobody reads which case it was
    return Result(
        phase,
        case.op,
        mark,
        outcome.ratio,
        outcome.rule,
        f"vector {case.id}, {case.comment}: {_inputs(case.inputs)}",
        outcome.reason.removeprefix("BrokenError: ").removeprefix("ErroredError: "),
        brief(outcome.came),
        brief(outcome.expected),
    )


def _inputs(inputs: dict[str, Any]) -> str:
    """The inputs as a person writes them: `logits [1, 2, 2], k 2`."""
    return brief(", ".join(f"{name} {_plain(value)}" for name, value in inputs.items()))


def _plain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    shape = "" if len(value["shape"]) == 1 else f" of shape {value['shape']}"
    return f"{brief(value['data'], 120)}{shape}"

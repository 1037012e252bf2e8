"""The vectors: first one of each operation, to tell a broken harness from a wrong head, and then all of them."""

from collections.abc import Iterator

from parity_tests.judges.words import Verdict, Word

from ..vectors import Case, Vectors, arguments
from .judge import judge
from .port import Port


def smoke_cases(files: list[Vectors]) -> list[Case]:
    """The simplest valid case of each operation, which is the first valid one of its file."""
    return [next(case for case in vectors.cases if case.result == "valid") for vectors in files]


def run(port: Port, cases: list[Case], phase: str) -> Iterator[tuple[Case, Verdict]]:
    """Each case with its verdict. The port is not asked for what it says it lacks."""
    for case in cases:
        reason = port.lacks(case.op, {}) or port.lacks(case.op, arguments(case.inputs))
        if reason:
            yield case, Verdict(operation=case.op, word=Word.NOT_CHECKED, reason=reason, phase=phase)
        else:
            yield case, judge(case, port.call, phase)

"""What a port answered to the vectors, whole: what the likely mistake is looked for in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from parity_tests.judges.words import Verdict, Word

from ..vectors import Case
from . import vector_cases
from .port import Port


@dataclass(frozen=True)
class Answered:
    """A vector, what was made of the answer, and the answer: a `result` object, or what was raised."""

    case: Case
    verdict: Verdict
    answer: Any


Answers = dict[int, Answered]  # by the number of the vector


def recorded(port: Port, cases: Iterable[Case], answers: Answers) -> Iterator[Verdict]:
    """The verdicts on these vectors; `answers` is filled on the way, but for what was not checked."""
    last: list[Any] = [None]

    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        try:
            last[0] = port.call(op, given)
        except Exception as error:
            last[0] = error
            raise
        result: dict[str, Any] = last[0]
        return result

    for case, verdict in vector_cases.run(replace(port, call=call), list(cases), "vectors"):
        if verdict.word != Word.NOT_CHECKED:
            answers[case.id] = Answered(case, verdict, last[0])
        yield verdict

"""The complete answers of a port to the vectors. `diagnosis.py` searches them for the likely mistake."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from parity_tests.judges.words import Verdict, Word

from ..vectors import Case
from . import vector_cases
from .port import Port


@dataclass(frozen=True)
class Answered:
    """A vector, the verdict, and the answer that was judged: a `result` object, or the exception raised."""

    case: Case
    verdict: Verdict
    answer: Any


Answers = dict[int, Answered]  # by the id of the vector
Beyond = tuple[str, dict[str, Any], Any]  # a wrong answer to a case that is no vector: operation, arguments, answer


def recorded(port: Port, cases: Iterable[Case], answers: Answers) -> Iterator[Verdict]:
    """The verdicts on these vectors. Fills `answers` on the way, except for vectors that were not checked."""
    # A verdict shows one wrong place; a mistake is recognised by the whole answer. So the call is wrapped to keep it.
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

"""The vectors: first one of each operation, to tell a broken harness from a wrong head, and then all of them."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

from parity_tests.judges.words import Verdict, Word
from reference.operations import WITH_TIES

from ..vectors import Case, Vectors
from .asking import confirmed
from .by_reference import UNDEFINED, guarded
from .judge import judge
from .port import Port


def smoke_cases(files: list[Vectors]) -> list[Case]:
    """The simplest valid case of each operation, which is the first valid one of its file."""
    return [next(case for case in vectors.cases if case.result == "valid") for vectors in files]


def run(port: Port, cases: list[Case], phase: str) -> Iterator[tuple[Case, Verdict]]:
    """Each case with its verdict. The port is not asked for what it says it lacks."""
    for case in cases:
        reason = (
            port.lacks(case.op, {})
            or port.lacks(case.op, port.on_its_terms(case.op, case.arguments))
            or _left_open(port, case.arguments)
        )
        blank = Verdict(operation=case.op, word=Word.NOT_CHECKED, reason=reason, phase=phase, case=case.about)
        if reason:
            yield case, blank
        elif _by_contract(port, case):
            yield case, confirmed(lambda: guarded(blank, port, deepcopy(case.arguments)))  # noqa: B023 - called at once
        elif port.contract.refusals == "none" and any("code" in answer.expected for answer in case.answers):
            yield case, Verdict(operation=case.op, word=Word.NOT_CHECKED, reason=UNDEFINED, phase=phase)
        else:
            told = {name: value for name, value in case.inputs.items() if port.contract.told(name, value)}
            asked = case if told.keys() == case.inputs.keys() else replace(case, inputs=told)
            yield case, confirmed(lambda: judge(asked, port.call, phase))  # noqa: B023


def _left_open(port: Port, given: dict[str, object]) -> str:
    """Why the port's contract has no one answer to this; "" if it has."""
    if port.contract.leaves_open(given):
        return "its contract does not say what so small a temperature means"
    return "its random stream is its own" if port.contract.stream == "own" and _of_pytorch(given) else ""


def _of_pytorch(given: dict[str, object]) -> bool:
    """Whether it is PyTorch's stream that is seeded."""
    return "seed" in given and "runtime" not in given


def _by_contract(port: Port, case: Case) -> bool:
    """Whether the port's contract has another answer than the vector: that of the reference, called as it says."""
    given = case.arguments
    if "code" in case.answers[0].expected:
        code = case.answers[0].expected["code"]
        return code in ("bad_temperature", "bad_k") and port.contract.differs(case.op, given)
    rule = port.contract.rule_for_ties(given.get("ties"))
    other_tie = case.op in WITH_TIES and rule not in ("lowest_id", given.get("ties"))
    return other_tie or bool(port.options(case.op)) or port.on_its_terms(case.op, given).keys() != given.keys()

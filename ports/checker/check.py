"""The order of work: hello, one vector of each operation, all vectors, random cases, a bundle, sequences."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from weights_export.bundle import Bundle, open_bundle

from ..vectors import Case, Vectors, load_all
from . import bundle_cases, random_cases, vector_cases
from .judge import Outcome, Word
from .port import Port
from .process import GaveUpError
from .results import BAD, Mark, Report, Result

Answers = dict[int, tuple[Outcome, Any]]  # vector id -> outcome, and the whole of what came
STORAGE_ORDER = "looks like: memory read in storage order, whatever the strides"


@dataclass(frozen=True)
class Plan:
    """How much to check: random cases a stage (0: none), and the bundle, if any."""

    examples: int = 60
    thorough: bool = False
    bundle: Path | None = bundle_cases.EMBEDDED


THOROUGH = Plan(examples=2_000, thorough=True)


def check(port: Port, plan: Plan, watch: Callable[[str], None] = lambda phase: None) -> Report:
    """All of it; the port is closed at the end. `watch` is told the name of each phase.

    Raises: OSError or ValueError if the bundle cannot be read; nothing that the port does raises.
    """
    described = {name: getattr(port, name) for name in ("name", "version", "language", "dtypes", "ties", "operations")}
    report, answers = Report(described), {}
    try:
        bundle = None if plan.bundle is None else _opened(plan.bundle)  # refused before all that takes time
        for phase, results in _phases(port, plan, bundle, answers):
            watch(phase)
            report.results.extend(results)  # one by one: those before a port gives up are kept
            if phase == "smoke" and _broken(report):
                report.gave_up = "the plainest vector of every operation went without an answer: mend the harness first"
                break
    except GaveUpError as error:
        report.gave_up = str(error)
    finally:
        port.close()
    if not all(outcome.conforms for outcome, _ in answers.values()):
        from .diagnosis import likely_mistakes  # brings PyTorch with it: only for a port that failed

        watch("looking for the likely mistake")
        report.mistakes.update(likely_mistakes(answers))
    elif any(result.phase == "layout" and result.mark in BAD for result in report.results):
        report.mistakes.update({result.op: STORAGE_ORDER for result in report.results if result.mark in BAD})
    return report


def _opened(folder: Path) -> Bundle:
    """The bundle. Raises: ValueError or OSError for what is none, and for the head alone, without contexts."""
    bundle = open_bundle(folder)
    bundle.context  # noqa: B018
    return bundle


@cache
def _files() -> list[Vectors]:
    return load_all()


def _phases(port: Port, plan: Plan, bundle: Bundle | None, answers: Answers) -> Iterator[tuple[str, Iterable[Result]]]:
    """The phases in order, each with its results as they come; `answers` is filled with those to the vectors."""
    files = _files()
    cases = [case for file in files for case in file.cases]
    smoke = vector_cases.smoke_cases(files)
    yield "smoke", (result for *_, result in vector_cases.run(port, smoke, "smoke"))
    yield "vectors", _vectors(port, cases, answers)
    if port.in_other_layout is not None:
        other = replace(port, call=port.in_other_layout)
        yield "layout", _layout(other, [case for case in cases if case.id in answers and answers[case.id][0].conforms])
    if plan.examples:
        yield "random", random_cases.run(port, plan.examples)
    if bundle is not None:
        yield "bundle", bundle_cases.run(port, bundle, plan.thorough)


def _broken(report: Report) -> bool:
    """Whether no operation gave an answer at all."""
    marks = [result.mark for result in report.results if result.mark != Mark.NOT_CHECKED]
    return bool(marks) and all(mark == Mark.ERRORED for mark in marks)


def _vectors(port: Port, cases: list[Case], answers: Answers) -> Iterator[Result]:
    """All vectors, the answers kept."""
    last: list[Any] = [None]

    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        last[0] = None
        try:
            last[0] = port.call(op, given)
        except Exception as error:
            last[0] = error
            raise
        return last[0]

    for case, outcome, result in vector_cases.run(replace(port, call=call), cases, "vectors"):
        if outcome is not None and outcome.word != Word.SKIPPED:
            answers[case.id] = (outcome, last[0])
        yield result


def _layout(port: Port, cases: list[Case]) -> Iterator[Result]:
    """What fails in another memory layout alone."""
    for _, _, result in vector_cases.run(port, cases, "layout"):
        if result.mark in BAD:
            reason = f"{result.reason}, with its arrays in Fortran's memory order"
            yield replace(result, rule="HEAD-4", reason=reason)

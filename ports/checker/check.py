"""The order of work: hello, one vector of each operation, all vectors, random cases, a bundle, sequences."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..judge import Word
from ..vectors import Case, load_all
from . import bundle_cases, random_cases, vectors
from .port import Port
from .process import GaveUpError
from .results import BAD, Mark, Report, Result

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
    report = Report(described)
    try:
        for phase, results in _phases(port, plan, report):
            watch(phase)
            report.results.extend(results)
            if phase == "smoke" and _broken(report):
                report.gave_up = "the plainest vector of every operation failed to be answered: mend the harness first"
                break
    except GaveUpError as error:
        report.gave_up = str(error)
    finally:
        port.close()
    return report


def _phases(port: Port, plan: Plan, report: Report) -> Iterator[tuple[str, Iterable[Result]]]:
    files = load_all()
    smoke = vectors.smoke_cases(files)
    yield "smoke", (result for *_, result in vectors.run(port, smoke, "smoke"))
    yield "vectors", _vectors(port, [case for file in files for case in file.cases], report)
    if plan.examples:
        yield "random", random_cases.run(port, plan.examples)
    if plan.bundle is not None:
        yield "bundle", bundle_cases.run(port, plan.bundle, plan.thorough)


def _broken(report: Report) -> bool:
    """Whether no operation gave an answer at all."""
    marks = [result.mark for result in report.results if result.mark != Mark.NOT_CHECKED]
    return bool(marks) and all(mark == Mark.ERRORED for mark in marks)


def _vectors(port: Port, cases: list[Case], report: Report) -> Iterator[Result]:
    """All vectors, then what the failing ones look like."""
    answers, failed = {}, False
    last: list[object] = [None]

    def call(op: str, given: dict[str, object]) -> dict[str, object]:
        last[0] = None
        try:
            last[0] = port.call(op, given)
        except Exception as error:
            last[0] = error
            raise
        return last[0]  # type: ignore[return-value]

    for case, outcome, result in vectors.run(replace(port, call=call), cases, "vectors"):
        if outcome is not None and outcome.word != Word.SKIPPED:
            answers[case.id] = (outcome, last[0])
        failed = failed or result.mark in BAD
        yield result
    if failed:
        from .diagnosis import likely_mistakes  # brings PyTorch with it: only for a port that failed

        report.mistakes.update(likely_mistakes(answers))
    elif port.in_other_layout is not None:
        for _, _, result in vectors.run(replace(port, call=port.in_other_layout), cases, "layout"):
            if result.mark in BAD:
                report.mistakes.setdefault(result.op, STORAGE_ORDER)
                reason = f"{result.reason}, with its arrays in Fortran's memory order"
                yield replace(result, rule="HEAD-4", reason=reason)

"""Runs a whole check: one vector of each operation, all vectors, real sizes, random cases, bundles, sequences."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from parity_tests.judges.words import BAD, Verdict, Word
from weights_export.bundle import Bundle, open_bundle

from ..vectors import Case, Vectors, load_all
from . import bundle_cases, claims, profile_cases, random_cases, size_cases, vector_cases
from .answers import Answers, Beyond, recorded
from .asking import Recorder
from .bundle_steps import Told
from .errors import GaveUpError
from .port import Port
from .results import Report
from .size_cases import from_some_size_on

STORAGE_ORDER = "looks like: memory read in storage order, whatever the strides"


@dataclass(frozen=True)
class Plan:
    """How much to check: random cases for each stage (0 for none), cases of real sizes, and the bundle, if any."""

    examples: int = 60
    sizes: bool = True
    thorough: bool = False
    bundle: Path | None = bundle_cases.EMBEDDED


THOROUGH = Plan(examples=2_000, thorough=True)


def check(port: Port, plan: Plan, watch: Callable[[str], None] = lambda phase: None) -> Report:
    """Run all phases and close the port. `watch` is called with the name of each phase, and of each operation in it.

    Raises: OSError or ValueError if the bundle cannot be read. Nothing that the port does raises.
    """
    report = Report(port.described)
    if port.profile:
        report.profile, report.departs = port.profile.name, port.departs()
    answers: Answers = {}
    told: list[Told] = []
    beyond: list[Beyond] = []
    settings: list[Beyond] = []  # right answers to them
    recorder = Recorder(port.call, report.seen)
    try:
        bundle = None if plan.bundle is None else _opened(plan.bundle)  # a bad bundle is refused before the long work
        for phase, verdicts in _phases(recorder.watching(port), plan, bundle, answers, told):
            watch(phase)
            for verdict in verdicts:  # from a generator: those before a GaveUpError are kept
                report.verdicts.append(verdict)
                watch(f"{phase}: {verdict.operation}")
                if verdict.word in BAD:
                    # A memory layout is nothing that a request could repeat.
                    report.requests.append([] if phase == "layout" else recorder.requests())
                    if phase in ("profile", "sizes", "random") and verdict.word == Word.DIVERGED:
                        beyond.append((*recorder.last, recorder.answer))
                elif phase == "profile" and verdict.conforms:
                    settings.append((*recorder.last, recorder.answer))
            if phase == "smoke" and _broken(report):
                report.gave_up = "not even the simplest vector of any operation was answered: fix the harness first"
                break
    except GaveUpError as error:
        report.gave_up = str(error)
        if error.verdict is not None:
            report.verdicts.append(error.verdict)
            report.requests.append(recorder.requests())
    finally:
        fault = port.close()
    if fault and not report.gave_up:
        report.verdicts.append(Verdict(operation="stop", word=Word.ERRORED, phase="stop", reason=fault))
        report.requests.append([])
    if port.profile and report.failures:
        from .profile_diagnosis import likely_mistakes as of_profile

        watch("looking for the likely mistake")
        report.mistakes.update(of_profile(port, answers, settings, beyond))
    answers = {number: one for number, one in answers.items() if one.case.op not in report.mistakes}
    if not all(answered.verdict.conforms for answered in answers.values()):
        from .diagnosis import likely_mistakes  # imports PyTorch, which takes seconds: only for a port that failed

        watch("looking for the likely mistake")
        report.mistakes.update(likely_mistakes(answers, beyond))
    if any(one.verdict.word in BAD for one in told):
        from .bundle_diagnosis import likely_mistakes as of_bundles

        watch("looking for the likely mistake")
        report.mistakes.update(of_bundles(told))
    for failure in report.failures:
        if failure.phase == "layout" and failure.operation not in report.mistakes:
            report.mistakes[failure.operation] = STORAGE_ORDER
    report.mistakes = {**from_some_size_on(report.verdicts), **report.mistakes}
    return report


def _opened(folder: Path) -> Bundle:
    """The bundle, intact: a port that refuses a damaged one is right.

    Raises: ValueError or OSError if it is not a bundle, if it is damaged, or if it has no contexts.
    """
    bundle = open_bundle(folder)
    bundle.verify()
    bundle.context  # noqa: B018 - raises if there are none
    return bundle


@cache
def _files() -> list[Vectors]:
    return load_all()


def _phases(
    port: Port, plan: Plan, bundle: Bundle | None, answers: Answers, told: list[Told]
) -> Iterator[tuple[str, Iterable[Verdict]]]:
    """The phases in order, each with its verdicts as they come. Fills `answers` and `told`, for the diagnosis."""
    files = _files()
    cases = [case for file in files for case in file.cases]
    smoke = vector_cases.smoke_cases(files)
    yield "smoke", (verdict for _, verdict in vector_cases.run(port, smoke, "smoke"))
    yield "vectors", recorded(port, cases, answers)
    for layout, call in port.layouts.items():
        good = [case for case in cases if case.id in answers and answers[case.id].verdict.conforms]
        yield "layout", _layout(replace(port, call=call), good, layout)
    if port.profile:
        yield "profile", profile_cases.run(port)
    if plan.sizes:
        yield "sizes", size_cases.run(port)
    if plan.examples:
        yield "random", random_cases.run(port, plan.examples)
    yield "claims", claims.run(port)
    if bundle is not None:
        yield "bundle", bundle_cases.run(port, bundle, plan.thorough, told)
        yield "bundles", bundle_cases.made(port, told)


def _broken(report: Report) -> bool:
    """Whether not one operation gave an answer. Then the harness is wrong, and a head cannot be judged through it."""
    words = [verdict.word for verdict in report.verdicts if verdict.word != Word.NOT_CHECKED]
    return bool(words) and all(word == Word.ERRORED for word in words)


def _layout(port: Port, cases: list[Case], layout: str) -> Iterator[Verdict]:
    """The vectors that fail only because the arrays are in another memory layout."""
    for _, verdict in vector_cases.run(port, cases, "layout"):
        if verdict.word in BAD:
            yield replace(verdict, rule="HEAD-4", reason=f"{verdict.reason}, with its arrays {layout}")

"""Random cases from the suite's strategies, judged against the reference; a failing case is shrunk to a small one."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import Flaky

from parity_tests import strategies
from parity_tests.contract import FLOATS
from parity_tests.verdict import BAD, Verdict, Word
from reference.operations import STAGES

from . import profile_cases
from .asking import confirmed
from .by_reference import guarded
from .errors import BrokenError
from .port import Port


class _Stop(BaseException):
    """Ends the search at once, without shrinking: the port broke the protocol, or does not support this.

    A `BaseException` because Hypothesis would shrink an `Exception`; see `errors.GaveUpError`.
    """


def run(port: Port, examples: int) -> Iterator[Verdict]:
    """`examples` cases of each function of the port. Of the failures of a function, only the smallest is kept."""
    # Hypothesis keeps files in the working folder, which is the user's, unless it is told otherwise.
    dtypes = tuple(dtype for dtype in FLOATS if dtype in port.contract.dtypes)
    with TemporaryDirectory(prefix="lm-head-cases-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            for operation in STAGES:
                if operation in port.operations:
                    rules = st.sampled_from(port.contract_of(operation).tie_arguments(operation))
                    cases = st.builds(operator.or_, strategies.arguments(operation, dtypes), rules)
                    yield from _operation(port, operation, cases, guarded, examples)
            if port.profile and profile_cases.OPERATION in port.operations:
                cases = profile_cases.arguments(port.profile, dtypes)
                yield from _operation(port, profile_cases.OPERATION, cases, profile_cases.asked, examples)
        finally:
            set_hypothesis_home_dir(None)


def _operation(
    port: Port,
    operation: str,
    cases: st.SearchStrategy[dict[str, Any]],
    judged: Callable[[Verdict, Port, dict[str, Any]], Verdict],
    examples: int,
) -> list[Verdict]:
    good: list[Verdict] = []
    failures: list[Verdict] = []
    stopped: list[Verdict] = []

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(cases)
    def search(given: dict[str, Any]) -> None:
        blank = Verdict(operation=operation, word=Word.ERRORED, phase="random", inputs=given)
        verdict = confirmed(lambda: judged(blank, port, given))
        if verdict.word not in BAD and verdict.word != Word.NOT_CHECKED:
            good.append(verdict)
        elif verdict.word == Word.NOT_CHECKED and operation == profile_cases.OPERATION:
            stopped.append(verdict)  # an engine may lack one setting, and take the others
        elif verdict.word == Word.NOT_CHECKED or not verdict.repeats or isinstance(verdict.actual, BrokenError):
            stopped.append(verdict)
            raise _Stop
        else:
            failures.append(verdict)
            raise AssertionError

    try:
        search()
    except _Stop:
        return good + stopped
    except AssertionError:
        # Hypothesis runs the smallest failing case last. The failures before it are only steps on the way there.
        return good + failures[-1:]
    except Flaky:  # it failed twice in a row, and was right when Hypothesis came back to it
        reason = "the same request is answered in different ways: it failed twice and was right once"
        bad = replace(failures[-1], word=Word.ERRORED, rule="", reason=reason, ratio=0.0, repeats=False)
        return [*good, bad]
    return good + stopped

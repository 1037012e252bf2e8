"""Random cases from the suite's strategies, judged against the reference; a failing case is shrunk to a small one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

import reference
from parity_tests import strategies
from parity_tests.verdict import BAD, Verdict, Word, compare
from reference.operations import OPERATIONS, STAGES

from .errors import BrokenError, RefusedError, SkippedError
from .judge import why_no_answer
from .port import FLOATS, Port


class _Stop(BaseException):
    """Ends the search at once, without shrinking: the port broke the protocol, or does not support this.

    A `BaseException` because Hypothesis would shrink an `Exception`; see `errors.GaveUpError`.
    """


def run(port: Port, examples: int) -> Iterator[Verdict]:
    """`examples` cases of each function of the port. Of the failures of a function, only the smallest is kept."""
    for operation in STAGES:
        if operation in port.operations:
            yield from _operation(port, operation, examples)


def _operation(port: Port, operation: str, examples: int) -> list[Verdict]:
    good: list[Verdict] = []
    failures: list[Verdict] = []
    stopped: list[Verdict] = []
    dtypes = tuple(dtype for dtype in FLOATS if dtype in port.dtypes)
    rules = [{"ties": rule} for rule in port.ties] if "ties" in OPERATIONS[operation].arguments else [{}]

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
    @given(strategies.arguments(operation, dtypes), st.sampled_from(rules))
    def search(arguments: dict[str, Any], rule: dict[str, Any]) -> None:
        blank = Verdict(operation=operation, word=Word.ERRORED, phase="random", inputs=arguments)
        try:
            verdict = one(port, operation, {**arguments, **rule}, "random")
        except SkippedError as reason:
            stopped.append(replace(blank, word=Word.NOT_CHECKED, reason=str(reason)))
            raise _Stop from None
        except BrokenError as error:
            stopped.append(replace(blank, reason=str(error), actual=error))
            raise _Stop from None
        if verdict.word not in BAD:
            good.append(verdict)
            return
        failures.append(verdict)
        raise AssertionError

    try:
        search()
    except _Stop:
        return good + stopped
    except AssertionError:
        # Hypothesis runs the smallest failing case last. The failures before it are only steps on the way there.
        return good + failures[-1:]
    except Flaky:
        reason = "the same case failed once and passed once: the port gives different answers to the same request"
        return [*good, replace(failures[-1], word=Word.ERRORED, rule="", reason=reason, ratio=0.0)]
    return good


def one(port: Port, operation: str, arguments: dict[str, Any], phase: str) -> Verdict:
    """The verdict on one case, by comparison with the reference.

    Raises: SkippedError and BrokenError, as the port's call does.
    """
    expected = _reference(operation, arguments)
    given = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    if operation == "multinomial":
        given["num_samples"] = 1
    blank = Verdict(operation=operation, word=Word.DIVERGED, rule="HEAD-5", phase=phase, inputs=arguments)
    try:
        actual: Any = port.call(operation, given)
    except (RefusedError, ValueError, TypeError) as error:
        if isinstance(expected, ValueError):
            return Verdict(operation=operation, word=Word.REFUSED, phase=phase)
        return replace(blank, reason="refused", actual=error, expected=expected)
    except (SkippedError, BrokenError):
        raise
    except Exception as error:  # the head crashed in its own way
        return replace(blank, word=Word.ERRORED, rule="", reason=why_no_answer(error), actual=error)
    if isinstance(expected, ValueError):
        return replace(blank, reason="answered what must be refused", actual=actual, expected=expected)
    names = OPERATIONS[operation].results
    found = tuple(actual.get(name) for name in names)
    if not all(isinstance(value, (np.ndarray, np.generic)) for value in found):
        reason = f"the result must have {' and '.join(names)}, tensors"
        return replace(blank, word=Word.ERRORED, rule="", reason=reason, actual=actual)
    verdict = compare(operation, expected, found if len(names) > 1 else found[0], **arguments)
    if verdict.conforms:
        return replace(verdict, phase=phase)
    return replace(verdict, phase=phase, inputs=verdict.inputs or arguments)


def _reference(operation: str, arguments: dict[str, Any]) -> Any:
    """What the reference returns, or the ValueError that it raises."""
    try:
        if operation == "multinomial":
            return reference.multinomial(arguments["probs"], rng=strategies.FixedNoise(arguments["noise"]))
        return getattr(reference, operation)(**arguments)
    except ValueError as error:
        return error

"""Random inputs from the suite's strategies, judged by its verdicts against the reference, shrunk where wrong."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

import reference
from parity_tests import strategies
from parity_tests.verdict import Verdict, compare

from .judge import RefusedError, SkippedError
from .port import FLOATS, STAGES, Port
from .process import BrokenError, ErroredError
from .results import Mark, Result, brief

_RESULT = {
    "compute_logits": ("logits",),
    "apply_temperature": ("logits",),
    "top_k": ("values", "token_ids"),
    "keep_top_k": ("logits",),
    "softmax": ("probs",),
    "multinomial": ("token_ids",),
    "inverse_cdf": ("token_ids",),
    "lm_head": ("probs",),
}


class _Stop(BaseException):
    """Ends the search at once, shrinking included: the port broke, or has no such thing."""


def run(port: Port, examples: int) -> Iterator[Result]:
    """`examples` cases of each stage that the port has; the smallest failing one of each stage that fails."""
    for stage in STAGES:
        if stage in port.operations:
            yield from _stage(port, stage, examples)


def _stage(port: Port, stage: str, examples: int) -> list[Result]:
    results: list[Result] = []
    failures: list[Result] = []
    stopped: list[Result] = []
    dtypes = tuple(dtype for dtype in FLOATS if dtype in port.dtypes)
    rules = [{"ties": rule} for rule in port.ties] if stage == "keep_top_k" else [{}]

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
    @given(strategies.arguments(stage, dtypes), st.sampled_from(rules))
    def search(arguments: dict[str, Any], rule: dict[str, Any]) -> None:
        try:
            result = one(port, stage, {**arguments, **rule})
        except SkippedError as reason:
            stopped.append(Result("random", stage, Mark.NOT_CHECKED, reason=str(reason)))
            raise _Stop from None
        except BrokenError as error:
            stopped.append(Result("random", stage, Mark.ERRORED, case=_brief(arguments), reason=str(error)))
            raise _Stop from None
        results.append(result)
        if result.mark in (Mark.DIVERGED, Mark.ERRORED):
            failures.append(result)
            raise AssertionError

    try:
        search()
    except _Stop:
        return [r for r in results if r not in failures] + stopped
    except AssertionError:
        # Hypothesis ends with the smallest failing case; what it tried on the way there is no finding of its own.
        return [r for r in results if r not in failures] + failures[-1:]
    except Flaky:
        reason = "the same case failed once and passed once: the port does not answer the same question alike"
        return [r for r in results if r not in failures] + [
            Result("random", stage, Mark.ERRORED, case=failures[-1].case, reason=reason)
        ]
    return results


def one(port: Port, stage: str, arguments: dict[str, Any], phase: str = "random") -> Result:
    """One case: the port against the reference.

    Raises: SkippedError and BrokenError as the port's call does.
    """
    try:
        ours = _reference(stage, arguments)
    except ValueError as error:
        ours = error
    given = _inputs(stage, arguments)
    case = _brief(arguments)
    try:
        came = port.call(stage, given)
    except (RefusedError, ValueError, TypeError) as error:
        if isinstance(ours, ValueError):
            return Result(phase, stage, Mark.REFUSED)
        return Result(
            phase, stage, Mark.DIVERGED, rule="HEAD-5", case=case, reason=f"refused as {error}", expected=brief(ours)
        )
    except ErroredError as error:
        return Result(phase, stage, Mark.ERRORED, case=case, reason=str(error))
    except (SkippedError, BrokenError):
        raise
    except Exception as error:  # a Python port's own
        return Result(phase, stage, Mark.ERRORED, case=case, reason=f"{type(error).__name__}: {error}")
    if isinstance(ours, ValueError):
        reason = "answered what must be refused"
        return Result(phase, stage, Mark.DIVERGED, "HEAD-5", "HEAD-5", case, reason, brief(came), brief(ours))
    theirs = tuple(came.get(name) for name in _RESULT[stage])
    if not all(isinstance(value, (np.ndarray, np.generic)) for value in theirs):
        reason = f"the result must have {' and '.join(_RESULT[stage])}, tensors"
        return Result(phase, stage, Mark.ERRORED, case=case, reason=reason, came=brief(came))
    verdict = compare(stage, ours, theirs if stage == "top_k" else theirs[0], **arguments)
    return of_verdict(phase, stage, verdict, case)


def of_verdict(phase: str, op: str, verdict: Verdict, case: str) -> Result:
    """A verdict of the suite as a result; the verdict's own, smaller case where it has one."""
    smaller = ", ".join(f"{name} {brief(value, 120)}" for name, value in verdict.case.items())
    place = f" at {list(verdict.place)}" if verdict.place else ""
    return Result(
        phase,
        op,
        Mark(verdict.word.value),
        verdict.ratio,
        verdict.rule,
        smaller or case,
        verdict.reason + (f", error {verdict.ratio:.3g} x bound" if verdict.ratio > 1 else ""),
        brief(verdict.theirs) + place,
        brief(verdict.ours),
    )


def _reference(stage: str, arguments: dict[str, Any]) -> Any:
    if stage != "multinomial":
        return getattr(reference, stage)(**arguments)
    return reference.multinomial(arguments["probs"], rng=strategies.FixedNoise(arguments["noise"]))


def _inputs(stage: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """As the protocol names them; arrays of their own, in case the port changes them."""
    given = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    if stage == "multinomial":
        given["num_samples"] = 1
    return given


def _brief(arguments: dict[str, Any]) -> str:
    return brief(", ".join(f"{name} {brief(value, 120)}" for name, value in arguments.items()))

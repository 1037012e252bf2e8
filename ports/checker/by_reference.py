"""Judges one call of a port by comparison with the reference, under the contract of the port."""

from dataclasses import replace
from typing import Any

import numpy as np

import reference
from parity_tests import strategies
from parity_tests.contract import OPTIONS
from parity_tests.judges.words import brief
from parity_tests.verdict import Verdict, Word, compare
from reference.operations import OPERATIONS, WITH_TIES

from .errors import BrokenError, RefusedError, SkippedError
from .judge import cut_short, form_fault, why_no_answer
from .port import Port


def one(port: Port, operation: str, arguments: dict[str, Any], phase: str) -> Verdict:
    """The verdict on one case; a `multinomial` draws one token unless the case says otherwise.

    Raises: SkippedError and BrokenError, as the port's call does.
    """
    same, judged = port.contract.stands_for(operation, arguments)
    rule = port.contract_of(operation).rule_for_ties(arguments.get("ties"))
    ties = {"ties": rule} if same in WITH_TIES else {}
    if rule != "any" and "ties" in OPERATIONS[operation].arguments:
        judged.setdefault("ties", rule)
    expected = _reference(same, judged)
    given = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()}
    if operation == "multinomial":
        given.setdefault("num_samples", 1)
    for option in OPTIONS:
        if option in given and not port.contract.told(option, given[option]):
            del given[option]
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
        if port.contract.refusals == "none":
            return replace(blank, word=Word.NOT_CHECKED, rule="", reason=UNDEFINED)
        wanted_refusal = f"a refusal: {brief(str(expected), 80)}"
        blank = replace(blank, rule="", reason="answered what must be refused", actual=actual)
        return replace(blank, word=Word.UNREFUSED, expected=wanted_refusal)
    names = OPERATIONS[operation].results
    fault = form_fault(actual, names)
    if fault:
        return replace(blank, word=Word.ERRORED, rule="", reason=fault, actual=actual)
    found = tuple(actual[name] for name in names)
    verdict = compare(same, expected, found if len(names) > 1 else found[0], **{**judged, **ties})
    verdict = replace(verdict, operation=operation, phase=phase)
    if verdict.conforms:
        return verdict
    verdict = replace(verdict, inputs=verdict.inputs or arguments)
    wanted = expected if len(names) > 1 else (expected,)
    same_shape = all(np.shape(a) == np.shape(b) for a, b in zip(found, wanted, strict=True))
    return cut_short(found[0], np.asarray(wanted[0]), verdict) if same_shape else verdict


UNDEFINED = "its contract leaves bad input undefined"


def guarded(blank: Verdict, port: Port, arguments: dict[str, Any]) -> Verdict:
    """As `one`; what the port lacks or skips is not checked, and what it breaks is an error."""
    arguments = port.on_its_terms(blank.operation, arguments)
    reason = port.lacks(blank.operation, arguments)
    if reason:
        return replace(blank, word=Word.NOT_CHECKED, reason=reason)
    try:
        return one(port, blank.operation, arguments, blank.phase)
    except SkippedError as skipped:
        return replace(blank, word=Word.NOT_CHECKED, reason=str(skipped))
    except BrokenError as error:
        return replace(blank, word=Word.ERRORED, reason=str(error), actual=error)


def _reference(operation: str, arguments: dict[str, Any]) -> Any:
    """What the reference returns, or the ValueError that it raises."""
    try:
        if operation == "multinomial":
            noise = strategies.FixedNoise(arguments["noise"])
            return reference.multinomial(arguments["probs"], arguments.get("num_samples", 1), rng=noise)
        return getattr(reference, operation)(**arguments)
    except ValueError as error:
        return error

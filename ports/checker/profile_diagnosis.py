"""The likely mistake of a port under a profile: the other reading of the profile that is right about every answer."""

from collections.abc import Iterator, Mapping
from itertools import chain, product
from typing import Any

import numpy as np

import reference
from parity_tests.verdict import compare
from reference.operations import OPERATIONS, TIES, UNTIL
from reference.pipeline import Step
from reference.profiles import Profile

from ..vectors import arguments
from .answers import Answers, Beyond
from .misreadings import misreadings, steps
from .port import Port
from .profile_cases import OPERATION

NOT_RECOGNISED = "not recognised: no one change of the profile gives these answers"
SHOWN = 3  # how many readings are named at most


Told = tuple[dict[str, Any], Any]  # arguments and the answer


def likely_mistakes(port: Port, answers: Answers, right: list[Beyond], beyond: list[Beyond]) -> dict[str, str]:
    """For each operation that the profile has and the port gets wrong, the other reading, if there is one.

    `right` are the right answers to settings, `beyond` the wrong ones, and those to other cases than the vectors.
    """
    assert port.profile is not None
    found: dict[str, str] = {}
    for op in [op for op in port.operations if port.options(op)]:
        of_op = [one for one in answers.values() if one.case.op == op and one.case.result != "invalid"]
        wrong = [(given, answer) for name, given, answer in beyond if name == op]
        if wrong or not all(one.verdict.conforms for one in of_op):
            told = [(arguments(one.case.inputs), one.answer) for one in of_op]
            named = list(_options(port, op, wrong + told))
            found |= {op: f"looks like: {named[0]}, not {_words(port.options(op))}"} if named else {}
    wrong, good = ([(given, answer) for op, given, answer in told if op == OPERATION] for told in (beyond, right))
    if wrong:
        named = list(_readings(port.profile, wrong, good))
        known = " or ".join(named[:SHOWN])
        found[OPERATION] = f"looks like: {known}" if named else NOT_RECOGNISED
    return found


def _options(port: Port, op: str, told: list[Told]) -> Iterator[str]:
    """The other boundaries and tie rules by which every answer is right."""
    words = {"until": UNTIL, "ties": TIES}
    names = list(port.options(op))
    for values in product(*(words[name] for name in names)):
        options = dict(zip(names, values, strict=True))
        if all(_is_right(op, {**given, **options}, answer) for given, answer in told):
            yield _words(options)


def _words(options: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _readings(profile: Profile, wrong: list[Told], good: list[Told]) -> Iterator[str]:
    """What the profile may have been taken for: then every answer is right."""
    for reading in misreadings(profile):
        others = (one for one in good if steps(reading, one[0]["settings"]) != profile.steps(**one[0]["settings"]))
        if all(_gives(steps(reading, given["settings"]), given, answer) for given, answer in chain(wrong, others)):
            yield reading.name


def _gives(taken: list[Step], given: Mapping[str, Any], answer: Any) -> bool:
    """Whether the answer is that of these steps."""
    of_process = {name: given[name] for name in ("logits", "history", "prompt_length")}
    return _is_right("process", {**of_process, "steps": taken, "uniform": np.zeros(given["logits"].shape[:-1])}, answer)


def _is_right(op: str, given: dict[str, Any], answer: Any) -> bool:
    try:
        expected = getattr(reference, op)(**given)
    except (ValueError, TypeError):
        return isinstance(answer, Exception)
    if not isinstance(answer, dict) or not isinstance(answer.get("logits"), np.ndarray):
        return False
    return compare(op, expected, answer["logits"], **OPERATIONS[op].defaults | given).conforms

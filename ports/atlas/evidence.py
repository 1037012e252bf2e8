"""What one vector says of an implementation: the rule that it speaks of, and how the answer differs, in a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity_tests.judges.words import Verdict
from reference.operations import OPERATIONS

from ..checker import random_cases
from ..checker.judge import judge, wrong_kind
from ..checker.port import Port
from ..values import from_json, to_json
from ..vectors import Answer, Case, arguments
from . import Otherwise, questions
from .calls import is_batch

ODD = 100  # the size of a case with a tensor that is empty or has no axis: small, but it shows less
SHOWN = 6  # numbers of another answer that are shown in full


@dataclass(frozen=True)
class Finding:
    """What one case says of one rule: "" if it is kept, else how the implementation differs."""

    rule: str
    op: str
    difference: str = ""
    size: int = 0  # numbers in the inputs: the smallest case is shown
    refuses: bool = False  # whether good input is refused


def blamed(case: Case, verdict: Verdict, port: Port) -> str:
    """The rule that a case speaks of: its group's, but where the difference is one of another rule.

    A batch that differs where each of its rows alone conforms is HEAD-4's, and nothing else is; so is one that is
    refused where no row alone is. Where exactly k survive, but others, the suite's verdict tells a tie (TOPK-2) from a
    wrong count (TOPK-1).
    """
    rule = verdict.rule or case.rule
    if verdict.conforms or case.result == "invalid" or rule in ("HEAD-2", "HEAD-3"):
        return rule
    inputs = arguments(case.inputs)
    if "seed" in inputs:  # rows share a stream: none can be asked alone
        return "HEAD-4" if _raises(verdict) and is_batch(inputs) else rule
    if is_batch(inputs):
        alone = [judge(row, port.call) for row in _rows(case)]
        if all(row.conforms for row in alone) or (_raises(verdict) and not any(map(_raises, alone))):
            return "HEAD-4"
    if rule not in ("HEAD-4", "TOPK-1") or case.op == "multinomial":
        return rule
    return random_cases.one(port, case.op, inputs, "atlas").rule or OPERATIONS[case.op].rule


def _raises(verdict: Verdict) -> bool:
    """Whether an error of any kind was raised."""
    return isinstance(verdict.actual, Exception)


def _rows(case: Case) -> Iterator[Case]:
    """Each row of a batch as a case of its own."""
    inputs, answer = arguments(case.inputs), case.answers[0]
    batch = [name for name, given in inputs.items() if isinstance(given, np.ndarray) and name != "embedding"]
    lead = inputs[batch[0]].shape[:-1]
    for index in np.ndindex(lead):
        row = {**case.inputs, **{name: to_json(inputs[name][index]) for name in batch}}
        expected, bound = (
            {name: to_json(from_json(tensor)[index]) for name, tensor in (tensors or {}).items()}
            for tensors in (answer.expected, answer.bound)
        )
        yield replace(case, inputs=row, answers=(Answer(expected, bound or None),))


def of_vector(case: Case, verdict: Verdict, rule: str) -> Iterator[Finding]:
    """What a vector says: of its rule, and where it is refused, of HEAD-5 too."""
    tensors = {name: value for name, value in case.inputs.items() if isinstance(value, dict)}
    odd = any(not value["data"] or not (value["shape"] or name == "uniform") for name, value in tensors.items())
    size = sum(len(value["data"]) for value in tensors.values()) + odd * ODD
    inputs = {name: given for name, given in arguments(case.inputs).items() if name != "ties"}
    call = f"`{case.op}({questions.shown(inputs)})`"
    actual, must_refuse = verdict.actual, case.result == "invalid"
    if verdict.conforms:
        yield Finding(case.rule, case.op)
        if must_refuse:
            yield Finding("HEAD-5", case.op)
    elif isinstance(actual, Otherwise):
        yield Finding(case.rule, case.op, f"{call} {actual}; the rule: refuse", size)
    elif isinstance(actual, Exception) and must_refuse:
        kind = "TypeError" if wrong_kind(case) else "ValueError"
        yield Finding(case.rule, case.op)
        yield Finding("HEAD-5", case.op, f"{call} raises {type(actual).__name__}; the rule: {kind}", size)
    elif isinstance(actual, Exception):
        due = _values(arguments(case.answers[0].expected))
        yield Finding(rule, case.op, f"{call} {raised(actual)}; the rule: {due}", size, refuses=True)
    elif must_refuse:
        yield Finding(rule, case.op, f"{call} gives {_values(actual)}; the rule: refuse", size)
    else:
        yield Finding(rule, case.op, f"{call} {_difference(verdict)}", size)


def raised(error: Exception) -> str:
    """`raises RuntimeError: what it says`, one short line without addresses and paths of this machine."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = re.sub(r"(/[\w.@+-]+){2,}(:\d+)?", "...", text)
    return "raises " + (text if len(text) <= 100 else text[:100] + " ...")


def _values(given: Any) -> str:
    """The values of a result, or of what came in its place."""
    if isinstance(given, dict):
        return ", ".join(f"{name} {questions.value(value)}" for name, value in given.items())
    return questions.value(given)


def _difference(verdict: Verdict) -> str:
    """Another answer: as a whole where it is short, else at the first place where it is off."""
    actual, expected = verdict.actual, verdict.expected
    if not isinstance(actual, np.ndarray) or not isinstance(expected, np.ndarray) or actual.shape != expected.shape:
        return verdict.reason
    name = verdict.result
    if actual.dtype != expected.dtype and actual.dtype.kind == "f":
        return f"gives {name} in {actual.dtype}; the rule: {expected.dtype}"
    if actual.size > SHOWN and verdict.place:
        return f"gives {name}{list(verdict.place)} {actual[verdict.place]}; the rule: {expected[verdict.place]}"
    return f"gives {name} {questions.value(actual)}; the rule: {questions.value(expected)}"

"""What one vector shows about an implementation: which rule it is about, and how the answer differs, in one line.

A failing vector is only evidence. Each vector belongs to a rule, but it may fail for a reason that has nothing to do
with that rule. A batch of softmax rows, refused by an implementation that takes one row only, says nothing about
softmax. So `blamed` looks for the rule that is really broken, and `of_vector` makes a `Finding` of it. `survey.py`
counts the findings by rule.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity_tests.judges.words import Verdict
from reference.operations import OPERATIONS

from ..checker import by_reference
from ..checker.judge import judge, wrong_kind
from ..checker.port import Port
from ..values import from_json, to_json
from ..vectors import Answer, Case, arguments
from . import Otherwise, questions
from .calls import is_batch

# The page shows the smallest case for each rule. A tensor that is empty or has no axis is the smallest of all, but a
# refusal of such a thing tells a reader little. This is added to its size, so that an ordinary case is shown if any is.
ODD = 100
SHOWN = 6  # a wrong answer of up to so many numbers is shown in full


@dataclass(frozen=True)
class Finding:
    """What one case shows about one rule: that it is kept (`difference` is ""), or how the implementation differs."""

    rule: str
    op: str
    difference: str = ""
    size: int = 0  # how many numbers the inputs have: the page shows the smallest case
    refuses: bool = False  # whether the implementation refuses good input


def blamed(case: Case, verdict: Verdict, port: Port) -> str:
    """The rule that a case is about: that of the vector, unless the difference shows that another rule is broken.

    - HEAD-4 (rows are independent): a batch fails, but each of its rows alone conforms. Or the batch is refused, but
      no row alone is.
    - TOPK-1 and TOPK-2: other tokens survive. The suite's own judge tells a wrong count from a wrong choice at a tie.
    """
    rule = verdict.rule or case.rule
    # A wrong dtype and a changed input need no proof. For bad input there is no right answer to compare the rows with.
    if verdict.conforms or case.result == "invalid" or rule in ("HEAD-2", "HEAD-3"):
        return rule
    inputs = arguments(case.inputs)
    if "seed" in inputs:  # the rows share one random stream, so a row alone would draw other tokens
        return "HEAD-4" if _raises(verdict) and is_batch(inputs) else rule
    if is_batch(inputs):
        alone = [judge(row, port.call) for row in _rows(case)]
        if all(row.conforms for row in alone) or (_raises(verdict) and not any(map(_raises, alone))):
            return "HEAD-4"
    if rule not in ("HEAD-4", "TOPK-1") or case.op == "multinomial":
        return rule
    # A vector of HEAD-4 that fails row by row too is about something else, and one of TOPK-1 may fail at a tie. The
    # vector does not say which rule it is, so the suite's judge compares the answer with the reference's and names one.
    # (Not for a draw: `one` always draws a single token, whatever the vector asks for.)
    return by_reference.one(port, case.op, inputs, "atlas").rule or OPERATIONS[case.op].rule


def _raises(verdict: Verdict) -> bool:
    """Whether the implementation raised any error."""
    return isinstance(verdict.actual, Exception)


def _rows(case: Case) -> Iterator[Case]:
    """Each row of a batch as a case of its own, with its part of the expected answer."""
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
    """The findings from one vector: one about its rule, and for bad input one about HEAD-5 too.

    Bad input tests two rules. The vector's rule says that it must be refused; HEAD-5 says with which type of error. An
    implementation that raises RuntimeError keeps the first and differs from the second.
    """
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
    """`raises RuntimeError: its message` on one short line, without the paths of this machine.

    The line goes into a record that is kept in the repository: it must be the same on every machine.
    """
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = re.sub(r"(/[\w.@+-]+){2,}(:\d+)?", "...", text)
    return "raises " + (text if len(text) <= 100 else text[:100] + " ...")


def _values(given: Any) -> str:
    """The values of a result, or of whatever came instead."""
    if isinstance(given, dict):
        return ", ".join(f"{name} {questions.value(value)}" for name, value in given.items())
    return questions.value(given)


def _difference(verdict: Verdict) -> str:
    """How the answer differs: both answers in full if they are short, otherwise the first element that is wrong."""
    actual, expected = verdict.actual, verdict.expected
    if not isinstance(actual, np.ndarray) or not isinstance(expected, np.ndarray) or actual.shape != expected.shape:
        return verdict.reason
    name = verdict.result
    if actual.dtype != expected.dtype and actual.dtype.kind == "f":
        return f"gives {name} in {actual.dtype}; the rule: {expected.dtype}"
    if actual.size > SHOWN and verdict.place:
        return f"gives {name}{list(verdict.place)} {actual[verdict.place]}; the rule: {expected[verdict.place]}"
    return f"gives {name} {questions.value(actual)}; the rule: {questions.value(expected)}"

"""What one vector says of an implementation: the rule that it speaks of, and how the answer differs, in a line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..checker import random_cases
from ..checker.judge import Outcome, Word, judge, wrong_kind
from ..checker.port import Port
from ..values import from_json, to_json
from ..vectors import Answer, Case, arguments
from . import questions
from .calls import is_batch

ODD = 100  # the size of a case with a tensor that is empty or has no axis: small, but it shows less
SHOWN = 6  # numbers of another answer that are shown in full
FIRST_RULE = {  # of a stage: where a random case shows a difference without naming a rule
    "compute_logits": "LOGITS-1",
    "apply_temperature": "TEMP-1",
    "top_k": "TOPK-1",
    "keep_top_k": "TOPK-1",
    "softmax": "SOFTMAX-1",
    "multinomial": "DRAW-1",
    "inverse_cdf": "CDF-1",
    "lm_head": "HEAD-1",
}


@dataclass(frozen=True)
class Finding:
    """What one case says of one rule: "" if it is kept, else how the implementation differs."""

    rule: str
    op: str
    difference: str = ""
    size: int = 0  # numbers in the inputs: the smallest case is shown


def blamed(case: Case, outcome: Outcome, port: Port) -> str:
    """The rule that a case speaks of: its group's, but where the difference is one of another rule.

    A batch that differs where each of its rows alone conforms is HEAD-4's, and nothing else is; so is one that is
    refused where no row alone is. Where exactly k survive, but others, the suite's verdict tells a tie (TOPK-2) from a
    wrong count (TOPK-1).
    """
    rule = outcome.rule or case.rule
    if outcome.conforms or case.result == "invalid" or rule in ("HEAD-2", "HEAD-3"):
        return rule
    inputs = arguments(case.inputs)
    if "seed" in inputs:  # rows share a stream: none can be asked alone
        return "HEAD-4" if _refuses(outcome) and is_batch(inputs) else rule
    if is_batch(inputs):
        alone = [judge(row, port.call) for row in _rows(case)]
        if all(row.conforms for row in alone) or (_refuses(outcome) and not any(map(_refuses, alone))):
            return "HEAD-4"
    if rule not in ("HEAD-4", "TOPK-1") or case.op == "multinomial":
        return rule
    return random_cases.one(port, case.op, inputs).rule or FIRST_RULE[case.op]


def _refuses(outcome: Outcome) -> bool:
    """Whether good input raised an error of any kind."""
    return outcome.word == Word.ERRORED or outcome.reason == "refused"


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


def of_vector(case: Case, outcome: Outcome, rule: str) -> Iterator[Finding]:
    """What a vector says: of its rule, and where it is refused, of HEAD-5 too."""
    tensors = {name: value for name, value in case.inputs.items() if isinstance(value, dict)}
    odd = any(not value["data"] or not (value["shape"] or name == "uniform") for name, value in tensors.items())
    size = sum(len(value["data"]) for value in tensors.values()) + odd * ODD
    inputs = {name: given for name, given in arguments(case.inputs).items() if name != "ties"}
    call = f"`{case.op}({questions.shown(inputs)})`"
    kind = "TypeError" if wrong_kind(case) else "ValueError"
    if outcome.conforms:
        yield Finding(case.rule, case.op)
        if case.result == "invalid":
            yield Finding("HEAD-5", case.op)
    elif outcome.reason.startswith("Otherwise: "):
        yield Finding(
            case.rule, case.op, f"{call} {outcome.reason.removeprefix('Otherwise: ')}; the rule: refuse", size
        )
    elif case.result == "invalid" and (outcome.word == Word.ERRORED or outcome.reason.startswith("refused as")):
        text = raised(outcome.reason if outcome.word == Word.ERRORED else outcome.came)
        yield Finding(case.rule, case.op)
        yield Finding("HEAD-5", case.op, f"{call} raises {text.partition(':')[0]}; the rule: {kind}", size)
    elif _refuses(outcome):
        text = raised(outcome.reason if outcome.word == Word.ERRORED else outcome.came)
        yield Finding(rule, case.op, f"{call} raises {text}; the rule: {_answer(outcome, case)}", size)
    elif case.result == "invalid":
        yield Finding(rule, case.op, f"{call} gives {_answer(outcome, case)}; the rule: refuse", size)
    else:
        yield Finding(rule, case.op, f"{call} {_difference(outcome)}", size)


def raised(error: Any) -> str:
    """`RuntimeError: what it says`, one short line without addresses and paths of this machine."""
    text = " ".join(str(error).split())
    text = re.sub(r"(/[\w.@+-]+){2,}(:\d+)?", "...", text)
    return text if len(text) <= 100 else text[:100] + " ..."


def _answer(outcome: Outcome, case: Case) -> str:
    """What came where a refusal is due, or what is due where one came."""
    came = outcome.came if case.result == "invalid" else arguments(case.answers[0].expected)
    if isinstance(came, dict):
        return ", ".join(f"{name} {questions.value(value)}" for name, value in came.items())
    return questions.value(came)


def _difference(outcome: Outcome) -> str:
    """Another answer: as a whole where it is short, else at the first place where it is off."""
    reason, came, expected = outcome.reason, outcome.came, outcome.expected
    if not isinstance(came, np.ndarray) or not isinstance(expected, np.ndarray) or came.shape != expected.shape:
        return reason
    dtype = re.match(r"(\w+) has dtype (\w+), not (\w+)", reason)
    if dtype:
        return "gives {} in {}; the rule: {}".format(*dtype.groups())
    name = reason.partition(" ")[0]
    if came.dtype.kind == "f":
        expected = expected.astype(came.dtype)
    place = re.search(r"(?:differs|is off) at \[([\d, ]*)\]", reason)
    if came.size > SHOWN and place:
        index = tuple(int(i) for i in place[1].split(",") if i)
        return f"gives {name}{list(index)} {came[index]}; the rule: {expected[index]}"
    return f"gives {name} {questions.value(came)}; the rule: {questions.value(expected)}"

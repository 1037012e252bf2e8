"""One implementation held against every vector and the checker's random cases: what came of each rule of SPEC.md.

An adapter is a module of this package with any of the functions of `reference.head`, and

- `TITLE`, `SHORT`, `PACKAGES`: its name, the column's, and the distributions whose versions are recorded;
- `DTYPES`: the dtypes it can be handed, all four if not given;
- `TIES = "all"` if it follows TOPK-7; its `keep_top_k` has no `ties`: most have one rule;
- `POINTERS = True` for what is handed one row of floats and nothing else, as a C function is: HEAD-2 to HEAD-4 say
  nothing of it, and the adapter calls it row by row;
- `draw(logits) -> id`: one token by its own random stream, for `questions.py`.

It settles nothing and checks nothing that the implementation leaves alone.
"""

import importlib
import platform
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import reference
from parity_tests.heads import REFERENCE

from ..checker import random_cases, vectors
from ..checker.port import FLOATS, Port, from_python
from ..checker.results import Mark
from ..judge import Outcome, SkippedError, Word, judge, of_head, wrong_kind
from ..values import from_json, to_json
from ..vectors import Answer, Case, arguments, load_all
from . import questions

PLATFORM = f"{platform.system()} {platform.machine()}"
SPEC = Path(reference.__file__).with_name("SPEC.md")
EXAMPLES = 60  # random cases a stage, as many as the checker's default
ODD = 100  # the size of a case with a tensor that is empty or has no axis: small, but it shows less
SHOWN = 6  # numbers of another answer that are shown in full
RANDOM = 10**6  # of a random case: a vector, if there is one, is shown in its place
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


def adapter(name: str) -> ModuleType:
    """The module. Raises: ImportError if what it adapts is not installed."""
    return importlib.import_module(f"{__package__}.{name}")


def versions(module: ModuleType) -> dict[str, str]:
    """Of the packages that are adapted, without a local label such as `+cpu`."""
    return {package: metadata.version(package).partition("+")[0] for package in module.PACKAGES}


def survey(name: str, date: str) -> dict[str, Any]:
    """The record of one implementation, plain data."""
    module = adapter(name)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of bad input that is answered: what is answered is recorded
        found = list(findings(module))
        answers = questions.answers(module)
    rules: dict[str, Any] = {}
    for rule in sorted({finding.rule for finding in found}, key=_order):
        of_rule = [finding for finding in found if finding.rule == rule]
        differing = sorted((f for f in of_rule if f.difference), key=lambda f: f.size)
        rules[rule] = {"cases": len(of_rule), "differ": len(differing)}
        if differing:
            rules[rule] |= {"in": list(dict.fromkeys(f.op for f in differing)), "smallest": differing[0].difference}
    return {
        "name": name,
        "title": module.TITLE,
        "short": module.SHORT,
        "about": " ".join((module.__doc__ or "").split()),
        "versions": versions(module),
        "platform": PLATFORM,
        "date": date,
        "rules": rules,
        "answers": answers,
    }


def _order(rule: str) -> tuple[int, int]:
    stage, _, number = rule.partition("-")
    return ("HEAD", "LOGITS", "TEMP", "TOPK", "SOFTMAX", "DRAW", "CDF", "RNG").index(stage), int(number)


def findings(module: ModuleType) -> Iterator[Finding]:
    """What every vector and the random cases say of it."""
    port = _port(module)
    # What random cases would only find again: dtypes answered in another one, refusals of good input, batches.
    narrow: set[str] = set()
    refused: set[str] = set()
    batches: set[str] = set()
    for case, outcome, _ in vectors.run(port, [case for file in load_all() for case in file.cases], "vectors"):
        if outcome is None or outcome.word == Word.SKIPPED:
            continue
        for finding in _of_vector(case, outcome, _blamed(case, outcome, port)):
            if not (getattr(module, "POINTERS", False) and finding.rule in ("HEAD-2", "HEAD-3", "HEAD-4")):
                yield finding
            if " raises " in finding.difference and case.result != "invalid":
                refused.add(case.op)
            if finding.difference and finding.rule == "HEAD-4":
                batches.add(case.op)
            if finding.rule == "HEAD-2" and finding.difference and case.result != "invalid":
                narrow |= {value["dtype"] for value in case.inputs.values() if isinstance(value, dict)}
    dtypes = tuple(name for name in ("float32", "float64") if name in port.dtypes and name not in narrow)
    operations = tuple(op for op in port.operations if op != "lm_head" or port.ties != ("all",))
    quiet = replace(
        port, dtypes=dtypes or ("float32",), operations=operations, call=_Known(port.call, refused, batches)
    )
    for result in random_cases.run(quiet, EXAMPLES):
        if result.mark in (Mark.DIVERGED, Mark.ERRORED):
            rule = result.rule if result.rule not in ("", "HEAD-5") else FIRST_RULE[result.op]
            came = f"; came {result.came}; the rule: {result.expected}" if result.came else ""
            yield Finding(rule, result.op, f"`{result.op}({result.case})` {_raised(result.reason)}{came}", RANDOM)


def _port(module: ModuleType) -> Port:
    found = from_python(module.__name__)
    ties = (getattr(module, "TIES", "lowest_id"),)
    return replace(
        found,
        dtypes=getattr(module, "DTYPES", FLOATS),
        ties=ties,
        call=_Call(found.call, ties, getattr(module, "POINTERS", False)),
    )


class _Call:
    """The implementation as it is called, and what is not its to answer left out."""

    def __init__(self, call: Any, ties: tuple[str, ...], pointers: bool) -> None:
        self.call, self.ties, self.pointers = call, ties, pointers

    def __call__(self, op: str, given: dict[str, Any]) -> dict[str, Any]:
        ties = given.get("ties", "lowest_id")
        if op == "keep_top_k" and ties != self.ties[0]:
            raise SkippedError(f"no ties={ties!r}")
        if self.pointers and _beyond_pointers(given):
            raise SkippedError("one row of floats is all it can be handed")
        if op == "lm_head" and self.ties == ("all",) and _tied(given):
            raise SkippedError("a tie at the cut: it follows the other contract, TOPK-7")
        named = given.pop("ties", None)
        try:
            result: dict[str, Any] = self.call(op, given)
        finally:
            if named is not None:
                given["ties"] = named
        return result


class _Known:
    """What an operation is known to do otherwise is answered by the reference, so that the search goes on."""

    def __init__(self, call: Any, refused: set[str], batches: set[str]) -> None:
        self.call, self.refused, self.batches = call, refused, batches

    def __call__(self, op: str, given: dict[str, Any]) -> dict[str, Any]:
        if op in self.batches and _is_batch(given):
            return of_head(REFERENCE)(op, given)
        try:
            result: dict[str, Any] = self.call(op, given)
        except Exception as error:
            if op not in self.refused or isinstance(error, SkippedError):
                raise
            result = of_head(REFERENCE)(op, given)
        return result


def _is_batch(inputs: dict[str, Any]) -> bool:
    return any(np.ndim(given) > 1 for name, given in inputs.items() if name != "embedding")


def _beyond_pointers(given: dict[str, Any]) -> bool:
    """Whether the shapes or dtypes are ones that no C caller can hand over."""
    arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
    if any(array.dtype.name not in FLOATS or array.shape[-1:] == (0,) for array in arrays.values()):
        return True
    if "embedding" in arrays:
        context, embedding = arrays["context"], arrays["embedding"]
        fits = context.ndim > 0 and embedding.ndim == 2 and context.shape[-1:] == embedding.shape[1:]
        return not (fits and len(embedding))
    first = next(iter(arrays.values()))
    return first.ndim == 0 or ("uniform" in arrays and arrays["uniform"].shape != first.shape[:-1])


def _tied(given: dict[str, Any]) -> bool:
    """Whether the two contracts for ties part here, by the reference."""
    k, temperature = given.get("k", 50), given.get("temperature", 0.7)
    try:
        logits = reference.compute_logits(given["context"], given["embedding"])
        logits = reference.apply_temperature(logits, temperature)
        kept = [reference.keep_top_k(logits, k, ties) for ties in ("lowest_id", "all")]
    except (ValueError, TypeError):
        return False
    return not np.array_equal(*kept)


def _blamed(case: Case, outcome: Outcome, port: Port) -> str:
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
        return "HEAD-4" if _refuses(outcome) and _is_batch(inputs) else rule
    if _is_batch(inputs):
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


def _of_vector(case: Case, outcome: Outcome, rule: str) -> Iterator[Finding]:
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
        raised = _raised(outcome.reason if outcome.word == Word.ERRORED else outcome.came)
        yield Finding(case.rule, case.op)
        yield Finding("HEAD-5", case.op, f"{call} raises {raised.partition(':')[0]}; the rule: {kind}", size)
    elif _refuses(outcome):
        raised = _raised(outcome.reason if outcome.word == Word.ERRORED else outcome.came)
        yield Finding(rule, case.op, f"{call} raises {raised}; the rule: {_answer(outcome, case)}", size)
    elif case.result == "invalid":
        yield Finding(rule, case.op, f"{call} gives {_answer(outcome, case)}; the rule: refuse", size)
    else:
        yield Finding(rule, case.op, f"{call} {_difference(outcome)}", size)


def _raised(error: Any) -> str:
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

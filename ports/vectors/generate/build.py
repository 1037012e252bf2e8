"""A file of vectors under construction: flags, groups and tests, each answered in exact arithmetic as it is added."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

import numpy as np

from reference.operations import OPERATIONS

from ...values import DTYPES, encode, number_to_json, to_json
from .. import FORMAT, VERSION
from .. import Answer as Answer
from .exact import rounded_up

BAD_LOGITS = """
BadLogits (SOFTMAX-4): nan, +inf, a row of only -inf or an empty vocabulary goes on
"""
KIND_ERROR = """
KindError (HEAD-5): whole numbers cast to floats, or refused with the code of a wrong value
"""


@dataclass(frozen=True)
class Flag:
    """A mistake that vectors look for: the rule it breaks, links to systems that made it.

    `mutants` are those of `parity_tests.mutants` that a vector with this flag must catch; the tests hold it to that.
    """

    rule: str
    mistake: str
    links: tuple[str, ...]
    mutants: tuple[str, ...]


def flags_of(table: str, op: str) -> dict[str, Flag]:
    """The flags of a table: name, rule, mistake, mutants; indented beneath, what was too long and one link a line.

    A mutant of another operation is written with its name before it. `Name [mutants]` adds to a flag of the table.

    >>> flags_of('''
    ... Clamped (TEMP-1): the temperature forced into a range [clamps_high clamps_low]
    ...     https://github.com/state-spaces/mamba/pull/1041
    ... ''', "apply_temperature")["Clamped"].mutants
    ('apply_temperature-clamps_high', 'apply_temperature-clamps_low')
    """
    flags, added = dict[str, Flag](), dict[str, tuple[str, ...]]()
    for entry in re.split(r"\n(?=\S)", table.strip()):
        first, *links = re.split(r"\s+(?=https://)", entry)
        text = " ".join(first.split())
        parts = re.fullmatch(r"(\w+)(?: \(([\w-]+)\): (.+?))?(?: \[([\w -]+)\])?", text)
        if parts is None:
            raise ValueError(f"{text!r} is not a flag: write Name (RULE-1): mistake [mutants]")
        name, rule, mistake, mutants = parts.groups("")
        named = tuple(mutant if "-" in mutant else f"{op}-{mutant}" for mutant in mutants.split())
        if rule:
            flags[name] = Flag(rule, mistake, tuple(links), named)
        else:
            added[name] = named
    for name, named in added.items():
        flags[name] = replace(flags[name], mutants=flags[name].mutants + named)
    return flags


def array(values: Any, dtype: str = "float32") -> np.ndarray:
    """An input tensor."""
    return np.array(values, dtype=DTYPES[dtype])


def float64(values: Any) -> np.ndarray:
    """An input tensor of that dtype."""
    return array(values, "float64")


def empty(*shape: int) -> np.ndarray:
    """An input tensor without elements."""
    return np.zeros(shape, np.float32)


BAD_ROWS = {"nan": [0, nan, 1], "+inf": [0, inf, 1], "only -inf": [-inf, -inf]}
NO_FLOATS = {"int64": array([1, 2], "int64"), "bools": array([True, False], "bool")}


def refusal(code: str) -> Answer:
    """The input is bad; the code is one of PROTOCOL.md."""
    return Answer({"code": code})


def floats(values: Sequence[float], shape: Sequence[int], dtype: str) -> dict[str, Any]:
    """A tensor of an answer: `dtype` is the one that the answer must have, the numbers are float64."""
    return {"dtype": dtype, "shape": list(shape), "data": [number_to_json(x) for x in values]}


def ids(values: Any, shape: Sequence[int]) -> dict[str, Any]:
    """A tensor of token ids."""
    return to_json(np.asarray(values, dtype=np.int64).reshape(tuple(shape)))


def within(name: str, values: Sequence[float], allowed: Any, shape: Sequence[int], dtype: str) -> Answer:
    """The tensor `name`, and its bound: what an answer may be off, and half a unit for the rounding of `values`."""
    flat = np.asarray(allowed, dtype=np.float64).reshape(-1).tolist()
    bound = [rounded_up(a + math.ulp(x) / 2 if a else 0.0) for a, x in zip(flat, values, strict=True)]
    return Answer({name: floats(values, shape, dtype)}, {name: floats(bound, shape, "float64")})


class File:
    """The vectors of one operation. `answer(**inputs)` gives every outcome that conforms, the expected one first.

    `shared` are inputs of every test that does not give its own, here of the whole file, in `group` of one group.
    """

    def __init__(self, op: str, flags: str, answer: Callable[..., list[Answer]], **shared: Any) -> None:
        self.op, self.stage = op, OPERATIONS[op].file
        self.flags = flags_of(flags, op)
        self._answer = answer
        self._groups: list[dict[str, Any]] = []
        self._of_all, self._of_group = shared, dict[str, Any]()

    def group(self, name: str, rule: str, comment: str, **shared: Any) -> None:
        """What follows belongs to this group."""
        self._groups.append({"name": name, "rule": rule, "comment": comment, "tests": []})
        self._of_group = shared

    def valid(self, comment: str, flags: str = "", **inputs: Any) -> None:
        """A test with one right answer. In place of a float32 tensor its numbers will do."""
        inputs = self._complete(inputs)
        answers = self._answer(**inputs)
        if len(answers) != 1:
            raise ValueError(f"{comment!r} has {len(answers)} answers that conform: it is not valid but acceptable")
        self._add(comment, flags, inputs, "valid", answers)

    def acceptable(self, comment: str, flags: str = "", answers: list[Answer] | None = None, **inputs: Any) -> None:
        """A test with several right answers; the comment says why."""
        inputs = self._complete(inputs)
        answers = self._answer(**inputs) if answers is None else answers
        if len(answers) < 2:
            raise ValueError(f"{comment!r} has only one answer that conforms: it is not acceptable but valid")
        self._add(comment, flags, inputs, "acceptable", answers)

    def invalid(self, code: str, comment: str, flags: str = "", **inputs: Any) -> None:
        """A test that must be refused."""
        self._add(comment, flags, self._complete(inputs), "invalid", [refusal(code)])

    def bad_tensor(self, name: str, flag: str, no_tokens: Any, kinds: str = "int64", **others: Any) -> None:
        """What every operation refuses: a tensor without tokens, one without an axis, numbers of another kind."""
        self.invalid("bad_shape", "no tokens", flag, **{name: no_tokens}, **others)
        self.invalid("bad_shape", "no axis", flag, **{name: 1}, **others)
        for kind in kinds.split():
            self.invalid("bad_dtype", kind, "KindError", **{name: NO_FLOATS[kind]}, **others)

    def bad_logits(self, rows: Mapping[str, Any] = BAD_ROWS, no_tokens: Any = (), kinds: str = "int64") -> None:
        """What every operation on logits refuses; `rows` by comment."""
        for comment, row in rows.items():
            self.invalid("bad_logits", comment, "BadLogits", logits=row)
        self.bad_tensor("logits", "BadLogits", no_tokens, kinds)

    def _complete(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """With the shared inputs, in the order of the operation's arguments, plain numbers made tensors."""
        shapes = OPERATIONS[self.op].arguments
        inputs = self._of_all | self._of_group | inputs
        for name, value in inputs.items():
            if shapes[name].startswith("(") and not isinstance(value, np.ndarray):
                inputs[name] = array(value)
        return {name: inputs[name] for name in shapes if name in inputs}

    def _add(self, comment: str, flags: str, inputs: dict[str, Any], result: str, answers: list[Answer]) -> None:
        unknown = set(flags.split()) - set(self.flags)
        if unknown:
            raise ValueError(f"{comment!r} has flags without a note: {', '.join(sorted(unknown))}")
        expected, *others = map(_answer_to_json, answers)
        test = {
            "comment": comment,
            "flags": flags.split(),
            "inputs": {name: encode(value) for name, value in inputs.items()},
            "result": result,
            **expected,
        }
        self._groups[-1]["tests"].append(test | ({"alternatives": others} if others else {}))

    def to_json(self, first_id: int) -> dict[str, Any]:
        """The whole file; tests are numbered from `first_id` on."""
        used = {flag for group in self._groups for test in group["tests"] for flag in test["flags"]}
        if used != set(self.flags):
            raise ValueError(f"flags that no test of {self.stage} carries: {', '.join(sorted(set(self.flags) - used))}")
        numbers = iter(range(first_id, first_id + 1000))
        return {
            "format": FORMAT,
            "version": VERSION,
            "stage": self.stage,
            "op": self.op,
            "notes": {
                name: {"rule": flag.rule, "mistake": flag.mistake, "links": list(flag.links)}
                for name, flag in self.flags.items()
            },
            "groups": [
                {**group, "tests": [{"id": next(numbers), **test} for test in group["tests"]]} for group in self._groups
            ],
        }


def _answer_to_json(answer: Answer) -> dict[str, Any]:
    return {"expected": answer.expected} | ({"bound": answer.bound} if answer.bound else {})


class Numbers:
    """Bell-shaped numbers that are the same on every machine and in every version: sums of 12 whole random numbers.

    `RandomState.randint` is frozen (NEP 19), and nothing here goes through a logarithm of the C library.
    """

    def __init__(self, seed: int) -> None:
        self._whole = np.random.RandomState(seed)

    def normal(self, *shape: int) -> np.ndarray:
        """Mean 0, deviation 1, in float64."""
        whole = self._whole.randint(2**48, size=(12, *shape), dtype=np.int64)
        return np.asarray(whole.sum(axis=0) / 2.0**48 - 6)

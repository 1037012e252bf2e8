"""A file of vectors under construction: flags, groups and tests, each answered in exact arithmetic as it is added."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...values import number_to_json, to_json
from .exact import rounded_up

FORMAT, VERSION = "lm-head-vectors", 1


@dataclass(frozen=True)
class Flag:
    """A mistake that vectors look for: the rule it breaks, links to systems that made it.

    `mutants` are those of `parity_tests.mutants` that a vector with this flag must catch; the tests hold it to that.
    """

    rule: str
    mistake: str
    links: tuple[str, ...] = ()
    mutants: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """One outcome that conforms: the `result` object of the protocol, and the bounds of its floats by name."""

    expected: dict[str, Any]
    bound: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As the keys of a test."""
        return {"expected": self.expected} | ({} if self.bound is None else {"bound": self.bound})


def refusal(code: str) -> Answer:
    """The input is bad; the code is one of PROTOCOL.md."""
    return Answer({"code": code})


def floats(values: Sequence[float], shape: Sequence[int], dtype: str) -> dict[str, Any]:
    """A tensor of an answer: `dtype` is the one that the answer must have, the numbers are float64."""
    return {"dtype": dtype, "shape": list(shape), "data": [number_to_json(x) for x in values]}


def bound(allowed: Any, values: Sequence[float], shape: Sequence[int]) -> dict[str, Any]:
    """The bounds of a tensor: what an implementation may be off, and half a unit for the rounding of `values`."""
    allowed = np.asarray(allowed, dtype=np.float64).reshape(-1).tolist()
    with_rounding = [a + math.ulp(x) / 2 if a else 0.0 for a, x in zip(allowed, values, strict=True)]
    return floats([rounded_up(x) for x in with_rounding], shape, "float64")


def ids(values: Any, shape: Sequence[int]) -> dict[str, Any]:
    """A tensor of token ids."""
    return to_json(np.asarray(values, dtype=np.int64).reshape(tuple(shape)))


@dataclass
class File:
    """The vectors of one stage. `answer(**inputs)` gives every outcome that conforms, the expected one first."""

    stage: str
    op: str
    flags: dict[str, Flag]
    answer: Callable[..., list[Answer]]
    groups: list[dict[str, Any]] = field(default_factory=list)

    def group(self, name: str, rule: str, comment: str) -> None:
        """What follows belongs to this group."""
        self.groups.append({"name": name, "rule": rule, "comment": comment, "tests": []})

    def valid(self, comment: str, flags: str = "", **inputs: Any) -> None:
        """A test with one right answer."""
        answers = self.answer(**inputs)
        if len(answers) != 1:
            raise ValueError(f"{comment!r} has {len(answers)} answers that conform: it is not valid but acceptable")
        self._add(comment, flags, inputs, "valid", answers)

    def acceptable(self, comment: str, flags: str = "", answers: list[Answer] | None = None, **inputs: Any) -> None:
        """A test with several right answers; the comment says why."""
        answers = self.answer(**inputs) if answers is None else answers
        if len(answers) < 2:
            raise ValueError(f"{comment!r} has only one answer that conforms: it is not acceptable but valid")
        self._add(comment, flags, inputs, "acceptable", answers)

    def invalid(self, code: str, comment: str, flags: str = "", **inputs: Any) -> None:
        """A test that must be refused."""
        self._add(comment, flags, inputs, "invalid", [refusal(code)])

    def _add(self, comment: str, flags: str, inputs: dict[str, Any], result: str, answers: list[Answer]) -> None:
        unknown = set(flags.split()) - set(self.flags)
        if unknown:
            raise ValueError(f"{comment!r} has flags without a note: {', '.join(sorted(unknown))}")
        test = {
            "comment": comment,
            "flags": flags.split(),
            "inputs": {name: _input(value) for name, value in inputs.items()},
            "result": result,
            **answers[0].to_json(),
        }
        if len(answers) > 1:
            test["alternatives"] = [answer.to_json() for answer in answers[1:]]
        self.groups[-1]["tests"].append(test)

    def to_json(self, first_id: int) -> dict[str, Any]:
        """The whole file; tests are numbered from `first_id` on."""
        used = {flag for group in self.groups for test in group["tests"] for flag in test["flags"]}
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
                {**group, "tests": [{"id": next(numbers), **test} for test in group["tests"]]} for group in self.groups
            ],
        }


def _input(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return to_json(value)
    return number_to_json(value) if isinstance(value, float) else value


def array(values: Any, dtype: Any = np.float32) -> np.ndarray:
    """An input tensor."""
    return np.array(values, dtype=dtype)


class Numbers:
    """Bell-shaped numbers that are the same on every machine and in every version: sums of 12 whole random numbers.

    `RandomState.randint` is frozen (NEP 19), and nothing here goes through a logarithm of the C library.
    """

    def __init__(self, seed: int) -> None:
        self._whole = np.random.RandomState(seed)

    def normal(self, *shape: int) -> np.ndarray:
        """Mean 0, deviation 1, in float64."""
        return self._whole.randint(2**48, size=(12, *shape), dtype=np.int64).sum(axis=0) / 2.0**48 - 6

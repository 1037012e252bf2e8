"""The test vectors in Python: `load("top_k") -> Vectors`, which holds groups of cases. Their JSON is kept as it is.

`Case.inputs` is the `inputs` of a request of the protocol and can be sent unchanged. `arguments` decodes it to NumPy.
Nothing here depends on how the files are made.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reference.operations import DEFAULTS, WITH_VECTORS

from ..values import WORDS, from_json, number_from_json

FOLDER = Path(__file__).parent
FORMAT, VERSION = "lm-head-vectors", 1
FILES = tuple(operation.file for operation in WITH_VECTORS)  # in the order in which a port is written


@dataclass(frozen=True)
class Note:
    """What a flag of a case means: the rule, the mistake that the case is meant to find, and systems that made it."""

    rule: str
    mistake: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """One outcome that conforms: a `result` object or `{"code": ...}`, with the bounds of its floats by name."""

    expected: dict[str, Any]
    bound: dict[str, Any] | None = None

    @cached_property
    def tensors(self) -> dict[str, Any]:
        """The tensors of a result, or lists of them; floats in float64, as bounds are measured from exact numbers."""
        return {name: _exact(value) for name, value in self.expected.items()}

    @cached_property
    def bounds(self) -> dict[str, np.ndarray]:
        """The bounds as arrays."""
        return {name: from_json(bound) for name, bound in (self.bound or {}).items()}


@dataclass(frozen=True)
class Case:
    """One test. `answers` holds the expected outcome, then its alternatives."""

    id: int
    op: str
    group: str
    rule: str
    comment: str
    flags: tuple[str, ...]
    inputs: dict[str, Any]
    result: str  # valid, acceptable or invalid
    answers: tuple[Answer, ...]

    def __str__(self) -> str:
        return f"{self.op} {self.id} ({self.group}: {self.comment})"

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Its inputs as Python values, which no head may be handed itself."""
        return arguments(self.inputs)

    @property
    def about(self) -> str:
        """How a report calls it."""
        return f"vector {self.id}, {self.comment}"

    @property
    def refused(self) -> bool:
        """Whether no answer to it is right but a refusal."""
        return all("code" in answer.expected for answer in self.answers)


@dataclass(frozen=True)
class Group:
    """Cases of one rule."""

    name: str
    rule: str
    comment: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Vectors:
    """One file."""

    stage: str
    op: str
    notes: dict[str, Note]
    groups: tuple[Group, ...]

    @property
    def cases(self) -> list[Case]:
        """The cases of all groups, in order."""
        return [case for group in self.groups for case in group.cases]


def load(stage: str, folder: Path = FOLDER) -> Vectors:
    """The vectors of one file. `stage` is one of FILES.

    Raises: ValueError for another name, and for a file of another format or version.
    """
    if stage not in FILES:
        raise ValueError(f"stage is {stage!r}: it must be one of {', '.join(FILES)}")
    path = folder / f"{stage}.json"
    document = json.loads(path.read_text("utf-8"))
    found = document.get("format"), document.get("version")
    if found != (FORMAT, VERSION):
        raise ValueError(f"{path} is {found}: this reader knows {FORMAT!r} version {VERSION}")
    notes = {
        name: Note(note["rule"], note["mistake"], tuple(note["links"])) for name, note in document["notes"].items()
    }
    groups = tuple(_group(document["op"], group) for group in document["groups"])
    return Vectors(stage, document["op"], notes, groups)


def load_all(folder: Path = FOLDER) -> list[Vectors]:
    """All files, in the order in which a port is written."""
    return [load(stage, folder) for stage in FILES]


def _exact(value: Any) -> Any:
    if isinstance(value, list):
        return [_exact(part) for part in value]
    return from_json(value if value["dtype"] == "int64" else {**value, "dtype": "float64"})


def _group(op: str, group: dict[str, Any]) -> Group:
    cases = tuple(_case(op, group, test) for test in group["tests"])
    return Group(group["name"], group["rule"], group["comment"], cases)


def _case(op: str, group: dict[str, Any], test: dict[str, Any]) -> Case:
    answers = (test, *test.get("alternatives", ()))
    return Case(
        id=test["id"],
        op=op,
        group=group["name"],
        rule=group["rule"],
        comment=test["comment"],
        flags=tuple(test["flags"]),
        inputs=test["inputs"],
        result=test["result"],
        answers=tuple(Answer(answer["expected"], answer.get("bound")) for answer in answers),
    )


def arguments(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a request as Python values: tensors as arrays, the temperature as a float, the seed as an int.

    Values that have the wrong kind on purpose, such as a fraction as a seed or `true` as k, keep it.

    >>> arguments({"temperature": 1, "k": 1.5, "seed": "7"})
    {'temperature': 1.0, 'k': 1.5, 'seed': 7}
    """
    return {name: _argument(name, value) for name, value in inputs.items()}


def _argument(name: str, value: Any) -> Any:
    if name == "settings":
        return _plain(value)
    if isinstance(value, dict):
        return from_json(value)
    if isinstance(DEFAULTS.get(name), float) and not isinstance(value, bool):
        return float(number_from_json(value))
    if name == "steps":
        return _plain(value)
    if name == "seed":
        try:
            return int(value)
        except ValueError:
            return float(value)
    return value


def _plain(value: Any) -> Any:
    """The arguments of steps, or settings, with the words for numbers as numbers."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return number_from_json(value) if isinstance(value, str) and value in WORDS else value

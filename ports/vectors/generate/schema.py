"""The JSON Schemas of the vectors, from the table of operations, and documents held against them.

`common.json` beside this file has what all of them share and is written by hand, but for the codes of a refusal.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

from reference.operations import DEFAULTS, REFUSALS, WITH_VECTORS, Operation

_COMMON = "common.schema.json"
_CALL = {
    "type": "object",
    "required": ["draw", "dtype", "size"],
    "additionalProperties": False,
    "properties": {
        "draw": {"enum": ["exponential", "uniform"]},
        "dtype": {"enum": ["float32", "float64"]},
        "size": {"type": "integer", "minimum": 0},
    },
}
# Arguments and results that are not what their kind would say; by name, since a name means the same everywhere.
_SPECIAL: dict[str, dict[str, Any]] = {
    "noise": {"$ref": f"{_COMMON}#/$defs/floats"},
    "seed": {"type": "string"},
    "calls": {"type": "array", "items": _CALL},
    "steps": {"type": "array"},
    "numbers": {"type": "array", "items": {"$ref": f"{_COMMON}#/$defs/answer"}},
}


_IDS = ("token_ids", "ranks")  # results that are whole numbers


def _argument(name: str, shape: str) -> dict[str, Any]:
    if name in _SPECIAL:
        return _SPECIAL[name]
    if isinstance(DEFAULTS.get(name), str):
        return {"type": "string"}
    return {"$ref": f"{_COMMON}#/$defs/{'tensor' if shape.startswith('(') else 'scalar'}"}


def _result(name: str) -> dict[str, Any]:
    return _SPECIAL.get(name, {"$ref": f"{_COMMON}#/$defs/{'ids' if name in _IDS else 'answer'}"})


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def _optional(operation: Operation) -> set[str]:
    """The tensors that a request may leave out: one of two sources of noise, and what no step takes."""
    return {"noise", "seed"} | ({"history", "uniform"} if "steps" in operation.arguments else set())


def _of(operation: Operation) -> dict[str, Any]:
    """The schema of one file."""
    names = list(operation.results)
    result = {name: _result(name) for name in names}
    both = {"expected": {"$ref": "#/$defs/expected"}, "bound": False}
    answer: dict[str, Any] = {"properties": both}
    definitions = {
        "inputs": _object(
            {name: _argument(name, shape) for name, shape in operation.arguments.items()},
            [name for name in operation.arguments if name not in DEFAULTS and name not in _optional(operation)]
            + ["seed"] * ("seed" in operation.arguments and "noise" not in operation.arguments),
        ),
        "expected": {"anyOf": [_object(result, names), {"$ref": f"{_COMMON}#/$defs/refusal"}]},
    }
    if {"noise", "seed"} <= set(operation.arguments):
        definitions["inputs"]["oneOf"] = [{"required": ["noise"]}, {"required": ["seed"]}]
    if operation.rounds:  # every answer but a refusal has its bounds, unless it may be exact
        both["bound"] = {"$ref": "#/$defs/bound"}
        answer |= {
            "if": {"properties": {"expected": {"required": ["code"]}}},
            "then": {"properties": {"bound": False}},
            "else": {} if operation.exact_without else {"required": ["bound"]},
        }
        floats = [name for name in names if name not in _IDS]
        definitions["bound"] = _object({name: {"$ref": f"{_COMMON}#/$defs/bound"} for name in floats}, floats)
    test = {
        **answer,
        "properties": {
            "inputs": {"$ref": "#/$defs/inputs"},
            **both,
            "alternatives": {"items": {"$ref": "#/$defs/answer"}},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{operation.file}.schema.json",
        "title": f"Vectors of {operation.name}",
        "$ref": _COMMON,
        "properties": {
            "stage": {"const": operation.file},
            "op": {"const": operation.name},
            "groups": {"items": {"properties": {"tests": {"items": {"$ref": "#/$defs/test"}}}}},
        },
        "$defs": {"test": test, "answer": answer, **definitions},
    }


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by the name of its file."""
    common = json.loads(Path(__file__).with_name("common.json").read_text("utf-8"))
    codes = [code for code in REFUSALS if any(code in operation.refusals for operation in WITH_VECTORS)]
    common["$defs"]["refusal"]["properties"]["code"]["enum"] = codes
    return {_COMMON: common, **{f"{operation.file}.schema.json": _of(operation) for operation in WITH_VECTORS}}


def validate(stage: str, document: Any) -> None:
    """Raises `jsonschema.ValidationError` for a document that does not follow its schema."""
    every = schemas()
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in every.items()
    )
    jsonschema.Draft202012Validator(every[f"{stage}.schema.json"], registry=registry).validate(document)

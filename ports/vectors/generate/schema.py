"""A document against the JSON Schema of its stage, in `ports/vectors/schemas/`."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[1] / "schemas"


def validator(stage: str) -> jsonschema.Draft202012Validator:
    """The validator of a stage; references lead to files of the same folder."""
    schemas = {path.name: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in schemas.items()
    )
    return jsonschema.Draft202012Validator(schemas[f"{stage}.schema.json"], registry=registry)


def validate(stage: str, document: Any) -> None:
    """Raises `jsonschema.ValidationError` for a document that does not follow its schema."""
    validator(stage).validate(document)

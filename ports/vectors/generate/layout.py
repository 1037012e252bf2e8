"""The text of a file of vectors: JSON that a person can read, one tensor a line; and the list of flags."""

import json
import textwrap
from collections.abc import Iterable
from typing import Any

WIDTH = 100


def text(document: dict[str, Any]) -> str:
    """The document in ASCII, its keys in the order given, with a final newline."""
    return _lines(document, "") + "\n"


def _lines(value: Any, indent: str) -> str:
    """A tensor on one line, however long; what else does not fit into WIDTH opened up, one entry a line."""
    short = json.dumps(value, allow_nan=False)
    is_tensor = isinstance(value, dict) and isinstance(value.get("data"), list)
    if not isinstance(value, (dict, list)) or not value or is_tensor or len(short) <= WIDTH:
        return short
    inner = indent + " "
    if isinstance(value, dict):
        entries = [f"{inner}{json.dumps(key)}: {_lines(entry, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    return "[\n" + ",\n".join(inner + _lines(entry, inner) for entry in value) + f"\n{indent}]"


def flag_table(documents: Iterable[dict[str, Any]]) -> str:
    """FLAGS.md: what each flag looks for, the tests that show it, and the systems that made the mistake."""
    lines = ["# The flags", "", "Written by `python -m ports.vectors.generate` from the notes of the vectors.", ""]
    for document in documents:
        lines += [f"## {document['stage']}.json", ""]
        tests = [test for group in document["groups"] for test in group["tests"]]
        for flag, note in document["notes"].items():
            numbers = ", ".join(str(test["id"]) for test in tests if flag in test["flags"])
            entry = f"**{flag}** ({note['rule']}): {note['mistake']}. Tests {numbers}."
            lines += textwrap.wrap(entry, 120, initial_indent="- ", subsequent_indent="  ")
            lines += [f"  - <{link}>" for link in note["links"]]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"

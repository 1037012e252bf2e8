"""Writes the vectors: `python -m ports.vectors.generate [FOLDER]`, the same bytes on every run and every machine.

One module a stage says what is tested and why; `build.py` holds a file under construction, `exact.py` the arithmetic
that every expected number comes from, `layout.py` the JSON text. Each file is validated against its schema before
anything is written.
"""

import importlib
from pathlib import Path
from typing import Any

from reference.operations import WITH_VECTORS

from .. import FOLDER
from . import protocol, schema
from .build import File
from .layout import flag_table, text


def files() -> list[File]:
    """Every file, built in exact arithmetic: a module of this package for each operation that has vectors."""
    return [importlib.import_module(f"{__name__}.{operation.file}").build() for operation in WITH_VECTORS]


def documents() -> dict[str, dict[str, Any]]:
    """The contents of every file by stage; tests of the n-th stage are numbered from n * 1000 + 1."""
    built = files()
    found = {file.stage: file.to_json(1000 * n + 1) for n, file in enumerate(built, 1)}
    for stage, document in found.items():
        schema.validate(stage, document)
    return found


def write(folder: Path) -> list[Path]:
    """All files, their schemas and FLAGS.md into `folder`."""
    found = documents()
    contents = {f"{stage}.json": text(document) for stage, document in found.items()}
    contents |= {f"schemas/{name}": text(of) for name, of in schema.schemas().items()}
    contents["FLAGS.md"] = flag_table(found.values())
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content.encode())
    return [folder / name for name in contents]


def write_all() -> list[Path]:
    """What is generated from the table of operations and the modules here, each in its place."""
    page = FOLDER.parent / "PROTOCOL.md"
    page.write_text(protocol.with_tables(page.read_text("utf-8")), encoding="utf-8")
    return [*write(FOLDER), page]

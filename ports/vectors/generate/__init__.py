"""Writes the vectors: `python -m ports.vectors.generate [FOLDER]`, the same bytes on every run and every machine.

One module a stage says what is tested and why; `build.py` holds a file under construction, `exact.py` the arithmetic
that every expected number comes from, `layout.py` the JSON text. Each file is validated against its schema before
anything is written.
"""

from pathlib import Path
from typing import Any

from . import inverse_cdf, keep_top_k, lm_head, logits, multinomial, softmax, temperature, top_k, torch_rng
from .build import File
from .layout import flag_table, text
from .schema import validate

STAGES = (logits, temperature, top_k, keep_top_k, softmax, multinomial, inverse_cdf, lm_head, torch_rng)


def files() -> list[File]:
    """Every file, built in exact arithmetic."""
    return [stage.build() for stage in STAGES]


def documents() -> dict[str, dict[str, Any]]:
    """The contents of every file by stage; tests of the n-th stage are numbered from n * 1000 + 1."""
    built = files()
    found = {file.stage: file.to_json(1000 * n + 1) for n, file in enumerate(built, 1)}
    for stage, document in found.items():
        validate(stage, document)
    return found


def write(folder: Path) -> list[Path]:
    """All files and FLAGS.md into `folder`."""
    found = documents()
    contents = {f"{stage}.json": text(document) for stage, document in found.items()}
    contents["FLAGS.md"] = flag_table(found.values())
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content.encode())
    return [folder / name for name in contents]

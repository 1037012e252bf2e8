"""The results of each run as JSON in `records/`: one file for each implementation, with versions and date."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_suffix("")


def load(name: str) -> dict[str, Any]:
    """One record. Raises: OSError if there is none."""
    record: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return record


def load_all() -> dict[str, dict[str, Any]]:
    """All records by name."""
    return {path.stem: load(path.stem) for path in sorted(FOLDER.glob("*.json"))}


def save(record: dict[str, Any]) -> None:
    """Write one record, over an older one of the same name."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    (FOLDER / f"{record['name']}.json").write_text(text, encoding="utf-8")

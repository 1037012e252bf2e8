"""What `judge` found, as a table and a few sentences for a person, and as JSON."""

import math
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from weights_export import Bundle

from ..judges.words import Word, printable
from .contexts import OTHER_CONTEXTS
from .judging import Judged

TEXT = 20  # characters of a prompt


def as_json(judged: Judged, others: dict[str, Any]) -> dict[str, Any]:
    """All figures as plain data; what is not finite, as text, since JSON has no such numbers."""
    return _plain({**asdict(judged), "right": judged.right, **others})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def show(judged: Judged, bundle: Bundle, console: Console) -> None:
    """A row for each context, then what they come to. A column that is empty is left out."""
    columns: dict[str, list[Any]] = {"": [], "context": []}
    for n, (row, prompt) in enumerate(zip(judged.rows, bundle.prompts, strict=True)):
        cells = {
            "": str(n),
            "context": Text(printable(repr(prompt["text"]))),
            "verdict": Text(row.word, style="bold red" if row.word == Word.DIVERGED else "green"),
            "error": f"{row.error:.1g}",
            "of bound": "" if row.ratio is None else f"{row.ratio:.2g}",
            "figure": "" if row.figure is None else f"{row.figure:.1g}",
            "argmax": "the same" if row.token == row.due else f"{row.token}, not {row.due} ({row.gap:.2g})",
            "KL": f"{row.kl:.1g}",
        }
        for name, cell in cells.items():
            columns.setdefault(name, []).append(cell)
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    title = f"logits of {bundle.manifest['model']}; the errors are those against exact arithmetic"
    table = Table(title=title, title_justify="left")
    for name in columns:
        right = name in ("error", "of bound", "figure", "KL")
        width = TEXT if name == "context" else None
        table.add_column(name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis", max_width=width)
    for cells_of_row in zip(*columns.values(), strict=True):
        table.add_row(*cells_of_row)
    console.print(table)
    for line in summary(judged, bundle):
        console.print(Text(line))


def summary(judged: Judged, bundle: Bundle) -> list[str]:
    """The answer in a few sentences."""
    flips = [row for row in judged.rows if row.token != row.due]
    wrong = sum(row.word == Word.DIVERGED for row in judged.rows)
    lines = []
    if judged.right and judged.precision.startswith(OTHER_CONTEXTS):
        how_far = judged.precision.removeprefix(OTHER_CONTEXTS).partition(":")[0]
        stored = "" if judged.stored == "float32" else f", and its logits are stored in {judged.stored}"
        lines.append(f"A right head on contexts of its own{how_far} from the bundle's{stored}.")
        lines.append("Whether another precision or a mistake before the head moved them, logits do not tell.")
    elif judged.right:
        lines.append(f"A right head. Precision: {_precision(judged)}.")
        if judged.times_float32 > 1:
            lines.append(
                f"In float32 these would be DIVERGED: up to {judged.times_float32:.3g} times the bound of float32. "
                "For those who must have float32: --float32."
            )
        figure = max((row.figure or 0 for row in judged.rows), default=0)
        if figure > 1:
            lines.append(
                f"Unusual: errors are {figure:.3g} times as large as float32's roundings ever make them on these "
                "contexts. If the file comes from a whole model, pass --own-contexts."
            )
    else:
        lines.append(f"Not the right logits: {wrong} of {len(judged.rows)} contexts DIVERGED.")
        if judged.mistake.startswith(OTHER_CONTEXTS):
            lines.append("If the file comes from a whole model, pass --own-contexts.")
        lines.append(f"Likely mistake: {judged.mistake}." if judged.mistake else "No known mistake explains them.")
        if wrong < len(judged.rows):
            lines.append(f"Precision of the others: {_precision(judged)}.")
        if not bundle.holds("previous_context"):
            lines.append(
                "Not looked for: the position before the last, the input embedding of an untied model; "
                "export with --bundle-version 4."
            )
    if flips:
        gap = max(row.gap for row in flips)
        contexts = "1 context" if len(flips) == 1 else f"{len(flips)} contexts"
        lines.append(
            f"In {contexts} another token has the largest logit; the exact logits of the two differ by up to {gap:.2g}."
        )
    return lines


def _precision(judged: Judged) -> str:
    return judged.precision + ("" if judged.stored == "float32" else f", stored in {judged.stored}")

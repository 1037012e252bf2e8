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
    """A row for each context, then what they come to."""
    table = Table(title=f"logits of {bundle.manifest['model']}, against exact arithmetic", title_justify="left")
    table.add_column("", min_width=len(str(len(judged.rows))), no_wrap=True)
    table.add_column("context", no_wrap=True, overflow="ellipsis", max_width=TEXT)
    for name in ("verdict", "error", "of bound", "figure", "argmax", "KL"):
        table.add_column(name, justify="left" if name in ("verdict", "argmax") else "right", no_wrap=True)
    for n, (row, prompt) in enumerate(zip(judged.rows, bundle.prompts, strict=True)):
        flip = "the same" if row.token == row.due else f"{row.token}, not {row.due}"
        table.add_row(
            str(n),
            Text(printable(repr(prompt["text"]))),
            Text(row.word, style="bold red" if row.word == Word.DIVERGED else "green"),
            f"{row.error:.1g}",
            f"{row.ratio:.2g}",
            "" if row.figure is None else f"{row.figure:.1g}",
            flip if row.token == row.due else f"{flip} ({row.gap:.2g})",
            f"{row.kl:.1g}",
        )
    console.print(table)
    for line in summary(judged, bundle):
        console.print(Text(line))


def summary(judged: Judged, bundle: Bundle) -> list[str]:
    """The answer in a few sentences."""
    flips = [row for row in judged.rows if row.token != row.due]
    wrong = sum(row.word == Word.DIVERGED for row in judged.rows)
    lines = []
    if judged.right and judged.precision.startswith(OTHER_CONTEXTS):
        lines.append(f"A right head. It has {judged.precision}.")
        lines.append("Whether that is another precision or a mistake before the head, its logits do not tell.")
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
        lines.append(
            f"In {len(flips)} contexts another token is the largest; exactly, the two are up to {gap:.2g} apart."
        )
    return lines


def _precision(judged: Judged) -> str:
    return judged.precision + ("" if judged.stored == "float32" else f", stored in {judged.stored}")

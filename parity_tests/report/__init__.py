"""`python -m parity_tests report`: the verdicts on a fixed grid of inputs, as a table and as a page with plots."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ..heads import NO_HEAD, from_name
from ..judges.words import Word
from ..terminal import console
from . import grid
from .page import html
from .table import table

LEGEND = (
    "The number is the largest error against the exact value, divided by the derived bound; IDENTICAL means the bits "
    "of the reference. Empty: the implementation does not have the stage, or does not support the dtype."
)
POWER = (
    "Reduced precision and correct orders of summation at the hidden sizes of real models, one context and 512 tokens. "
    "Within the bound, a rounding is recognised: it explains the logits better than the exact product does."
)


def main(html_file: str | None = None, heads: Sequence[str] = ()) -> int:
    """Print the matrix and write the page, if a file is given.

    Returns the exit status: 1 if anything diverged, 2 if a head cannot be used or the file cannot be written.
    """
    try:
        others = tuple(map(grid.of_head, map(from_name, heads)))
    except NO_HEAD as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    try:
        if html_file:
            Path(html_file).open("a").close()  # fails now rather than after a minute of judging
    except OSError as error:
        print(f"report: --html {html_file} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    implementations = grid.IMPLEMENTATIONS + others
    settings = list(grid.all_settings())
    watched = track(settings, "judging", console=Console(stderr=True), transient=True)
    cells = [cell for setting in watched for cell in grid.cells(setting, implementations)]
    out = console()
    out.print(table(cells))
    out.print(LEGEND)
    power_cells = list(track(grid.power_cells(), "judging", console=Console(stderr=True), transient=True))
    out.print(table(power_cells))
    out.print(POWER)
    diverged = [cell for cell in cells if cell.verdict.word == Word.DIVERGED]
    for cell in diverged:
        out.print(f"{cell.implementation}, {cell.setting}: {cell.verdict}", markup=False, soft_wrap=True)
    if html_file:
        Path(html_file).write_text(html(cells, settings, implementations, power_cells), encoding="utf-8")
        out.print(f"{html_file}: the same figures, with a plot for each stage", soft_wrap=True)
    return 1 if diverged else 0

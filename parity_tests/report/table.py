"""The matrix for a terminal 100 columns wide: a block for each stage, a row for each setting, a column for a head."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..judges.words import Word
from .grid import Cell

COLOURS = {Word.IDENTICAL: "green", Word.WITHIN_BOUND: "green", Word.TIE_BREAK: "yellow", Word.DIVERGED: "bold red"}


def matrix(cells: Sequence[Cell]) -> tuple[list[str], list[tuple[str, list[tuple[str, list[Cell | None]]]]]]:
    """The implementations; and for each stage its rows: a setting with one cell, or None, for each implementation."""
    implementations = list(dict.fromkeys(cell.implementation for cell in cells))
    by_place = {(cell.stage, cell.setting, cell.implementation): cell for cell in cells}
    blocks = []
    for stage in dict.fromkeys(cell.stage for cell in cells):
        of_stage = dict.fromkeys(cell.setting for cell in cells if cell.stage == stage)
        rows = [(setting, [by_place.get((stage, setting, name)) for name in implementations]) for setting in of_stage]
        blocks.append((stage, rows))
    return implementations, blocks


def table(cells: Sequence[Cell]) -> Table:
    """The table: verdict and largest error / bound in each cell. A cell is empty if the stage or dtype is missing."""
    implementations, blocks = matrix(cells)
    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("stage", no_wrap=True)
    for name in implementations:
        drawn.add_column(name)
    for stage, rows in blocks:
        drawn.add_row(Text(stage, style="bold"))
        for number, (setting, row) in enumerate(rows):
            words = [
                Text("" if cell is None else str(cell), COLOURS[cell.verdict.word] if cell else "") for cell in row
            ]
            drawn.add_row(f" {setting}", *words, end_section=number == len(rows) - 1)
    return drawn

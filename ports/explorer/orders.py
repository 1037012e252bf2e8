"""The orders of steps that the page offers: the reference's, and those of the engines that have all four steps."""

from typing import Any

from reference.pipeline import Step
from reference.profiles import OPTIONS, PROFILES, Row

REFERENCE = "reference"
OPTION_OF = {"temperature": "temperature", "k": "top-k", "top_p": "top-p", "min_p": "min-p"}  # of the page's boxes
OFF = {"top_p": 1, "min_p": 0}  # what keeps everything, and leaves the step out
_BOX_OF = {OPTIONS[option]: box for box, option in OPTION_OF.items()}


def _rows() -> dict[str, list[Row]]:
    """By name, the rows of the four steps in order."""
    engines = {name: [row for row in profile.rows if row.step in _BOX_OF] for name, profile in PROFILES.items()}
    found = {name: rows for name, rows in engines.items() if len(rows) == len(_BOX_OF)}
    arguments = {row.step: row.argument for rows in found.values() for row in rows}
    return {REFERENCE: [Row(step, arguments[step], box) for step, box in _BOX_OF.items()], **found}


def orders() -> dict[str, list[dict[str, Any]]]:
    """By name, the steps in order: the step, the box that its argument comes from, and arguments with fixed values.

    A condition is a sign and a limit: where one of `off` holds for the value, the step is left out; where one of
    `instead` does, the engine takes the value as what its third part says.

    >>> [step["setting"] for step in orders()["llama.cpp"]]
    ['k', 'top_p', 'min_p', 'temperature']
    """
    return {name: [_step(row, _BOX_OF[row.step]) for row in rows] for name, rows in _rows().items()}


def _step(row: Row, box: str) -> dict[str, Any]:
    greedy = [(*condition, "greedy decoding") for condition in row.greedy]
    return {
        "step": row.step,
        "argument": row.argument,
        "setting": box,
        "always": dict(row.always),
        "off": [*row.off, *([("==", OFF[box])] if box in OFF else [])],
        "instead": greedy + ([("<", row.least, str(row.least))] if row.least is not None else []),
    }


def steps_of(order: str, settings: dict[str, Any]) -> list[Step]:
    """The steps for `process` at these settings, by the names of the boxes."""
    given = {box: None if value == OFF.get(box) else value for box, value in settings.items()}  # None: off
    return [step for row in _rows()[order] for step in row.made({row.setting: given[_BOX_OF[row.step]]})]

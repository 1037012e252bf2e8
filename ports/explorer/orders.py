"""The orders of steps that the page offers: the reference's, and those of the engines that have all four steps."""

from typing import Any

from reference.profiles import OPTIONS, PROFILES

REFERENCE = "reference"
OPTION_OF = {"temperature": "temperature", "k": "top-k", "top_p": "top-p", "min_p": "min-p"}  # of the page's boxes
OFF = {"top_p": 1, "min_p": 0}  # what keeps everything, and leaves the step out


def orders() -> dict[str, list[dict[str, Any]]]:
    """By name, the steps in order: the step, the box that its argument comes from, at which value it is left out (None:
    never), and arguments with fixed values.

    >>> [step["setting"] for step in orders()["llama.cpp"]]
    ['k', 'top_p', 'min_p', 'temperature']
    """
    box_of = {OPTIONS[option]: box for box, option in OPTION_OF.items()}
    found = {}
    for name, profile in PROFILES.items():
        rows = [row for row in profile.rows if row.step in box_of]
        if len(rows) == len(box_of):
            found[name] = [_step(row.step, row.argument, box_of[row.step], dict(row.always)) for row in rows]
    arguments = {step["step"]: step["argument"] for steps in found.values() for step in steps}
    return {REFERENCE: [_step(step, arguments[step], box, {}) for step, box in box_of.items()], **found}


def _step(step: str, argument: str, box: str, always: dict[str, Any]) -> dict[str, Any]:
    return {"step": step, "argument": argument, "setting": box, "off": OFF.get(box), "always": always}


def steps_of(order: str, settings: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The steps for `process` at these settings, by the names of the boxes."""
    return [
        (row["step"], {row["argument"]: settings[row["setting"]], **row["always"]})
        for row in orders()[order]
        if settings[row["setting"]] != row["off"]
    ]

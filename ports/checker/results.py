"""What came of each case: one of seven words, none of which is ever counted as another."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Mark(StrEnum):
    """The four verdicts, and what is none: a bad input rightly refused, a failure to answer, nothing checked."""

    IDENTICAL = "IDENTICAL"
    WITHIN_BOUND = "WITHIN_BOUND"
    TIE_BREAK = "TIE_BREAK"
    REFUSED = "REFUSED"
    DIVERGED = "DIVERGED"
    ERRORED = "ERRORED"
    NOT_CHECKED = "NOT_CHECKED"


BAD = (Mark.DIVERGED, Mark.ERRORED)


@dataclass(frozen=True)
class Result:
    """One case judged. `ratio` is the worst error / bound; `case` says which inputs, short enough to be read."""

    phase: str
    op: str
    mark: Mark
    ratio: float = 0.0
    rule: str = ""
    case: str = ""
    reason: str = ""
    came: str = ""
    expected: str = ""

    def __str__(self) -> str:
        """What a person reads; nothing of the port's own words in it can steer a terminal."""
        broken = f" breaks {self.rule}" if self.rule else ""
        lines = [f"{self.op} {self.mark}{broken}: {self.reason}", f"  case      {self.case}"]
        if self.mark == Mark.DIVERGED:
            lines += [f"  came      {self.came}", f"  expected  {self.expected}"]
        return printable("\n".join(lines))


@dataclass
class Report:
    """All results of one check, and what was made of them."""

    port: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    mistakes: dict[str, str] = field(default_factory=dict)  # op -> the likely mistake
    gave_up: str = ""  # why the check ended early

    @property
    def failures(self) -> list[Result]:
        """What does not conform, in the order in which it was found."""
        return [result for result in self.results if result.mark in BAD]

    @property
    def status(self) -> int:
        """The exit status: 0 conforms, 1 does not, 2 nothing could be checked."""
        if self.failures or self.gave_up:
            return 1
        return 0 if any(result.mark != Mark.NOT_CHECKED for result in self.results) else 2

    def rows(self) -> list[tuple[str, Counter[Mark], float]]:
        """For each operation its counts and its worst error / bound among those that conform."""
        return [
            (op, *_counts(r for r in self.results if r.op == op)) for op in dict.fromkeys(r.op for r in self.results)
        ]

    def not_checked(self) -> Counter[tuple[str, str]]:
        """How often what was left out, by operation and reason."""
        return Counter((r.op, r.reason) for r in self.results if r.mark == Mark.NOT_CHECKED)


def _counts(results: Iterable[Result]) -> tuple[Counter[Mark], float]:
    listed = list(results)
    return Counter(r.mark for r in listed), max((r.ratio for r in listed if r.mark not in BAD), default=0.0)


def brief(value: Any, width: int = 300) -> str:
    """One line, not too long, whatever it is: nothing in it can steer a terminal or break a file."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= width else text[:width] + " ..."


def printable(text: str) -> str:
    """What cannot be shown, lone surrogates included, replaced; line breaks stay."""
    if text.isprintable():  # nearly always, and at once
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)

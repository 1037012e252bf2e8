"""What came of a case: one of seven words, none of which is ever counted as another, and what a verdict says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

LONG = 12  # elements of an array that are shown in full; of a longer one, the first and the last four


class Word(StrEnum):
    """The four verdicts, best first, and what is none: bad input rightly refused, no answer, nothing checked."""

    IDENTICAL = "IDENTICAL"
    WITHIN_BOUND = "WITHIN_BOUND"
    TIE_BREAK = "TIE_BREAK"
    DIVERGED = "DIVERGED"
    REFUSED = "REFUSED"
    ERRORED = "ERRORED"
    NOT_CHECKED = "NOT_CHECKED"


BAD = (Word.DIVERGED, Word.ERRORED)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One case judged: the word and, where it is a bad one, which rule is broken, why, where and on which inputs.

    `ratio` is the worst error divided by its bound, infinite where nothing may be off. `actual` is what the
    implementation gave, an exception where it raised one, and `expected` what it should have given. Of several results
    they are `result` alone; `place` is where in it the worst element stands. `case` names the case, `phase` the part of
    a check.
    """

    operation: str
    word: Word
    rule: str = ""
    reason: str = ""
    ratio: float = 0.0
    result: str = ""
    place: tuple[int, ...] = ()
    actual: Any = None
    expected: Any = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    case: str = ""
    phase: str = ""

    @property
    def conforms(self) -> bool:
        """Whether the implementation was asked and did right."""
        return self.word not in (*BAD, Word.NOT_CHECKED)

    @property
    def about(self) -> str:
        """The case on one line: its name and its inputs."""
        return brief(": ".join(part for part in (self.case, shown(self.inputs)) if part))

    def __str__(self) -> str:
        """What a person reads, at most four lines; nothing in it can steer a terminal."""
        error = f", error {self.ratio:.3g} x bound" if 0 < self.ratio < np.inf else ""
        if self.conforms:
            return f"{self.operation} {self.word}{error}"
        broken = f" breaks {self.rule}" if self.rule else ""
        place = f" at {list(self.place)}" if self.place else ""
        lines = [f"{self.operation} {self.word}{broken}: {self.reason}{place}{error}"]
        lines += [f"  case      {self.about}"] if self.about else []
        if self.word == Word.DIVERGED:
            lines += [f"  actual    {brief(self.actual)}", f"  expected  {brief(self.expected)}"]
        return printable("\n".join(lines))

    def require(self) -> "Verdict":
        """Raises AssertionError with the message unless the implementation did right."""
        if not self.conforms:
            raise AssertionError(str(self))
        return self


def shown(inputs: Mapping[str, Any]) -> str:
    """Inputs as a person writes them.

    >>> shown({"logits": np.array([1, 2.5, -np.inf]), "k": 2})
    'logits [1, 2.5, -inf], k 2'
    """
    return ", ".join(f"{name} {text(value)}" for name, value in inputs.items())


def text(value: Any) -> str:
    """A value in its own digits; an array as a list, `...` in the middle where it is long, a tuple part by part."""
    if isinstance(value, tuple):
        return ", ".join(map(text, value))
    if isinstance(value, Mapping):
        return shown(value)
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    if not isinstance(value, (np.ndarray, np.generic)):
        return str(value)
    array = np.asarray(value)
    if array.ndim == 0:
        return str(array[()]).removesuffix(".0")
    parts = [text(part) for part in (array if len(array) <= LONG else [*array[:4], "...", *array[-4:]])]
    return f"[{', '.join(parts)}]"


def brief(value: Any, width: int = 300) -> str:
    """One line, not too long, whatever it is: nothing in it can steer a terminal or break a file."""
    line = printable(" ".join(text(value).split()))
    return line if len(line) <= width else line[:width] + " ..."


def printable(text: str) -> str:
    """What cannot be shown, lone surrogates included, replaced; line breaks stay."""
    if text.isprintable():  # nearly always, and at once
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape, dtype and bit patterns; the sign of zero counts."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b)
        and bool(np.all(np.signbit(a) == np.signbit(b)))
    )

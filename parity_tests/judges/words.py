"""The four words, and what a verdict says."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np


class Word(StrEnum):
    """The four verdicts, best first."""

    IDENTICAL = "IDENTICAL"
    WITHIN_BOUND = "WITHIN_BOUND"
    TIE_BREAK = "TIE_BREAK"
    DIVERGED = "DIVERGED"


@dataclass(frozen=True)
class Verdict:
    """One comparison. `ratio` is the worst error divided by its bound; the other fields say where and why."""

    word: Word
    stage: str
    ratio: float = 0.0
    rule: str = ""
    place: tuple[int, ...] = ()
    ours: Any = None
    theirs: Any = None
    reason: str = ""
    case: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """At most eight lines: the verdict, the rule, the worst element, the smallest case."""
        if self.word != Word.DIVERGED:
            return f"{self.stage}: {self.word}" + (f", error {self.ratio:.2g} x bound" if self.ratio else "")
        ratio = f", error {self.ratio:.3g} x bound" if self.ratio else ""
        place = f" at [{', '.join(map(str, self.place))}]" if self.place else ""
        lines = [f"{self.stage}: DIVERGED from {self.rule}: {self.reason}{ratio}"]
        lines.append(f"  ours {_brief(self.ours)}, theirs {_brief(self.theirs)}{place}")
        lines += [f"  {name} = {_brief(value)}" for name, value in list(self.case.items())[:6]]
        return "\n".join(lines)

    def require(self) -> "Verdict":
        """Raises AssertionError with the message if the two diverged."""
        if self.word == Word.DIVERGED:
            raise AssertionError(str(self))
        return self


def _brief(value: Any, width: int = 200) -> str:
    text = " ".join(np.array2string(value, threshold=12, edgeitems=4).split()) if isinstance(value, np.ndarray) else ""
    return (text or repr(value))[:width]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shape, dtype and bit patterns; the sign of zero counts."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b)
        and bool(np.all(np.signbit(a) == np.signbit(b)))
    )

"""The outcome of a case: one of seven words, never counted as one another, and the verdict that explains it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

LONG = 12  # an array of up to so many elements is shown in full; of a longer one, the first four and the last four


class Word(StrEnum):
    """The four verdicts, best first; then what is no verdict on numbers.

    REFUSED is bad input that was refused as it must be, UNREFUSED bad input that was answered or refused as something
    else. ERRORED is no answer, or none of the right form: that breaks no rule of SPEC.md.
    """

    IDENTICAL = "IDENTICAL"
    WITHIN_BOUND = "WITHIN_BOUND"
    TIE_BREAK = "TIE_BREAK"
    DIVERGED = "DIVERGED"
    REFUSED = "REFUSED"
    UNREFUSED = "UNREFUSED"
    ERRORED = "ERRORED"
    NOT_CHECKED = "NOT_CHECKED"


class UnusualWarning(UserWarning):
    """A right answer whose errors are larger than roundings ever make them."""


BAD = (Word.DIVERGED, Word.UNREFUSED, Word.ERRORED)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one case: a word and, if it is a bad one, which rule is broken, why, where and on which inputs.

    - `ratio` is the largest error divided by its bound; infinite if the result had to be exact.
    - `actual` is the implementation's result, or the exception that it raised; `expected` is the right result.
    - `figure` is the statistical second figure of a result within its bound; above 1 the result is unusual, and
      `reason` says how it compares with other orders of summation.
    - `result` names the result that is wrong, if there are several; `actual` and `expected` are then that one alone.
    - `place` is the index of the worst element.
    - `case` names the case, `phase` the part of a check.
    - `repeats` is false if the same request was answered in another way when it was asked again.
    """

    word: Word
    operation: str = ""
    rule: str = ""
    reason: str = ""
    ratio: float = 0.0
    figure: float = 0.0
    result: str = ""
    place: tuple[int, ...] = ()
    actual: Any = None
    expected: Any = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    case: str = ""
    phase: str = ""
    repeats: bool = True

    @property
    def conforms(self) -> bool:
        """Whether the implementation was asked and its answer is right."""
        return self.word not in (*BAD, Word.NOT_CHECKED)

    @property
    def unusual(self) -> bool:
        """Whether the answer is right, but its errors are larger than roundings ever make them (`judges.unusual`)."""
        return self.conforms and self.figure > 1

    @property
    def about(self) -> str:
        """The case on one line: its name and its inputs."""
        return brief(": ".join(part for part in (self.case, shown(self.inputs)) if part))

    def __str__(self) -> str:
        """Text for a person, at most four lines. It contains no control sequences that a terminal would obey."""
        error = f", error {self.ratio:.3g} x bound" if 0 < self.ratio < np.inf else ""
        if self.conforms:
            return f"{self.operation} {self.word}{error}{self._how_unusual()}"
        broken = f" breaks {self.rule}" if self.rule else ""
        place = f" at {list(self.place)}" if self.place else ""
        lines = [f"{self.operation} {self.word}{broken}: {self.reason}{place}{error}"]
        lines += [f"  case      {self.about}"] if self.about else []
        if self.word in (Word.DIVERGED, Word.UNREFUSED):
            pair = (described(value, self.place) for value in (self.actual, self.expected))
            lines += [f"  {name:<8}  {brief(value)}" for name, value in zip(("actual", "expected"), pair, strict=True)]
        return printable("\n".join(lines))

    def _how_unusual(self) -> str:
        return f", unusual: {self.figure:.3g} x what is likely, {self.reason}" if self.unusual else ""

    def require(self) -> "Verdict":
        """Raise AssertionError with the text of the verdict, unless the answer is right. Warn if it is unusual."""
        if not self.conforms:
            raise AssertionError(str(self))
        if self.unusual:
            warnings.warn(str(self), UnusualWarning, stacklevel=2)
        return self


def diverged(rule: str, reason: str, **where: Any) -> Verdict:
    """A judge's verdict on a wrong answer; `compare` adds the operation."""
    return Verdict(word=Word.DIVERGED, rule=rule, reason=reason, **where)


def shown(inputs: Mapping[str, Any]) -> str:
    """Inputs as a person writes them.

    >>> shown({"logits": np.array([1, 2.5, -np.inf]), "k": 2})
    'logits [1, 2.5, -inf], k 2'
    """
    return ", ".join(f"{name} {text(value)}" for name, value in inputs.items())


def described(value: Any, place: tuple[int, ...] = ()) -> str:
    """A value with its dtype and shape and, if the array is too long to be shown whole, the element at `place`.

    >>> described(np.array([1, 2.5], np.float32)), described({"token_ids": np.array(3)})
    ('float32[2] [1, 2.5]', 'token_ids int64[] 3')
    """
    if isinstance(value, Mapping) and value.keys() == {"code"}:
        return f"a refusal: {value['code']}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {described(part, place)}" for name, part in value.items())
    if isinstance(value, tuple):
        return ", ".join(described(part, place) for part in value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return text(value)
    array = np.asarray(value)
    at = ""
    if max(array.shape, default=0) > LONG and len(place) == array.ndim:
        at = f"; at {list(place)}: {text(array[place])}"
    return f"{array.dtype}{list(array.shape)} {text(array)}{at}"


def text(value: Any) -> str:
    """A value with the digits of its dtype: an array as a list, with `...` in the middle if it is long."""
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
    """Any value on one line that is not too long, without characters that control a terminal or cannot be encoded."""
    line = printable(" ".join(text(value).split()))
    return line if len(line) <= width else line[:width] + " ..."


def printable(text: str) -> str:
    """The text with characters that cannot be printed replaced, lone surrogates included. Line breaks stay."""
    if text.isprintable():  # nearly always, and fast
        return text
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether shape, dtype and bits are equal, including the sign of zero."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(a, b)
        and bool(np.all(np.signbit(a) == np.signbit(b)))
    )

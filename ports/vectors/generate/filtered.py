"""What the vectors of all filters share: answers from sets of survivors, and the groups that hold for every filter."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from math import inf, nan
from typing import Any

import numpy as np

from . import exact
from .build import BAD_LOGITS, KIND_ERROR, Answer, File, array, empty, float64, floats
from .distribution import Row

Survivors = Callable[..., list[list[int]]]  # of a row and the arguments: every set of ids, the exact one first
MOST = 8  # more right answers to one vector are a mistake in the vector

FLAGS = (
    """
FiniteMask (FILTER-1): what falls becomes a finite number or nan in place of -inf
NoTokenLeft (FILTER-1): no token is left
Bits (FILTER-1): a survivor changed: another number in its place, or -0 become 0
MaskedCounts (FILTER-1): a masked token survives, is counted, or adds to a sum
NoShift (SOFTMAX-2): the maximum not subtracted, or its search begun from 0: exp overflows above 88.7, is 0 below -104
OfTheBatch (HEAD-4): a sum, a maximum or a threshold of the whole batch, or that of its first row
OutputDtype (HEAD-2): 16-bit logits answered in 16 bits
InPlace (HEAD-3): the caller's logits overwritten
"""
    + BAD_LOGITS
    + KIND_ERROR
)


def masked(row: Sequence[float], kept: Sequence[int]) -> list[float]:
    """The row with -inf at all other ids."""
    stays = set(kept)
    return [x if i in stays else -inf for i, x in enumerate(row)]


def answers(survivors: Survivors) -> Callable[..., list[Answer]]:
    """Every answer that conforms: all combinations of what may survive in each row."""

    def of_arguments(logits: np.ndarray, **given: Any) -> list[Answer]:
        dtype, rows = exact.compute_dtype(logits), exact.rows(logits)
        of_rows = [given] * len(rows)
        if "uniform" in given:
            of_rows = [given | {"uniform": u} for u in given["uniform"].astype(np.float64).reshape(-1).tolist()]
        found = [survivors(Row(row, dtype), **of_row) for row, of_row in zip(rows, of_rows, strict=True)]
        if math.prod(map(len, found)) > MOST:
            raise ValueError(f"{math.prod(map(len, found))} answers conform: take other logits")
        return [
            Answer(
                {
                    "logits": floats(
                        [x for row, kept in zip(rows, chosen, strict=True) for x in masked(row, kept)],
                        logits.shape,
                        dtype,
                    )
                }
            )
            for chosen in product(*found)
        ]

    return of_arguments


class FilterFile(File):
    """The vectors of one filter. `rows_of` are inputs that a batch of the given leading shape needs besides logits."""

    def __init__(self, op: str, flags: str, survivors: Survivors, uniform: bool = False) -> None:
        super().__init__(op, flags + FLAGS, answers(survivors))
        self._uniform = uniform

    def _of(self, *shape: int) -> dict[str, Any]:
        """The inputs that every row of a batch has one of."""
        return {"uniform": array(np.zeros(shape))} if self._uniform else {}

    def fair(self, comment: str, flags: str = "", **inputs: Any) -> None:
        """A test with one right answer, or with several where rounding decides for this filter."""
        one = len(self._answer(**self._complete(dict(inputs)))) == 1
        (self.valid if one else self.acceptable)(comment, flags, **inputs)

    def every_filter(self, flags: str, **given: Any) -> None:
        """The groups that hold for every filter; `flags` are those of a filter that lets the wrong tokens through."""
        given = self._of() | given
        self.group("masks", "FILTER-1", "A masked token never survives, adds nothing and is not counted.", **given)
        self.fair("one masked, two others", f"MaskedCounts {flags}", logits=[2, -inf, 0])
        self.fair("a mask of half the row", f"MaskedCounts {flags}", logits=[-inf, 2, -inf, 1, -inf, -2, -inf, -8])
        self.fair("all below 0", f"MaskedCounts {flags}", logits=[-inf, -9, -10.5, -inf, -9.75, -13])
        self.fair("all but one masked", "MaskedCounts NoTokenLeft", logits=[-inf, -7, -inf])
        self.fair("the lowest float32 beside a mask", "FiniteMask", logits=[0, -inf, -3.4028234663852886e38])
        self.fair("-0 is a survivor with its sign", "Bits", logits=[-0.0, -4, -5.5])
        self.fair("one token", "NoTokenLeft", logits=[-3])
        self.fair("five equal logits", "NoTokenLeft", logits=[0.5] * 5)

        every = "The softmax is the same if a constant is added to all logits, and so is what survives."
        self.group("any finite logit", "SOFTMAX-2", every, **given)
        self.fair("near 0", flags, logits=[2, 0, 1.5, -3])
        self.fair("the same, near -100", f"NoShift {flags}", logits=[-102, -104, -102.5, -107])
        self.fair("near -1000", "NoShift NoTokenLeft", logits=[-1002, -1004, -1002.5, -1007])
        self.fair("above 88.7: inf / inf without the maximum", f"NoShift {flags}", logits=[92, 90, 91.5, 87])
        self.fair("all below -104: 0 / 0 without it", "NoShift NoTokenLeft", logits=[-104, -109, -121])
        self.fair("a spread of 1e4", "NoShift", logits=[-9000, 1000, 997, 0])
        self.fair("a tail below the smallest normal number", flags, logits=[0, -3, -88, -95, -103, -110])

        self.group("batches", "HEAD-4", "Every row by itself.", **given)
        rows = array([[[2, 0, 1.5, -3], [-202, -204, -200, -207]], [[300, 300, 299, 290], [0, 3, -inf, 2.5]]])
        self.fair("a row alone", flags, logits=rows[0, 1])
        self.fair("rows of another height", "OfTheBatch", logits=rows[0], **self._of(2))
        self.fair("flat beside steep", "OfTheBatch", logits=[[0.5, 0.25, 0, -0.25], [8, 6.5, 2, 1]], **self._of(2))
        self.fair("two leading axes", "OfTheBatch", logits=rows, **self._of(2, 2))
        self.fair("a batch of no rows", logits=empty(2, 0, 3), **self._of(2, 0))

        self.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.", **given)
        self.fair("float64", flags, logits=float64([2, 0.1, 1.5, -3]))
        for dtype in ("float16", "bfloat16"):
            self.fair(dtype, "OutputDtype", logits=array([2, 0.1, 1.5, -3], dtype))

        self.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call.", **given)
        self.fair("logits that a caller uses again", "InPlace", logits=[2, 0, 1.5, -3])

        self.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.", **given)
        self.bad_logits(kinds="int64 bools")
        self.invalid("bad_logits", "a second row of only -inf", "BadLogits", logits=[[0, 1], [-inf] * 2], **self._of(2))

    def bad_shares(self, name: str, rule: str, *values: Any, flag: str = "BadShare", **given: Any) -> None:
        """Numbers outside the range of a parameter, nan, infinity, and true."""
        code = "bad_n" if name == "n" else "bad_share"
        self.group(f"bad {name}", "FILTER-11", rule, logits=[1, 2], **self._of(), **given)
        for value in (*values, nan, inf, -inf):
            self.invalid(code, f"{name} = {value}", flag, **{name: value})
        self.invalid(code, f"true is no {name}", "KindError", **{name: True})

    def bad_words(self, name: str, **given: Any) -> None:
        """Words that are none of those that an argument may be."""
        for word in ("", "any other"):
            self.invalid(f"bad_{name}", f"{name} = {word!r}", "BadWord", logits=[1, 2], **{name: word}, **given)

"""What the vectors of all penalties share: answers row by row, and the groups that hold for every one of them."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import copysign, inf, isfinite, isnan
from typing import Any

import numpy as np

from reference.operations import OPERATIONS

from . import exact
from .build import BAD_LOGITS, KIND_ERROR, Answer, File, array, empty, float64, floats

IDS = ("history", "biased", "banned", "end_ids", "token_ids")  # inputs that are token ids: in place of a tensor, a list

FLAGS = (
    """
MaskLost (SOFTMAX-4): a masked token becomes a number or nan
OutputDtype (HEAD-2): 16-bit logits changed or answered in 16 bits
InPlace (HEAD-3): the caller's logits overwritten
BadIds (PENALTY-7): an id outside the vocabulary skipped, wrapped or taken for another; padding counted
    https://github.com/huggingface/text-generation-inference/pull/1765
    https://github.com/unslothai/unsloth/pull/6923
"""
    + BAD_LOGITS
    + KIND_ERROR
)
OF_HISTORY = """
OwnHistory (PENALTY-1): the ids of another row, of the whole batch, or of a part of the history alone
EmptyHistory (PENALTY-1): without a history the logits are changed, refused, or read beyond their end
"""
OVERFLOW = """
Overflow (PENALTY-7): a finite logit that becomes infinite goes on, and is a mask or nan later
"""
BAD_PENALTY = """
BadPenalty (PENALTY-7): a penalty outside its range silently means off, or gives nan
"""

Changed = Callable[..., list[float]]  # a row, the ids of its history and its dtype, then the arguments by name


def added(x: float, b: float, dtype: str) -> float:
    """`x + b`, rounded once; the sign of a zero as IEEE 754 has it."""
    if not (isfinite(x) and isfinite(b)):
        return -inf
    total = exact.rounded(Fraction(x) + Fraction(b), dtype)
    return total if total or x or b else copysign(0.0, max(copysign(1, x), copysign(1, b)))


def parameter(value: float, dtype: str) -> float:
    """A number as rounded to the dtype of the logits; the sign of a zero stays."""
    return copysign(exact.rounded(Fraction(value), dtype), value)


def histories(logits: np.ndarray, history: np.ndarray | None) -> list[list[int]]:
    """The ids of each row, oldest first."""
    count = len(exact.rows(logits))
    if history is None:
        return [[]] * count
    found: list[list[int]] = history.reshape(count, history.shape[-1]).tolist()
    return found


def answers(changed: Changed) -> Callable[..., list[Answer]]:
    """The one answer: every row changed by itself."""

    def of_arguments(logits: np.ndarray, history: np.ndarray | None = None, **given: Any) -> list[Answer]:
        dtype, values = exact.compute_dtype(logits), list[float]()
        for row, ids in zip(exact.rows(logits), histories(logits, history), strict=True):
            values += changed(row, ids, dtype, **given)
        if any(isnan(x) or x == inf for x in values):
            raise ValueError("a logit overflows: that is to be refused")
        return [Answer({"logits": floats(values, logits.shape, dtype)})]

    return of_arguments


def tensor_of_ids(values: Any) -> np.ndarray:
    """Token ids; an array stays as it is, of whatever kind."""
    return values if isinstance(values, np.ndarray) else array(values, "int64")


class IdsFile(File):
    """A file in which a list of token ids will do in place of their tensor."""

    def _complete(self, inputs: dict[str, Any]) -> dict[str, Any]:
        given = self._of_all | self._of_group | inputs
        found = {name: tensor_of_ids(value) if name in IDS else value for name, value in given.items()}
        return super()._complete(found)

    def bad_ids(self, name: str, shapes: Mapping[str, Any], flag: str = "BadIds", **given: Any) -> None:
        """Ids beside the vocabulary of 3 tokens, other kinds, and `shapes` that do not fit, by comment."""
        wrong = {"V": 3, "-1, the last one in Python": -1, "-100, padding": -100, "2^32, 0 in 32 bits": 2**32}
        for comment, bad in wrong.items():
            self.invalid("bad_token_ids", comment, flag, **given, **{name: [1, bad]})
        for comment, values in shapes.items():
            self.invalid("bad_shape", comment, flag, **given, **{name: values})
        for kind, values in {"floats": array([1, 0]), "bools": array([True, False], "bool")}.items():
            self.invalid("bad_dtype", kind, "KindError", **given, **{name: values})


class PenaltyFile(IdsFile):
    """The vectors of one penalty."""

    def __init__(self, op: str, flags: str, answer: Callable[..., list[Answer]], **shared: Any) -> None:
        self._has_history = "history" in OPERATIONS[op].arguments
        super().__init__(op, flags + OF_HISTORY * self._has_history + FLAGS, answer, **shared)

    def _of(self, ids: Any) -> dict[str, Any]:
        return {"history": ids} if self._has_history else {}

    def every_penalty(self, flags: str, no_ids: Mapping[str, Any], **given: Any) -> None:
        """The groups that hold for every penalty; `flags` are those of one with another result, `no_ids` empty."""
        own = "OwnHistory " if self._has_history else ""
        self.group("masks", "SOFTMAX-4", "A masked token stays masked.", **given)
        self.valid("a masked token, changed", f"MaskLost {flags}", logits=[2, -inf, -0.5, 1], **self._of([1, 0, 2, 1]))
        self.valid("all but one masked", "MaskLost", logits=[-inf, -inf, -inf, -3], **self._of([1, 1]))

        self.group("batches", "HEAD-4", "Every row by itself.", **given)
        rows = array([[[2, -1, 0.5, 3], [-2, 4, 0, 1]], [[1, 1, -3, 2], [0, -0.5, 8, -inf]]])
        ids = array([[[0, 0, 1], [2, 1, 2]], [[1, 2, 1], [0, 2, 0]]], "int64")
        self.valid("a row alone", flags, logits=rows[0, 1], **self._of(ids[0, 1]))
        self.valid("a batch", f"{own}{flags}", logits=rows[0], **self._of(ids[0]))
        self.valid("two leading axes", f"{own}{flags}", logits=rows, **self._of(ids))
        if own:
            many = [x * (-1) ** x / 4 for x in range(1, 73)]
            self.valid("70 ids, each once", own, logits=many, history=list(range(1, 71)))
        self.valid("a batch of no rows", logits=empty(2, 0, 4), **self._of(np.zeros((2, 0, 3), np.int64)))
        if own:
            none = np.zeros((2, 0), np.int64)
            self.group("no history", "PENALTY-1", "n may be 0.", **{**given, **no_ids})
            self.valid("one row", "EmptyHistory", logits=[1, -2, -inf, -0.0], history=[])
            self.valid("two rows", "EmptyHistory", logits=rows[0], history=none)

        self.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.", **given)
        self.valid("float64", flags, logits=float64([2, 0.1, -1.7, -3]), **self._of([1, 2, 1]))
        for dtype in ("float16", "bfloat16"):
            self.valid(dtype, "OutputDtype", logits=array([2, 0.1, -1.7, -3], dtype), **self._of([1, 2, 1]))

        self.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call.", **given)
        self.valid("logits that a caller uses again", "InPlace", logits=[1, 2, 3, -1], **self._of([0, 1, 1]))

        every = "Refused by every function that takes logits."
        self.group("bad logits", "SOFTMAX-4", every, **{**given, **no_ids, **self._of([])})
        self.bad_logits(kinds="int64 bools")
        two = self._of(np.zeros((2, 0), np.int64))
        self.invalid("bad_logits", "a second row of only -inf", "BadLogits", logits=[[0, 1], [-inf] * 2], **two)

    def bad_history(self, **given: Any) -> None:
        """Histories that are refused."""
        self.group("bad history", "PENALTY-7", "Ids in [0, V), those of one row for each row.", **given)
        shapes = {"two axes for one row": [[1], [0]], "no axis": 1}
        self.bad_ids("history", shapes, logits=[1, 2, 3])
        rows = [[1, 2, 3], [3, 2, 1]]
        self.invalid("bad_shape", "one history for two rows", "BadIds", logits=rows, history=[1, 0])
        self.invalid("bad_shape", "three histories for two rows", "BadIds", logits=rows, history=[[1], [0], [2]])
        self.invalid("bad_token_ids", "in the second row", "BadIds", logits=rows, history=[[1], [3]])

    def bad_penalties(self, rule: str, values: Sequence[float], **given: Any) -> None:
        """Penalties that are refused: these, and what no penalty may be."""
        self.group("bad penalties", "PENALTY-7", rule, **given, logits=[1, -2], history=[0])
        for value in (*values, inf, -inf, float("nan")):
            self.invalid("bad_penalty", f"penalty = {value}", "BadPenalty", penalty=value)
        self.invalid("bad_penalty", "penalty = 1e39, infinite in float32", "BadPenalty", penalty=1e39)
        self.invalid("bad_penalty", "penalty = inf without a history", "BadPenalty", penalty=inf, history=[])
        self.invalid("bad_penalty", "true is no penalty", "BadPenalty", penalty=True)

    def bad_counts(self, name: str, **given: Any) -> None:
        """Counts that are refused."""
        self.group(f"bad {name}", "PENALTY-7", "An integer of at least 1.", **given)
        for value in (0, -1, 1.5, True):
            self.invalid("bad_count", f"{name} = {value}".lower(), "BadCount", **{name: value})

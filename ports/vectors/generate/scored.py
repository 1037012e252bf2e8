"""What the vectors of log-probabilities share: exact logarithms, and the groups that hold for every operation."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from reference.operations import OPERATIONS

from .build import BAD_LOGITS, KIND_ERROR, Answer, array, empty, float64
from .distribution import MP, number
from .penalised import IdsFile

FLAGS = (
    """
OfTheBatch (HEAD-4): a maximum, a sum or an order of the whole batch, or along another axis
InPlace (HEAD-3): the caller's logits overwritten
"""
    + BAD_LOGITS
    + KIND_ERROR
)
OF_LOGARITHMS = """
LogOfSoftmax (LOGPROB-1): the logarithm of a probability: -inf, or a floor, where the probability underflows
    https://github.com/tenstorrent/pytorch2.0_ttnn/issues/1341
NoShift (LOGPROB-1): the maximum not subtracted, or its search begun from 0: inf or nan above 88.7 and below -104
SumAdded (LOGPROB-1): max + ln sum exp rounded before it is subtracted: of large logits nothing is left
    https://github.com/BasisResearch/dynestyx/pull/183
OtherBase (LOGPROB-1): bits or decimal digits in place of nats
Unnormalised (LOGPROB-1): the logits, or the logits less their maximum, in place of log-probabilities
SixteenBits (HEAD-2): computed or answered in 16 bits
"""
BAD_IDS = """
BadIds (LOGPROB-5): an id outside the vocabulary wraps, is skipped, or reads beyond the row
"""


def log_probs(row: Sequence[float]) -> list[Any]:
    """`z - max - ln sum exp(z - max)` to 400 bits. The weight of the largest is 1: `log1p` of the others is exact."""
    highest = max(row)
    first = list(row).index(highest)
    x = [-inf if z == -inf else number(Fraction(z) - Fraction(highest)) for z in row]
    log_total = MP.log1p(MP.fsum(MP.exp(a) for i, a in enumerate(x) if a != -inf and i != first))
    return [-inf if a == -inf else a - log_total for a in x]


class ScoreFile(IdsFile):
    """The vectors of one operation. Where it is told a token for each row, `_of` gives one."""

    def __init__(self, op: str, flags: str, answer: Callable[..., list[Answer]], **shared: Any) -> None:
        self._has_ids = "token_ids" in OPERATIONS[op].arguments
        super().__init__(op, flags + BAD_IDS * self._has_ids + FLAGS, answer, **shared)

    def _of(self, values: Any) -> dict[str, Any]:
        return {"token_ids": values} if self._has_ids else {}

    def any_finite_logit(self) -> None:
        """Logits that exp cannot take; adding a constant changes nothing."""
        self.group("any finite logit", "LOGPROB-1", "Also where a probability, or exp of a logit, under- or overflows.")
        one = self._of(1)
        self.valid("a spread of 120: a probability underflows", "LogOfSoftmax", logits=[0, -120, -1], **one)
        self.valid("a spread of 1e4", "LogOfSoftmax NoShift", logits=[-9000, -9500, 1000, 998], **one)
        self.valid("a subnormal probability", "LogOfSoftmax", logits=[0, -100, -103], **one)
        self.valid("near -100, as GPT-2's logits", "NoShift", logits=[-101.5, -99.25, -100, -98.5], **one)
        self.valid("all below -104", "NoShift", logits=[-204, -205, -206.5], **one)
        self.valid("above 88.7", "NoShift", logits=[90, 91.5, 89], **one)
        self.valid("0, 1, 2, raised by 2^20", "SumAdded NoShift", logits=[2**20, 2**20 + 1, 2**20 + 2], **one)
        self.valid("all at -1e30", "SumAdded NoShift", logits=[-1e30, -1e30], **one)
        self.valid("1e38 and -1e38", "LogOfSoftmax NoShift", logits=[1e38, -1e38], **one)

    def every_score(self, flags: str = "", sixteen: str = "", empty_batch: bool = True) -> None:
        """The groups that hold for every operation; `sixteen` are the flags of tests in 16 bits."""
        self.group("batches", "HEAD-4", "Every row by itself.")
        rows = array([[[0, 1, 2], [-200, -201, -199]], [[300, 300, 299], [5, 5, -inf]]])
        ids = array([[1, 0], [2, 1]], "int64")
        self.valid("a row alone", flags, logits=rows[0, 1], **self._of(ids[0, 1]))
        self.valid("rows of another height", f"OfTheBatch {flags}", logits=rows[0], **self._of(ids[0]))
        self.valid("two leading axes", f"OfTheBatch {flags}", logits=rows, **self._of(ids))
        if empty_batch:
            self.valid("a batch of no rows", logits=empty(2, 0, 3), **self._of(np.zeros((2, 0), np.int64)))

        self.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.")
        self.valid("float64", flags, logits=float64([2, 0.1, -1.7, -3]), **self._of(1))
        self.valid("all at -750 in float64", flags, logits=float64([-750, -751]), **self._of(1))
        for dtype in ("float16", "bfloat16"):
            self.valid(dtype, sixteen, logits=array([2, 0.1, -1.7, -3], dtype), **self._of(1))

        self.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call.")
        self.valid("logits that a caller uses again", "InPlace", logits=[1, 2, 3, -1], **self._of(1))

        self.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.", **self._of(0))
        self.bad_logits(kinds="int64 bools")
        two = {"logits": [[0, 1], [-inf] * 2], **self._of([0, 0])}
        self.invalid("bad_logits", "a second row of only -inf", "BadLogits", **two)

    def bad_token_ids(self, wrong: Sequence[int]) -> None:
        """Ids that are refused: these, other kinds, and other shapes than that of the rows."""
        rows = [[1, 2, 3], [3, 2, 1]]
        self.group("bad ids", "LOGPROB-5", "Ids in [0, V), one for each row.", logits=rows)
        for value in wrong:
            self.invalid("bad_token_ids", f"{value} of V = 3", "BadIds", token_ids=[1, value])
        for comment, values in {"one id": 1, "three ids": [0, 1, 2], "a column": [[0], [1]]}.items():
            self.invalid("bad_shape", f"{comment} for two rows", "BadIds", token_ids=values)
        self.invalid("bad_shape", "a list for a row alone", "BadIds", logits=[1, 2, 3], token_ids=[1])
        for kind, values in {"floats": array([1, 0]), "bools": array([True, False], "bool")}.items():
            self.invalid("bad_dtype", kind, "KindError", token_ids=values)

"""Vectors of `presence_penalty`: one correctly rounded difference, so every answer is exact."""

from collections.abc import Sequence
from math import inf

from .build import File, array, float64
from .penalised import BAD_PENALTY, OVERFLOW, PenaltyFile, added, answers, parameter

FLAGS = """
PerOccurrence (PENALTY-4): subtracted once for each occurrence: a frequency penalty [for_each_time]
Scaled (PENALTY-4): multiplied or divided, or with another sign where the logit is negative [added divided]
Everything (PENALTY-4): subtracted from tokens that are not in the history [of_the_others every_token]
DoublePenalty (PENALTY-4): the penalty in float64, not rounded to the dtype of the logits [float64_penalty in_bfloat16]
Negative (PENALTY-4): a penalty below 0 refused, or taken for 0 [negative_is_0]
SignOfZero (PENALTY-4): the sign of a zero lost
OwnHistory [history_of_the_first_row the_last_64 last_id_left_out padded_with_0]
InPlace [in_place]
"""


def changed(row: Sequence[float], ids: Sequence[int], dtype: str, penalty: float) -> list[float]:
    """Differences of fractions, each rounded once."""
    of_history, b = set(ids), -parameter(penalty, dtype)
    return [added(x, b, dtype) if i in of_history else x for i, x in enumerate(row)]


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("presence_penalty", FLAGS + OVERFLOW + BAD_PENALTY, answers(changed), penalty=0.5)
    falling = array([5.3, 3.1, 0.7, -0.9, -2.2, -7.7])
    every = list(range(6))

    file.group("differences", "PENALTY-4", "x - a for every id in the history. Make these pass first.")
    file.valid("a = 0.5", "PerOccurrence Everything", logits=[1, 1, 1], history=[1, 0, 1])
    file.valid("both signs", "Scaled Everything", logits=[3, -3, 3, -3], history=[1, 0], penalty=1.5)
    file.valid("a = 0.1", "DoublePenalty Scaled", logits=falling, history=every, penalty=0.1)
    file.valid("a = 1.3", "DoublePenalty Scaled", logits=falling, history=every, penalty=1.3)
    file.valid("a = -0.7: tokens gain", "Negative", logits=falling, history=every, penalty=-0.7)
    file.valid("one id three times", "PerOccurrence", logits=[4, -4, 4, 1], history=[0, 0, 0, 1])
    file.valid("one id at both ends", "PerOccurrence", logits=[4, -4, 4, 1], history=[1, 2, 3, 1], penalty=2)
    file.valid("a history longer than V", "PerOccurrence", logits=[4, -4], history=[1, 0] * 20)
    file.valid("V = 1", "PerOccurrence", logits=[-3], history=[0, 0], penalty=2)
    file.valid("near -100, as GPT-2's logits", "Scaled", logits=[-100.5, -99.25, -101], history=[1], penalty=1.2)
    file.valid("a penalty below half a unit changes nothing", logits=[2**24, 1], history=[0, 1], penalty=0.25)

    file.group("zeros", "PENALTY-4", "As IEEE 754: x - x is 0, and -0 - 0 is -0.")
    file.valid("x = a", "SignOfZero", logits=[0.5, -0.5, 2], history=[0, 1])
    file.valid("a = 0", "SignOfZero", logits=[-0.0, 0.0, -1, 2], history=[0, 1, 2], penalty=0)
    file.valid("-0 and 0 outside the history", "SignOfZero", logits=[-0.0, 0.0, 1], history=[2])

    file.every_penalty("PerOccurrence Everything", {}, penalty=0.7)

    file.group("overflow", "PENALTY-7", "No finite logit may become infinite.", history=[1], penalty=3e38)
    file.invalid("overflow", "-3e38 - 3e38", "Overflow", logits=[0, -3e38])
    file.invalid("overflow", "3e38 + 3e38", "Overflow", logits=[0, 3e38], penalty=-3e38)
    file.invalid("overflow", "in the second row", "Overflow", logits=[[0, 1], [0, -3e38]], history=[[1], [1]])
    file.valid("of a token outside the history", "Everything", logits=[-3e38, 1])
    file.valid("the mask is no overflow", "MaskLost", logits=[1, -inf])
    file.valid("-3e38 - 3e38 in float64", "Overflow", logits=float64([0, -3e38]))
    file.bad_history()
    file.bad_penalties("Finite, also in the dtype of the logits.", ())
    return file

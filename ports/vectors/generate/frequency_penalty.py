"""Vectors of `frequency_penalty`: within a bound, since engines multiply or add up; what did not occur is exact."""

from fractions import Fraction
from math import inf, isfinite

import numpy as np

from reference import bounds

from . import exact
from .build import Answer, File, array, float64, within
from .penalised import BAD_PENALTY, OVERFLOW, PenaltyFile, histories

FLAGS = """
Once (PENALTY-3): subtracted once, however often a token occurs: a presence penalty [once the_first_does_not_count]
    https://github.com/mlc-ai/mlc-llm/pull/1693
Scaled (PENALTY-3): multiplied or divided, or with another sign where the logit is negative [added relative]
    https://github.com/huggingface/text-generation-inference/pull/1811
Share (PENALTY-3): the count divided by the length of the history
Everything (PENALTY-3): subtracted from tokens that are not in the history [every_token]
Negative (PENALTY-3): a penalty below 0 refused, or taken for 0
SmallCounter (PENALTY-3): a count above 255 wraps, or is lost in 16 bits [counts_in_8_bits counts_in_bfloat16]
SixteenBits (PENALTY-3): added up in 16 bits [in_bfloat16]
NoEffect (PENALTY-3): the penalty has no effect [no_effect]
    https://github.com/raullenchai/Rapid-MLX/issues/470
OwnHistory [history_of_the_first_row the_last_64 last_id_left_out padded_with_0]
InPlace [in_place]
"""


def answers(logits: np.ndarray, history: np.ndarray, penalty: float) -> list[Answer]:
    """`x - a c`, rounded once to float64; a is rounded to the dtype first."""
    dtype, rows = exact.compute_dtype(logits), exact.rows(logits)
    a = Fraction(exact.rounded(Fraction(penalty), dtype))
    counts = [[ids.count(i) for i in range(logits.shape[-1])] for ids in histories(logits, history)]
    values = [
        exact.rounded(Fraction(x) - a * c, "float64") if c and isfinite(x) else x
        for row, of_row in zip(rows, counts, strict=True)
        for x, c in zip(row, of_row, strict=True)
    ]
    counted = np.reshape(np.array(counts, np.int64), logits.shape)
    allowed = bounds.frequency_penalty(logits.astype(np.float64), counted, float(a), dtype)
    return [within("logits", values, allowed, logits.shape, dtype)]


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("frequency_penalty", FLAGS + OVERFLOW + BAD_PENALTY, answers, penalty=0.5)
    falling = array([5.3, 3.1, 0.7, -0.9, -2.2, -7.7])
    rising = [5, 4, 5, 3, 4, 5, 2, 3, 4, 5, 1]

    file.group("counts", "PENALTY-3", "x - a for each time that an id occurs. Make these pass first.")
    file.valid("a = 0.5", "Once Everything NoEffect", logits=[1, 1, 1], history=[1, 0, 1])
    file.valid("both signs", "Scaled Once Share", logits=[3, -3, 3, -3], history=[1, 0, 1, 1], penalty=1.5)
    file.valid("a = 0.1", "Scaled Once Share SixteenBits", logits=falling, history=rising, penalty=0.1)
    file.valid("a = 1.3", "Once Share NoEffect", logits=falling, history=rising, penalty=1.3)
    file.valid("a = -0.7: tokens gain", "Negative Once", logits=falling, history=rising, penalty=-0.7)
    file.valid("a = 0 changes nothing", "Scaled", logits=[1, -2, 3], history=[0, 0, 1], penalty=0)
    file.valid("one id at both ends", "Once", logits=[4, -4, 4, 1], history=[1, 2, 3, 1], penalty=2)
    file.valid("V = 1", "Once", logits=[-3], history=[0, 0], penalty=2)
    file.valid("near -100, as GPT-2's logits", "Scaled", logits=[-100.5, -99.25, -101], history=[1, 1], penalty=1.2)
    file.valid("a logit that becomes 0", "Once", logits=[1, -0.0, 0.5], history=[0, 0, 2])
    file.valid("-0 and 0 outside the history", "Everything", logits=[-0.0, 0.0, 1], history=[2])

    file.group("long histories", "PENALTY-3", "Within the bound of as many additions as there are ids.")
    file.valid("20 times each", "Once SixteenBits", logits=[4, -4], history=[1, 0] * 20, penalty=0.1)
    file.valid("300 times the same", "SmallCounter SixteenBits Once", logits=[1, 2, 3], history=[1] * 300, penalty=0.01)

    file.every_penalty("Once Everything", {}, penalty=0.7)

    file.group("overflow", "PENALTY-7", "No finite logit may become infinite.", history=[1, 1], penalty=2e38)
    file.invalid("overflow", "-1e38 - 2 * 2e38", "Overflow", logits=[0, -1e38])
    file.invalid("overflow", "1e38 + 2 * 2e38", "Overflow", logits=[0, 1e38], penalty=-2e38)
    file.invalid("overflow", "in the second row", "Overflow", logits=[[0, 1], [0, -1e38]], history=[[1, 0], [1, 1]])
    file.valid("of a token outside the history", "Everything", logits=[-3e38, 1], history=[1])
    file.valid("the mask is no overflow", "MaskLost", logits=[1, -inf])
    file.valid("-1e38 - 2 * 2e38 in float64", "Overflow", logits=float64([0, -1e38]))
    file.bad_history()
    file.bad_penalties("Finite, also in the dtype of the logits.", ())
    return file

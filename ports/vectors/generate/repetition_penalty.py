"""Vectors of `repetition_penalty`: one correctly rounded product or quotient, so every answer is exact."""

from collections.abc import Sequence
from fractions import Fraction
from math import copysign, inf, isfinite

from . import exact
from .build import File, array, float64
from .penalised import BAD_PENALTY, OVERFLOW, PenaltyFile, answers

FLAGS = """
Divided (PENALTY-2): negative logits divided as well, so that they gain [divides_always of_log_probs subtracted]
    https://github.com/huggingface/transformers/issues/2302
    https://github.com/NVIDIA-NeMo/Speech/issues/8194
    https://github.com/IEIT-Yuan/Yuan-2.0/pull/112
Power (PENALTY-2): applied once for each occurrence [once_for_each_time]
Everything (PENALTY-2): applied to tokens that are not in the history [every_token]
Reciprocal (PENALTY-2): multiplied by 1 / r in place of divided by r, or the other way round
    [multiplies_always the_other_way_round reciprocal]
DoubleFactor (PENALTY-2): r in float64, not rounded to the dtype of the logits [float64_penalty]
SignOfZero (PENALTY-2): the sign of a zero lost
FlushToZero (PENALTY-2): subnormal results flushed to zero
BelowOne (PENALTY-2): a penalty below 1 refused or forced to 1
MaskLost [masked_becomes_nan]
OwnHistory [first_id_left_out history_of_the_first_row the_last_64 last_id_left_out padded_with_0]
BadPenalty [penalty_of_0_is_off]
InPlace [in_place]
"""


def changed(row: Sequence[float], ids: Sequence[int], dtype: str, penalty: float) -> list[float]:
    """Products and quotients of fractions, each rounded once."""
    r = exact.divisor(penalty, dtype)
    of_history = set(ids)

    def penalised(x: float) -> float:
        return copysign(exact.rounded(Fraction(x) * r if x < 0 else Fraction(x) / r, dtype), x)

    return [penalised(x) if i in of_history and isfinite(x) else x for i, x in enumerate(row)]


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("repetition_penalty", FLAGS + OVERFLOW + BAD_PENALTY, answers(changed), penalty=1.1)
    falling = array([5.3, 3.1, 0.7, -0.9, -2.2, -7.7])

    file.group("both signs", "PENALTY-2", "Times r below zero, over r from zero on. Make these pass first.")
    file.valid("r = 1.5", "Divided Everything", logits=[3, -3, 3, -3], history=[1, 0], penalty=1.5)
    file.valid("r = 2 is exact", "Divided Everything", logits=[1, -1, 0.75, -0.75], history=[2, 3], penalty=2)
    every = list(range(6))
    file.valid("r = 1.1", "Divided Reciprocal DoubleFactor", logits=falling, history=every)
    file.valid("r = 1.3", "Divided Reciprocal DoubleFactor", logits=falling, history=every, penalty=1.3)
    file.valid("r = 0.7: tokens gain", "BelowOne Reciprocal", logits=falling, history=every, penalty=0.7)
    file.valid("r = 1 changes nothing", "SignOfZero", logits=[1, -2, -0.0], history=[0, 1, 2], penalty=1)
    file.valid("0 and -0 are divided", "SignOfZero", logits=[-0.0, 0.0, 1], history=[0, 1])
    subnormal = [3e-45, -1e-40, 1e-38, 2]
    file.valid("subnormal logits and results", "FlushToZero", logits=subnormal, history=[0, 1, 2], penalty=3)
    file.valid("near -100, as GPT-2's logits", "Divided", logits=[-100.5, -99.25, -101], history=[1], penalty=1.2)
    file.valid("V = 1", "Divided", logits=[-3], history=[0, 0], penalty=2)

    file.group("repeated ids", "PENALTY-2", "Once for each id, however often it occurs.")
    file.valid("one id three times", "Power", logits=[4, -4, 4, 1], history=[0, 0, 0, 1], penalty=2)
    file.valid("one id at both ends", "Power", logits=[4, -4, 4, 1], history=[1, 2, 3, 1], penalty=1.25)
    file.valid("a history longer than V", "Power", logits=[4, -4], history=[1, 0] * 20, penalty=1.25)

    file.every_penalty("Divided Power", {}, penalty=1.7)

    file.group("overflow", "PENALTY-7", "No finite logit may become infinite.", history=[1])
    file.invalid("overflow", "3e38 / 0.5", "Overflow", logits=[0, 3e38], penalty=0.5)
    file.invalid("overflow", "-3e38 * 2", "Overflow", logits=[0, -3e38], penalty=2)
    two = [[0, 1], [0, -3e38]]
    file.invalid("overflow", "in the second row", "Overflow", logits=two, history=[[1], [1]], penalty=2)
    file.valid("of a token outside the history", "Everything", logits=[-3e38, 1], penalty=2)
    file.valid("the mask is no overflow", "MaskLost", logits=[1, -inf], penalty=2)
    file.valid("-3e38 * 2 in float64", "Overflow", logits=float64([0, -3e38]), penalty=2)
    file.bad_history()
    file.bad_penalties("Finite and above 0, also in the dtype of the logits.", (0, -0.0, -1.1, 1e-46))
    return file

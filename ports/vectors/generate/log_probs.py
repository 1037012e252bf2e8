"""Vectors of `log_probs`: within a bound, but for masked tokens."""

from math import inf

import numpy as np

from reference import bounds

from . import exact, scored
from .build import Answer, Numbers, array, float64, within
from .scored import OF_LOGARITHMS, ScoreFile

FLAGS = """
MaskedIsInf (LOGPROB-1): a masked token gets a number or nan in place of -inf [finite_mask masked_tokens_weigh]
OneToken (LOGPROB-1): of a single token, -inf or nan in place of 0
    https://github.com/pytorch/pytorch/issues/3240
OtherBase [in_bits]
LogOfSoftmax [log_of_softmax plus_1e_10 cut_off]
NoShift [without_the_maximum]
Unnormalised [not_normalised probabilities negated at_another_temperature]
SumAdded [maximum_added_again]
SixteenBits [in_float16 sum_in_float16]
OfTheBatch [over_the_batch]
"""


def answers(logits: np.ndarray) -> list[Answer]:
    """The exact log-probabilities, rounded once to float64."""
    dtype = exact.compute_dtype(logits)
    values = [float(x) for row in exact.rows(logits) for x in scored.log_probs(row)]
    return [within("log_probs", values, bounds.log_probs(logits.astype(np.float64), dtype), logits.shape, dtype)]


def build() -> ScoreFile:
    """The file of vectors."""
    file = ScoreFile("log_probs", FLAGS + OF_LOGARITHMS, answers)
    rng = Numbers(31)

    file.group("plain rows", "LOGPROB-1", "z - max - ln sum exp(z - max). Make these pass first.")
    file.valid("two equal: -ln 2", "OtherBase Unnormalised", logits=[0, 0])
    file.valid("0, 1, 2", "OtherBase Unnormalised SixteenBits", logits=[0, 1, 2])
    file.valid("all equal, V = 40", "Unnormalised OtherBase", logits=[1.5] * 40)
    file.valid("one token", "OneToken", logits=[-3])
    file.valid("twelve logits", "SixteenBits Unnormalised", logits=array(rng.normal(12) * 3))
    file.valid("a probability near 1", "SixteenBits", logits=[12, 0, -1])

    file.any_finite_logit()
    file.valid("a spread of 1e300 in float64", "LogOfSoftmax", logits=float64([0, -1e300, -800]))

    file.group("masked tokens", "LOGPROB-1", "-inf stays -inf, its bound is 0.")
    file.valid("one masked", "MaskedIsInf", logits=[1, -inf, 2])
    file.valid("all but one masked", "MaskedIsInf OneToken", logits=[-inf, -inf, -7])
    file.valid("the others at -10,000 and below", "MaskedIsInf NoShift", logits=[-1e4, -inf, -10_001])
    file.valid("a mask of half the row", "MaskedIsInf", logits=[-inf, 0.5] * 8)

    file.every_score("Unnormalised", "SixteenBits")
    return file

"""Vectors of `top_log_probs`: exact ids, log-probabilities within a bound."""

from math import inf

import numpy as np

from reference import bounds

from . import exact, scored
from .build import Answer, Numbers, array, float64, ids, within
from .scored import OF_LOGARITHMS, ScoreFile
from .top_k import best

FLAGS = """
TieLowestId (LOGPROB-2): of equal logits other ids than the lowest, or in another order [highest_id]
RoundedOrder (LOGPROB-2): ordered by rounded log-probabilities, which tie where the logits do not [by_log_probs]
OfTheTop (LOGPROB-2): normalised over the k best alone [over_the_k_best]
Order (LOGPROB-2): ascending, unordered, or ids in another order than their numbers
    [indexed_after_sorting ascending ranks]
KAboveV (LOGPROB-2): k above V refused, or more than V answered [one_too_many at_most_20 padded]
BadK (LOGPROB-5): k of 0 or less means none or all; true and fractions cast to an integer
Unnormalised [probabilities logits]
"""


def answers(logits: np.ndarray, k: int) -> list[Answer]:
    """The exact log-probabilities of the first k of a full sort, rounded once to float64."""
    dtype, v = exact.compute_dtype(logits), logits.shape[-1]
    of_logits = bounds.log_probs(logits.astype(np.float64), dtype).reshape(-1, v).tolist()
    shape, token_ids, values, allowed = (*logits.shape[:-1], min(k, v)), list[list[int]](), list[float](), []
    for row, bound in zip(exact.rows(logits), of_logits, strict=True):
        chosen, scores = best(row, k), scored.log_probs(row)
        token_ids.append(chosen)
        values += [float(scores[i]) for i in chosen]
        allowed += [bound[i] for i in chosen]
    of_values = within("log_probs", values, allowed, shape, dtype)
    return [Answer({**of_values.expected, "token_ids": ids(token_ids, shape)}, of_values.bound)]


def build() -> ScoreFile:
    """The file of vectors."""
    file = ScoreFile("top_log_probs", FLAGS + OF_LOGARITHMS, answers, k=2)
    rng = Numbers(32)

    file.group("the best", "LOGPROB-2", "Of all V normalised, the k largest with their ids. Make these pass first.")
    file.valid("1, 2, 3, 0", "OfTheTop Order Unnormalised OtherBase", logits=[1, 2, 3, 0])
    file.valid("k = 1", "OfTheTop Order", logits=[-5, -1, -9], k=1)
    file.valid("ids fall where values rise, k = 5", "Order OfTheTop", logits=[3, 1, 4, 1.5, 5, 9, 2, 6], k=5)
    file.valid("twenty logits, k = 5", "OfTheTop SixteenBits", logits=array(rng.normal(20) * 3), k=5)

    file.group("ties", "LOGPROB-2", "Of equal logits the lowest ids, in order of id.")
    file.valid("all equal, k = 3 of 40", "TieLowestId", logits=[1.5] * 40, k=3)
    file.valid("three share two places", "TieLowestId", logits=[1, 2, 0, 2, 2])
    file.valid("-0 and 0 are equal", "TieLowestId", logits=[-1, -0.0, 0.0], k=2)
    near = [0, 2**-26, 2**-25, -9]
    file.valid("different logits, equal rounded log-probabilities", "RoundedOrder", logits=near, k=3)
    file.valid("the same in float64", "RoundedOrder", logits=float64([0, 2**-56, 2**-55]), k=3)

    file.group("k and V", "LOGPROB-2", "k above V means V; masked tokens come last, lowest id first.")
    file.valid("k = V", "KAboveV", logits=[1, 3, 2], k=3)
    file.valid("k = 30 of V = 40", "KAboveV Order", logits=array(rng.normal(40) * 2), k=30)
    file.valid("k = 50 of V = 3, two masked", "KAboveV TieLowestId", logits=[-inf, 1, -inf], k=50)
    file.valid("k = 5 of V = 1", "KAboveV", logits=[-7], k=5)

    file.group("bad k", "LOGPROB-5", "An integer of at least 1.", logits=[1, 2])
    for k in (0, -1, 1.5, True):
        file.invalid("bad_k", f"k = {k}".lower(), "BadK", k=k)

    file.any_finite_logit()
    file.every_score("Unnormalised", "SixteenBits")
    return file

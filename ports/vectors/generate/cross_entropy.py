"""Vectors of `cross_entropy`: within a bound, but for a loss of infinity."""

from math import inf, isinf

import numpy as np

from reference import bounds

from . import exact, scored
from .build import Answer, Numbers, array, empty, within
from .distribution import MP
from .scored import OF_LOGARITHMS, ScoreFile

FLAGS = """
IgnoredCounts (LOGPROB-4): positions that are ignored still count in the mean, or add the score of a token
    [mean_over_all ignored_as_id_0]
    https://github.com/flagos-ai/FlagGems/pull/73
Shifted (LOGPROB-4): ids or rows shifted by one position [shifted]
Sum (LOGPROB-4): the sum, or the mean of the means of rows, in place of the mean over all positions
    [summed mean_of_means]
Sign (LOGPROB-4): the mean log-probability, without the minus [without_the_minus]
Perplexity (LOGPROB-4): exp of the loss, or the mean of probabilities [perplexity]
InfiniteLoss (LOGPROB-4): a masked token gives nan, a large number, or is left out
IgnoreIndex (LOGPROB-4): only -100 is ignored, also where another id is to be [always_minus_100]
NothingCounts (LOGPROB-5): the mean of nothing is nan or 0 [mean_of_nothing]
    https://github.com/pytorch/pytorch/issues/70348
OtherBase [in_bits]
LogOfSoftmax [log_of_softmax plus_1e_10]
SixteenBits [in_float16 summed_in_float16]
"""


def answers(logits: np.ndarray, token_ids: np.ndarray, ignore_index: int = -100) -> list[Answer]:
    """Minus the mean of exact log-probabilities, rounded once to float64."""
    dtype, flat = exact.compute_dtype(logits), token_ids.reshape(-1).tolist()
    scores = [scored.log_probs(row)[i] for row, i in zip(exact.rows(logits), flat, strict=True) if i != ignore_index]
    if -inf in scores:
        return [within("loss", [inf], [0.0], [], dtype)]
    loss = float(-MP.fsum(scores) / len(scores))
    allowed = bounds.cross_entropy(logits.astype(np.float64), token_ids, token_ids != ignore_index, dtype)
    if isinf(allowed) or isinf(loss):
        raise ValueError("no bound: take other logits")
    return [within("loss", [loss], allowed, [], dtype)]


def build() -> ScoreFile:
    """The file of vectors."""
    file = ScoreFile("cross_entropy", FLAGS + OF_LOGARITHMS, answers, ignore_index=-100)
    rng = Numbers(33)
    three = array([[0, 1, 2], [2, -1, 0.5], [0.25, 3, -2]])

    file.group("means", "LOGPROB-4", "Minus the mean over all positions. Make these pass first.")
    file.valid(
        "one position, two equal: ln 2", "Sign OtherBase Perplexity Unnormalised", logits=[[0, 0]], token_ids=[1]
    )
    file.valid("three positions", "Sum Shifted Sign Unnormalised", logits=three, token_ids=[2, 0, 1])
    file.valid("the same, other ids", "Shifted Perplexity", logits=three, token_ids=[0, 1, 0])
    file.valid("a row alone", "Sum", logits=[0, 1, 2], token_ids=1)
    file.valid("twenty positions", "Sum SixteenBits", logits=array(rng.normal(20, 6) * 3), token_ids=[0, 5, 2, 3] * 5)
    file.valid("V = 1: no loss", "Sign", logits=[[-3], [2]], token_ids=[0, 0])

    file.group("ignored positions", "LOGPROB-4", "They count neither in the sum nor in the mean.")
    file.valid("the last of three", "IgnoredCounts", logits=three, token_ids=[2, 0, -100])
    file.valid("the first of three", "IgnoredCounts Shifted", logits=three, token_ids=[-100, 0, 1])
    file.valid("all but one", "IgnoredCounts Sum", logits=three, token_ids=[-100, 2, -100])
    rows, ragged = array(rng.normal(2, 3, 4) * 2), [[1, -100, -100], [3, 0, 2]]
    file.valid("1 of 3, and 3 of 3: each position weighs the same", "IgnoredCounts Sum", logits=rows, token_ids=ragged)

    file.group("another ignore_index", "LOGPROB-4", "Then -100 is an id outside the vocabulary.", logits=three)
    file.valid("-1", "IgnoreIndex", token_ids=[2, -1, 1], ignore_index=-1)
    file.valid("0, an id of the vocabulary", "IgnoreIndex IgnoredCounts", token_ids=[2, 0, 1], ignore_index=0)
    file.valid("V, as some tables of padding have it", "IgnoreIndex", token_ids=[2, 3, 1], ignore_index=3)
    file.invalid("bad_token_ids", "-100 where -1 is ignored", "IgnoreIndex", token_ids=[2, -100, 1], ignore_index=-1)

    file.group("masked tokens", "LOGPROB-4", "The loss of a token that is impossible is infinite.")
    masked = array([[0, -inf, 2], [1, 2, 3]])
    file.valid("a masked token: inf", "InfiniteLoss", logits=masked, token_ids=[1, 0])
    file.valid("a mask beside the given token", "InfiniteLoss", logits=masked, token_ids=[2, 0])
    file.valid("a masked token of an ignored position", "InfiniteLoss", logits=masked, token_ids=[-100, 0])
    zero = [[-inf, 1], [0, 2]]
    file.valid("id 0 is masked in an ignored position", "InfiniteLoss", logits=zero, token_ids=[-100, 1])

    file.any_finite_logit()
    file.every_score("Sign", "SixteenBits", empty_batch=False)
    file.bad_token_ids((3, -1, -99, 2**32))
    file.group("nothing counts", "LOGPROB-5", "A mean needs a position.")
    file.invalid("bad_token_ids", "all ignored", "NothingCounts", logits=three, token_ids=[-100] * 3)
    file.invalid("bad_token_ids", "one, ignored", "NothingCounts", logits=[1, 2], token_ids=-100)
    file.invalid("bad_token_ids", "no rows", "NothingCounts", logits=empty(0, 3), token_ids=[])
    return file

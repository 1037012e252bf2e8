"""Vectors of `rank`: comparisons only, so every answer is exact."""

from math import inf

import numpy as np

from . import exact
from .build import Answer, array, float64, ids
from .scored import ScoreFile

FLAGS = """
FromOne (LOGPROB-3): the most probable token has rank 1 [from_1]
WrongEnd (LOGPROB-3): what comes after counted, or what is less probable [from_the_bottom]
TieLowestId (LOGPROB-3): of equal logits those with a higher id counted, all, or none
    [all_ties_count only_larger_ones higher_ids_count]
AllTies (LOGPROB-3): ties = all leaves out the equal ones with a higher id, or counts the token itself
    [ties_ignored itself_counts always_first]
SignedZeros (LOGPROB-3): -0 placed below 0
MaskedTied (LOGPROB-3): masked tokens not counted as equal where the given one is masked, or refused [token_of_the_rank]
SixteenBits (HEAD-2): different logits tie, rounded to 16 bits or from float64 to float32
OfProbabilities (LOGPROB-3): probabilities compared, of which several underflow or round to the same number
    [by_log_probs]
BadTies (LOGPROB-5): an unknown word for ties silently means one of the two
OfTheBatch [of_the_first_row]
"""


def answers(logits: np.ndarray, token_ids: np.ndarray, ties: str) -> list[Answer]:
    """Counted one by one."""
    found = []
    for row, given in zip(exact.rows(logits), token_ids.reshape(-1).tolist(), strict=True):
        equal = [i for i, x in enumerate(row) if x == row[given] and (i < given or (ties == "all" and i != given))]
        found.append(sum(x > row[given] for x in row) + len(equal))
    return [Answer({"ranks": ids(found, token_ids.shape)})]


def build() -> ScoreFile:
    """The file of vectors."""
    file = ScoreFile("rank", FLAGS, answers, ties="lowest_id")
    row = [2, 7, -1, 7, 4]

    file.group("no ties", "LOGPROB-3", "How many tokens come before. Make these pass first.")
    file.valid("the most probable", "FromOne WrongEnd", logits=[1, 3, 2], token_ids=1)
    file.valid("the second", "FromOne WrongEnd", logits=[1, 3, 2, 0], token_ids=2)
    file.valid("the last", "WrongEnd", logits=[1, 3, 2, 0], token_ids=3)
    file.valid("V = 1", "FromOne", logits=[-7], token_ids=0)
    file.valid("all negative", "WrongEnd", logits=[-5, -1, -9], token_ids=0)

    file.group("ties = lowest_id", "LOGPROB-3", "Of equal logits those with a lower id come before.")
    file.valid("the first of two", "TieLowestId", logits=row, token_ids=1)
    file.valid("the second of two", "TieLowestId", logits=row, token_ids=3)
    file.valid("all equal, V = 40", "TieLowestId", logits=[0.5] * 40, token_ids=13)
    file.valid("0 after -0", "SignedZeros", logits=[-0.0, 0.0, -1], token_ids=1)
    file.valid("-0 before 0", "SignedZeros", logits=[-0.0, 0.0, -1], token_ids=0)

    file.group("ties = all", "LOGPROB-3", "All others with an equal logit come before.", ties="all")
    file.valid("the first of two", "AllTies FromOne", logits=row, token_ids=1)
    file.valid("the second of two", "AllTies FromOne", logits=row, token_ids=3)
    file.valid("no tie", "AllTies", logits=row, token_ids=4)
    file.valid("all equal, V = 40", "AllTies", logits=[0.5] * 40, token_ids=13)
    file.valid("-0 and 0", "SignedZeros", logits=[-0.0, 0.0, -1], token_ids=0)

    file.group("masks", "LOGPROB-3", "-inf is below every number and equal to itself.")
    masked = [-inf, 2, -inf, -3, -inf]
    file.valid("masked tokens come after", "MaskedTied", logits=masked, token_ids=3)
    file.valid("a masked token", "MaskedTied", logits=masked, token_ids=2)
    file.valid("a masked token, ties = all", "MaskedTied AllTies", logits=masked, token_ids=2, ties="all")

    file.every_score("TieLowestId", "SixteenBits")
    file.group("close logits", "LOGPROB-3", "Compared in their own dtype.")
    file.valid("neighbouring float32 numbers", "SixteenBits", logits=[1, 1 + 2**-23, 1], token_ids=0)
    file.valid("float64", "SixteenBits", logits=float64([1, 1 + 2**-50, 1]), token_ids=2)
    file.valid("bfloat16: 20.01 and 20.05 tie", "TieLowestId", logits=array([20.01, 20.05], "bfloat16"), token_ids=0)

    file.bad_token_ids((3, -1, -100, 2**32))
    file.group("bad words", "LOGPROB-5", "lowest_id or all.", logits=[1, 2], token_ids=0)
    for word in ("", "any other"):
        file.invalid("bad_ties", f"ties = {word!r}", "BadTies", ties=word)

    file.group("probabilities that are equal", "LOGPROB-3", "The order is that of the logits.")
    file.valid("two that underflow", "OfProbabilities", logits=[-300, 0, -200], token_ids=2)
    file.valid("two that underflow, ties = all", "OfProbabilities", logits=[-300, 0, -200], token_ids=2, ties="all")
    close = [-1, 2**-26, 0, -2]
    file.valid("two that round to the same number", "OfProbabilities", logits=close, token_ids=1, ties="all")
    return file

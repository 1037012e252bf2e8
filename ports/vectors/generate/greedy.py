"""Vectors of `greedy`: comparisons only, so every answer is exact."""

from math import inf

import numpy as np

from . import exact
from .build import BAD_LOGITS, KIND_ERROR, Answer, File, array, empty, float64, ids
from .top_k import best

FLAGS = """
TieLowestId (FILTER-10): of equal logits another id than the lowest [last_maximum]
    https://github.com/Pushkinist/rMLX/issues/373
SignedZeros (FILTER-10): -0 placed below 0 [total_order]
WrongEnd (FILTER-10): the smallest logit, or that of the largest magnitude [by_magnitude smallest]
Negative (FILTER-10): the search starts from 0 or FLT_MIN: wrong where all logits are negative
MaskWins (FILTER-10): a masked token taken, or -inf compared as if it were a large number
    [starts_from_zero masked_as_zero]
SixteenBits (HEAD-2): different logits tie, rounded to 16 bits or from float64 to float32 [in_bfloat16 of_probabilities]
SmallId (FILTER-10): an id above 65,535 wraps, or is lost in 16 bits [ids_in_16_bits]
OverTheBatch (HEAD-4): the largest of the whole batch, or along another axis [of_the_first_row flattened]
InPlace (HEAD-3): the caller's logits overwritten
BadLogits [accepts_nan]
"""


def answers(logits: np.ndarray) -> list[Answer]:
    """The first of a full sort."""
    return [Answer({"token_ids": ids([best(row, 1)[0] for row in exact.rows(logits)], logits.shape[:-1])})]


def build() -> File:
    """The file of vectors."""
    file = File("greedy", FLAGS + BAD_LOGITS + KIND_ERROR, answers)

    file.group("no ties", "FILTER-10", "The id of the largest logit. Make these pass first.")
    file.valid("in the middle", "WrongEnd", logits=[1, 3, 2])
    file.valid("the first", "WrongEnd", logits=[3, 1, -4])
    file.valid("the last", "WrongEnd", logits=[-7, 2, 5])
    file.valid("all negative", "Negative WrongEnd", logits=[-5, -1, -9])
    file.valid("near -100, as GPT-2's logits", "Negative", logits=[-101.5, -99.25, -100, -98.5])
    file.valid("a tiny number above 0", "Negative", logits=[0, 1e-45, -1])
    file.valid("neighbouring float32 numbers", "SixteenBits", logits=[1, 1 + 2**-23, 1 - 2**-24])
    file.valid("the whole range of float32", "WrongEnd", logits=[-3.4e38, 3e38, 3.4e38])
    file.valid("V = 1", "Negative", logits=[-7])

    file.group("ties", "FILTER-10", "The lowest id of the largest logit.")
    file.valid("the first and the last", "TieLowestId", logits=[2, 1, 2])
    file.valid("not from 0 on", "TieLowestId", logits=[1, 2, 1, 2, 2])
    file.valid("all equal, V = 70", "TieLowestId", logits=[-0.5] * 70)
    file.valid("-0 before 0", "SignedZeros", logits=[-1, -0.0, 0.0])
    file.valid("0 before -0", "TieLowestId", logits=[-1, 0.0, -0.0])

    file.group("masks", "FILTER-10", "A masked token is never the largest.")
    file.valid("the first masked", "MaskWins", logits=[-inf, -3, -2])
    file.valid("all but the last masked", "MaskWins Negative", logits=[-inf, -inf, -3.4028234663852886e38])

    file.group("batches", "HEAD-4", "Every row by itself.")
    rows = array([[[1, 3, 2], [-5, -7, -5]], [[0, 0, 9], [4, -inf, 4]]])
    file.valid("a row alone", logits=rows[0, 1])
    file.valid("two rows", "OverTheBatch", logits=rows[0])
    file.valid("two leading axes", "OverTheBatch TieLowestId", logits=rows)
    file.valid("a batch of no rows", logits=empty(2, 0, 3))

    file.group("dtypes", "HEAD-2", "Ids are int64 whatever the logits are.")
    file.valid("float64 tells apart what float32 does not", "SixteenBits", logits=float64([1, 1 + 2**-50, 1]))
    file.valid("float16", "TieLowestId", logits=array([0.1, 0.2, 0.2], "float16"))
    file.valid("bfloat16: 20.01 and 20.05 tie", "TieLowestId", logits=array([19, 20.05, 20.01], "bfloat16"))

    file.group("a large vocabulary", "FILTER-10", "V = 65,537: the last id does not fit into 16 bits.")
    many = np.zeros(2**16 + 1, np.float32)
    many[-1] = 1
    file.valid("the last id is the largest", "SmallId", logits=many)

    file.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call.")
    file.valid("logits that a caller uses again", "InPlace", logits=[1, 3, 2])

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.")
    file.bad_logits(kinds="int64 bools")
    file.invalid("bad_logits", "a second row of only -inf", "BadLogits", logits=[[0, 1], [-inf, -inf]])
    return file

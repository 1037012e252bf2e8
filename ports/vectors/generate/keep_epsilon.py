"""Vectors of `keep_epsilon`: a threshold for probabilities."""

from math import inf

from .build import File, array
from .cutoffs import with_the_largest
from .distribution import Row
from .filtered import FilterFile

FLAGS = """
Cutoff (FILTER-6): compared with weights that are not divided by their sum, or with logits [of_uniform]
TheLargest (FILTER-6): no token is left where all are below the cutoff, or one of several largest
    [without_the_largest of_the_largest first_of_the_largest sum_of_the_tail]
Equal (FILTER-6): `>` in place of `>=`
BadShare (FILTER-11): a cutoff outside (0, 1) silently means off [bad_cutoff_is_off]
    https://github.com/huggingface/transformers
FiniteMask [masks_with_finfo_min]
Bits [adds_the_mask]
InPlace [in_place]
MaskedCounts [masked_tokens_weigh]
"""


def survivors(row: Row, cutoff: float) -> list[list[int]]:
    """What is as probable as the cutoff, and the largest."""
    return with_the_largest(row, row.probable(cutoff))


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_epsilon", FLAGS, survivors)
    row = array([2, 0, 1, -1, 0.5])

    file.group("the cutoff", "FILTER-6", "Probabilities of at least that.")
    for cutoff in (0.04, 0.1, 0.15, 0.25):
        file.valid(f"five tokens, {cutoff}", "Cutoff", logits=row, cutoff=cutoff)
    file.valid("1/4 each, cutoff 1/4", "Equal", logits=[3, 3, 3, 3], cutoff=0.25)
    file.valid("1/4 each of four that are not masked", "Equal MaskedCounts", logits=[3, -inf, 3, 3, 3], cutoff=0.25)
    file.valid("below 1/4: the largest alone", "TheLargest NoTokenLeft", logits=[0.3, 0.2, 0.1, 0], cutoff=0.3)
    file.valid("all of the largest", "TheLargest", logits=[1, 1, 0, 1], cutoff=0.9)
    file.valid("a flat row of 40", "TheLargest", logits=[0.25] * 39 + [0], cutoff=0.03)
    file.acceptable("0.26894143 is the second probability, but for rounding", logits=[1, 0], cutoff=0.26894143)

    file.every_filter("Cutoff", cutoff=0.06)
    file.bad_shares("cutoff", "In (0, 1).", 0, -0.5, 1, 1.5)
    return file

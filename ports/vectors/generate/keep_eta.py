"""Vectors of `keep_eta`: a cutoff that falls as the entropy rises."""

from math import inf, log

from .build import File, array
from .cutoffs import with_the_largest
from .distribution import MP, Row, number
from .filtered import FilterFile

FLAGS = """
Formula (FILTER-6): sqrt(cutoff * exp(-H)), the formula of a docstring, or the larger of the two numbers
    [docstring larger_of_the_two]
    https://github.com/huggingface/transformers
Entropy (FILTER-6): the entropy in bits, with the wrong sign, or forgotten [entropy_forgotten in_bits power_of_2]
Minimum (FILTER-6): the cutoff itself not a limit [cutoff_forgotten without_the_root]
MaskedIsNan (FILTER-6): 0 * ln 0 makes the entropy nan where a token is masked, or its probability underflows
    [nan_of_masked]
BadShare (FILTER-11): a cutoff outside (0, 1) silently means off [bad_cutoff_is_off]
    https://github.com/huggingface/transformers
FiniteMask [masks_with_finfo_min]
Bits [adds_the_mask]
InPlace [in_place]
OfTheBatch [entropy_of_the_first_row]
"""


def survivors(row: Row, cutoff: float) -> list[list[int]]:
    """What reaches `min(cutoff, sqrt(cutoff) exp(-H))`, and the largest."""
    least = min(number(cutoff), MP.sqrt(number(cutoff)) * MP.exp(-row.entropy))
    return with_the_largest(row, row.probable(least, more=least * (2 * row.off_entropy + row.margin)))


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_eta", FLAGS, survivors)
    five = array([log(x) for x in (0.3, 0.3, 0.2, 0.12, 0.08)])

    file.group("the threshold", "FILTER-6", "min(cutoff, sqrt(cutoff) exp(-H)); here exp(-H) is 0.223.")
    for cutoff, least in ((0.02, 0.02), (0.1, 0.0705), (0.2, 0.0997), (0.4, 0.141), (0.9, 0.2115)):
        file.valid(f"0.3, 0.3, 0.2, 0.12, 0.08: {least}", "Formula Entropy", logits=five, cutoff=cutoff)
    file.valid("the cutoff is the limit", "Minimum", logits=[5, 1, 0.5, 0], cutoff=0.02)
    file.valid("one token has nearly all: exp(-H) is nearly 1", "Minimum", logits=[9, 1, 0, -2], cutoff=1e-4)
    file.valid("the largest alone", "NoTokenLeft", logits=[1, 0.25, 0, -0.5, -1], cutoff=0.999)
    file.valid("six equal: all are the largest", "NoTokenLeft", logits=[1] * 6, cutoff=0.999)
    flat = array([0.5 - i / 16 for i in range(12)])
    for cutoff in (0.3, 0.6):
        file.valid(f"twelve tokens, {cutoff}", "Entropy Formula", logits=flat, cutoff=cutoff)

    file.every_filter("Formula", cutoff=0.3)
    file.bad_shares("cutoff", "In (0, 1).", 0, -0.5, 1, 1.5)

    zero = "0 ln 0 is 0: what has no probability adds nothing to the entropy."
    file.group("no probability", "FILTER-6", zero, cutoff=0.1)
    file.valid("two masked", "MaskedIsNan MaskedCounts", logits=[1, -inf, 0.5, -inf, -2])
    file.valid("exp(-9000)", "MaskedIsNan", logits=[1, -9000, 0.5, -2])
    return file

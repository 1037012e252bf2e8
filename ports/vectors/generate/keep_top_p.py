"""Vectors of `keep_top_p`: where the running sum ends, at exact boundaries and at ties above all."""

from math import inf

from .build import File, array, float64
from .distribution import Row
from .filtered import FilterFile

FLAGS = """
Boundary (FILTER-2): a sum of exactly p taken for too little: one token too many [exactly_p_is_too_little one_too_many]
    https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c
TheCrossing (FILTER-2): the token at which the sum reaches p falls, even if it is the only one [the_crossing_falls]
    https://github.com/ml-explore/mlx-lm/pull/1912
LowP (FILTER-2): a p below the largest probability, or below 1 / V, leaves no token, or all
    [none_left prefilter two_at_least]
    https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c
Precision (FILTER-2): probabilities summed in 16 bits [sums_in_bfloat16 sums_in_float16 of_the_256_largest]
    https://github.com/ml-explore/mlx-lm
UpperBound (FILTER-2): stopped by an upper bound of the sum, too late [upper_bound]
    https://github.com/microsoft/onnxruntime-genai
NotProbabilities (FILTER-2): logits, or weights that are not divided by their sum, compared with p
    [weights_for_probabilities at_another_temperature]
Ranking (FILTER-2): summed ascending from the least probable, or in the order of ids
    [from_the_least_probable never_sorted mask_not_scattered_back]
    https://github.com/dmlc/gluon-nlp/issues/1481
TieLowestId (FILTER-2): of equal logits at the end other ids than the lowest survive, or all
    [all_ties_stay highest_id unstable_sort]
KeepsAll (FILTER-2): p = 1 drops a tail that no rounded sum shows [p_of_1_drops_the_tail]
Exceeded (FILTER-3): until = exceeded stops at a sum of exactly p [until_ignored]
AllTies (FILTER-3): ties = all drops some of the tokens that are as probable as the last one [ties_ignored]
BadShare (FILTER-11): a p outside (0, 1] means off, one token or everything [p_of_0_means_one_token p_above_1_means_all]
BadWord (FILTER-11): an unknown word silently means one of the two [unknown_words_ignored]
FiniteMask [masks_with_finfo_min masks_with_a_number]
Bits [adds_the_mask log_probs_of_survivors]
InPlace [in_place]
MaskedCounts [masked_tokens_weigh]
OfTheBatch [threshold_of_the_first_row softmax_over_the_batch]
NoShift [without_the_maximum]
"""


def survivors(row: Row, p: float, until: str = "reached", ties: str = "lowest_id") -> list[list[int]]:
    """The first of the ranking, up to where the sum is enough; with p = 1 all."""
    if p == 1:
        return [row.ranked]
    found: list[list[int]] = []
    for place in row.ends([[i] for i in row.ranked], p, until):
        last = row.logits[row.ranked[place]]
        kept = [i for n, i in enumerate(row.ranked) if n <= place or (ties == "all" and row.logits[i] == last)]
        if kept not in found:
            found.append(row.require_gap(kept))
    return found


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_top_p", FLAGS, survivors)
    four, eight = array([0] * 4), array([-1.5] * 8)

    file.group("the nucleus", "FILTER-2", "Up to the first running sum that reaches p. Make these pass first.")
    file.valid("0.64, 0.24, 0.09, 0.03", "TheCrossing Ranking NotProbabilities Bits", logits=[1, 2, 3, 0], p=0.8)
    file.valid("one more", "TheCrossing Ranking", logits=[1, 2, 3, 0], p=0.9)
    file.valid("the largest alone reaches p", "TheCrossing LowP NoTokenLeft", logits=[0, 9, 1], p=0.5)
    file.valid("the same weights with a sum of 6", "NotProbabilities", logits=[1.5, 0.5, 1, 0.75, 1.25, 0.25], p=0.7)
    file.valid("without until and ties", "Boundary TieLowestId", logits=four, p=0.5)
    falling = array([5, 4, 3, 2, 1, 0] + [-3] * 64)
    file.valid("a long tail, V = 70", "UpperBound", logits=falling, p=0.9)

    equal = "Probabilities of 1/4 and 1/8: nothing rounds, so a sum of exactly p has one meaning."
    file.group("exact boundaries", "FILTER-2", equal, until="reached", ties="lowest_id")
    for p, kept in ((0.25, 1), (0.5, 2), (0.75, 3)):
        file.valid(f"4 equal, p = {p}: {kept}", "Boundary TieLowestId", logits=four, p=p)
    for p, kept in ((0.125, 1), (0.5, 4), (0.625, 5), (0.875, 7)):
        file.valid(f"8 equal, p = {p}: {kept}", "Boundary TieLowestId", logits=eight, p=p)
    half = [-inf, 2, -inf, 2, 2, -inf, 2, -inf]
    file.valid("4 equal of 8, p = 0.5: 2", "Boundary MaskedCounts TieLowestId", logits=half, p=0.5)
    file.valid("just above a boundary", "TheCrossing", logits=four, p=0.51)
    file.valid("just below a boundary", "Boundary", logits=four, p=0.49)
    file.acceptable("3 equal, p = 2/3: the sum may round to either side", logits=[1, 1, 1], p=2 / 3)
    file.acceptable("p = 0.7310586 is the first probability: either", logits=[1, 0], p=0.7310586)

    strictly = "A sum of exactly p is not enough."
    file.group("until = exceeded", "FILTER-3", strictly, until="exceeded", ties="lowest_id")
    for p, kept in ((0.25, 2), (0.5, 3), (0.75, 4)):
        file.valid(f"4 equal, p = {p}: {kept}", "Exceeded", logits=four, p=p)
    file.valid("8 equal, p = 0.875: 8", "Exceeded", logits=eight, p=0.875)
    file.valid("no sum of exactly p", "TheCrossing", logits=[1, 2, 3, 0], p=0.8)
    file.valid("p = 1 keeps everything", "KeepsAll", logits=[1, 2, -inf, 0], p=1.0)

    file.group("ties = all", "FILTER-3", "Whatever is as probable as the last one stays.", until="reached", ties="all")
    file.valid("4 equal, p = 0.25", "AllTies", logits=four, p=0.25)
    file.valid("one above, three tied", "AllTies", logits=[1, 2, 1, 1, 0], p=0.5)
    file.valid("no tie at the end", "TheCrossing", logits=[1, 2, 3, 0], p=0.8)
    file.valid("ties before the end alone", "AllTies", logits=[3, 3, 1, 0], p=0.9)
    file.valid("4 equal of 8, exceeded", "AllTies MaskedCounts", logits=half, p=0.5, until="exceeded")

    tied = "Of equal logits at the end the lowest ids stay, as many as are needed."
    file.group("ties at the boundary", "FILTER-2", tied, until="reached", ties="lowest_id")
    file.valid("one of three", "TieLowestId", logits=[1, 2, 1, 1, 0], p=0.5)
    file.valid("two of three, not side by side", "TieLowestId", logits=[1, 2, 0, 1, -1, 1], p=0.7)
    file.valid("-0 and 0 are equal", "TieLowestId Bits", logits=[-0.0, 0, -0.0, 0], p=0.5)

    low = "One token is left, however low p is."
    file.group("low and high p", "FILTER-2", low, until="reached", ties="lowest_id")
    file.valid("8 equal, p = 1/16: below 1 / V", "LowP NoTokenLeft", logits=eight, p=0.0625)
    file.valid("p = 1e-6", "LowP NoTokenLeft", logits=[0.5, 0.25, 0.75], p=1e-6)
    file.valid("p = 1e-30", "LowP NoTokenLeft", logits=[0.5, 0.25, 0.75], p=1e-30)
    file.valid("p = 1 and a tail below 1e-80", "KeepsAll", logits=[0, -200, -inf, -1], p=1.0)
    file.valid("p = 1 in float64", "KeepsAll", logits=float64([0, -800, -1e300]), p=1.0)
    file.valid("512 equal, p = 0.75: bfloat16 sums stop at 1/2", "Precision", logits=[0] * 512, p=0.75)
    many = array([0] * 4096, "float16")
    file.valid("4,096 equal, p = 0.75: float16 sums stop at 1/2", "Precision", logits=many, p=0.75)

    file.every_filter("TheCrossing", p=0.75)

    file.bad_shares("p", "In (0, 1].", 0, -0.5, 1.5)
    file.group("bad words", "FILTER-11", "Only the words of the rules.", p=0.5)
    for name in ("until", "ties"):
        file.bad_words(name)

    stable = "A sort that is not stable keeps the order of a few tokens, not of a hundred."
    file.group("ties in a long row", "FILTER-2", stable, until="reached", ties="lowest_id")
    file.valid("64 of 128 tied", "TieLowestId", logits=[0, -1] * 64, p=0.505)
    three = array([(0, -1, -0.5)[i * i % 7 % 3] for i in range(160)])
    file.valid("three different logits of 160 tokens", "TieLowestId", logits=three, p=0.3)
    return file

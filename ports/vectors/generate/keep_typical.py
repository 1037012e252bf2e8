"""Vectors of `keep_typical`: a ranking by the distance from the entropy, and a sum of probabilities."""

from math import inf, log

from .build import File, array, float64
from .distribution import Row
from .filtered import FilterFile

FLAGS = """
Distance (FILTER-5): ranked by probability, or by the distance with its sign
    [signed farthest_first distance_of_probabilities surprise_of_weights]
SumOfMass (FILTER-5): distances summed up in place of probabilities [distances_summed]
Entropy (FILTER-5): the entropy in bits beside `-ln q` in nats, or that of a uniform row [entropy_in_bits]
TheLastOne (FILTER-5): the token at which the sum reaches the mass falls [the_crossing_falls]
Together (FILTER-5): of equally distant tokens some fall [ties_cut]
TheMostProbable (FILTER-5): the most probable token stays in any case [largest_always_stays]
MaskedIsNan (FILTER-5): 0 * ln 0 makes the entropy nan where a token is masked [nan_of_masked]
    https://github.com/ggml-org/llama.cpp
BadShare (FILTER-11): a mass outside (0, 1) silently means something [mass_of_1_is_off]
MaskedCounts [masked_tokens_weigh]
OfTheBatch [entropy_of_the_first_row]
FiniteMask [masks_with_finfo_min]
Bits [adds_the_mask]
InPlace [in_place]
"""


def survivors(row: Row, mass: float) -> list[list[int]]:
    """Groups of equal logits by distance, up to where the sum is enough: all as far as the last one stay."""
    if len(row.groups) == 1:
        return [row.ranked]
    far = {i: abs(surprise - row.entropy) for i, surprise in row.surprise.items()}
    off = {i: 2 * (row.off[i] + row.off_total) + row.off_entropy + row.margin * far[i] for i in far}
    order = sorted(row.groups, key=lambda group: far[group[0]])
    row.require_order(far, off, order)
    return [[i for group in order[: place + 1] for i in group] for place in row.ends(order, mass, "reached")]


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_typical", FLAGS, survivors)
    halves = array([log(0.5), log(0.25), log(0.125), log(0.125)])

    file.group("the ranking", "FILTER-5", "Closest to the entropy first.")
    comment = "1/2, 1/4, 1/8, 1/8, entropy 1.75 ln 2: the second is the closest"
    file.valid(comment, "Distance SumOfMass TheMostProbable", logits=halves, mass=0.2)
    file.valid("then the first", "Distance TheLastOne Entropy", logits=halves, mass=0.6)
    file.valid("then both others, which are equally far", "Together TheLastOne", logits=halves, mass=0.8)
    peaked = array([6, 2, 1.5, 1, 0.5, 0])
    file.valid("a peak: its own surprise is nearest", "Distance Entropy", logits=peaked, mass=0.5)
    wide = array([2, 1.5, 1.25, 1, 0.5, 0, -0.75, -1.5])
    for mass in (0.15, 0.4, 0.7, 0.95):
        file.valid(f"eight tokens, mass {mass}", "Distance SumOfMass Entropy TheLastOne", logits=wide, mass=mass)
    file.valid("the most probable one falls", "TheMostProbable", logits=[2, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], mass=0.3)
    file.valid("tied tokens stay together", "Together", logits=[1, 0, 0, 0, 0, -4], mass=0.2)
    file.valid("all equal: all are as far", "Together", logits=[2, 2, 2, 2], mass=0.5)
    file.valid("two masked", "MaskedIsNan", logits=[2, -inf, 1.5, 1, -inf, -1], mass=0.5)
    nearer = [-inf, log(0.4), log(0.2), log(0.2), log(0.2)]
    file.valid("0.4 is farther from the entropy than three of 0.2", "MaskedIsNan", logits=nearer, mass=0.5)
    file.valid("a token that underflows", "MaskedIsNan", logits=[2, 1.5, 1, -120], mass=0.5)
    file.valid("float64", "Distance", logits=float64([2, 1.5, 1.25, 0]), mass=0.3)
    file.acceptable("the mass is the first probability, but for rounding", logits=[1, 0], mass=0.7310586)

    file.every_filter("Distance", mass=0.55)
    file.bad_shares("mass", "In (0, 1).", 0, -0.5, 1, 1.5)
    return file

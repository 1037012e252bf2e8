"""Vectors of `keep_top_h`: of the 100 largest, up to a part of their entropy."""

from math import inf

from .build import File, array
from .distribution import MP, Row, number
from .filtered import FilterFile

FLAGS = """
Hundred (FILTER-7): more or fewer than the 100 largest looked at, or the entropy taken over all tokens
    [of_all not_normalised_again limit_of_all limit_in_bits]
Share (FILTER-7): the sum compared with h, or with h ln V, not with h times the entropy [limit_of_uniform]
TheFirst (FILTER-7): the first token falls where it alone is too much [the_first_falls]
TheCrossing (FILTER-7): the token at which the sum exceeds the limit stays [the_crossing_stays two_at_least]
Terms (FILTER-7): probabilities summed up in place of -r ln r [of_probabilities largest_parts_first]
TieLowestId (FILTER-7): of equal logits other ids than the lowest stay [highest_id]
BadShare (FILTER-11): an h outside (0, 1] silently means something [h_above_1_means_1]
MaskedCounts [nan_of_masked]
FiniteMask [masks_with_finfo_min]
Bits [adds_the_mask]
InPlace [in_place]
"""


def survivors(row: Row, h: float) -> list[list[int]]:
    """The first one, and those whose running sum is at most h times the whole."""
    best = Row([row.logits[i] for i in row.ranked[:100]], row.dtype)
    terms = [best.q[i] * best.surprise[i] for i in range(len(best.logits))]
    whole = MP.fsum(terms)
    off = best.off_entropy + best.margin * whole
    running, counts, exact = MP.mpf(0), [1], 1
    for count, term in enumerate(terms, 1):
        running += term
        found = (True,) if count == 1 else row.at_least(number(h) * whole, running, off)
        if found == (True,):
            counts = [count]
        elif True in found:
            counts.append(count)
        exact = count if found[0] else exact
        if found == (False,):
            break
    ordered = [exact, *(count for count in counts if count != exact)]
    return [row.require_gap(row.ranked[:count]) for count in ordered]


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_top_h", FLAGS, survivors)
    row = array([2, 0, 1, -1, 0.5])

    file.group("the entropy", "FILTER-7", "Up to h times the entropy of the 100 largest.")
    for h in (0.2, 0.45, 0.7, 0.9):
        file.valid(f"five tokens, h = {h}", "Share Terms TheCrossing", logits=row, h=h)
    file.valid("the first one alone is too much", "TheFirst NoTokenLeft", logits=[1, 0.5, 0.25], h=0.05)
    file.valid("two that tie for one place", "TieLowestId", logits=[0, 2, 0, 1, 0], h=0.75)
    file.valid("a peak", "Terms TheFirst", logits=[9, 1, 0, -1], h=0.5)
    file.valid("-0 and 0 are equal", "TieLowestId Bits", logits=[-1, 0.0, -0.0, 0.0], h=0.55)

    file.group("a hundred", "FILTER-7", "What is not among the 100 largest falls, and has no part in the entropy.")
    tail = array([3 - i / 8 for i in range(20)] + [-0.25] * 140)
    file.valid("130 equal tokens, h = 0.505: fifty", "Hundred TieLowestId", logits=[0.5] * 130, h=0.505)
    for h in (0.3, 0.6, 0.95):
        file.valid(f"a flat tail, h = {h}", "Hundred Share", logits=tail, h=h)
    masked = [1.0, -inf] * 40
    file.valid("forty of eighty masked", "MaskedCounts", logits=masked, h=0.52)
    file.acceptable("h = 1: the last term may be lost", logits=[1, 0], h=1.0)

    file.every_filter("Share", h=0.6)
    file.bad_shares("h", "In (0, 1].", 0, -0.5, 1.5)
    return file

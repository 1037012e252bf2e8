"""Vectors of `keep_min_p`: a threshold relative to the most probable token."""

from math import inf

from .build import File, array
from .distribution import MP, Row, holds, number
from .filtered import FilterFile

FLAGS = """
Relative (FILTER-4): compared with p itself, not with p times the largest probability [of_p_itself]
Strict (FILTER-4): `>` in place of `>=`: p = 1 leaves no token [strict]
    https://github.com/ggml-org/llama.cpp
Logarithm (FILTER-4): the logarithm of another base, or of p = 0 [log_10 log_2 of_logits at_another_temperature]
Zero (FILTER-4): p = 0 drops tokens, or is refused [in_float16 p_of_0_refused]
One (FILTER-4): p = 1 keeps one of several largest, or none
BadShare (FILTER-11): a p outside [0, 1] silently means something [p_above_1_means_1]
FiniteMask [masks_with_finfo_min masks_with_zero]
Bits [adds_the_mask]
InPlace [in_place]
OfTheBatch [largest_of_the_batch]
MaskedCounts [masked_as_zero]
NoShift [without_the_maximum]
"""


def survivors(row: Row, p: float) -> list[list[int]]:
    """What has `exp(z - max) >= p`, the largest in any case."""
    if p == 0:
        return [row.ranked]
    weights = {i: MP.exp(x) for i, x in row.x.items()}
    exact = dict.fromkeys(weights, MP.mpf(0)) if row.is_exact else None
    off = exact or {i: w * 2 * row.off[i] + row.margin * p for i, w in weights.items()}
    off |= {i: MP.mpf(0) for i, x in row.x.items() if x == 0}  # 1 >= p, however p is rounded
    assert row.dtype == "float64" or holds("float32", p) or p < 1
    found = row.reaching(weights, number(p), off)
    return [row.require_gap(kept) for kept in found if kept]


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_min_p", FLAGS, survivors)
    row = array([0, -2, -3, -2.4])

    file.group("the threshold", "FILTER-4", "At least p times as probable as the most probable.")
    file.valid("weights of 1, 0.135, 0.05, 0.09", "Relative Logarithm", logits=row, p=0.1)
    file.valid("one more", "Relative Logarithm", logits=row, p=0.07)
    file.valid("all of them", "Relative", logits=row, p=0.04)
    file.valid("a flat row of 40: 0.025 each is below p, and all stay", "Relative", logits=[0.5] * 40, p=0.9)
    file.valid("near -100", "Relative Logarithm", logits=[-100, -102, -103, -102.5], p=0.1)
    file.valid("exp(-2) = 0.1353: 10**-2 and 2**-2 are elsewhere", "Logarithm", logits=[0, -2, -4, -4.6], p=0.012)
    file.acceptable("p = 0.36787945 is exp(-1) but for rounding: either", logits=[0, -1, -3], p=0.36787945)

    file.group("p = 1", "FILTER-4", "Those that equal the largest.")
    file.valid("one largest", "One Strict NoTokenLeft", logits=[1, 3, 2], p=1.0)
    file.valid("two largest", "One Strict NoTokenLeft", logits=[3, 1, 3, -inf], p=1.0)
    file.valid("0 and -0 are equal", "One Bits", logits=[-0.0, 0, -5], p=1.0)

    file.group("p = 0", "FILTER-4", "Every token that is not masked.")
    file.valid("a tail that underflows", "Zero Logarithm", logits=[0, -200, -1e5, -inf], p=0.0)
    file.valid("p = 1e-30", "Zero", logits=[0, -60, -75], p=1e-30)

    file.every_filter("Relative", p=0.25)
    file.bad_shares("p", "In [0, 1].", -0.5, 1.5)
    return file

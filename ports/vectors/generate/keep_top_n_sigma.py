"""Vectors of `keep_top_n_sigma`: within n standard deviations of the largest logit."""

from fractions import Fraction
from math import inf

from .build import File, array, float64
from .distribution import MP, Row, number
from .filtered import FilterFile

FLAGS = """
Population (FILTER-8): divided by one less than the number of tokens [one_less]
OfAll (FILTER-8): masked tokens count, as 0 or as the lowest number [masked_as_zero masked_as_a_number nan_of_masked]
AroundTheMean (FILTER-8): measured from the mean in place of the largest [from_the_mean]
NoRoot (FILTER-8): the variance in place of its root, or the deviation of the probabilities
    [of_probabilities variance mean_absolute_deviation]
OnePass (FILTER-8): mean(z * z) - mean * mean, which cancels far from 0 [in_one_pass]
BadN (FILTER-11): an n of 0 or below silently means off [n_of_0_is_off]
FiniteMask [masks_with_finfo_min]
Bits [adds_the_mask]
InPlace [in_place]
MaskedCounts [divided_by_all]
NoTokenLeft [none_of_equal_ones]
OfTheBatch [deviation_of_the_batch]
"""


def survivors(row: Row, n: float) -> list[list[int]]:
    """What is at least `max - n s`, the largest in any case."""
    logits = list(row.logits.values())
    mean = sum(logits, Fraction(0)) / len(logits)
    variance = sum(((z - mean) ** 2 for z in logits), Fraction(0)) / len(logits)
    high, size = number(max(logits)), max(abs(z) for z in logits)
    least = high - number(n) * MP.sqrt(number(variance))
    unit = row.margin * (number(n) * MP.sqrt(number(variance)) + number(size) / 100)
    off = {i: MP.mpf(0) if z == max(logits) else unit for i, z in row.logits.items()}
    found = row.reaching({i: number(z) for i, z in row.logits.items()}, least, off)
    return [row.require_gap(kept) for kept in found if kept]


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_top_n_sigma", FLAGS, survivors)
    row = array([3, 1, 2, 0])  # deviation 1.118; divided by 3 it would be 1.291

    file.group("the threshold", "FILTER-8", "At least max - n s.")
    file.valid("0, 1, 2, 3: s = 1.118", "AroundTheMean NoRoot", logits=row, n=1.0)
    file.valid("n = 1.7: 1.1 is the threshold", "Population", logits=row, n=1.7)
    file.valid("n = 1.85: 0.93", "NoRoot", logits=row, n=1.85)
    file.valid("n = 2.5: 0.2", "Population AroundTheMean", logits=row, n=2.5)
    file.valid("n = 3: everything", "AroundTheMean", logits=row, n=3.0)
    file.valid("n = 0.01: the largest, both of them", "NoTokenLeft", logits=[2, 7, 7, 6.9, 0], n=0.01)
    file.valid("the same at another temperature", "NoRoot", logits=row / 8, n=1.7)
    file.valid("all equal: s = 0", "NoTokenLeft", logits=[4] * 5, n=1.0)
    file.valid("four tokens of ten", "OfAll Population", logits=[3, -inf, 1, -inf, 2, -inf, 0, -inf, -inf, -inf], n=1.7)
    far = float64([1e8 + x for x in (3, 1, 2, 0)])
    file.valid("far from 0, in float64", "OnePass", logits=far, n=1.7)
    file.valid("far from 0, in float32", "OnePass", logits=[4099, 4097, 4098, 4096], n=1.7)
    file.acceptable("n = 1.7888544 is 2 / s: either", logits=row, n=1.7888544)

    file.every_filter("AroundTheMean", n=1.3)
    file.bad_shares("n", "Finite, and above 0.", 0, -1, flag="BadN")

    file.group("masks far from 0", "FILTER-8", "As zeros, masked tokens would widen s.", n=1.0)
    file.valid("-10, -10.5, -12.5: s = 1.08", "OfAll", logits=[-10, -inf, -10.5, -inf, -inf, -12.5, -inf])
    file.valid("one token of three", "OfAll", logits=[-inf, 40, -inf])
    return file

"""Vectors of `keep_xtc`: the most probable tokens fall, but for the least of those that reach the threshold."""

from math import inf, log

from .build import File, array
from .distribution import Row
from .filtered import FilterFile

FLAGS = """
Inverted (FILTER-9): the most probable token stays and the others fall, or those below the threshold fall
    [keeps_the_best the_tail_falls inverted]
TheLeast (FILTER-9): the least probable of those that reach the threshold falls too
    [the_least_falls_too threshold_of_0 threshold_of_the_largest]
Strict (FILTER-9): `>` in place of `>=` at the threshold
    https://github.com/ml-explore/mlx-lm
Tied (FILTER-9): of those as probable as the least one only one stays [one_of_the_tied]
    https://github.com/ggml-org/llama.cpp
Chance (FILTER-9): applied where the uniform is at or above the probability, or always [uniform_may_equal always]
Fewer (FILTER-9): a token falls where fewer than two reach the threshold [a_single_one_falls]
BadShare (FILTER-11): a threshold outside (0, 1] or a probability outside [0, 1] silently means something
    [threshold_above_1_is_off]
BadUniform (FILTER-11): a uniform of 1, below 0, nan, or of another shape
FiniteMask [masks_with_finfo_min]
Bits [adds_the_mask]
InPlace [in_place]
OfTheBatch [one_uniform least_of_the_batch]
"""


def survivors(row: Row, threshold: float, probability: float, uniform: float) -> list[list[int]]:
    """All, or all that are not above the least of those that reach the threshold."""
    if not uniform < probability:
        return [row.ranked]
    found: list[list[int]] = []
    for reach in row.probable(threshold):
        least = row.logits[reach[-1]] if reach else None
        kept = [i for i in row.ranked if least is None or row.logits[i] <= least]
        if kept not in found:
            found.append(kept)
    return found


def build() -> File:
    """The file of vectors."""
    file = FilterFile("keep_xtc", FLAGS, survivors, uniform=True)
    four = array([log(x) for x in (0.4, 0.3, 0.2, 0.1)])
    no, yes = array(0.75), array(0.25)

    file.group("who falls", "FILTER-9", "All above the least that reaches the threshold.", probability=0.5, uniform=yes)
    for threshold, left in ((0.05, 1), (0.15, 2), (0.25, 3), (0.35, 4), (0.5, 4)):
        comment = f"0.4, 0.3, 0.2, 0.1, threshold {threshold}: {left} stay"
        file.valid(comment, "Inverted TheLeast" if left < 4 else "Fewer", logits=four, threshold=threshold)
    file.valid("1/4 each, threshold 1/4: none is above another", "Strict Tied Fewer", logits=[1] * 4, threshold=0.25)
    file.valid("two tied at the top", "Tied Inverted", logits=[2, 2, 0, -1], threshold=0.3)
    file.valid("two tied as the least", "Tied TheLeast", logits=[2, 1, -1, 1], threshold=0.15)
    file.valid("one alone reaches it", "Fewer NoTokenLeft", logits=[9, 1, 0], threshold=0.1)
    file.valid("masked tokens", "MaskedCounts", logits=[-inf, 2, 1, -inf, -3], threshold=0.15)
    file.acceptable("0.26894143 is the second probability, but for rounding", logits=[1, 0], threshold=0.26894143)

    file.group("when", "FILTER-9", "Where uniform < probability.", logits=four, threshold=0.15)
    file.valid("below", "Chance", probability=0.5, uniform=yes)
    file.valid("above", "Chance", probability=0.5, uniform=no)
    file.valid("equal", "Chance", probability=0.25, uniform=yes)
    file.valid("never", "Chance", probability=0.0, uniform=array(0.0))
    file.valid("always", "Chance", probability=1.0, uniform=array(0.99))
    rows = array([[2, 1.5, 1, -2]] * 3)
    three = array([0.25, 0.75, 0.25])
    file.valid("a uniform for each row", "OfTheBatch Chance", logits=rows, probability=0.5, uniform=three)

    file.every_filter("Inverted", threshold=0.1, probability=1.0)
    file.bad_shares("threshold", "In (0, 1].", 0, -0.5, 1.5, probability=0.5)
    file.bad_shares("probability", "In [0, 1].", -0.5, 1.5, threshold=0.1)
    file.group("bad uniforms", "CDF-3", "In [0, 1), one for each row.", logits=[1, 2], threshold=0.1, probability=0.5)
    for value in (1.0, -0.5, float("nan")):
        file.invalid("bad_uniform", f"{value}", "BadUniform", uniform=array(value))
    file.invalid("bad_shape", "one axis too many", "BadUniform", uniform=array([0.5]))
    file.invalid("bad_dtype", "a whole number", "KindError", uniform=array(0, "int64"))
    return file

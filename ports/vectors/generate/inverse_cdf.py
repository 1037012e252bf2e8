"""Vectors of `inverse_cdf`: where a walk along running sums ends, at boundaries and at its end above all."""

from fractions import Fraction
from itertools import accumulate, product
from math import inf, nan

import numpy as np

from reference import bounds

from . import exact
from .build import KIND_ERROR, Answer, File, array, empty, float64, ids

FLAGS = """
LeadingZero (CDF-2): reaches in place of exceeds: u = 0 draws a leading zero [reaches]
EndOfWalk (CDF-2): at the end of the walk the last id of all is returned, or id 0, or V
    [last_id_at_the_end v_at_the_end first_id_at_the_end forced_to_one]
    https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c
    https://github.com/tensorflow/tensorflow/issues/2774
    https://github.com/pytorch/pytorch/pull/5774
    https://github.com/pytorch/pytorch/issues/48841
FloatSum (CDF-1): the running sum kept in float32 [float32_sum]
    https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c
NotScaled (CDF-1): u not scaled by the total [not_scaled]
    https://github.com/vllm-project/vllm/issues/718
RankOrder (CDF-1): a walk in the order of rank, or the rank returned [rank_order returns_rank]
    https://github.com/huggingface/candle
Boundary (CDF-1): a sum that reaches u * total taken for one that exceeds it, or one id too far [exclusive_sum]
OneUniformForAll (HEAD-4): one uniform for the whole batch [one_uniform_for_all]
    https://github.com/sgl-project/sglang-jax/pull/940
BadUniform (CDF-3): u = 1 and other numbers outside [0, 1) accepted, or a u for more or fewer rows [accepts_one]
    https://github.com/ohdearquant/lattice/issues/345
BadProbs (CDF-4): negative weights, nan, infinity or a row of zeros answered with a token
Overflow (CDF-4): a total that overflows goes on [overflow_goes_on]
"""


def walk(row: list[float], uniform: float) -> list[int]:
    """Every id that conforms, the exact one first."""
    p = exact.fractions(row)
    running = list(accumulate(p))
    target = Fraction(uniform) * running[-1]
    token = next(i for i, total in enumerate(running) if total > target)
    slack = Fraction(0) if _nothing_is_rounded(p, target) else _slack(running[-1], len(p))
    near = [i for i, x in enumerate(p) if x > 0 and running[i] > target - slack and running[i] - x <= target + slack]
    return [token, *(i for i in near if i != token)]


def _slack(total: Fraction, v: int) -> Fraction:
    """CDF-1: how far a running sum may be from its target and still cross it by rounding."""
    return 4 * Fraction(bounds.gamma(v + 1, "float64")) * total + Fraction(bounds.smallest_normal("float64"))


def _nothing_is_rounded(p: list[Fraction], target: Fraction) -> bool:
    """Whole multiples of one power of two, few enough that every sum, in any order, and the target are float64s."""
    unit = Fraction(1, max(x.denominator for x in p))
    few = sum(p) / unit <= 2**53 and unit >= Fraction(1, 2**1000)
    return few and Fraction(exact.rounded(target, "float64")) == target


def answers(probs: np.ndarray, uniform: np.ndarray) -> list[Answer]:
    """The id where the exact running sum first exceeds u * total; others where rounding may move the crossing."""
    found = [walk(row, float(u)) for row, u in zip(exact.rows(probs), uniform.reshape(-1), strict=True)]
    return [Answer({"token_ids": ids(chosen, uniform.shape)}) for chosen in product(*found)]


def build() -> File:
    """The file of vectors."""
    file = File("inverse_cdf", FLAGS + KIND_ERROR, answers)

    file.group("whole weights", "CDF-1", "Nothing is rounded: exceeds means exceeds. Make these pass first.")
    file.valid("in the first", "RankOrder Boundary", probs=[0.25, 0.75], uniform=0.125)
    file.valid("on a boundary the next one", "Boundary", probs=[0.25, 0.25, 0.5], uniform=0.25)
    file.valid("on the last boundary", "Boundary NotScaled", probs=[2, 2], uniform=0.5)
    file.valid("zeros on the boundary are skipped", "Boundary LeadingZero", probs=[1, 0, 0, 3], uniform=0.25)
    file.valid("id order, not rank order", "RankOrder", probs=[0.25, 0.5, 0.25], uniform=0.125)
    file.valid("the id, not the rank", "RankOrder", probs=[1, 2, 4, 1], uniform=0.5)
    file.valid("u = 0", probs=[1, 1], uniform=0)

    file.group("any sum", "CDF-1", "u is scaled by the total, weights need not sum to 1.")
    file.valid("a sum of 0.4", "NotScaled", probs=[0.4, 0, 0], uniform=0.9)
    file.valid("a sum of 6", "NotScaled", probs=[1, 2, 3], uniform=0.75)
    file.valid("a sum of 1e-30", "NotScaled", probs=[2e-31, 8e-31], uniform=0.5)
    file.valid("0.2, 0.5, 0.3 and u = 0.1", "RankOrder", probs=[0.2, 0.5, 0.3], uniform=0.1)
    file.valid("softmax of eight", probs=[0.02, 0.1, 0.3, 0.08, 0.25, 0.05, 0.15, 0.05], uniform=0.61)
    file.acceptable(
        "0.1 + 0.2 against 0.3 in float64: the boundary is closer than the bound, rounding decides",
        probs=float64([0.1, 0.2, 0.3, 0.4]),
        uniform=float64(0.3),
    )

    file.group("float64 sums", "CDF-1", "A float32 running sum loses a tail or ends below its total.")
    tail = array([1] + [2**-25] * 40)
    for n in (1, 10, 19):
        file.valid(f"u = 1 - {n} / 2^24: token {40 - 2 * n}", "FloatSum", probs=tail, uniform=1 - n * 2.0**-24)
    file.valid("0.1 ten times in float64", probs=float64([0.1] * 10), uniform=float64(0.95))

    file.group("zeros", "CDF-2", "Never a token of probability zero, never V.")
    file.valid("a leading zero at u = 0", "LeadingZero", probs=[0, 1], uniform=0)
    file.valid("two leading zeros, one -0", "LeadingZero", probs=[0, -0.0, 3, 1], uniform=0)
    for word, end in (("float32", 1 - 2.0**-24), ("float64", float64(1 - 2.0**-53))):
        file.valid(f"trailing zeros, u the largest {word}", "EndOfWalk", probs=[0, 0, 1, 0], uniform=end)
        seventh = array([1 / 7] * 7 + [0] * 3)
        file.valid(f"seven sevenths, then zeros, u the largest {word}", "EndOfWalk", probs=seventh, uniform=end)
    file.valid("one possible token", "EndOfWalk", probs=[0, 0.3, 0], uniform=0.999)
    file.valid("twelve of weight 1, then a zero", "EndOfWalk FloatSum", probs=[1] * 12 + [0], uniform=1 - 2.0**-24)
    file.valid(
        "u * total rounds up to the total: no sum exceeds it, the last possible id is drawn",
        "EndOfWalk",
        probs=float64([0, 5e-324, 0]),
        uniform=float64(0.9),
    )
    file.valid("the same with the only token last", "EndOfWalk", probs=float64([0, 0, 5e-324]), uniform=float64(0.9))

    file.group("batches", "HEAD-4", "A row and its uniform give the same token wherever they stand.")
    rows = array([[[1, 2, 1], [4, 0, 4]], [[0, 1, 3], [2, 2, 4]]])
    file.valid("a row alone", probs=rows[1, 1], uniform=0.75)
    file.valid("the same row in a batch", "OneUniformForAll", probs=rows[1], uniform=[0, 0.75])
    file.valid("two leading axes", "OneUniformForAll", probs=rows, uniform=[[0.9, 0.5], [0.125, 0.75]])
    file.valid("a batch of no rows", probs=empty(0, 3), uniform=empty(0))

    file.group("dtypes", "HEAD-2", "Weights of any float dtype, and uniforms.")
    file.valid("float16", probs=array([0.25, 0.75], "float16"), uniform=0.5)
    file.valid("bfloat16", probs=array([0.25, 0.75], "bfloat16"), uniform=0.125)
    file.valid("float64", probs=float64([0.25, 0.75]), uniform=float64(0.25 - 2.0**-40))
    file.valid("float32 weights, float64 uniforms", probs=[[1, 1], [3, 1]], uniform=float64([0.1, 0.9]))
    file.valid("a float16 uniform", probs=array([0.25, 0.75], "float16"), uniform=array(0.25, "float16"))

    file.group("bad uniforms", "CDF-3", "One number in [0, 1) for each row.", probs=[1, 1])
    for word, bad in (("1", 1.0), ("-0.1", -0.1), ("nan", nan), ("2", 2.0), ("inf", inf)):
        file.invalid("bad_uniform", f"u = {word}", "BadUniform", uniform=bad)
    file.invalid("bad_uniform", "u = 1 in float64", "BadUniform", probs=float64([1, 1]), uniform=float64(1.0))
    file.invalid("bad_uniform", "u = 1 in the second row", "BadUniform", probs=[[1, 1], [1, 1]], uniform=[0.5, 1])
    file.invalid("bad_shape", "three for two rows", "BadUniform", probs=[[1, 1], [1, 1]], uniform=[0.1, 0.2, 0.3])
    file.invalid("bad_shape", "one for two rows", "BadUniform", probs=[[1, 1], [1, 1]], uniform=0.1)
    file.invalid("bad_dtype", "an int64 uniform", "KindError", uniform=array(0, "int64"))

    file.group("bad weights", "CDF-4", "Refused, and so is a sum that overflows float64.", uniform=0.5)
    for word, bad in (("negative", -0.1), ("nan", nan), ("infinite", inf)):
        file.invalid("bad_probs", word, "BadProbs", probs=[0.5, bad])
    file.invalid("bad_probs", "a row of zeros", "BadProbs", probs=[[1, 0], [0, 0]], uniform=[0.5, 0.5])
    file.invalid("overflow", "1e308 twice", "Overflow", probs=float64([1e308, 1e308]), uniform=float64(0.5))
    file.valid("a float32 sum that overflows only in float32", "FloatSum", probs=[3e38, 3e38], uniform=0.75)
    file.invalid("bad_shape", "no tokens", "BadProbs", probs=[[]], uniform=[0.5])
    file.invalid("bad_shape", "no axis", "BadProbs", probs=1)
    file.invalid("bad_dtype", "int64", "KindError", probs=array([1, 2], "int64"))

    file.group("corners in a batch", "HEAD-4", "As for a row alone.")
    least = float64([[0, 5e-324, 0], [5e-324, 0, 0]])
    file.valid("no sum exceeds: the last possible id of each row", "EndOfWalk", probs=least, uniform=[0.9, 0.9])
    file.valid("a uniform of -0 is 0", "LeadingZero", probs=[0, 1, 1], uniform=-0.0)
    return file

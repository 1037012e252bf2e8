"""What the vectors of both norms have in common; `layer_norm.py` and `rms_norm.py` add their own."""

from math import inf, nan
from typing import Any

import numpy as np

from reference import bounds

from . import exact
from .build import Answer, File, Numbers, array, empty, refusal, within

FLAGS = """
NormOnce (OUT-1): the norm left out, or applied twice [missing applied_twice]
    https://github.com/vllm-project/speculators/pull/313
Epsilon (OUT-1): epsilon forgotten, outside of the root, or another one than the checkpoint's
    [epsilon_forgotten epsilon_outside_the_root epsilon_of_1e_6 epsilon_of_1e_5 epsilon_of_the_rescaled_row]
    https://github.com/allenai/OLMo/issues/281
    https://github.com/apache/tvm/pull/15856
    https://github.com/apple/coremltools/pull/2822
Root (OUT-1): divided by the mean square itself, or by the root of the sum [without_the_root sum_for_mean]
    https://github.com/131250208/TPlinker-joint-extraction/issues/37
Weight (OUT-1): the weight left out, or 1 + weight in its place [weight_forgotten one_plus_weight]
OverTheBatch (HEAD-4): normalised over the whole array, not over each row [over_the_batch]
Precision (OUT-3): sums, the normed row or the result rounded to 16 bits
    [sums_in_float16 bfloat16_before_the_weight float16_result]
    https://github.com/pytorch/pytorch/issues/189581
    https://github.com/huggingface/transformers/issues/33133
NotFinite (OUT-4): nan or infinity goes through [{not_finite}]
BadNumber (OUT-4): an epsilon or an offset that is none accepted [{bad_number}]
Shape (OUT-4): a weight or a bias of another shape broadcast until it fits [{shape}]
Overflow (OUT-4): squares that overflow make the whole row 0, or the result infinite [{overflow}]
KindError (HEAD-5): whole numbers or bools cast to floats, or refused with the code of a wrong value
"""


def answers(
    hidden: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    epsilon: float,
    weight_offset: float,
    centred: bool,
) -> list[Answer]:
    """The exact norm, rounded once to float64."""
    dtype = exact.compute_dtype(hidden, weight, *(() if bias is None else (bias,)))
    eps, offset = (exact.divisor(x, dtype) for x in (epsilon, weight_offset))
    (g,) = (exact.fractions(row) for row in exact.rows(weight))
    (b,) = (exact.fractions(row) for row in exact.rows(np.zeros_like(weight) if bias is None else bias))
    factor = [offset + x for x in g]
    values = [y for row in exact.rows(hidden) for y in exact.norm(exact.fractions(row), factor, b, eps, centred)]
    wide = [x if x is None else x.astype(np.float64) for x in (hidden, weight, bias)]
    numbers: dict[str, Any] = {"epsilon": float(eps), "weight_offset": float(offset), "dtype": dtype}
    allowed = (
        bounds.layer_norm(wide[0], wide[1], wide[2], **numbers)
        if centred
        else bounds.rms_norm(wide[0], wide[1], **numbers)
    )
    return [within("context", values, allowed, hidden.shape, dtype)]


def common_groups(file: File, rng: Numbers, own: dict[str, Any]) -> None:
    """Groups of either norm; `own` is the weight, and the bias if there is one, of three numbers each."""
    hidden = array([[1, -2, 4], [0.5, 0, 3]])

    file.group("within the bound", "OUT-3", "Full significands: 16 bits on the way leave the bound.")
    wide = array(rng.normal(2, 24))
    wide[:, 7] *= 40
    of_24: dict[str, Any] = {name: array(1 + rng.normal(24) / 4) for name in own}
    file.valid("an outlier dimension 40 times as large", "Precision OverTheBatch Root", hidden=wide, **of_24)
    file.valid("numbers of full length", "Precision Weight", hidden=array(rng.normal(3)), **own)
    file.valid("squares that underflow: they may be flushed to 0", hidden=[1e-25, -1e-30, 1e-40], **own)

    file.group("epsilon", "OUT-2", "Inside of the root, and as given: where the squares are as small as epsilon.")
    small = array(rng.normal(3) * 1e-3)
    for epsilon in (1e-5, 1e-6, 1e-12):
        file.valid(f"epsilon = {epsilon}", "Epsilon", hidden=small, epsilon=epsilon, **own)
    file.valid("epsilon = 0.5", "Epsilon Root", hidden=hidden[0], epsilon=0.5, **own)
    file.valid("a row of zeros: 0 / 0 without an epsilon", "Epsilon NormOnce", hidden=[0, 0, 0], **own)
    file.valid("tiny: 1e-30", "Epsilon", hidden=array(rng.normal(3) * 1e-15), epsilon=1e-30, **own)

    file.group("offset", "OUT-2", "offset + weight is the factor: 1 where a checkpoint stores the weight less 1.")
    file.valid("offset = 1", "Offset Weight", hidden=hidden, weight_offset=1.0, **own)
    file.valid("offset = 0.1, which is rounded first", "Offset", hidden=hidden, weight_offset=0.1, **own)

    file.group("float64", "OUT-3", "The same in float64: one bound, another unit roundoff.")
    of_64: dict[str, Any] = {name: values.astype(np.float64) for name, values in own.items()}
    file.valid("53 significant bits", "Precision", hidden=rng.normal(2, 3), **of_64)
    file.valid("one float64 argument is enough", hidden=hidden, **own | {"weight": of_64["weight"]})

    file.group("16 bits", "HEAD-2", "Computed and answered in float32.")
    for dtype in ("float16", "bfloat16"):
        half: dict[str, Any] = {name: values.astype(array(0, dtype).dtype) for name, values in own.items()}
        file.valid(dtype, "Precision SixteenBits", hidden=array(rng.normal(2, 3), dtype), **half)
        half["weight"] = array([15.8125, -0.0078125, 0.00390625], dtype)
        file.valid(f"{dtype}: 1 + weight has more bits", "SixteenBits", hidden=hidden[0], weight_offset=1.0, **half)

    file.group("batches", "HEAD-4", "Any number of leading axes; every row has its own norm.")
    file.valid("a row alone", hidden=hidden[1], **own)
    file.valid("the same row last", "OverTheBatch", hidden=hidden, **own)
    file.valid("two leading axes", "OverTheBatch", hidden=hidden[:, None], **own)
    file.valid("a batch of no rows", hidden=empty(0, 3), **own)
    one: dict[str, Any] = {name: values[:1] for name, values in own.items()}
    file.valid("d = 1", hidden=[[3], [-0.5]], **one)

    file.group(
        "inputs", "HEAD-3", "Keep a copy of the hidden states and compare it after the call: they are not yours."
    )
    file.valid("hidden states that a caller uses again", "NormOnce InPlace", hidden=hidden[0], **own)

    file.group("not finite", "OUT-4", "Refused, wherever it is.", **own)
    for value in (nan, inf, -inf):
        file.invalid("bad_hidden", f"{value} in the last row", "NotFinite", hidden=[[0, 1, 2], [3, 4, value]])
        for name in own:
            file.invalid("bad_weight", f"{value} in the {name}", "NotFinite", hidden=hidden, **{name: [1, value, 1]})
    file.invalid("bad_weight", "an offset of nan", "NotFinite", hidden=hidden, weight_offset=nan)
    file.invalid("bad_weight", "an offset of 1e39, inf in float32", "NotFinite", hidden=hidden, weight_offset=1e39)
    file.invalid("bad_weight", "an offset of true", "BadNumber", hidden=hidden, weight_offset=True)

    file.group("bad epsilon", "OUT-4", "Finite and above 0, also in the compute dtype.", hidden=hidden, **own)
    for epsilon in (0, -1e-6, nan, inf, 1e-46):
        file.invalid("bad_epsilon", f"epsilon = {epsilon}", "BadNumber", epsilon=epsilon)
    file.invalid("bad_epsilon", "true is no epsilon", "BadNumber", epsilon=True)

    file.group("shapes", "OUT-4", "Never made to fit.", hidden=hidden, **own)
    for name in own:
        for shape, values in {"one number": [1], "two axes": [[1, 2, 3]], "four numbers": [1, 2, 3, 4]}.items():
            file.invalid("bad_shape", f"{name}: {shape}", "Shape", **{name: values})
    file.invalid("bad_shape", "no axis", "Shape", hidden=1)
    file.invalid("bad_shape", "rows of length 0", "Shape", hidden=[[], []], **dict.fromkeys(own, empty(0)))
    file.invalid("bad_dtype", "int64 hidden states", "KindError", hidden=array([1, 2, 3], "int64"))
    file.invalid("bad_dtype", "a weight of bools", "KindError", weight=array([True, False, True], "bool"))

    file.group("overflow", "OUT-4", "A result that overflows is refused; where the squares do, it may be, or be right.")
    file.invalid("overflow", "a weight of 3e38", "Overflow", hidden=hidden, **own | {"weight": array([3e38] * 3)})


def squares_that_overflow(file: File, right: list[Answer], **inputs: Any) -> None:
    """A test of the group before: the right result, or a refusal."""
    right = [*right, refusal("overflow")]
    file.acceptable("1e30 squared overflows: refused, or right", "Overflow", answers=right, **inputs)

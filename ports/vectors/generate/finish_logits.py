"""Vectors of `finish_logits`: exact without a cap, within a bound with one."""

from fractions import Fraction
from math import inf, isfinite, nan
from typing import Any

import numpy as np

from reference import bounds

from . import exact
from .build import BAD_LOGITS, KIND_ERROR, Answer, File, Numbers, array, empty, float64, floats, within

FLAGS = """
Bias (OUT-5): the bias forgotten, added after the scale or the cap, or in 16 bits
    [bias_forgotten bias_after_the_scale bias_after_the_cap bias_in_16_bits]
    https://github.com/huggingface/transformers/issues/35625
    https://github.com/vllm-project/vllm/pull/46835
Scale (OUT-5): the scale forgotten, inverted, or only half of it applied
    [scale_forgotten scale_inverted one_scale_of_two]
    https://github.com/vllm-project/vllm/pull/52158
    https://github.com/unslothai/unsloth/pull/11277
Reciprocal (OUT-5): multiplied by 1 / divisor, or by multiplier / divisor [reciprocal one_factor]
    https://github.com/ggml-org/llama.cpp/blob/02eabed85b960204ec0ebf113797b62ae5b6219b/src/models/granite.cpp
DoubleScale (OUT-5): multiplied by the float64 number, not by that of the dtype of the logits [float64_multiplier]
SignOfZero (OUT-5): the sign of a zero lost
FlushToZero (OUT-5): subnormal results flushed to zero
Cap (OUT-6): the cap forgotten, another one, a cut instead of a bend, tanh in part or twice
    [cap_forgotten cap_of_30 cap_by_clipping cap_twice tanh_without_the_product times_tanh]
    https://github.com/unslothai/unsloth-zoo/pull/593
    https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/4645
    https://github.com/apple/ml-cross-entropy/issues/48
    https://github.com/ggml-org/llama.cpp/pull/21390
CapLast (OUT-6): capped before the scale [cap_before_the_scale]
    https://github.com/vllm-project/vllm/blob/00db1f124590c3a5655a1781c857334d4a3ce83b/vllm/model_executor/layers/logits_processor.py
TanhOverflows (OUT-6): tanh by exp(2x), which overflows: nan [tanh_by_exp]
    https://github.com/sgl-project/sglang/blob/009db01a7c0d5460611d543516401eb497641918/python/sglang/srt/layers/logits_processor.py
NoCap (OUT-6): an infinite cap taken for a number [infinite_cap_multiplies]
Mask (OUT-6): a masked token comes back as -cap [mask_is_capped]
Precision (OUT-6): the result rounded to 16 bits [float16_result]
SixteenBits (HEAD-2): 16-bit logits answered in 16 bits [keeps_16_bits]
InPlace (HEAD-3): the caller's logits overwritten [in_place]
BadScale (OUT-7): a scale or a cap of 0 that means none, or a negative one [zero_means_none accepts_negative]
BadBias (OUT-7): a bias that is not finite, or broadcast until it fits [broadcasts_the_bias]
Overflow (OUT-7): a finite logit that becomes infinite goes on, or is capped as if nothing had happened
    [overflow_goes_on]
"""


def answers(
    logits: np.ndarray, bias: np.ndarray, multiplier: float = 1.0, divisor: float = 1.0, cap: float = inf
) -> list[Answer]:
    """The finished logits, exact or, with a cap, rounded once to float64; the numbers as rounded to the dtype."""
    dtype = exact.compute_dtype(logits, bias)
    m, q = (exact.divisor(x, dtype) for x in (multiplier, divisor))
    (added,) = exact.rows(bias)
    pairs = [(x, b) for row in exact.rows(logits) for x, b in zip(row, added, strict=True)]
    limit = exact.rounded(Fraction(cap), dtype) if isfinite(cap) else inf
    if limit == inf:
        exactly = [exact.finished(x, b, m, q, dtype) for x, b in pairs]
        return [Answer({"logits": floats(exactly, logits.shape, dtype)})]
    values = [
        exact.capped((Fraction(x) + Fraction(b)) * m / q, Fraction(limit)) if isfinite(x) else x for x, b in pairs
    ]
    wide = (logits.astype(np.float64), bias.astype(np.float64))
    allowed = bounds.finish_logits(*wide, float(m), float(q), limit, dtype)
    return [within("logits", values, allowed, logits.shape, dtype)]


def build() -> File:
    """The file of vectors."""
    file = File("finish_logits", FLAGS + BAD_LOGITS + KIND_ERROR, answers)
    rng = Numbers(12)
    plain, added = array(rng.normal(10) * 20), array(rng.normal(10))

    def valid(comment: str, flags: str = "", **inputs: Any) -> None:
        """A test; a model without a bias sends zeros."""
        logits = inputs["logits"] if isinstance(inputs["logits"], np.ndarray) else array(inputs["logits"])
        file.valid(comment, flags, **{"bias": np.zeros_like(logits, shape=logits.shape[-1:]), **inputs})

    file.group("bias and scale", "OUT-5", "Three roundings, bit for bit. Make these pass first.")
    valid("nothing to do", "NoCap", logits=[1, -2, 0.5])
    valid("h = 0: the logits are the bias", "Bias", logits=[0, 0], bias=[0, 1])
    valid("whole numbers: bias, then multiplier", "Bias Scale", logits=[4, -100], bias=[1, 0], multiplier=3.0)
    valid("Cohere: multiplied by 0.0625", "Scale", logits=plain, multiplier=0.0625)
    valid("Granite: divided by 6", "Scale Reciprocal", logits=plain, divisor=6.0)
    valid("Phi: a bias", "Bias", logits=plain, bias=added)
    valid("multiplied by 1.06", "DoubleScale Scale", logits=plain, multiplier=1.06)
    valid("both scales", "Scale Reciprocal", logits=plain, multiplier=0.3, divisor=0.7)
    valid("bias and both scales", "Bias Scale Reciprocal", logits=plain, bias=added, multiplier=3.0, divisor=7.0)
    valid("a mask stays a mask", "Mask", logits=[1, -inf, 2], bias=[1, 5, 0], multiplier=3.0)
    valid("-0 + 0 is 0, -0 + -0 is -0", "SignOfZero", logits=[-0.0, -0.0, 1], bias=[0.0, -0.0, -1])
    valid("subnormal results", "FlushToZero", logits=[3e-45, -1e-40, 1e-38, 2], divisor=3.0)

    file.group("cap", "OUT-6", "cap * tanh(z / cap), after the scale.")
    valid("Gemma 2: a cap of 30", "Cap Precision", logits=plain, cap=30.0)
    valid("far below the logits", "Cap TanhOverflows", logits=plain * np.float32(100), cap=5.0)
    valid("far above the logits", "Cap", logits=plain, cap=1e4)
    valid("beyond exp: z / cap = 1e6", "TanhOverflows", logits=[1e7, -1e7, 0], cap=10.0)
    valid("small logits: tanh x is nearly x", "Precision", logits=array(rng.normal(4) * 1e-3), cap=30.0)
    valid("a mask stays a mask", "Mask", logits=[1, -inf, -1e4], cap=30.0)
    valid("scale, then cap", "CapLast Scale", logits=plain, multiplier=2.0, cap=30.0)
    valid("bias, scale, then cap", "CapLast Bias", logits=plain, bias=added, divisor=0.5, cap=50.0)
    valid("all four", "CapLast Bias Scale", logits=plain, bias=added, multiplier=3.0, divisor=7.0, cap=15.0)
    valid("a cap beyond float32 is none", "NoCap", logits=[1, -2, 3e38], cap=1e39)

    file.group("float64", "OUT-5", "The same in float64, where no number is rounded any more.")
    double, of_double = rng.normal(6) * 20, rng.normal(6)
    valid("bias and scales", "Reciprocal", logits=double, bias=of_double, multiplier=0.7, divisor=3.0)
    valid("cap", "Cap", logits=double, bias=of_double, cap=30.0)
    valid("a float64 bias makes all float64", "SixteenBits", logits=[1, 2.5], bias=float64([0.1, 0.2]))

    file.group("16 bits", "HEAD-2", "Finished and answered in float32.")
    for dtype in ("float16", "bfloat16"):
        half = array(rng.normal(4) * 20, dtype)
        valid(dtype, "SixteenBits Bias", logits=half, bias=array(rng.normal(4), dtype), divisor=3.0)
        valid(f"{dtype} with a cap", "SixteenBits Precision", logits=half, cap=30.0)

    file.group("batches", "HEAD-4", "A row gives the same bits wherever it stands, but for the cap.")
    rows, of_rows = plain[:6].reshape(2, 3), added[:3]
    valid("a row alone", logits=rows[1], bias=of_rows, divisor=3.0)
    valid("the same row in a batch", "Bias", logits=rows, bias=of_rows, divisor=3.0)
    valid("two leading axes", logits=rows[:, None], bias=of_rows, divisor=3.0)
    valid("a batch of no rows", logits=empty(0, 3))

    file.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call: they are not yours.")
    valid("logits that a caller uses again", "InPlace", logits=[1, 2, 3], multiplier=0.5)

    file.group("scales", "OUT-7", "Above zero, also in the dtype of the logits; only a cap may be infinite.")
    two = {"logits": array([1, 0]), "bias": array([0, 0])}
    for name in ("multiplier", "divisor", "cap"):
        for value in (0, -2.0, nan, -inf, 1e-46):
            file.invalid("bad_scale", f"{name} = {value}", "BadScale", **two, **{name: value})
        file.invalid("bad_scale", f"true is no {name}", "BadScale", **two, **{name: True})
    for name in ("multiplier", "divisor"):
        for value in (inf, 1e39):
            file.invalid("bad_scale", f"{name} = {value}", "BadScale", **two, **{name: value})

    file.group("bad bias", "OUT-7", "One finite number for each token.", logits=[1, 2, 3])
    for value in (nan, inf, -inf):
        file.invalid("bad_weight", f"{value}", "BadBias", bias=[0, value, 0])
    for shape, values in {
        "one number": [1],
        "two axes": [[1, 2, 3]],
        "four numbers": [1, 2, 3, 4],
        "no axis": 1,
    }.items():
        file.invalid("bad_shape", shape, "BadBias", bias=values)
    file.invalid("bad_dtype", "an int64 bias", "KindError", bias=array([1, 2, 3], "int64"))

    file.group("overflow", "OUT-7", "No finite logit may become infinite, whether a cap follows or not.")
    zeros = array([0, 0])
    file.invalid("overflow", "1e38 times 100", "Overflow", logits=[0, 100], bias=zeros, multiplier=1e38)
    file.invalid("overflow", "-1e38 times 100", "Overflow", logits=[0, -100], bias=zeros, multiplier=1e38)
    file.invalid("overflow", "with a cap", "Overflow", logits=[[0, 1], [0, 500]], bias=zeros, divisor=1e-38, cap=30.0)
    file.invalid("overflow", "of the bias", "Overflow", logits=[3e38, 0], bias=[3e38, 0], multiplier=0.1)
    valid("the largest float32 stays", logits=[3.4028234663852886e38, 0])

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.", bias=zeros)
    file.bad_logits({"nan": [0, nan], "+inf": [inf, 0], "only -inf": [-inf, -inf]})
    return file

"""Vectors of `apply_temperature`: one correctly rounded division, so every answer is exact."""

from fractions import Fraction
from math import copysign, inf, isfinite, nan

import numpy as np

from . import exact
from .build import BAD_LOGITS, BAD_ROWS, KIND_ERROR, Answer, File, Numbers, array, empty, float64, floats

FLAGS = """
Reciprocal (TEMP-1): multiplied by 1/T in place of divided by T [reciprocal]
Multiplied (TEMP-1): multiplied by T [multiplies]
NoEffect (TEMP-1): the temperature has no effect: a copy was divided, or T = 1 means off [divides_a_copy]
    https://github.com/dphnAI/sonar/pull/814
Clamped (TEMP-1): the temperature forced into a range [clamps_high clamps_low]
    https://github.com/state-spaces/mamba/pull/1041
DoubleDivisor (TEMP-1): divided by the float64 temperature, not by the temperature rounded to the dtype of the logits
    [float64_divisor]
SixteenBits (HEAD-2): 16-bit logits divided in 16 bits [divides_in_16_bits]
FlushToZero (TEMP-1): subnormal quotients flushed to zero
SignOfZero (TEMP-1): the sign of a zero lost
ZeroTemperature (TEMP-2): temperature 0 divides, or silently means 1, a small number or greedy decoding
    [divides_by_zero zero_means_one zero_means_small]
    https://github.com/ggml-org/ggml/issues/37
    https://github.com/inclusionAI/LLaDA2.X/issues/6
    https://github.com/google-deepmind/gemma/issues/562
    https://github.com/microsoft/onnxruntime-genai/pull/1211
BadTemperature (TEMP-2): a temperature that is negative, infinite, nan or no number accepted [accepts_negative]
Overflow (TEMP-3): a quotient that overflows goes on as inf, and becomes nan in the softmax [overflow_goes_on]
    https://github.com/vllm-project/vllm/issues/22180
InPlace (HEAD-3): the caller's logits overwritten [in_place]
"""


def answers(logits: np.ndarray, temperature: float) -> list[Answer]:
    """The quotients by the temperature as rounded to the dtype, each rounded once."""
    dtype = exact.compute_dtype(logits)
    divisor = exact.divisor(temperature, dtype)
    numbers = [x for row in exact.rows(logits) for x in row]
    quotients = [exact.rounded(Fraction(x) / divisor, dtype) if isfinite(x) else x for x in numbers]
    with_signs = [copysign(quotient, x) for quotient, x in zip(quotients, numbers, strict=True)]  # that of -0 too
    return [Answer({"logits": floats(with_signs, logits.shape, dtype)})]


def build() -> File:
    """The file of vectors."""
    file = File("apply_temperature", FLAGS + BAD_LOGITS + KIND_ERROR, answers, temperature=0.7)
    rng = Numbers(2)
    plain = array(rng.normal(10) * 5)

    file.group("quotients", "TEMP-1", "The IEEE 754 quotient, bit for bit.")
    file.valid("T = 0.5 is exact", "Multiplied NoEffect", logits=[1, 2, -3], temperature=0.5)
    file.valid("T = 1 is a temperature like any other", "Clamped", logits=[1, 2, -3], temperature=1)
    file.valid("T = 0.7, the default", "Reciprocal DoubleDivisor Multiplied NoEffect", logits=plain)
    file.valid("T = 3", "Reciprocal Clamped", logits=plain, temperature=3)
    file.valid("T = 0.1", "Reciprocal DoubleDivisor", logits=plain, temperature=0.1)
    file.valid("T = 0.001", "Clamped DoubleDivisor", logits=plain, temperature=0.001)
    file.valid("T = 1e6", "Clamped Reciprocal", logits=plain, temperature=1e6)
    file.valid("logits near -100", "Reciprocal", logits=plain - np.float32(100))
    file.valid("a mask stays a mask", logits=[1, -inf, 2])
    file.valid("-0 stays -0", "SignOfZero", logits=[-0.0, 0.0, 1])
    file.valid("subnormal logits and quotients", "FlushToZero", logits=[3e-45, -1e-40, 1e-38, 2], temperature=3)
    file.valid(
        "different logits tie after the division: it must come before the cut",
        logits=[1 + 2**-22, 1 + 2**-23, 1],
        temperature=1.9,
    )
    file.valid("T above 2", "Clamped", logits=[10, -10], temperature=2.5)

    file.group("float64", "TEMP-1", "The same in float64, where T is not rounded any more.")
    double = rng.normal(6) * 5
    file.valid("T = 0.7", "Reciprocal", logits=double)
    file.valid("T = 1e-60, which float32 does not have", "Clamped", logits=double, temperature=1e-60)
    file.valid("subnormal", "FlushToZero", logits=float64([5e-324, 1e-310, 1]), temperature=3)

    file.group("16 bits", "HEAD-2", "Divided and answered in float32.")
    file.valid("float16", "SixteenBits", logits=array([1, 10, -0.1], "float16"), temperature=3)
    file.valid("bfloat16", "SixteenBits", logits=array([1, 10, -0.1], "bfloat16"))

    file.group("batches", "HEAD-4", "A row gives the same bits wherever it stands.")
    rows = plain[:6].reshape(2, 3)
    file.valid("a row alone", logits=rows[1])
    file.valid("the same row in a batch", "NoEffect", logits=rows)
    file.valid("the same rows, two leading axes", logits=rows[:, None])
    file.valid("a batch of no rows", logits=empty(0, 3))

    file.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call: they are not yours.")
    file.valid("logits that a caller uses again", "InPlace", logits=[1, 2, 3], temperature=0.5)

    file.group("temperatures", "TEMP-2", "Finite and above zero, also in the dtype of the logits.", logits=[1, 0])
    file.invalid("bad_temperature", "T = 0", "ZeroTemperature", temperature=0)
    file.invalid("bad_temperature", "T = -0", "ZeroTemperature", temperature=-0.0)
    file.invalid("bad_temperature", "T = -0.5", "BadTemperature", temperature=-0.5)
    file.invalid("bad_temperature", "T = inf", "BadTemperature", temperature=inf)
    file.invalid("bad_temperature", "T = -inf", "BadTemperature", temperature=-inf)
    file.invalid("bad_temperature", "T = nan", "BadTemperature", temperature=nan)
    file.invalid("bad_temperature", "T = 1e-46, 0 in float32", "ZeroTemperature", temperature=1e-46)
    file.invalid("bad_temperature", "T = 1e39, inf in float32", "BadTemperature", temperature=1e39)
    file.invalid("bad_temperature", "true is no temperature", "BadTemperature", temperature=True)

    file.group("overflow", "TEMP-3", "A quotient of +inf and a row of only -inf are refused; single ones fall to -inf.")
    file.invalid("overflow", "500 / 1e-38", "Overflow", logits=[0, 500], temperature=1e-38)
    file.invalid("overflow", "every quotient is -inf", "Overflow", logits=[-500, -700], temperature=1e-38)
    file.invalid("overflow", "in the second row", "Overflow", logits=[[0, 1], [0, 3e38]], temperature=0.5)
    file.invalid("overflow", "3e38 / 0.5 in float32", "Overflow", logits=[1, 3e38], temperature=0.5)
    file.valid("a logit falls to -inf", logits=[0, -3e38], temperature=0.5)
    file.valid("the largest float32 stays", logits=[3.4028234663852886e38, 0], temperature=1)
    file.valid("3e38 / 0.5 in float64", logits=float64([1, 3e38]), temperature=0.5)

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.")
    file.bad_logits(BAD_ROWS | {"+inf": [0, 1, inf]}, no_tokens=[[], []])
    return file

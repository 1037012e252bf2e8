"""Vectors of `apply_temperature`: one correctly rounded division, so every answer is exact."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np

from . import exact
from .build import Answer, File, Flag, Numbers, array, floats

FLAGS = {
    "Reciprocal": Flag("TEMP-1", "multiplied by 1/T in place of divided by T", (), ("apply_temperature-reciprocal",)),
    "Multiplied": Flag("TEMP-1", "multiplied by T", (), ("apply_temperature-multiplies",)),
    "NoEffect": Flag(
        "TEMP-1",
        "the temperature has no effect: a copy was divided, or T = 1 means off",
        ("https://github.com/dphnAI/sonar/pull/814",),
        ("apply_temperature-divides_a_copy",),
    ),
    "Clamped": Flag(
        "TEMP-1",
        "the temperature forced into a range",
        ("https://github.com/state-spaces/mamba/pull/1041",),
        ("apply_temperature-clamps_high", "apply_temperature-clamps_low"),
    ),
    "DoubleDivisor": Flag(
        "TEMP-1",
        "divided by the float64 temperature, not by the temperature rounded to the dtype of the logits",
        (),
        ("apply_temperature-float64_divisor",),
    ),
    "SixteenBits": Flag("HEAD-2", "16-bit logits divided in 16 bits", (), ("apply_temperature-divides_in_16_bits",)),
    "FlushToZero": Flag("TEMP-1", "subnormal quotients flushed to zero"),
    "SignOfZero": Flag("TEMP-1", "the sign of a zero lost"),
    "ZeroTemperature": Flag(
        "TEMP-2",
        "temperature 0 divides, or silently means 1, a small number or greedy decoding",
        (
            "https://github.com/ggml-org/ggml/issues/37",
            "https://github.com/inclusionAI/LLaDA2.X/issues/6",
            "https://github.com/google-deepmind/gemma/issues/562",
            "https://github.com/microsoft/onnxruntime-genai/pull/1211",
        ),
        (
            "apply_temperature-divides_by_zero",
            "apply_temperature-zero_means_one",
            "apply_temperature-zero_means_small",
        ),
    ),
    "BadTemperature": Flag(
        "TEMP-2",
        "a temperature that is negative, infinite, nan or no number accepted",
        (),
        ("apply_temperature-accepts_negative",),
    ),
    "Overflow": Flag(
        "TEMP-3",
        "a quotient that overflows goes on as inf, and becomes nan in the softmax",
        ("https://github.com/vllm-project/vllm/issues/22180",),
        ("apply_temperature-overflow_goes_on",),
    ),
    "InPlace": Flag("HEAD-3", "the caller's logits overwritten", (), ("apply_temperature-in_place",)),
    "BadLogits": Flag("SOFTMAX-4", "nan, +inf, a row of only -inf or an empty vocabulary goes on"),
    "KindError": Flag("HEAD-5", "whole numbers cast to floats, or refused with the code of a wrong value"),
}


def answers(logits: np.ndarray, temperature: float) -> list[Answer]:
    """The quotients by the temperature as rounded to the dtype, each rounded once."""
    dtype = exact.compute_dtype(logits)
    divisor = Fraction(float(np.dtype(dtype).type(temperature)))
    values = []
    for x, number in zip(exact.fractions(logits), logits.astype(np.float64).reshape(-1).tolist(), strict=True):
        quotient = exact.rounded(x / divisor, dtype) if isinstance(x, Fraction) else x
        values.append(math.copysign(quotient, number))
    return [Answer({"logits": floats(values, logits.shape, dtype)})]


def build() -> File:
    """The file."""
    file = File("temperature", "apply_temperature", FLAGS, answers)
    rng = Numbers(2)
    plain = (rng.normal(10) * 5).astype(np.float32)

    file.group("quotients", "TEMP-1", "The IEEE 754 quotient, bit for bit.")
    file.valid("T = 0.5 is exact", "Multiplied NoEffect", logits=array([1, 2, -3]), temperature=0.5)
    file.valid("T = 1 is a temperature like any other", "Clamped", logits=array([1, 2, -3]), temperature=1)
    file.valid("T = 0.7, the default", "Reciprocal DoubleDivisor Multiplied NoEffect", logits=plain, temperature=0.7)
    file.valid("T = 3", "Reciprocal Clamped", logits=plain, temperature=3)
    file.valid("T = 0.1", "Reciprocal DoubleDivisor", logits=plain, temperature=0.1)
    file.valid("T = 0.001", "Clamped DoubleDivisor", logits=plain, temperature=0.001)
    file.valid("T = 1e6", "Clamped Reciprocal", logits=plain, temperature=1e6)
    file.valid("logits near -100", "Reciprocal", logits=plain - np.float32(100), temperature=0.7)
    file.valid("a mask stays a mask", logits=array([1, -math.inf, 2]), temperature=0.7)
    file.valid("-0 stays -0", "SignOfZero", logits=array([-0.0, 0.0, 1]), temperature=0.7)
    file.valid(
        "subnormal logits and quotients",
        "FlushToZero",
        logits=array([3e-45, -1e-40, 1e-38, 2]),
        temperature=3,
    )
    file.valid(
        "different logits tie after the division: it must come before the cut",
        logits=array([1 + 2**-22, 1 + 2**-23, 1]),
        temperature=1.9,
    )
    file.valid("T above 2", "Clamped", logits=array([10, -10]), temperature=2.5)

    file.group("float64", "TEMP-1", "The same in float64, where T is not rounded any more.")
    double = rng.normal(6) * 5
    file.valid("T = 0.7", "Reciprocal", logits=double, temperature=0.7)
    file.valid("T = 1e-60, which float32 does not have", "Clamped", logits=double, temperature=1e-60)
    file.valid("subnormal", "FlushToZero", logits=np.array([5e-324, 1e-310, 1.0]), temperature=3)

    file.group("16 bits", "HEAD-2", "Divided and answered in float32.")
    file.valid("float16", "SixteenBits", logits=array([1, 10, -0.1], np.float16), temperature=3)
    file.valid("bfloat16", "SixteenBits", logits=array([1, 10, -0.1], ml_dtypes.bfloat16), temperature=0.7)

    file.group("batches", "HEAD-4", "A row gives the same bits wherever it stands.")
    rows = plain[:6].reshape(2, 3)
    file.valid("a row alone", logits=rows[1], temperature=0.7)
    file.valid("the same row in a batch", "NoEffect", logits=rows, temperature=0.7)
    file.valid("the same rows, two leading axes", logits=rows[:, None], temperature=0.7)
    file.valid("a batch of no rows", logits=np.zeros((0, 3), np.float32), temperature=0.7)

    file.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call: they are not yours.")
    file.valid("logits that a caller uses again", "InPlace", logits=array([1, 2, 3]), temperature=0.5)

    file.group("temperatures", "TEMP-2", "Finite and above zero, also in the dtype of the logits.")
    two = array([1, 0])
    file.invalid("bad_temperature", "T = 0", "ZeroTemperature", logits=two, temperature=0)
    file.invalid("bad_temperature", "T = -0", "ZeroTemperature", logits=two, temperature=-0.0)
    file.invalid("bad_temperature", "T = -0.5", "BadTemperature", logits=two, temperature=-0.5)
    file.invalid("bad_temperature", "T = inf", "BadTemperature", logits=two, temperature=math.inf)
    file.invalid("bad_temperature", "T = -inf", "BadTemperature", logits=two, temperature=-math.inf)
    file.invalid("bad_temperature", "T = nan", "BadTemperature", logits=two, temperature=math.nan)
    file.invalid("bad_temperature", "T = 1e-46, 0 in float32", "ZeroTemperature", logits=two, temperature=1e-46)
    file.invalid("bad_temperature", "T = 1e39, inf in float32", "BadTemperature", logits=two, temperature=1e39)
    file.invalid("bad_temperature", "true is no temperature", "BadTemperature", logits=two, temperature=True)

    file.group("overflow", "TEMP-3", "A quotient of +inf and a row of only -inf are refused; single ones fall to -inf.")
    file.invalid("overflow", "500 / 1e-38", "Overflow", logits=array([0, 500]), temperature=1e-38)
    file.invalid("overflow", "every quotient is -inf", "Overflow", logits=array([-500, -700]), temperature=1e-38)
    file.invalid("overflow", "in the second row", "Overflow", logits=array([[0, 1], [0, 3e38]]), temperature=0.5)
    file.invalid("overflow", "3e38 / 0.5 in float32", "Overflow", logits=array([1, 3e38]), temperature=0.5)
    file.valid("a logit falls to -inf", logits=array([0, -3e38]), temperature=0.5)
    file.valid("the largest float32 stays", logits=array([3.4028234663852886e38, 0]), temperature=1)
    file.valid("3e38 / 0.5 in float64", logits=np.array([1, 3e38]), temperature=0.5)

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.")
    file.invalid("bad_logits", "nan", "BadLogits", logits=array([0, math.nan, 1]), temperature=0.7)
    file.invalid("bad_logits", "+inf", "BadLogits", logits=array([0, 1, math.inf]), temperature=0.7)
    file.invalid("bad_logits", "only -inf", "BadLogits", logits=array([-math.inf, -math.inf]), temperature=0.7)
    file.invalid("bad_shape", "no tokens", "BadLogits", logits=np.zeros((2, 0), np.float32), temperature=0.7)
    file.invalid("bad_shape", "no axis", "BadLogits", logits=array(1), temperature=0.7)
    file.invalid("bad_dtype", "int64", "KindError", logits=array([1, 2], np.int64), temperature=0.7)
    return file

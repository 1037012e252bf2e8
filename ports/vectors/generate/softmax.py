"""Vectors of `softmax`: within a bound, but for exact zeros."""

import math

import ml_dtypes
import numpy as np

from reference import bounds

from . import exact
from .build import Answer, File, Flag, Numbers, array, bound, floats

FLAGS = {
    "NoShift": Flag(
        "SOFTMAX-2",
        "the maximum not subtracted, or its search begun from 0: exp overflows above 88.7 and is 0 below -104",
        (
            "https://github.com/karpathy/llm.c/blob/07752a654eb76191831d8db17e9c6c03d195c71a/llmc/sampler.h",
            "https://github.com/tensorflow/tensorflow/issues/2774",
            "https://github.com/abetlen/llama-cpp-python/issues/990",
        ),
        ("softmax-no_shift", "softmax-maximum_from_zero"),
    ),
    "ShiftOfTheBatch": Flag(
        "SOFTMAX-2", "one maximum subtracted from the whole batch", (), ("softmax-shift_of_the_batch",)
    ),
    "OtherAxis": Flag("SOFTMAX-1", "normalised over another axis than the last", (), ("softmax-other_axis",)),
    "Normalisation": Flag(
        "SOFTMAX-1",
        "not divided by the sum, or by the sum and something added to it",
        ("https://github.com/vllm-project/vllm/issues/718",),
        ("softmax-not_normalised", "softmax-epsilon_in_the_sum", "softmax-one_in_the_sum"),
    ),
    "WrongExp": Flag(
        "SOFTMAX-1",
        "another base, an exp of few good bits, or one that stops at an exponent",
        (),
        ("softmax-base_two", "softmax-fast_exp", "softmax-clips_the_tail"),
    ),
    "Precision": Flag(
        "SOFTMAX-1",
        "weights or probabilities rounded to 16 bits",
        (),
        ("softmax-in_float16", "softmax-bfloat16_result"),
    ),
    "OutputDtype": Flag("HEAD-2", "16-bit logits answered in 16 bits", (), ("softmax-keeps_16_bits",)),
    "MaskedIsZero": Flag(
        "SOFTMAX-3",
        "a masked token gets a probability: from a floor, or -inf read as a finite number",
        (),
        ("softmax-floor_under_masked", "softmax-finite_mask"),
    ),
    "BadLogits": Flag(
        "SOFTMAX-4",
        "nan or +inf goes through; a row of only -inf gives nan or equal probabilities",
        (
            "https://github.com/huggingface/transformers/pull/21435",
            "https://github.com/JustVugg/colibri/issues/369",
            "https://github.com/facebookresearch/metaseq/pull/674",
        ),
        (
            "softmax-all_masked_gives_nan",
            "softmax-all_masked_gives_uniform",
            "softmax-nan_goes_through",
            "softmax-infinite_is_certain",
        ),
    ),
    "InPlace": Flag("HEAD-3", "the caller's logits overwritten", (), ("softmax-in_place",)),
    "KindError": Flag("HEAD-5", "whole numbers cast to floats, or refused with the code of a wrong value"),
}


def answers(logits: np.ndarray) -> list[Answer]:
    """The exact probabilities, rounded once to float64."""
    dtype, rows = exact.compute_dtype(logits), logits.reshape(math.prod(logits.shape[:-1]), logits.shape[-1])
    values = [p for row in rows for p in exact.softmax(exact.fractions(row))]
    allowed = bounds.softmax(logits.astype(np.float64), dtype)
    return [Answer({"probs": floats(values, logits.shape, dtype)}, {"probs": bound(allowed, values, logits.shape)})]


def build() -> File:
    """The file."""
    file = File("softmax", "softmax", FLAGS, answers)
    rng = Numbers(5)
    inf = math.inf

    file.group("plain rows", "SOFTMAX-1", "exp over the sum of exps. Make these pass first.")
    file.valid("two equal", "Normalisation", logits=array([0, 0]))
    file.valid("0, 1, 2", "WrongExp Normalisation Precision", logits=array([0, 1, 2]))
    file.valid("one token", logits=array([-3]))
    file.valid("twelve logits", "Precision WrongExp", logits=(rng.normal(12) * 3).astype(np.float32))
    file.valid("a tail below exp(-20)", "WrongExp", logits=array([0, -25, -60, -80]))
    file.valid(
        "a tail below the smallest normal number: it may be flushed to 0", logits=array([0, -88, -95, -103, -110])
    )
    file.valid("a sum of 40 equal weights", "Precision", logits=array([1.5] * 40))

    file.group("any finite logit", "SOFTMAX-2", "The maximum is subtracted first; adding a constant changes nothing.")
    file.valid("all at -104: 0 / 0 without the maximum", "NoShift", logits=array([-104, -104, -104]))
    file.valid("one at 89: inf / inf without the maximum", "NoShift", logits=array([0, 89, 0]))
    file.valid("all at 1000", "NoShift", logits=array([1000] * 5))
    file.valid("logits near -100, as GPT-2's", "NoShift", logits=(rng.normal(8) * 4 - 100).astype(np.float32))
    file.valid("0, 1, 2, raised by 1024", "NoShift", logits=array([1024, 1025, 1026]))
    file.valid("a spread of 1e4", "NoShift", logits=array([-9000, 1000, 998, 0]))
    file.valid("nearly all of float32's range", logits=array([3e38, -3e38, 3e38]))
    file.valid("all at -1e30", "NoShift", logits=array([-1e30, -1e30]))

    file.group("masked tokens", "SOFTMAX-3", "-inf gives exactly 0, its bound is 0.")
    file.valid("one masked", "MaskedIsZero", logits=array([1, -inf, 2]))
    file.valid("all but one masked", "MaskedIsZero", logits=array([-inf, -inf, -7, -inf]))
    file.valid("the others at -10,000 and below", "MaskedIsZero NoShift", logits=array([-1e4, -inf, -10_001, -inf]))
    file.valid("a mask of half the row", "MaskedIsZero", logits=array([-inf, 0.5] * 8))

    file.group("float64", "SOFTMAX-1", "The same in float64, within a bound that is 2^29 times smaller.")
    file.valid("0, 1, 2", "Normalisation WrongExp Precision", logits=np.array([0.0, 1.0, 2.0]))
    file.valid(
        "eight logits, two masked",
        "MaskedIsZero Normalisation",
        logits=np.array([*rng.normal(6) * 5, -inf, -inf]),
    )
    file.valid("all at -750", "NoShift", logits=np.array([-750.0, -751.0]))

    file.group("16 bits", "HEAD-2", "Computed and answered in float32.")
    file.valid("float16", "OutputDtype Precision", logits=array([0, 1, -inf, 0.1], np.float16))
    file.valid("bfloat16", "OutputDtype Precision", logits=array([0, 1, -inf, 0.1], ml_dtypes.bfloat16))

    file.group("batches", "HEAD-4", "Every row by itself.")
    rows = np.array([[[0, 1, 2], [-200, -201, -199]], [[300, 300, 299], [5, 5, -inf]]], np.float32)
    file.valid("a row alone", logits=rows[0, 1])
    file.valid("rows of another height", "ShiftOfTheBatch OtherAxis", logits=rows[0])
    file.valid("two leading axes", "ShiftOfTheBatch OtherAxis", logits=rows)
    file.valid("a batch of no rows", logits=np.zeros((2, 0, 3), np.float32))

    file.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call: they are not yours.")
    file.valid("logits that a caller uses again", "InPlace", logits=array([1, 2, 3]))

    file.group("no distribution", "SOFTMAX-4", "Refused.")
    for place, row in (("first", [math.nan, 1, 2]), ("in the middle", [1, math.nan, 2]), ("last", [1, 2, math.nan])):
        file.invalid("bad_logits", f"nan {place}", "BadLogits", logits=array(row))
    file.invalid("bad_logits", "+inf", "BadLogits", logits=array([0, inf, 1]))
    file.invalid("bad_logits", "only -inf", "BadLogits", logits=array([-inf, -inf]))
    file.invalid("bad_logits", "a second row of only -inf", "BadLogits", logits=array([[0, 1], [-inf, -inf]]))
    file.invalid("bad_shape", "no tokens", "BadLogits", logits=np.zeros((2, 0), np.float32))
    file.invalid("bad_shape", "no axis", "BadLogits", logits=array(1))
    file.invalid("bad_dtype", "int64", "KindError", logits=array([1, 2], np.int64))
    file.invalid("bad_dtype", "bools", "KindError", logits=array([True, False], bool))
    return file

"""Vectors of `softmax`: within a bound, but for the exact zeros of masked tokens."""

from math import inf, nan

import numpy as np

from reference import bounds

from . import exact
from .build import KIND_ERROR, Answer, File, Numbers, array, empty, float64, within

FLAGS = """
NoShift (SOFTMAX-2): the maximum not subtracted, or its search begun from 0: exp overflows above 88.7 and is 0 below
    -104 [no_shift maximum_from_zero]
    https://github.com/karpathy/llm.c/blob/07752a654eb76191831d8db17e9c6c03d195c71a/llmc/sampler.h
    https://github.com/tensorflow/tensorflow/issues/2774
    https://github.com/abetlen/llama-cpp-python/issues/990
ShiftOfTheBatch (SOFTMAX-2): one maximum subtracted from the whole batch [shift_of_the_batch]
OtherAxis (SOFTMAX-1): normalised over another axis than the last [other_axis]
Normalisation (SOFTMAX-1): not divided by the sum, or by the sum and something added to it
    [not_normalised epsilon_in_the_sum one_in_the_sum]
    https://github.com/vllm-project/vllm/issues/718
WrongExp (SOFTMAX-1): another base, an exp of few good bits, or one that stops at an exponent
    [base_two fast_exp clips_the_tail]
Precision (SOFTMAX-1): weights or probabilities rounded to 16 bits [in_float16 bfloat16_result]
OutputDtype (HEAD-2): 16-bit logits answered in 16 bits [keeps_16_bits]
MaskedIsZero (SOFTMAX-3): a masked token gets a probability: from a floor, or -inf read as a finite number
    [floor_under_masked finite_mask]
BadLogits (SOFTMAX-4): nan or +inf goes through; a row of only -inf gives nan or equal probabilities
    [all_masked_gives_nan all_masked_gives_uniform nan_goes_through infinite_is_certain]
    https://github.com/huggingface/transformers/pull/21435
    https://github.com/JustVugg/colibri/issues/369
    https://github.com/facebookresearch/metaseq/pull/674
InPlace (HEAD-3): the caller's logits overwritten [in_place]
"""


def answers(logits: np.ndarray) -> list[Answer]:
    """The exact probabilities, rounded once to float64."""
    dtype = exact.compute_dtype(logits)
    values = [p for row in exact.rows(logits) for p in exact.softmax(exact.fractions(row))]
    return [within("probs", values, bounds.softmax(logits.astype(np.float64), dtype), logits.shape, dtype)]


def build() -> File:
    """The file of vectors."""
    file = File("softmax", FLAGS + KIND_ERROR, answers)
    rng = Numbers(5)

    file.group("plain rows", "SOFTMAX-1", "exp over the sum of exps. Make these pass first.")
    file.valid("two equal", "Normalisation", logits=[0, 0])
    file.valid("0, 1, 2", "WrongExp Normalisation Precision", logits=[0, 1, 2])
    file.valid("one token", logits=[-3])
    file.valid("twelve logits", "Precision WrongExp", logits=array(rng.normal(12) * 3))
    file.valid("a tail below exp(-20)", "WrongExp", logits=[0, -25, -60, -80])
    file.valid("a tail below the smallest normal number: it may be flushed to 0", logits=[0, -88, -95, -103, -110])
    file.valid("a sum of 40 equal weights", "Precision", logits=[1.5] * 40)

    file.group("any finite logit", "SOFTMAX-2", "The maximum is subtracted first; adding a constant changes nothing.")
    file.valid("all at -104: 0 / 0 without the maximum", "NoShift", logits=[-104, -104, -104])
    file.valid("one at 89: inf / inf without the maximum", "NoShift", logits=[0, 89, 0])
    file.valid("all at 1000", "NoShift", logits=[1000] * 5)
    file.valid("logits near -100, as GPT-2's", "NoShift", logits=array(rng.normal(8) * 4 - 100))
    file.valid("0, 1, 2, raised by 1024", "NoShift", logits=[1024, 1025, 1026])
    file.valid("a spread of 1e4", "NoShift", logits=[-9000, 1000, 998, 0])
    file.valid("nearly all of float32's range", logits=[3e38, -3e38, 3e38])
    file.valid("all at -1e30", "NoShift", logits=[-1e30, -1e30])

    file.group("masked tokens", "SOFTMAX-3", "-inf gives exactly 0, its bound is 0.")
    file.valid("one masked", "MaskedIsZero", logits=[1, -inf, 2])
    file.valid("all but one masked", "MaskedIsZero", logits=[-inf, -inf, -7, -inf])
    file.valid("the others at -10,000 and below", "MaskedIsZero NoShift", logits=[-1e4, -inf, -10_001, -inf])
    file.valid("a mask of half the row", "MaskedIsZero", logits=[-inf, 0.5] * 8)

    file.group("float64", "SOFTMAX-1", "The same in float64, within a bound that is 2^29 times smaller.")
    file.valid("0, 1, 2", "Normalisation WrongExp Precision", logits=float64([0, 1, 2]))
    eight = float64([*rng.normal(6) * 5, -inf, -inf])
    file.valid("eight logits, two masked", "MaskedIsZero Normalisation", logits=eight)
    file.valid("all at -750", "NoShift", logits=float64([-750, -751]))

    file.group("16 bits", "HEAD-2", "Computed and answered in float32.")
    file.valid("float16", "OutputDtype Precision", logits=array([0, 1, -inf, 0.1], "float16"))
    file.valid("bfloat16", "OutputDtype Precision", logits=array([0, 1, -inf, 0.1], "bfloat16"))

    file.group("batches", "HEAD-4", "Every row by itself.")
    rows = array([[[0, 1, 2], [-200, -201, -199]], [[300, 300, 299], [5, 5, -inf]]])
    file.valid("a row alone", logits=rows[0, 1])
    file.valid("rows of another height", "ShiftOfTheBatch OtherAxis", logits=rows[0])
    file.valid("two leading axes", "ShiftOfTheBatch OtherAxis", logits=rows)
    file.valid("a batch of no rows", logits=empty(2, 0, 3))

    file.group("inputs", "HEAD-3", "Keep a copy of the logits and compare it after the call: they are not yours.")
    file.valid("logits that a caller uses again", "InPlace", logits=[1, 2, 3])

    file.group("no distribution", "SOFTMAX-4", "Refused.")
    nans = {"nan first": [nan, 1, 2], "nan in the middle": [1, nan, 2], "nan last": [1, 2, nan]}
    infinite = {"+inf": [0, inf, 1], "only -inf": [-inf, -inf], "a second row of only -inf": [[0, 1], [-inf, -inf]]}
    file.bad_logits(nans | infinite, no_tokens=[[], []], kinds="int64 bools")

    file.group("masked beside the lowest finite number", "SOFTMAX-3", "-inf is below every number, and gets exactly 0.")
    file.valid("one token is possible", "MaskedIsZero", logits=[float(np.finfo(np.float32).min), -inf])
    return file

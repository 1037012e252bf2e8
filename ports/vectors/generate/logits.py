"""Vectors of `compute_logits`: whole numbers come out exact, all others within a bound; nothing is made to fit."""

from math import inf, nan

import numpy as np

from reference import bounds

from . import exact
from .build import Answer, File, Numbers, array, empty, float64, refusal, within

FLAGS = """
Precision (LOGITS-2): inputs, sums or results rounded to TF32, bfloat16, float16 or 8 bits on the way
    [tf32_inputs bfloat16_inputs float16_embedding bfloat16_result float16_accumulator int8_embedding]
    https://github.com/sgl-project/sglang/issues/33627
    https://github.com/PrimeIntellect-ai/prime-rl/pull/2441
    https://pytorch.org/docs/stable/notes/cuda.html#tf32-on-ampere
OutputDtype (HEAD-2): 16-bit inputs answered in 16 bits, or float32 ones in float64 [keeps_16_bits float64_out]
Layout (LOGITS-1): the embedding read as (d, V), or in another order than row by row
    [transposed_embedding ignores_strides]
OtherHead (LOGITS-1): logits scaled or soft-capped, as the heads of T5 and Gemma 2 do [scaled_by_width soft_capped]
    https://github.com/huggingface/transformers/blob/main/src/transformers/models/t5/modeling_t5.py
Padding (LOGITS-1): the vocabulary padded to a round number: ids that do not exist, with logit 0, win where all others
    are below [padded_vocabulary]
    https://github.com/mirage-project/mirage/issues/751
    https://github.com/Blaizzy/mlx-vlm/issues/1917
FirstRowForAll (HEAD-4): one row of the batch, the first, used for all [first_row_for_all]
    https://github.com/vllm-project/tpu-inference/pull/125
NormAgain (LOGITS-3): the final layer norm applied to a context that has gone through it
    https://github.com/vllm-project/speculators/pull/313
Bias (LOGITS-5): a bias added that is no argument, or one row of the matrix taken for another
    https://github.com/huggingface/transformers/issues/35625
ShapeMismatch (LOGITS-4): factors cut, transposed or broadcast until they fit [truncates_d]
KindError (HEAD-5): whole numbers or bools cast to floats, or refused with the code of a wrong value [casts_integers]
"""


def answers(context: np.ndarray, embedding: np.ndarray) -> list[Answer]:
    """The exact product, rounded once to float64."""
    dtype, shape = exact.compute_dtype(context, embedding), (*context.shape[:-1], len(embedding))
    values = [exact.rounded(z, "float64") for row in exact.product(context, embedding) for z in row]
    allowed = bounds.logits(context.astype(np.float64), embedding.astype(np.float64), dtype)
    return [within("logits", values, allowed, shape, dtype)]


def build() -> File:
    """The file of vectors."""
    file = File("compute_logits", FLAGS, answers)
    rng = Numbers(1)

    file.group("whole numbers", "LOGITS-1", "Nothing is rounded in any order of summation. Make these pass first.")
    file.valid("d = 2, V = 3", "Layout", context=[3, 4], embedding=[[1, 0], [0, 1], [0.5, -1]])
    square = [[1, 0, 0], [3, 1, 0], [0, 5, 2]]
    file.valid(
        "V = d = 3: a transposed embedding multiplies without complaint", "Layout", context=[1, 2, 4], embedding=square
    )
    file.valid("all logits negative; V = 5 is no round number", "Padding", context=[1, 1], embedding=[[-1, -2]] * 5)
    file.valid("d = 1, V = 1", context=[2], embedding=[[3]])
    wide = [[1, 1, 1, 1], [4, 3, 2, 1], [-1, 2, -3, 4]]
    file.valid("logits of 20 and more, d = 4", "OtherHead", context=[2, 4, 6, 8], embedding=wide)
    tall = [[1, 0], [0, 1], [1, 1]]
    file.valid("the context is taken as it is: mean 5, deviation 2", "NormAgain", context=[3, 7], embedding=tall)
    file.valid("h = 0: logits 0, there is no bias", "Bias", context=[0, 0], embedding=[[1, 2], [3, 4]])

    file.group("within the bound", "LOGITS-2", "Full significands: a shorter format on the way leaves the bound.")
    table = array(rng.normal(3, 8))
    file.valid("24 significant bits", "Precision", context=table[0], embedding=table)
    file.valid("one product, d = 1: one rounding", "Precision", context=[1.1], embedding=[[1.3], [-0.7]])
    outlier = array(rng.normal(24))
    outlier[7] *= 60
    small = array(rng.normal(6, 24) * 0.14)
    file.valid("an outlier dimension, as GPT-2's hidden states have", "Precision", context=outlier, embedding=small)
    file.valid("20.01 and 20.05: both 20 in bfloat16", "Precision", context=[1], embedding=[[20.01], [20.05]])
    positive, negative = array(np.abs(rng.normal(64))), array(-np.abs(rng.normal(4, 64) * 2.5))
    file.valid("logits near -100, d = 64", "Precision", context=positive, embedding=negative)
    file.valid(
        "cancellation: the bound grows with the products, not with their sum",
        context=[1e4, 1, -1e4],
        embedding=[[1.1, 0.5, 1.1], [3, 0.1, 3]],
    )
    file.valid(
        "products that underflow: they may be flushed to 0", context=[1e-30, 1], embedding=[[1e-12, 0], [1, 1e-40]]
    )

    file.group("float64", "LOGITS-2", "The same in float64: one bound, another unit roundoff.")
    double = rng.normal(3, 5)
    file.valid("53 significant bits", "Precision", context=double[0], embedding=double)
    outlier = float64([60, 0.1, -0.3])
    file.valid("an outlier dimension", "Precision", context=outlier, embedding=double[:, :3])

    file.group("dtypes", "HEAD-2", "float32 stays, 16 bits become float32, one float64 factor makes both float64.")
    file.valid("float32 gives float32", "OutputDtype", context=array(double[0]), embedding=[[1] * 5])
    for dtype in ("float16", "bfloat16"):
        half = array(double, dtype)
        file.valid(f"{dtype}, computed in float32", "OutputDtype Precision", context=half[0], embedding=half)
    file.valid("a float32 context, a float64 embedding", "OutputDtype", context=[1.5, 2], embedding=double[:, :2])

    file.group("batches", "HEAD-4", "Any number of leading axes; every row has its own logits.")
    rows = array(np.rint(rng.normal(2, 3, 2) * 4))
    tokens = array([[1, 0], [0, 1], [2, -1]])
    file.valid("a row alone", context=rows[1, 2], embedding=tokens)
    file.valid("the same row last of three", "FirstRowForAll", context=rows[1], embedding=tokens)
    file.valid("two leading axes, the same row last", "FirstRowForAll", context=rows, embedding=tokens)
    file.valid("a batch of no rows", context=empty(0, 2), embedding=tokens)

    file.group("shapes that do not fit", "LOGITS-4", "Refused, never made to fit.", context=[1, 2], embedding=tokens)
    file.invalid("bad_shape", "d = 3 and d = 2", "ShapeMismatch", context=[1, 2, 3])
    file.invalid("bad_shape", "d = 1 and d = 2: no broadcasting", "ShapeMismatch", context=[1])
    file.invalid("bad_shape", "the transposed embedding, (d, V)", "ShapeMismatch", embedding=tokens.T)
    file.invalid("bad_shape", "an embedding of one axis", "ShapeMismatch", embedding=tokens[0])
    file.invalid("bad_shape", "an embedding of three axes", "ShapeMismatch", embedding=tokens[None])
    file.invalid("bad_shape", "no tokens", "ShapeMismatch", embedding=empty(0, 2))
    file.invalid("bad_shape", "a context without an axis", "ShapeMismatch", context=1, embedding=[[1]])

    file.group(
        "whole numbers where floats belong", "HEAD-2", "Refused as a kind error.", context=[1, 2], embedding=tokens
    )
    file.invalid("bad_dtype", "an int64 context", "KindError", context=array([1, 2], "int64"))
    file.invalid("bad_dtype", "an int64 embedding", "KindError", embedding=array(tokens, "int64"))
    file.invalid("bad_dtype", "a context of bools", "KindError", context=array([True, False], "bool"))

    file.group(
        "not finite", "SOFTMAX-4", "The product may hand them on, for the next stage to refuse, or refuse itself."
    )
    for value in (nan, inf):
        # A compensated sum makes nan of inf.
        handed_on = [within("logits", [logit], [0], [1], "float32") for logit in dict.fromkeys((value, nan))]
        file.acceptable(
            f"{value} in the context: the logit is not finite, or the context is refused already here",
            answers=[*handed_on, refusal("bad_logits")],
            context=[value, 1],
            embedding=[[1, 0.5]],
        )
    return file

"""Vectors of `compute_logits`."""

import math

import ml_dtypes
import numpy as np

from reference import bounds

from . import exact
from .build import Answer, File, Flag, Numbers, array, bound, floats, refusal

FLAGS = {
    "Precision": Flag(
        "LOGITS-2",
        "inputs, sums or results rounded to TF32, bfloat16, float16 or 8 bits on the way",
        (
            "https://github.com/sgl-project/sglang/issues/33627",
            "https://github.com/PrimeIntellect-ai/prime-rl/pull/2441",
            "https://pytorch.org/docs/stable/notes/cuda.html#tf32-on-ampere",
        ),
        (
            "compute_logits-tf32_inputs",
            "compute_logits-bfloat16_inputs",
            "compute_logits-float16_embedding",
            "compute_logits-bfloat16_result",
            "compute_logits-float16_accumulator",
            "compute_logits-int8_embedding",
        ),
    ),
    "OutputDtype": Flag(
        "HEAD-2",
        "16-bit inputs answered in 16 bits, or float32 ones in float64",
        (),
        ("compute_logits-keeps_16_bits", "compute_logits-float64_out"),
    ),
    "Layout": Flag(
        "LOGITS-1",
        "the embedding read as (d, V), or in another order than row by row",
        (),
        ("compute_logits-transposed_embedding", "compute_logits-ignores_strides"),
    ),
    "OtherHead": Flag(
        "LOGITS-1",
        "logits scaled or soft-capped, as the heads of T5 and Gemma 2 do",
        ("https://github.com/huggingface/transformers/blob/main/src/transformers/models/t5/modeling_t5.py",),
        ("compute_logits-scaled_by_width", "compute_logits-soft_capped"),
    ),
    "Padding": Flag(
        "LOGITS-1",
        "the vocabulary padded to a round number: ids that do not exist, with logit 0, win where all others are below",
        ("https://github.com/mirage-project/mirage/issues/751", "https://github.com/Blaizzy/mlx-vlm/issues/1917"),
        ("compute_logits-padded_vocabulary",),
    ),
    "FirstRowForAll": Flag(
        "HEAD-4",
        "one row of the batch, the first, used for all",
        ("https://github.com/vllm-project/tpu-inference/pull/125",),
        ("compute_logits-first_row_for_all",),
    ),
    "NormAgain": Flag(
        "LOGITS-3",
        "the final layer norm applied to a context that has gone through it",
        ("https://github.com/vllm-project/speculators/pull/313",),
    ),
    "Bias": Flag(
        "LOGITS-5",
        "a bias added that is no argument, or one row of the matrix taken for another",
        ("https://github.com/huggingface/transformers/issues/35625",),
    ),
    "ShapeMismatch": Flag(
        "LOGITS-4", "factors cut, transposed or broadcast until they fit", (), ("compute_logits-truncates_d",)
    ),
    "KindError": Flag(
        "HEAD-5",
        "whole numbers or bools cast to floats, or refused with the code of a wrong value",
        (),
        ("compute_logits-casts_integers",),
    ),
}


def answers(context: np.ndarray, embedding: np.ndarray) -> list[Answer]:
    """The exact product, rounded once to float64."""
    dtype, shape = exact.compute_dtype(context, embedding), (*context.shape[:-1], len(embedding))
    values = [exact.rounded(z, "float64") for row in exact.product(context, embedding) for z in row]
    allowed = bounds.logits(context.astype(np.float64), embedding.astype(np.float64), dtype)
    return [Answer({"logits": floats(values, shape, dtype)}, {"logits": bound(allowed, values, shape)})]


def build() -> File:
    """The file."""
    file = File("logits", "compute_logits", FLAGS, answers)
    rng = Numbers(1)

    file.group("whole numbers", "LOGITS-1", "Nothing is rounded in any order of summation. Make these pass first.")
    file.valid("d = 2, V = 3", "Layout", context=array([3, 4]), embedding=array([[1, 0], [0, 1], [0.5, -1]]))
    file.valid(
        "V = d = 3: a transposed embedding multiplies without complaint",
        "Layout",
        context=array([1, 2, 4]),
        embedding=array([[1, 0, 0], [3, 1, 0], [0, 5, 2]]),
    )
    file.valid(
        "all logits negative; V = 5 is no round number",
        "Padding",
        context=array([1, 1]),
        embedding=-array([[1, 2]] * 5),
    )
    file.valid("d = 1, V = 1", context=array([2]), embedding=array([[3]]))
    file.valid(
        "logits of 20 and more, d = 4",
        "OtherHead",
        context=array([2, 4, 6, 8]),
        embedding=array([[1, 1, 1, 1], [4, 3, 2, 1], [-1, 2, -3, 4]]),
    )
    file.valid(
        "the context is taken as it is: mean 5, deviation 2",
        "NormAgain",
        context=array([3, 7]),
        embedding=array([[1, 0], [0, 1], [1, 1]]),
    )
    file.valid("h = 0: logits 0, there is no bias", "Bias", context=array([0, 0]), embedding=array([[1, 2], [3, 4]]))

    file.group("within the bound", "LOGITS-2", "Full significands: a shorter format on the way leaves the bound.")
    wide = rng.normal(3, 8).astype(np.float32)
    file.valid("24 significant bits", "Precision", context=wide[0], embedding=wide)
    file.valid("one product, d = 1: one rounding", "Precision", context=array([1.1]), embedding=array([[1.3], [-0.7]]))
    outlier = rng.normal(24).astype(np.float32)
    outlier[7] *= 60
    small = (rng.normal(6, 24) * 0.14).astype(np.float32)
    file.valid("an outlier dimension, as GPT-2's hidden states have", "Precision", context=outlier, embedding=small)
    file.valid(
        "20.01 and 20.05: both 20 in bfloat16", "Precision", context=array([1]), embedding=array([[20.01], [20.05]])
    )
    file.valid(
        "logits near -100, d = 64",
        "Precision",
        context=np.abs(rng.normal(64)).astype(np.float32),
        embedding=-np.abs(rng.normal(4, 64) * 2.5).astype(np.float32),
    )
    file.valid(
        "cancellation: the bound grows with the products, not with their sum",
        context=array([1e4, 1, -1e4]),
        embedding=array([[1.1, 0.5, 1.1], [3, 0.1, 3]]),
    )
    file.valid(
        "products that underflow: they may be flushed to 0",
        context=array([1e-30, 1]),
        embedding=array([[1e-12, 0], [1, 1e-40]]),
    )

    file.group("float64", "LOGITS-2", "The same in float64: one bound, another unit roundoff.")
    wide = rng.normal(3, 5)
    file.valid("53 significant bits", "Precision", context=wide[0], embedding=wide)
    file.valid("an outlier dimension", "Precision", context=np.array([60.0, 0.1, -0.3]), embedding=wide[:, :3].copy())

    file.group("dtypes", "HEAD-2", "float32 stays, 16 bits become float32, one float64 factor makes both float64.")
    file.valid("float32 gives float32", "OutputDtype", context=wide[0].astype(np.float32), embedding=array([[1] * 5]))
    half, brain = wide.astype(np.float16), wide.astype(ml_dtypes.bfloat16)
    file.valid("float16, computed in float32", "OutputDtype Precision", context=half[0], embedding=half)
    file.valid("bfloat16, computed in float32", "OutputDtype Precision", context=brain[0], embedding=brain)
    file.valid(
        "a float32 context, a float64 embedding", "OutputDtype", context=array([1.5, 2]), embedding=wide[:, :2].copy()
    )

    file.group("batches", "HEAD-4", "Any number of leading axes; every row has its own logits.")
    rows = np.rint(rng.normal(2, 3, 2) * 4).astype(np.float32)
    tokens = array([[1, 0], [0, 1], [2, -1]])
    file.valid("a row alone", context=rows[1, 2], embedding=tokens)
    file.valid("the same row last of three", "FirstRowForAll", context=rows[1], embedding=tokens)
    file.valid("two leading axes, the same row last", "FirstRowForAll", context=rows, embedding=tokens)
    file.valid("a batch of no rows", context=np.zeros((0, 2), np.float32), embedding=tokens)

    file.group("shapes that do not fit", "LOGITS-4", "Refused, never made to fit.")
    file.invalid("bad_shape", "d = 3 and d = 2", "ShapeMismatch", context=array([1, 2, 3]), embedding=tokens)
    file.invalid("bad_shape", "d = 1 and d = 2: no broadcasting", "ShapeMismatch", context=array([1]), embedding=tokens)
    file.invalid(
        "bad_shape",
        "the transposed embedding, (d, V)",
        "ShapeMismatch",
        context=array([1, 2]),
        embedding=array(tokens.T),
    )
    file.invalid("bad_shape", "an embedding of one axis", "ShapeMismatch", context=array([1, 2]), embedding=tokens[0])
    file.invalid(
        "bad_shape", "an embedding of three axes", "ShapeMismatch", context=array([1, 2]), embedding=tokens[None]
    )
    file.invalid(
        "bad_shape", "no tokens", "ShapeMismatch", context=array([1, 2]), embedding=np.zeros((0, 2), np.float32)
    )
    file.invalid("bad_shape", "a context without an axis", "ShapeMismatch", context=array(1), embedding=array([[1]]))

    file.group("whole numbers where floats belong", "HEAD-2", "Refused as a kind error.")
    file.invalid("bad_dtype", "an int64 context", "KindError", context=array([1, 2], np.int64), embedding=tokens)
    file.invalid(
        "bad_dtype", "an int64 embedding", "KindError", context=array([1, 2]), embedding=tokens.astype(np.int64)
    )
    file.invalid("bad_dtype", "a context of bools", "KindError", context=array([True, False], bool), embedding=tokens)

    file.group(
        "not finite", "SOFTMAX-4", "The product may hand them on, for the next stage to refuse, or refuse itself."
    )
    for value in (math.nan, math.inf):
        handed_on = [
            Answer({"logits": floats([x], [1], "float32")}, {"logits": floats([0], [1], "float64")})
            for x in dict.fromkeys((value, math.nan))  # a compensated sum makes nan of inf
        ]
        file.acceptable(
            f"{value} in the context: the logit is not finite, or the context is refused already here",
            answers=[*handed_on, refusal("bad_logits")],
            context=array([value, 1]),
            embedding=array([[1, 0.5]]),
        )
    return file

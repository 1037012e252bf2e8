"""Wrong products with the embedding."""

from typing import Any

import numpy as np

from reference import compute_logits, validation

from ..judges.roundings import rounded
from .registry import mutant

BFLOAT16_HEAD = "https://github.com/sgl-project/sglang/issues/33627"


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    return rounded(values, dtype).astype(values.dtype)


@mutant("compute_logits", "LOGITS-2", "TF32 inputs", "https://pytorch.org/docs/stable/notes/cuda.html#tf32-on-ampere")
def tf32_inputs(context: Any, embedding: Any) -> np.ndarray:
    """Matrix units of recent GPUs round float32 inputs to 11 bits if a flag allows it, which was once the default."""
    context, embedding = validation.check_factors(context, embedding)
    return compute_logits(_rounded(context, "tfloat32"), _rounded(embedding, "tfloat32"))


@mutant("compute_logits", "LOGITS-2", "bfloat16 inputs")
def bfloat16_inputs(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    return compute_logits(_rounded(context, "bfloat16"), _rounded(embedding, "bfloat16"))


@mutant("compute_logits", "LOGITS-2", "the embedding rounded to float16")
def float16_embedding(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    return compute_logits(context, _rounded(embedding, "float16"))


@mutant("compute_logits", "LOGITS-2", "the result rounded to bfloat16 and cast back", BFLOAT16_HEAD)
def bfloat16_result(context: Any, embedding: Any) -> np.ndarray:
    """Accumulated in float32, stored in bfloat16, then cast to float32: too late, after the rounding."""
    return _rounded(compute_logits(context, embedding), "bfloat16")


@mutant("compute_logits", "LOGITS-2", "the running sum kept in float16")
def float16_accumulator(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    total = np.zeros((*context.shape[:-1], len(embedding)), context.dtype)
    for i in range(context.shape[-1]):
        total = _rounded(total + context[..., i : i + 1] * embedding[:, i], "float16")
    return total


@mutant("compute_logits", "LOGITS-2", "an embedding quantised to 8 bits a row")
def int8_embedding(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    scale = np.abs(embedding).max(axis=1, keepdims=True, initial=1e-30) / embedding.dtype.type(127)
    return compute_logits(context, np.rint(embedding / scale) * scale)


@mutant("compute_logits", "HEAD-2", "16-bit inputs give 16-bit logits")
def keeps_16_bits(context: Any, embedding: Any) -> np.ndarray:
    return compute_logits(context, embedding).astype(np.result_type(context, embedding))


@mutant("compute_logits", "HEAD-2", "float32 inputs give float64 logits")
def float64_out(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    return context.astype(np.float64) @ embedding.astype(np.float64).T


@mutant("compute_logits", "LOGITS-1", "the embedding read as (d, V) where it is (V, d)")
def transposed_embedding(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    return context @ np.ascontiguousarray(embedding).reshape(embedding.shape[1], embedding.shape[0])


@mutant(
    "compute_logits",
    "LOGITS-1",
    "logits scaled by 1 / sqrt(d)",
    "https://github.com/huggingface/transformers/blob/main/src/transformers/models/t5/modeling_t5.py",
)
def scaled_by_width(context: Any, embedding: Any) -> np.ndarray:
    """Right for T5, whose tied head does scale; wrong for GPT-2."""
    logits = compute_logits(context, embedding)
    return logits * logits.dtype.type(np.shape(embedding)[1] ** -0.5)


@mutant("compute_logits", "LOGITS-1", "logits soft-capped by 30 tanh(z / 30)")
def soft_capped(context: Any, embedding: Any) -> np.ndarray:
    """Right for Gemma 2, wrong for GPT-2."""
    logits = compute_logits(context, embedding)
    return 30 * np.tanh(logits / 30)


@mutant(
    "compute_logits",
    "LOGITS-1",
    "padded with zero rows to a multiple of 8: ids beyond the vocabulary with logit 0",
    "https://github.com/Blaizzy/mlx-vlm",
)
def padded_vocabulary(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    missing = -len(embedding) % 8
    return compute_logits(context, np.pad(embedding, ((0, missing), (0, 0))))


@mutant(
    "compute_logits",
    "LOGITS-1",
    "the first row of the batch used for all",
    "https://github.com/vllm-project/tpu-inference/pull/125",
)
def first_row_for_all(context: Any, embedding: Any) -> np.ndarray:
    """Logits were computed for all positions, then row 0 was read: every prompt continued with the same word."""
    logits = compute_logits(context, embedding)
    if logits.ndim > 1 and logits.size:
        logits[:] = logits[(0,) * (logits.ndim - 1)]
    return logits


@mutant("compute_logits", "LOGITS-1", "memory read in storage order, whatever the strides")
def ignores_strides(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = validation.check_factors(context, embedding)
    return compute_logits(context, embedding.ravel(order="K").reshape(embedding.shape))


@mutant("compute_logits", "LOGITS-4", "vectors of another length cut to the embedding's")
def truncates_d(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = np.asarray(context), np.asarray(embedding)
    d = min(context.shape[-1], embedding.shape[-1])
    return compute_logits(context[..., :d], embedding[..., :d])


@mutant("compute_logits", "HEAD-2", "whole numbers accepted and cast")
def casts_integers(context: Any, embedding: Any) -> np.ndarray:
    context, embedding = np.asarray(context), np.asarray(embedding)
    if context.dtype.kind in "iub":
        context = context.astype(np.float32)
    return compute_logits(context, embedding.astype(np.float32) if embedding.dtype.kind in "iub" else embedding)

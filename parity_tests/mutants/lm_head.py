"""Correct stages, put together wrongly."""

from typing import Any

import numpy as np

import reference
from reference import apply_temperature, compute_logits, keep_top_k, softmax

from ..judges.roundings import rounded
from .registry import mutant

VLLM_ORDER = "https://github.com/vllm-project/vllm/pull/753"


@mutant("lm_head", "HEAD-1", "softmax before the cut, not normalised again", VLLM_ORDER)
def not_renormalised(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    scaled = apply_temperature(compute_logits(context, embedding), temperature)
    return np.where(keep_top_k(scaled, k) > -np.inf, softmax(scaled), 0)


@mutant("lm_head", "HEAD-1", "the temperature applied to probabilities")
def temperature_after_softmax(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    reference.lm_head(context, embedding, temperature, k)
    probs = softmax(keep_top_k(compute_logits(context, embedding), k)) / np.float32(temperature)
    return probs / probs.sum(axis=-1, keepdims=True)


@mutant("lm_head", "HEAD-1", "the temperature applied twice")
def temperature_twice(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    reference.lm_head(context, embedding, temperature, k)
    with np.errstate(over="ignore"):
        return reference.lm_head(np.asarray(context) / np.float32(temperature), embedding, temperature, k)


@mutant("lm_head", "HEAD-1", "k has no effect")
def k_ignored(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    reference.lm_head(context, embedding, temperature, k)
    return reference.lm_head(context, embedding, temperature, len(embedding))


@mutant("lm_head", "HEAD-1", "another default temperature, 1.0")
def default_temperature(context: Any, embedding: Any, temperature: float = 1.0, k: int = 50) -> np.ndarray:
    return reference.lm_head(context, embedding, temperature, k)


@mutant("lm_head", "HEAD-1", "another default k, 40")
def default_k(context: Any, embedding: Any, temperature: float = 0.7, k: int = 40) -> np.ndarray:
    return reference.lm_head(context, embedding, temperature, k)


@mutant(
    "lm_head",
    "HEAD-1",
    "temperature 1 counted as greedy",
    "https://github.com/huggingface/text-generation-inference/issues/687",
)
def one_means_greedy(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    """With T = 1 there was no warper, and without a warper there was no sampling."""
    return reference.lm_head(context, embedding, temperature, 1 if temperature == 1 and k >= 1 else k)


@mutant(
    "lm_head", "TOPK-1", "every token tied with the k-th survives", "https://github.com/vllm-project/vllm/pull/15478"
)
def threshold(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    scaled = apply_temperature(compute_logits(context, embedding), temperature)
    return softmax(keep_top_k(scaled, k, ties="all"))


@mutant(
    "lm_head",
    "HEAD-4",
    "another tie rule for batches of one",
    "https://github.com/vllm-project/vllm/pull/50979",
)
def ties_by_batch_size(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    """Small batches used a threshold, large ones a kernel that keeps exactly k."""
    scaled = apply_temperature(compute_logits(context, embedding), temperature)
    return softmax(keep_top_k(scaled, k, ties="all" if scaled.ndim == 1 else "lowest_id"))


@mutant(
    "lm_head", "HEAD-2", "logits rounded to bfloat16 on the way", "https://github.com/sgl-project/sglang/issues/33627"
)
def bfloat16_logits(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    logits = compute_logits(context, embedding)
    logits = rounded(logits, "bfloat16").astype(logits.dtype)
    return softmax(keep_top_k(apply_temperature(logits, temperature), k))


@mutant("lm_head", "HEAD-2", "a mask of the smallest float16 number: a tail of probability")
def float16_mask(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    """Harmless unless all logits are that low."""
    kept = keep_top_k(apply_temperature(compute_logits(context, embedding), temperature), k)
    return softmax(np.where(kept == -np.inf, kept.dtype.type(-30), kept))


@mutant(
    "lm_head",
    "TOPK-1",
    "ids of one shard of the vocabulary taken for global ids",
    "https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/4780",
)
def local_ids(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    """The vocabulary is split in two. Probabilities of the second shard end up in the first."""
    probs = reference.lm_head(context, embedding, temperature, k)
    half = (probs.shape[-1] + 1) // 2
    low, high = probs[..., :half], probs[..., half:]
    return np.concatenate([low + np.pad(high, [(0, 0)] * (high.ndim - 1) + [(0, half - high.shape[-1])]), 0 * high], -1)


@mutant("lm_head", "HEAD-1", "each shard of the vocabulary normalised by itself")
def normalised_by_shard(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    probs = reference.lm_head(context, embedding, temperature, k)
    half = (probs.shape[-1] + 1) // 2
    for shard in (probs[..., :half], probs[..., half:]):
        total = shard.sum(axis=-1, keepdims=True)
        np.divide(shard, total, out=shard, where=total > 0)
    return probs


@mutant(
    "lm_head",
    "HEAD-1",
    "the final norm applied a second time",
    "https://github.com/vllm-project/speculators/pull/313",
)
def norm_twice(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    reference.lm_head(context, embedding, temperature, k)
    context = np.asarray(context)
    deviation = np.sqrt(context.var(axis=-1, keepdims=True) + context.dtype.type(1e-5))
    return reference.lm_head((context - context.mean(axis=-1, keepdims=True)) / deviation, embedding, temperature, k)


@mutant("lm_head", "LOGITS-1", "the winner's probability given to the next id")
def off_by_one(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    return np.roll(reference.lm_head(context, embedding, temperature, k), 1, axis=-1)

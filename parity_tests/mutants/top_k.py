"""Wrong selections of the k best."""

from typing import Any

import numpy as np
import torch

from reference import keep_top_k, top_k, validation

from .registry import mutant

OPENAI_GPT2 = "https://github.com/openai/gpt-2/blob/0e42a5718340639698147bf11e64e9f3a53881a6/src/sample.py"
CANDLE = "https://github.com/huggingface/candle"
TIES_ALIVE = "https://github.com/vllm-project/vllm/pull/15478"


def _keep(logits: np.ndarray, survivors: np.ndarray, masked: float = -np.inf) -> np.ndarray:
    """`logits` at the token ids `survivors` (..., k), `masked` elsewhere."""
    kept = np.full_like(logits, masked)
    np.put_along_axis(kept, survivors, np.take_along_axis(logits, survivors, axis=-1), axis=-1)
    return kept


@mutant("keep_top_k", "TOPK-1", "every token tied with the k-th survives", TIES_ALIVE)
def threshold(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    """`logits[logits < kth] = -inf`."""
    keep_top_k(logits, k, ties)  # refuses bad input
    return keep_top_k(logits, k, ties="all")


@mutant("keep_top_k", "TOPK-1", "tokens tied with the k-th all go")
def strict_threshold(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    """`logits[logits <= beyond] = -inf` with the (k + 1)-th value: right only without ties."""
    kept = keep_top_k(logits, k, ties)
    beyond = top_k(logits, k + 1)[0][..., -1:]
    logits = validation.check_logits(logits)
    return kept if k >= logits.shape[-1] else np.where(logits > beyond, logits, -np.inf)


@mutant("keep_top_k", "TOPK-7", 'ties="all" keeps exactly k')
def all_is_exactly_k(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    keep_top_k(logits, k, ties)
    return keep_top_k(logits, k)


@mutant("keep_top_k", "TOPK-6", "masked with -1e10, not -inf", OPENAI_GPT2)
def masks_with_a_number(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    kept = keep_top_k(logits, k, ties)
    return np.where(kept == -np.inf, kept.dtype.type(-1e10), kept)


@mutant("keep_top_k", "TOPK-6", "masked with the smallest finite number, not -inf")
def masks_with_finfo_min(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    kept = keep_top_k(logits, k, ties)
    return np.where(kept == -np.inf, np.finfo(kept.dtype).min, kept)


@mutant("keep_top_k", "TOPK-6", "masked with 0")
def masks_with_zero(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    kept = keep_top_k(logits, k, ties)
    return np.where(kept == -np.inf, kept.dtype.type(0), kept)


@mutant("keep_top_k", "TOPK-1", "one threshold for the whole batch")
def threshold_of_the_batch(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    """The threshold of row 0 is used for all rows."""
    kept, logits = keep_top_k(logits, k, ties), validation.check_logits(logits)
    if logits.ndim == 1 or not logits.size:
        return kept
    rows = logits.reshape(-1, logits.shape[-1])
    kth = np.sort(rows[0])[-min(k, rows.shape[-1])]
    return np.where(logits >= kth, logits, -np.inf)


@mutant("top_k", "TOPK-2", "ties resolved to the highest id", "https://github.com/Pushkinist/rMLX/issues/373")
def highest_id(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The maximum of an iterator is the last one of equal elements."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    order = np.argsort(-logits[..., ::-1], axis=-1, kind="stable")[..., :k]
    token_ids = logits.shape[-1] - 1 - order
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


@mutant("top_k", "TOPK-2", "ties left to torch.topk", "https://github.com/pytorch/pytorch/issues/27542")
def torch_topk(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of several equal values it puts first depends on shape, k and device."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    values, token_ids = torch.topk(torch.tensor(logits), min(k, logits.shape[-1]))
    return values.numpy(), token_ids.numpy()


@mutant("top_k", "TOPK-2", "-0.0 placed below 0.0")
def total_order(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A radix sort on bit patterns distinguishes the two zeros."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    order = np.lexsort((np.broadcast_to(np.arange(logits.shape[-1]), logits.shape), np.signbit(logits), -logits))
    token_ids = order[..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


@mutant("top_k", "TOPK-3", "survivors not sorted: the order of the partition")
def unordered(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    values, token_ids = top_k(logits, k)
    order = np.argsort(token_ids, axis=-1)
    return np.take_along_axis(values, order, axis=-1), np.take_along_axis(token_ids, order, axis=-1)


@mutant("top_k", "TOPK-3", "survivors in ascending order")
def ascending(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    values, token_ids = top_k(logits, k)
    return values[..., ::-1], token_ids[..., ::-1]


@mutant("top_k", "TOPK-3", "values sorted, their ids not")
def ids_not_sorted_along(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    values, token_ids = top_k(logits, k)
    return values, np.sort(token_ids, axis=-1)


@mutant("top_k", "TOPK-1", "the k least likely kept", CANDLE)
def smallest(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted in ascending order, then everything from the k-th on set to zero."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    token_ids = np.argsort(logits, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


@mutant("top_k", "TOPK-1", "ranks returned in place of token ids", CANDLE)
def ranks(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    values, token_ids = top_k(logits, k)
    return values, np.broadcast_to(np.arange(values.shape[-1]), token_ids.shape)


@mutant("top_k", "TOPK-1", "k + 1 survive")
def one_too_many(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    top_k(logits, k)
    return top_k(logits, k + 1)


@mutant("top_k", "TOPK-1", "compared by absolute value")
def by_magnitude(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    token_ids = np.argsort(-np.where(logits == -np.inf, -1, np.abs(logits)), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


@mutant("top_k", "TOPK-1", "the search starts from 0 (or FLT_MIN): negative logits never found")
def starts_from_zero(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`float best = FLT_MIN`, which is the smallest positive number, not the most negative."""
    values, token_ids = top_k(logits, k)
    return np.maximum(values, 0), np.where(values > 0, token_ids, 0)


@mutant("top_k", "TOPK-1", "nothing after the 16th survivor", "https://github.com/pytorch/pytorch/issues/78915")
def at_most_16(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """PyTorch on MPS returned zeros from the 17th survivor on."""
    values, token_ids = top_k(logits, k)
    late = np.arange(values.shape[-1]) >= 16
    return np.where(late, 0, values), np.where(late, 0, token_ids)


@mutant("top_k", "TOPK-1", "largest over the flattened batch")
def over_the_batch(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    values, token_ids = top_k(logits, k)
    if values.ndim == 1 or not values.size:
        return values, token_ids
    flat_values, flat_ids = top_k(np.ravel(logits), values.size)
    return flat_values.reshape(values.shape), flat_ids.reshape(values.shape)


@mutant("top_k", "TOPK-4", "k above V raises", "https://github.com/vllm-project/vllm/pull/14234")
def k_above_v_raises(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(logits) and isinstance(k, int) and k > np.shape(logits)[-1] > 0:
        raise ValueError("selected index k out of range")
    return top_k(logits, k)


@mutant("top_k", "TOPK-4", "k equal to V refused", "https://github.com/ml-explore/mlx-lm/pull/1377")
def k_of_v_raises(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(logits) and isinstance(k, int) and k == np.shape(logits)[-1]:
        raise ValueError(f"top_k must be an integer in (0, {np.shape(logits)[-1]}]")
    return top_k(logits, k)


@mutant("top_k", "TOPK-5", "k of 0 or less silently greedy", "https://github.com/ggml-org/llama.cpp/pull/5388")
def k_rounded_up(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    return top_k(logits, 1 if isinstance(k, int) and k < 1 and not isinstance(k, bool) else k)


@mutant("top_k", "TOPK-5", "k of 0 silently means all")
def zero_means_all(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    return top_k(logits, np.shape(logits)[-1] if k == 0 and not isinstance(k, bool) else k)


@mutant("top_k", "TOPK-5", "True taken for k = 1, fractions cut off")
def casts_k(logits: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    return top_k(logits, int(k) if isinstance(k, (bool, float)) else k)


@mutant("top_k", "SOFTMAX-4", "nan sorted as the largest and returned")
def accepts_nan(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    array = np.asarray(logits)
    if array.dtype.kind == "f" and np.isnan(array).any():
        token_ids = np.argsort(array, axis=-1)[..., ::-1][..., : validation.check_count("k", k)]
        return np.take_along_axis(array, token_ids, axis=-1), token_ids
    return top_k(logits, k)

"""Wrong softmaxes."""

from typing import Any

import numpy as np

from reference import softmax, validation

from ..judges.roundings import rounded
from .registry import mutant

LLM_C = "https://github.com/karpathy/llm.c/blob/07752a654eb76191831d8db17e9c6c03d195c71a/llmc/sampler.h"


def _weights(logits: np.ndarray, shift: Any) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(logits - shift)


def _normalised(weights: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return weights / weights.sum(axis=-1, keepdims=True)


@mutant("softmax", "SOFTMAX-2", "the maximum not subtracted", LLM_C)
def no_shift(logits: Any) -> np.ndarray:
    """Logits near -100, as GPT-2's are, give 0 / 0. A logit above 88 gives inf / inf."""
    return _normalised(_weights(validation.check_logits(logits), 0))


@mutant("softmax", "SOFTMAX-2", "one maximum for the whole batch subtracted")
def shift_of_the_batch(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    return _normalised(_weights(logits, logits.max(initial=-np.inf) if logits.size else 0))


@mutant("softmax", "SOFTMAX-2", "the search for the maximum starts from 0 (or FLT_MIN)")
def maximum_from_zero(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    return _normalised(_weights(logits, logits.max(axis=-1, keepdims=True).clip(min=0)))


@mutant("softmax", "SOFTMAX-1", "normalised over the first axis, not the last")
def other_axis(logits: Any) -> np.ndarray:
    probs, logits = softmax(logits), validation.check_logits(logits)
    if not logits.size:
        return probs
    weights = _weights(logits, logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=0, keepdims=True)


@mutant(
    "softmax", "SOFTMAX-1", "exp without the division by the sum", "https://github.com/vllm-project/vllm/issues/718"
)
def not_normalised(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    return _weights(logits, logits.max(axis=-1, keepdims=True))


@mutant("softmax", "SOFTMAX-1", "1e-6 added to the sum")
def epsilon_in_the_sum(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    weights = _weights(logits, logits.max(axis=-1, keepdims=True))
    return weights / (weights.sum(axis=-1, keepdims=True) + logits.dtype.type(1e-6))


@mutant("softmax", "SOFTMAX-1", "1 added to the sum (the softmax of quiet attention)")
def one_in_the_sum(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    weights = _weights(logits, logits.max(axis=-1, keepdims=True))
    return weights / (weights.sum(axis=-1, keepdims=True) + 1)


@mutant("softmax", "SOFTMAX-1", "2 ** x in place of exp(x)")
def base_two(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore"):
        return _normalised(np.exp2(logits - logits.max(axis=-1, keepdims=True)))


@mutant("softmax", "SOFTMAX-1", "computed in float16")
def in_float16(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore"):
        return _normalised(rounded(_weights(logits, logits.max(axis=-1, keepdims=True)), "float16")).astype(
            logits.dtype
        )


@mutant("softmax", "SOFTMAX-1", "probabilities rounded to bfloat16")
def bfloat16_result(logits: Any) -> np.ndarray:
    probs = softmax(logits)
    return rounded(probs, "bfloat16").astype(probs.dtype)


@mutant("softmax", "HEAD-2", "16-bit logits give 16-bit probabilities")
def keeps_16_bits(logits: Any) -> np.ndarray:
    return softmax(logits).astype(np.asarray(logits).dtype)


@mutant("softmax", "SOFTMAX-1", "a fast exp of 8 good bits")
def fast_exp(logits: Any) -> np.ndarray:
    """Schraudolph's trick: a linear function fills the exponent field of a float (an error of up to 6%)."""
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore"):
        x = np.maximum(logits - logits.max(axis=-1, keepdims=True), -80).astype(np.float32)
    weights = (x * np.float32(2**23 / np.log(2)) + np.float32(127 * 2**23 - 486_411)).astype(np.int32).view(np.float32)
    return _normalised(np.where(logits == -np.inf, 0, weights)).astype(logits.dtype)


@mutant("softmax", "SOFTMAX-1", "exponents cut off at -20")
def clips_the_tail(logits: Any) -> np.ndarray:
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore"):
        x = logits - logits.max(axis=-1, keepdims=True)
    return _normalised(np.where(logits == -np.inf, 0, np.exp(np.maximum(x, -20))))


@mutant("softmax", "SOFTMAX-3", "masked tokens get 1e-10")
def floor_under_masked(logits: Any) -> np.ndarray:
    probs = softmax(logits)
    return np.maximum(probs, probs.dtype.type(1e-10))


@mutant("softmax", "SOFTMAX-3", "-inf read as -10,000")
def finite_mask(logits: Any) -> np.ndarray:
    """An additive mask of -10,000 works like -inf until the other logits are that low too."""
    logits = validation.check_logits(logits)
    return softmax(np.where(logits == -np.inf, logits.dtype.type(-1e4), logits))


@mutant(
    "softmax", "SOFTMAX-4", "a row of only -inf gives nan", "https://github.com/huggingface/transformers/pull/21435"
)
def all_masked_gives_nan(logits: Any) -> np.ndarray:
    array = np.asarray(logits)
    if array.dtype.kind == "f" and array.size and (array == -np.inf).all(axis=-1).any():
        with np.errstate(invalid="ignore"):
            return _normalised(np.exp(array - array.max(axis=-1, keepdims=True)))
    return softmax(logits)


@mutant("softmax", "SOFTMAX-4", "a row of only -inf gives equal probabilities")
def all_masked_gives_uniform(logits: Any) -> np.ndarray:
    array = np.asarray(logits)
    if array.dtype.kind == "f" and array.ndim and array.size:
        masked = (array == -np.inf).all(axis=-1, keepdims=True)
        return softmax(np.where(masked, array.dtype.type(0), array))
    return softmax(logits)


@mutant("softmax", "SOFTMAX-4", "nan goes through", "https://github.com/JustVugg/colibri/issues/369")
def nan_goes_through(logits: Any) -> np.ndarray:
    array = np.asarray(logits)
    if array.dtype.kind == "f" and np.isnan(array).any():
        return _normalised(np.exp(array - np.nanmax(array)))
    return softmax(logits)


@mutant("softmax", "SOFTMAX-4", "+inf taken for certainty")
def infinite_is_certain(logits: Any) -> np.ndarray:
    array = np.asarray(logits)
    if array.dtype.kind == "f" and (array == np.inf).any() and not np.isnan(array).any():
        return _normalised((array == np.inf).astype(array.dtype))
    return softmax(logits)


@mutant("softmax", "HEAD-3", "the caller's logits overwritten")
def in_place(logits: Any) -> np.ndarray:
    probs = softmax(logits)
    if isinstance(logits, np.ndarray) and logits.flags.writeable and logits.dtype == probs.dtype:
        logits[...] = probs
    return probs

"""What only large sizes show is caught, and the cases reach every size that they are meant to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import reference
from reference.operations import OPERATIONS, STAGES

from .. import sizes, test_sizes
from ..heads import REFERENCE, Head


@pytest.mark.parametrize("operation", STAGES)
def test_every_operation_has_cases_of_every_size(operation: str) -> None:
    labels = [label for label, _ in sizes.labelled(operation)]
    arguments = OPERATIONS[operation].arguments
    axes = "".join(arguments.values())
    wanted = {f"rows = {rows:,}" for rows in sizes.ROWS[:-1]}
    wanted |= {f"V = {v:,}" for v in (257, 131_073)} if "V" in axes else set()
    wanted |= {f"d = {d:,}" for d in sizes.HIDDEN} if "d" in axes else set()
    wanted |= {f"k = {k:,}" for k in sizes.KS} if "k" in arguments else set()
    wanted |= {f"T = {temperature}" for temperature in sizes.NEAR_ONE} if "temperature" in arguments else set()
    assert wanted <= set(labels), "parity_tests/sizes.py"


def test_nothing_large_is_a_multiple_of_eight() -> None:
    assert all(n % 8 for n in (*sizes.VOCABS, *(d for d in sizes.HIDDEN if d != 4_096), 33, 65))


def ids_in_16_bits(logits: Any, k: int) -> Any:
    values, token_ids = reference.top_k(logits, k)
    return values, token_ids.astype(np.uint16).astype(np.int64)


def rows_from_512_on(logits: Any) -> np.ndarray:
    probs = np.array(reference.softmax(logits))
    probs.reshape(int(np.prod(probs.shape[:-1])), probs.shape[-1])[512:] = 0.5
    return probs


def k_above_1024(logits: Any, k: int, ties: Any = "lowest_id") -> np.ndarray:
    return reference.keep_top_k(logits, min(k, 1_024), ties)


def the_first_65_536(logits: Any) -> np.ndarray:
    return np.concatenate([reference.softmax(logits[..., :65_536]), np.zeros_like(logits[..., 65_536:])], axis=-1)


def whole_blocks_of_8(context: Any, embedding: Any) -> np.ndarray:
    """The tail of d is dropped."""
    d = np.shape(context)[-1]
    d = d // 8 * 8 if d > 8 else d
    return reference.compute_logits(context[..., :d], embedding[:, :d])


def mean_of_whole_blocks_of_8(
    hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0
) -> np.ndarray:
    d = np.shape(hidden)[-1]
    whole = hidden[..., : d // 8 * 8] if d > 8 else hidden
    squares = np.square(whole).sum(axis=-1, keepdims=True) / d
    return (hidden / np.sqrt(squares + np.float32(epsilon)) * (weight + np.float32(weight_offset))).astype(np.float32)


def bias_of_the_first_65_536(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = np.inf
) -> np.ndarray:
    bias = np.where(np.arange(len(bias)) < 65_536, bias, 0).astype(bias.dtype)
    return reference.finish_logits(logits, bias, multiplier, divisor, cap)


def no_tail_of_v(logits: Any, temperature: float) -> np.ndarray:
    quotients = np.array(reference.apply_temperature(logits, temperature))
    whole = logits.shape[-1] // 16 * 16 if logits.shape[-1] > 16 else logits.shape[-1]
    quotients[..., whole:] = logits[..., whole:]
    return quotients


def highest_id_in_large_rows(logits: Any, k: int) -> Any:
    if logits.shape[-1] <= 4_096:
        return reference.top_k(logits, k)
    token_ids = (logits.shape[-1] - 1 - np.argsort(-logits[..., ::-1], axis=-1, kind="stable"))[..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


def near_one_is_one(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    return reference.lm_head(context, embedding, 1.0 if abs(temperature - 1) < 0.05 else temperature, k)


def float32_uniform(probs: Any, uniform: Any) -> np.ndarray:
    return reference.inverse_cdf(probs, np.minimum(np.float32(uniform).astype(np.float64), 1 - 2.0**-53))


def last_of_equal_races_in_large_rows(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    token_ids = reference.multinomial(probs, num_samples, rng=rng)
    return token_ids % 32_768 if probs.shape[-1] > 32_768 else token_ids


WRONG: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("top_k", ids_in_16_bits),
    ("softmax", rows_from_512_on),
    ("keep_top_k", k_above_1024),
    ("softmax", the_first_65_536),
    ("compute_logits", whole_blocks_of_8),
    ("apply_temperature", no_tail_of_v),
    ("top_k", highest_id_in_large_rows),
    ("lm_head", near_one_is_one),
    ("inverse_cdf", float32_uniform),
    ("multinomial", last_of_equal_races_in_large_rows),
    ("rms_norm", mean_of_whole_blocks_of_8),
    ("finish_logits", bias_of_the_first_65_536),
)


@pytest.mark.parametrize(("operation", "function"), WRONG, ids=lambda value: getattr(value, "__name__", value))
def test_what_only_large_sizes_show(operation: str, function: Callable[..., Any]) -> None:
    head: Head = REFERENCE.but(function.__name__, **{operation: function})
    with pytest.raises(AssertionError, match=operation):
        test_sizes.test_one_large_dimension(head, operation)

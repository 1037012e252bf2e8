"""Stage 1: the product with the embedding."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference

from . import strategies
from .heads import Head
from .verdict import Word, compare

spec = pytest.mark.spec


@spec("LOGITS-1", "LOGITS-2", "HEAD-2", "HEAD-4")
@given(strategies.factors())
def test_within_the_bound_of_the_exact_product(head: Head, pair: tuple[np.ndarray, np.ndarray]) -> None:
    context, embedding = pair
    logits = head.compute_logits(context, embedding)
    assert logits.shape == (*context.shape[:-1], len(embedding))
    compare(
        "compute_logits", reference.compute_logits(context, embedding), logits, context=context, embedding=embedding
    ).require()


@spec("LOGITS-1")
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**16))
def test_whole_numbers_are_exact(head: Head, d: int, v: int, seed: int) -> None:
    """Small whole numbers leave nothing to round: the product is the integer product, row for row, no more rows."""
    rng = np.random.default_rng(seed)
    context, embedding = rng.integers(-9, 10, (2, d)), rng.integers(-9, 10, (v, d))
    logits = head.compute_logits(context.astype(np.float32), embedding.astype(np.float32))
    np.testing.assert_array_equal(logits, context @ embedding.T)


@spec("LOGITS-2", "HEAD-2")
@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16])
@given(strategies.factors(dtypes=("float32",)))
def test_16_bit_inputs_are_computed_in_float32(
    stored: type[np.generic], head: Head, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    """Stored in 16 bits, computed and returned in float32: a result rounded back to 16 bits is outside the bound."""
    context, embedding = (np.ascontiguousarray(array).astype(stored) for array in pair)
    logits = head.compute_logits(context, embedding)
    assert logits.dtype == np.float32
    wide: dict[str, Any] = {"context": context.astype(np.float32), "embedding": embedding.astype(np.float32)}
    compare("compute_logits", reference.compute_logits(**wide), logits, **wide).require()


@spec("LOGITS-2", "LOGITS-1")
def test_two_logits_closer_than_a_bfloat16_ulp_stay_apart(head: Head) -> None:
    """20.01 and 20.05 both become 20.0 in bfloat16: a head that stores its result there loses the order."""
    logits = head.compute_logits(np.array([1.0], np.float32), np.array([[20.01], [20.05]], np.float32))
    assert logits.tolist() == np.array([20.01, 20.05], np.float32).tolist()


@spec("LOGITS-2")
@pytest.mark.parametrize("batch", [(), (8,)])
def test_at_gpt2_shape_with_outliers(
    head: Head, batch: tuple[int, ...], gpt2_shaped: tuple[np.ndarray, np.ndarray]
) -> None:
    """d = 768 with hidden dimensions dozens of times larger than the rest."""
    context, embedding = gpt2_shaped
    context = context[0] if batch == () else context[: batch[0]]
    verdict = compare(
        "compute_logits",
        reference.compute_logits(context, embedding),
        head.compute_logits(context, embedding),
        context=context,
        embedding=embedding,
    ).require()
    assert verdict.word in (Word.IDENTICAL, Word.WITHIN_BOUND)


@spec("HEAD-4")
@given(strategies.factors())
def test_a_row_alone_is_within_the_bound_of_the_row_in_its_batch(
    head: Head, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    context, embedding = pair
    together = head.compute_logits(context, embedding)
    for row in np.ndindex(context.shape[:-1]):
        alone = head.compute_logits(context[row], embedding)
        compare("compute_logits", together[row], alone, context=context[row], embedding=embedding).require()

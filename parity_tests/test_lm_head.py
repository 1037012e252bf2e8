"""The whole head up to the draw, and what holds for every stage."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference

from . import strategies
from .heads import Head
from .verdict import compare

spec = pytest.mark.spec


@spec("HEAD-1", "HEAD-2", "HEAD-4")
@given(st.data(), strategies.factors(), st.sampled_from([0.1, 0.5, 0.7, 1.0, 2.0, 10.0]))
def test_within_the_propagated_bound(head: Head, data: st.DataObject, pair: Any, temperature: float) -> None:
    context, embedding = pair
    k = data.draw(strategies.ks(len(embedding)))
    probs = head.lm_head(context, embedding, temperature, k)
    assert probs.shape == (*context.shape[:-1], len(embedding))
    assert probs.dtype == strategies.compute_dtype(context)
    ours = reference.lm_head(context, embedding, temperature, k)
    compare("lm_head", ours, probs, context=context, embedding=embedding, temperature=temperature, k=k).require()


@spec("HEAD-1")
@given(strategies.factors())
def test_defaults_are_the_lessons(head: Head, pair: Any) -> None:
    context, embedding = pair
    expected = head.lm_head(context, embedding, temperature=0.7, k=50)
    np.testing.assert_array_equal(head.lm_head(context, embedding), expected)


@spec("HEAD-1")
@pytest.mark.parametrize("batch", [(), (3,)])
def test_defaults_among_many_tokens(head: Head, batch: tuple[int, ...]) -> None:
    """At GPT-2's own size: `test_gpt2.py`."""
    rng = np.random.default_rng(1)
    context, embedding = rng.standard_normal((*batch, 8)), rng.standard_normal((300, 8))
    inputs: dict[str, Any] = {"context": context.astype(np.float32), "embedding": embedding.astype(np.float32)}
    compare("lm_head", reference.lm_head(**inputs), head.lm_head(**inputs), **inputs).require()


@spec("HEAD-1", "TOPK-4")
@given(strategies.factors())
def test_k_of_v_is_the_plain_softmax(head: Head, pair: Any) -> None:
    context, embedding = pair
    logits = head.compute_logits(context, embedding)
    np.testing.assert_array_equal(
        head.softmax(head.keep_top_k(logits, len(embedding))), head.softmax(np.ascontiguousarray(logits))
    )


@spec("HEAD-1", "TOPK-2")
@given(strategies.logits(), st.integers(0, 2**32))
def test_draws_at_k_1_are_argmax(head: Head, row: np.ndarray, seed: int) -> None:
    """Greedy decoding as a draw, ties at the maximum to the lowest id, as NumPy's and PyTorch's argmax."""
    probs = np.ascontiguousarray(head.softmax(head.keep_top_k(row, 1)))
    np.testing.assert_array_equal(head.multinomial(probs, rng=head.torch_rng(seed))[..., 0], np.argmax(row, axis=-1))


@spec("HEAD-4", "TOPK-1", "TOPK-2")
@pytest.mark.parametrize("batch", [(), (1,), (8,), (2, 3)])
def test_exact_ties_at_the_cut(head: Head, batch: tuple[int, ...]) -> None:
    """Whole numbers are exact, so these logits tie on every machine: the lowest ids stay, whatever the batch."""
    probs = head.lm_head(np.ones((*batch, 1), np.float32), np.array([[1], [2], [2], [3], [2]], np.float32), k=3)
    assert (probs > 0).tolist() == np.broadcast_to([False, True, True, True, False], (*batch, 5)).tolist()


@spec("HEAD-4", "TOPK-2", "TEMP-1")
@given(st.data(), strategies.logits(shapes=st.just((3,))), strategies.temperatures)
def test_rows_are_independent(head: Head, data: st.DataObject, rows: np.ndarray, temperature: float) -> None:
    """A row alone, and at any place in any batch, goes through the stages without a sum to the same bits."""
    k = data.draw(strategies.ks(rows.shape[-1]))
    alone = [head.keep_top_k(head.apply_temperature(row, temperature), k) for row in rows]
    for order in ([0, 1, 2], [2, 1, 0], [1, 1, 1]):
        together = head.keep_top_k(head.apply_temperature(rows[order], temperature), k)
        np.testing.assert_array_equal(together, np.stack([alone[i] for i in order]))


@spec("HEAD-3")
@given(st.data(), strategies.logits(dtypes=("float32", "float64"), max_vocab=12))
def test_inputs_are_never_modified(head: Head, data: st.DataObject, row: np.ndarray) -> None:
    before, k = row.copy(), data.draw(strategies.ks(row.shape[-1]))
    head.apply_temperature(row, 0.7), head.top_k(row, k), head.keep_top_k(row, k), head.keep_top_k(row, k, ties="all")
    probs = np.asarray(head.softmax(row))
    np.testing.assert_array_equal(row, before)
    before = probs.copy()
    head.multinomial(probs, rng=head.torch_rng(1)), head.inverse_cdf(probs, np.full(probs.shape[:-1], 0.5))
    np.testing.assert_array_equal(probs, before)


@spec("HEAD-3")
@given(strategies.factors())
def test_context_and_embedding_are_never_modified(head: Head, pair: Any) -> None:
    context, embedding = (array.copy() for array in pair)
    head.lm_head(*pair)
    np.testing.assert_array_equal(pair[0], context)
    np.testing.assert_array_equal(pair[1], embedding)

"""Stage 3: top-k. Comparisons only, nothing is rounded: everything here is exact."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference

from . import strategies
from .heads import Head
from .verdict import compare

spec = pytest.mark.spec


def by_definition(row: np.ndarray, k: int) -> list[int]:
    """The ids of the k largest by a full sort in plain Python: value descending, id ascending."""
    values = row.tolist()
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]


@spec("TOPK-1", "TOPK-2", "TOPK-3", "TOPK-4", "HEAD-2", "HEAD-4")
@given(st.data(), strategies.logits())
def test_against_the_definition(head: Head, data: st.DataObject, row: np.ndarray) -> None:
    k = data.draw(strategies.ks(row.shape[-1]))
    values, token_ids = head.top_k(row, k)
    assert values.shape == token_ids.shape == (*row.shape[:-1], min(k, row.shape[-1]))
    assert values.dtype == strategies.compute_dtype(row)
    assert token_ids.dtype == np.int64
    for index in np.ndindex(row.shape[:-1]):
        assert token_ids[index].tolist() == by_definition(row[index], k)
    np.testing.assert_array_equal(values, np.take_along_axis(row, token_ids, axis=-1))
    compare("top_k", reference.top_k(row, k), (values, token_ids), logits=row, k=k).require()


@spec("TOPK-1", "TOPK-2")
@pytest.mark.parametrize(("v", "k"), [(64, 3), (1_000, 50), (1_000, 5), (50_257, 50)])
def test_all_equal(head: Head, v: int, k: int) -> None:
    """The shapes at which `torch.topk` was seen to return 42, 43, 44; 630, 663, 662, ...; and the lowest ids."""
    assert head.top_k(np.zeros(v, np.float32), k)[1].tolist() == list(range(k))


@spec("TOPK-1", "TOPK-2")
@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16])
def test_ties_from_16_bits_at_gpt2_vocabulary(head: Head, stored: type[np.generic]) -> None:
    """Hundreds of ties at the 50th place, as bfloat16 logits make them."""
    row = (np.random.default_rng(5).standard_normal(50_257) * 2 - 100).astype(stored)
    values, token_ids = head.top_k(row, 50)
    assert values.dtype == np.float32
    assert token_ids.tolist() == by_definition(row.astype(np.float32), 50)


@spec("TOPK-2")
def test_signed_zeros_are_equal(head: Head) -> None:
    values, token_ids = head.top_k(np.array([-0.0, 0.0, -0.0, -1.0], np.float32), 2)
    assert token_ids.tolist() == [0, 1]
    assert np.signbit(values).tolist() == [True, False]


@spec("TOPK-3")
@given(st.data(), strategies.logits(max_vocab=20))
def test_permuting_the_vocabulary_permutes_the_survivors(head: Head, data: st.DataObject, row: np.ndarray) -> None:
    """Apart from ties: the multiset of surviving values does not depend on where in the vocabulary they stand."""
    k = data.draw(strategies.ks(row.shape[-1]))
    permutation = data.draw(st.permutations(range(row.shape[-1])))
    permuted = row[..., permutation]
    np.testing.assert_array_equal(head.top_k(permuted, k)[0], head.top_k(row, k)[0])

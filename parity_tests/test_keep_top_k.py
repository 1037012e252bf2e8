"""Stage 3, composed: the logits with -inf everywhere but at the survivors. Nothing is rounded: everything is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference

from . import strategies
from .heads import Head
from .test_top_k import by_definition
from .verdict import compare

spec = pytest.mark.spec


@spec("TOPK-6", "HEAD-2", "HEAD-4")
@given(st.data(), strategies.logits())
def test_keep_top_k(head: Head, data: st.DataObject, row: np.ndarray) -> None:
    k = data.draw(strategies.ks(row.shape[-1]))
    kept = head.keep_top_k(row, k)
    compare("keep_top_k", reference.keep_top_k(row, k), kept, logits=row, k=k).require()
    for index in np.ndindex(row.shape[:-1]):
        expected = np.full_like(row[index], -np.inf)
        survivors = by_definition(row[index], k)
        expected[survivors] = row[index][survivors]
        np.testing.assert_array_equal(kept[index], expected)


@spec("TOPK-7")
@pytest.mark.parametrize(("k", "survivors"), [(1, [4]), (2, [1, 2, 3, 4]), (3, [1, 2, 3, 4]), (5, [0, 1, 2, 3, 4])])
def test_all_that_tie_with_the_k_th_stay(head: Head, k: int, survivors: list[int]) -> None:
    kept = head.keep_top_k(np.array([1, 2, 2, 2, 3], np.float32), k, ties="all")
    assert np.flatnonzero(kept > -np.inf).tolist() == survivors


@spec("TOPK-7")
@given(st.data(), strategies.logits())
def test_keep_top_k_with_all_ties(head: Head, data: st.DataObject, row: np.ndarray) -> None:
    k = data.draw(strategies.ks(row.shape[-1]))
    kept = head.keep_top_k(row, k, ties="all")
    for index in np.ndindex(row.shape[:-1]):
        kth = sorted(row[index].tolist(), reverse=True)[min(k, row.shape[-1]) - 1]
        np.testing.assert_array_equal(kept[index], np.where(row[index] >= kth, row[index], -np.inf))
    compare("keep_top_k", reference.keep_top_k(row, k, ties="all"), kept, logits=row, k=k, ties="all").require()

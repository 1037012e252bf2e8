"""Log-probabilities: of every token, of the best, of a given one; and their mean."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import reference
from reference import bounds

from . import strategies
from .heads import Head
from .test_filters import f32, flat, judged
from .test_refusals import words
from .verdict import Word, compare

spec = pytest.mark.spec
INF = np.inf


@spec("LOGPROB-1", "HEAD-2", "HEAD-3", "HEAD-4")
@given(strategies.logits())
def test_log_probs(head: Head, row: np.ndarray) -> None:
    scores = np.asarray(judged(head, "log_probs", logits=row))
    assert scores.dtype == strategies.compute_dtype(row)
    assert (scores[row == -INF] == -INF).all()
    assert np.isfinite(scores[row > -INF]).all()


@spec("LOGPROB-1")
@pytest.mark.parametrize(
    "row", [[0.5, -1, 2], [-100.25, -101, -104], [1000, 0, -1000], [89, -INF, 3], [1e-3, 2e-3], [1e4, 9999.5, 9990.25]]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probs_in_60_digits(head: Head, row: list[float], dtype: type) -> None:
    """Natural logarithms, also of probabilities that underflow."""
    with mpmath.workdps(60):
        total = mpmath.fsum(mpmath.exp(x) for x in map(mpmath.mpf, map(float, np.array(row, dtype))) if x > -INF)
        exact = [float(x - mpmath.log(total)) for x in map(float, np.array(row, dtype))]
    scores = np.asarray(judged(head, "log_probs", logits=np.array(row, dtype)))
    alive = np.array(row) > -INF
    allowed = bounds.log_probs(np.array(row, dtype), np.dtype(dtype).name)
    assert (np.abs(scores[alive].astype(np.float64) - np.array(exact)[alive]) <= allowed[alive]).all()


@spec("LOGPROB-1")
@pytest.mark.parametrize("v", [257, 50_257])
def test_log_probs_of_a_real_vocabulary(head: Head, v: int) -> None:
    rows = (np.random.default_rng(8).standard_normal((3, v)) * 4 - 100).astype(f32)
    judged(head, "log_probs", logits=rows)


@spec("LOGPROB-2", "HEAD-2", "HEAD-3", "HEAD-4")
@given(st.data(), strategies.logits())
def test_top_log_probs(head: Head, data: st.DataObject, row: np.ndarray) -> None:
    k = data.draw(strategies.ks(row.shape[-1]))
    found = head.top_log_probs(row, k)
    rule = {"ties": head.contract.rule_for_ties()}
    compare("top_log_probs", reference.top_log_probs(row, k), found, logits=row, k=k, **rule).require()


@spec("LOGPROB-2")
def test_the_order_is_that_of_the_logits(head: Head) -> None:
    """Far below zero, log-probabilities of different logits round to the same number."""
    row = np.array([0, np.nextafter(f32(-2), f32(0)), -2, 3e4], f32)
    values, token_ids = head.top_log_probs(row, 4)
    assert token_ids.tolist() == [3, 0, 1, 2]
    assert values[2] == values[3]
    assert head.top_log_probs(flat(1), 3)[1].tolist() == [0, 2, 3]


@spec("LOGPROB-3", "HEAD-3", "HEAD-4")
@given(strategies.arguments("rank"))
def test_rank(head: Head, case: dict[str, Any]) -> None:
    for ties in ("lowest_id", "all"):
        found = np.asarray(head.rank(**case, ties=ties))
        rule = head.contract.rule_for_ties(ties)
        compare("rank", reference.rank(**case, ties=ties), found, **case, ties=rule).require()


@spec("LOGPROB-3")
@pytest.mark.parametrize(
    ("token", "lowest", "with_all"), [(3, 0, 0), (0, 1, 3), (1, 2, 3), (4, 3, 3), (2, 4, 5), (5, 5, 5)]
)
def test_rank_by_hand(head: Head, token: int, lowest: int, with_all: int) -> None:
    row = np.array([2, 2, -INF, 5, 2, -INF], f32)
    assert head.rank(row, np.array(token), ties="all") == with_all
    if head.contract.rule_for_ties() == "lowest_id":
        assert head.rank(row, np.array(token)) == lowest


@spec("LOGPROB-3")
def test_rank_is_the_place_in_top_k(head: Head) -> None:
    row = np.rint(np.random.default_rng(9).standard_normal(65_537) * 3).astype(f32)
    for token in (0, 7, 65_535, 65_536):
        place = int(head.rank(row, np.array(token), ties="all"))
        assert place == np.count_nonzero(row >= row[token]) - 1
    assert head.rank(flat(v=131_073), np.array(3), ties="all") == 131_072


@spec("LOGPROB-3")
def test_rank_tells_neighbours_apart(head: Head) -> None:
    """Far below zero, their log-probabilities are the same number."""
    row = np.array([-2, np.nextafter(f32(-2), f32(0)), 3e4], f32)
    for ties in ("all", "lowest_id"):
        assert [int(head.rank(row, np.array(token), ties=ties)) for token in range(3)] == [2, 1, 0]


@spec("LOGPROB-4", "HEAD-2", "HEAD-3")
@given(strategies.arguments("cross_entropy"), st.sampled_from([-100, -1, 0]), st.integers(0, 2**16))
def test_cross_entropy(head: Head, case: dict[str, Any], ignore_index: int, seed: int) -> None:
    ids = case["token_ids"]
    ids[np.random.default_rng(seed).random(ids.shape) < 0.3] = ignore_index
    assume((ids != ignore_index).any())
    judged(head, "cross_entropy", **{**case, "token_ids": ids, "ignore_index": ignore_index})


HALVES = np.log(np.array([[[0.5, 0.5], [0.25, 0.75]], [[0.125, 0.875], [0.9, 0.1]]], f32))


@spec("LOGPROB-4")
@pytest.mark.parametrize(
    ("logits", "token_ids", "ignore_index", "due"),
    [
        (HALVES[0], [0, 0], -100, 1.5 * math.log(2)),  # the mean
        (HALVES[0, 1], 0, -100, 2 * math.log(2)),  # one position
        (HALVES, [[0, 0], [0, -100]], -100, 2 * math.log(2)),  # no mean of the means of rows
        (HALVES[0], [0, 1], 0, -math.log(0.75)),  # any id may be ignored
        (np.array([0, -200], f32), 1, -100, 200.0),  # a probability that underflows
    ],
)
def test_cross_entropy_by_hand(head: Head, logits: np.ndarray, token_ids: Any, ignore_index: int, due: float) -> None:
    ids = np.array(token_ids)
    # log(0.5) in float32 is itself off by a rounding, as every number of a row is.
    rounded = bounds.rounded_once(logits, "float32")
    allowed = bounds.cross_entropy(logits, ids, ids != ignore_index, "float32", error=rounded)
    assert abs(float(head.cross_entropy(logits, ids, ignore_index)) - due) <= allowed


@spec("LOGPROB-4")
def test_a_masked_token_costs_infinitely_much(head: Head) -> None:
    assert head.cross_entropy(np.array([[0, -INF]], f32), np.array([1])) == INF


@spec("LOGPROB-4")
def test_cross_entropy_of_hundreds_of_positions(head: Head) -> None:
    rng = np.random.default_rng(10)
    rows, ids = (rng.standard_normal((601, 257)) * 3).astype(f32), rng.integers(0, 257, 601)
    ids[::3] = -100
    judged(head, "cross_entropy", logits=rows, token_ids=ids, ignore_index=-100)


@spec("LOGPROB-5", "HEAD-5")
@pytest.mark.parametrize("function", ["rank", "cross_entropy"])
def test_ids(head: Head, function: str) -> None:
    rows = np.zeros((2, 3), f32)
    for bad in ([0, 3], [-1, 0], [0, 2**40]):
        with pytest.raises(ValueError, match=words(head, r"token_ids\[[01]\] is .*it must be in \[0, 3\)")):
            getattr(head, function)(rows, np.array(bad))
    with pytest.raises(ValueError, match=words(head, r"token_ids has shape \(1,\): it must be \(2,\)")):
        getattr(head, function)(rows, np.array([0]))
    with pytest.raises(TypeError, match=words(head, r"token_ids has dtype .*float64: token ids are integers")):
        getattr(head, function)(rows, np.array([0.0, 1.0]))


@spec("LOGPROB-5", "HEAD-5")
def test_no_position_counts(head: Head) -> None:
    for rows, ids in ((np.zeros((2, 3), f32), [-100, -100]), (np.zeros((0, 3), f32), [])):
        with pytest.raises(ValueError, match=words(head, r"token_ids has no position that counts")):
            head.cross_entropy(rows, np.array(ids, np.int64))
    for kind in (1.5, True, "0"):
        with pytest.raises(TypeError, match=words(head, r"ignore_index is .*it must be an integer")):
            head.cross_entropy(np.zeros(3, f32), np.array(0), kind)


@spec("LOGPROB-5", "TOPK-7")
def test_other_words_for_ties(head: Head) -> None:
    with pytest.raises(ValueError, match=words(head, r"ties is 'any': it must be 'lowest_id' or 'all'")):
        head.rank(np.zeros(3, f32), np.array(0), ties="any")


@spec("LOGPROB-2", "TOPK-5")
def test_k(head: Head) -> None:
    with pytest.raises(ValueError, match=words(head, r"k is 0: it must be at least 1")):
        head.top_log_probs(np.zeros(3, f32), 0)
    assert compare(
        "top_log_probs",
        reference.top_log_probs(flat(), 99),
        head.top_log_probs(flat(), 99),
        logits=flat(),
        k=99,
    ).word in (Word.IDENTICAL, Word.WITHIN_BOUND)

"""Filters: which tokens may be drawn. Their bits are exact, and the set is, but where rounding decides."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import bounds
from reference.operations import OPERATIONS, STAGES, WITH_TIES

from . import strategies
from .heads import Head
from .test_refusals import words
from .verdict import Word, compare

spec = pytest.mark.spec
f32, INF, NAN = np.float32, np.inf, np.nan
FILTERS = tuple(
    name for name in STAGES if OPERATIONS[name].family == "filters" and OPERATIONS[name].results.keys() == {"logits"}
)


def ids(kept: Any) -> list[int]:
    return np.flatnonzero(np.asarray(kept) > -INF).tolist()


def flat(*masked: int, v: int = 4) -> np.ndarray:
    """v tokens with equal logits, some of them masked."""
    row = np.zeros(v, f32)
    row[list(masked)] = -INF
    return row


def judged(head: Head, operation: str, **given: Any) -> Any:
    """The result of a head; raises if it diverges from the reference or if an input is modified."""
    before = {name: np.array(value) for name, value in given.items()}
    kept = getattr(head, operation)(**given)
    for name, value in before.items():
        np.testing.assert_array_equal(given[name], value)
    ties = {"ties": head.contract.rule_for_ties(given.get("ties"))} if operation in WITH_TIES else {}
    compare(operation, getattr(reference, operation)(**given), kept, **{**given, **ties}).require()
    return kept


@spec("FILTER-1", "FILTER-2", "FILTER-4", "FILTER-5", "FILTER-6", "FILTER-7", "FILTER-8", "FILTER-9")
@spec("HEAD-2", "HEAD-3", "HEAD-4")
@pytest.mark.parametrize("operation", FILTERS)
@given(st.data())
def test_survivors(head: Head, operation: str, data: st.DataObject) -> None:
    case = data.draw(strategies.arguments(operation))
    for rule in head.contract.tie_arguments(operation):
        kept = judged(head, operation, **{**case, **rule})
        assert np.asarray(kept).dtype == strategies.compute_dtype(case["logits"])


@spec("FILTER-2", "FILTER-3")
@pytest.mark.parametrize(
    ("p", "until", "expected"),
    [
        (0.25, "reached", [0]),
        (0.5, "reached", [0, 1]),
        (0.75, "reached", [0, 1, 2]),
        (1.0, "reached", [0, 1, 2, 3]),
        (0.25, "exceeded", [0, 1]),
        (0.5, "exceeded", [0, 1, 2]),
        (0.75, "exceeded", [0, 1, 2, 3]),
        (1.0, "exceeded", [0, 1, 2, 3]),
        (0.5000001, "reached", [0, 1, 2]),
        (0.4999999, "reached", [0, 1]),
        (0.4999999, "exceeded", [0, 1]),
        (1e-9, "reached", [0]),
    ],
)
def test_sums_that_hit_p_exactly(head: Head, p: float, until: str, expected: list[int]) -> None:
    assert ids(head.keep_top_p(flat(), p, until)) == expected
    masked = head.keep_top_p(flat(0, 3, 4, 6, v=8), p, until)
    assert ids(masked) == [[1, 2, 5, 7][i] for i in expected]


@spec("FILTER-3")
def test_all_that_tie_with_the_last_one_stay(head: Head) -> None:
    row = np.array([0, 2, 2, 2, -1], f32)
    assert ids(head.keep_top_p(row, 0.3, ties="all")) == [1, 2, 3]
    assert ids(head.keep_top_p(flat(2), 0.1, ties="all")) == [0, 1, 3]


@spec("FILTER-3")
@given(strategies.logits(), strategies.shares, st.sampled_from(["reached", "exceeded"]))
def test_both_rules_for_ties(head: Head, row: np.ndarray, p: float, until: str) -> None:
    for ties in ("all", "lowest_id"):
        judged(head, "keep_top_p", logits=row, p=p, until=until, ties=ties)


@spec("FILTER-1", "FILTER-2")
@pytest.mark.parametrize("v", [65_537, 131_073])
def test_half_of_a_large_vocabulary(head: Head, v: int) -> None:
    """2**m equal tokens, a single one masked: half of them have a probability of exactly 0.5."""
    row = flat(7, v=v)
    half = (v - 1) // 2
    assert ids(head.keep_top_p(row, 0.5)) == [i for i in range(half + 1) if i != 7]
    assert len(ids(head.keep_top_p(row, 0.5, until="exceeded"))) == half + 1


@spec("FILTER-1", "FILTER-2")
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, f32])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.999])
def test_a_real_vocabulary(head: Head, dtype: Any, p: float) -> None:
    """A running sum in 16 bits keeps a hundredth of these, and none at p = 0.01."""
    row = (np.random.default_rng(1).standard_normal(50_257) * 2).astype(dtype)
    kept = ids(judged(head, "keep_top_p", logits=row, p=p))
    q = np.exp(row.astype(np.float64)) / np.exp(row.astype(np.float64)).sum()
    band = float(bounds.filters.running_share(row, p, "float32")[0])
    assert q[kept].sum() + band >= p > q[kept].sum() - q[kept].min() - band


@spec("FILTER-1")
@pytest.mark.parametrize("operation", FILTERS)
@pytest.mark.parametrize("row", [[-7.5], [3.0, -INF], [-104.0, -104.0, -104.0], [90.0, 0.0, -90.0], [0.0, -0.0, -1e4]])
def test_one_survives(head: Head, operation: str, row: list[float]) -> None:
    for case in ({}, {"p": 1e-6, "mass": 1e-6, "cutoff": 0.999, "h": 1e-6, "n": 1e-6, "threshold": 1e-6}):
        given = OPERATIONS[operation].given(OPERATIONS[operation].defaults | case)
        given.pop("ties", None), given.pop("until", None)
        if operation == "keep_xtc":
            given |= {"probability": 1.0, "uniform": np.array(0.5)}
        assert ids(judged(head, operation, logits=np.array(row, f32), **given))


MIDDLE = {"p": 0.5, "mass": 0.5, "cutoff": 0.1, "h": 0.6, "n": 1.0, "threshold": 0.15, "probability": 1.0}
HANDFUL = np.array([2, 0, 1.5, -3, 0.5, 1.25, -0.5], f32)
HANDFUL.flags.writeable = False  # a head that overwrites its input spoils no other test


def in_the_middle(operation: str, *batch: int) -> dict[str, Any]:
    """Arguments at which some of a handful of tokens stay and others fall."""
    given = OPERATIONS[operation].given(MIDDLE)
    return given | ({"uniform": np.full(batch, 0.5)} if "uniform" in OPERATIONS[operation].arguments else {})


@spec("FILTER-1", "SOFTMAX-2")
@pytest.mark.parametrize("operation", FILTERS)
def test_a_constant_changes_nothing(head: Head, operation: str) -> None:
    """Beyond the range of exp, too, and where squares cancel."""
    given = in_the_middle(operation)
    kept = ids(getattr(head, operation)(HANDFUL, **given))
    assert 0 < len(kept) < 7
    for constant in (-90, 100, -1000, 10_000):
        assert ids(getattr(head, operation)(HANDFUL + f32(constant), **given)) == kept


@spec("FILTER-1")
@pytest.mark.parametrize("operation", FILTERS)
@pytest.mark.parametrize("constant", [0, -9])
def test_masked_tokens_are_as_if_they_were_not_there(head: Head, operation: str, constant: float) -> None:
    places = [1, 2, 4, 6, 7, 8, 11]
    row = np.full(12, -INF, f32)
    row[places] = HANDFUL + f32(constant)
    given = in_the_middle(operation)
    alone = ids(getattr(head, operation)(row[places], **given))
    assert ids(getattr(head, operation)(row, **given)) == [places[i] for i in alone]


@spec("HEAD-4", "FILTER-1")
@pytest.mark.parametrize("operation", FILTERS)
def test_rows_of_another_kind_beside_it(head: Head, operation: str) -> None:
    """Flat and steep rows, of another height, masked in other places: each as if it were alone."""
    others = np.array([np.linspace(0, 0.5, 7), np.linspace(300, 270, 7), HANDFUL - 300, HANDFUL * 9], f32)
    others[1, :5] = -INF
    for batch in (others, others[::-1], others.reshape(2, 2, 7)):
        together = getattr(head, operation)(batch, **in_the_middle(operation, *batch.shape[:-1]))
        for row in np.ndindex(batch.shape[:-1]):
            np.testing.assert_array_equal(
                together[row], judged(head, operation, logits=batch[row], **in_the_middle(operation))
            )


@spec("FILTER-2")
@pytest.mark.parametrize("until", ["reached", "exceeded"])
def test_p_of_1_keeps_what_no_sum_shows(head: Head, until: str) -> None:
    assert ids(head.keep_top_p(np.array([-40, 0, -INF, -200], f32), 1.0, until)) == [0, 1, 3]


@spec("FILTER-4")
def test_min_p_is_relative_to_the_largest(head: Head) -> None:
    row = np.array([0, -2, -3, -2.4], f32)  # weights of 1, 0.135, 0.0498, 0.0907
    assert ids(head.keep_min_p(row, 0.1)) == [0, 1]
    assert ids(head.keep_min_p(row - f32(100), 0.07)) == [0, 1, 3]
    assert ids(head.keep_min_p(np.array([1, 1, 0], f32), 1.0)) == [0, 1]
    assert ids(head.keep_min_p(np.array([1, -INF, -2e4], f32), 0.0)) == [0, 2]


@spec("FILTER-4")
@pytest.mark.parametrize("p", [0.5, 1e-3, 1e-6])
def test_min_p_among_thousands_of_neighbours(head: Head, p: float) -> None:
    """Weights a ten-thousandth apart: 16 bits do not tell them from p."""
    judged(head, "keep_min_p", logits=np.linspace(0, 2 * np.log(p), 20_001).astype(f32), p=p)


@spec("FILTER-5")
@pytest.mark.parametrize(("mass", "expected"), [(0.2, [1]), (0.3, [0, 1]), (0.8, [0, 1, 2, 3])])
def test_typical_by_hand(head: Head, mass: float, expected: list[int]) -> None:
    """-ln q is 1, 2, 3, 3 times ln 2 and the entropy 1.75 times: token 1 is the closest, then 0, then both others."""
    row = np.log(np.array([0.5, 0.25, 0.125, 0.125], f32))
    assert ids(judged(head, "keep_typical", logits=row, mass=mass)) == expected


@spec("FILTER-5")
def test_typical_keeps_equal_tokens_together(head: Head) -> None:
    assert ids(head.keep_typical(flat(2), 0.1)) == [0, 1, 3]


@spec("FILTER-5", "FILTER-1")
@pytest.mark.parametrize("hidden", [-INF, -1e4])
def test_typical_beside_a_probability_of_0(head: Head, hidden: float) -> None:
    """0 times its logarithm adds nothing to the entropy: the three of 0.2 are closer to it than the one of 0.4."""
    row = np.array([hidden, *np.log([0.4, 0.2, 0.2, 0.2]), hidden], f32)
    assert ids(judged(head, "keep_typical", logits=row, mass=0.5)) == [2, 3, 4]


@spec("FILTER-6")
@pytest.mark.parametrize(
    ("operation", "cutoff", "expected"),
    [
        ("keep_epsilon", 0.14, [0, 1, 2, 3]),
        ("keep_epsilon", 0.2, [0]),
        ("keep_epsilon", 0.9, [0]),
        ("keep_eta", 0.2, [0, 1, 2, 3]),  # 0.138
        ("keep_eta", 0.3, [0]),  # 0.169
        ("keep_eta", 0.05, [0, 1, 2, 3]),
        ("keep_eta", 0.9, [0]),
    ],
)
def test_cutoffs(head: Head, operation: str, cutoff: float, expected: list[int]) -> None:
    """Probabilities of 0.55 and three times 0.15: exp(-H) is 0.308."""
    row = np.log(np.array([0.55, 0.15, 0.15, 0.15], f32))
    assert ids(judged(head, operation, logits=row, cutoff=cutoff)) == expected


@spec("FILTER-6")
@pytest.mark.parametrize(("cutoff", "expected"), [(0.02, 5), (0.1, 5), (0.2, 4), (0.4, 3), (0.6, 3)])
def test_eta_by_hand(head: Head, cutoff: float, expected: int) -> None:
    """exp(-H) is 0.223: at 0.2 the threshold is 0.0997; sqrt(0.2 * 0.223) would be 0.211."""
    row = np.log(np.array([0.3, 0.3, 0.2, 0.12, 0.08], f32))
    assert ids(judged(head, "keep_eta", logits=row, cutoff=cutoff)) == list(range(expected))


@spec("FILTER-7")
def test_top_h_looks_at_100_tokens(head: Head) -> None:
    """Of 500 equal tokens at most 100 stay; the 101st has no part in the entropy."""
    assert ids(head.keep_top_h(flat(v=512), 0.999)) in (list(range(99)), list(range(100)))
    assert ids(head.keep_top_h(flat(v=512), 0.505)) == list(range(50))
    for h in (0.2, 0.4, 0.7):
        row = (np.random.default_rng(2).standard_normal(300) * 2).astype(f32)
        judged(head, "keep_top_h", logits=row, h=h)
    above = np.zeros(500, f32)
    above[7] = 3  # its share of 100 tokens is 0.17, of 500 only 0.04
    assert len(ids(judged(head, "keep_top_h", logits=above, h=0.4))) == 36


@spec("FILTER-7", "FILTER-1")
@pytest.mark.parametrize("hidden", [-INF, -1e4])
def test_top_h_beside_a_probability_of_0(head: Head, hidden: float) -> None:
    row = np.array([hidden, 0, 0, 0, hidden, 0], f32)
    assert ids(judged(head, "keep_top_h", logits=row, h=0.6)) == [1, 2]


@spec("FILTER-8")
def test_n_sigma_by_hand(head: Head) -> None:
    """Deviation 1.118 of 0, 1, 2, 3 alone: the masked do not count, and it is divided by 4, not by 3 (1.29)."""
    row = np.array([3, 1, 2, 0, -INF, -INF], f32)
    assert ids(head.keep_top_n_sigma(row, 1.0)) == [0, 2]
    assert ids(head.keep_top_n_sigma(row, 1.7)) == [0, 2]  # 3 - 1.9 = 1.1
    assert ids(head.keep_top_n_sigma(row, 1.8)) == [0, 1, 2]
    assert ids(head.keep_top_n_sigma(row / f32(7), 1.7)) == [0, 2]


@spec("FILTER-8")
def test_a_deviation_of_numbers_whose_squares_overflow(head: Head) -> None:
    for huge in (1e200, 1.7e308):
        assert ids(head.keep_top_n_sigma(np.array([huge, -huge, -huge]), 1.0)) == [0]


@spec("FILTER-9")
def test_xtc_by_hand(head: Head) -> None:
    row = np.log(np.array([0.4, 0.3, 0.2, 0.1], f32))
    for threshold, uniform, expected in (
        (0.25, 0.4, [1, 2, 3]),
        (0.15, 0.4, [2, 3]),
        (0.15, 0.5, [0, 1, 2, 3]),
        (0.35, 0.4, [0, 1, 2, 3]),
        (0.5, 0.0, [0, 1, 2, 3]),
    ):
        given = {"threshold": threshold, "probability": 0.5, "uniform": np.array(uniform)}
        assert ids(judged(head, "keep_xtc", logits=row, **given)) == expected
    assert ids(head.keep_xtc(flat(), 0.25, 1.0, np.array(0.9))) == [0, 1, 2, 3]  # none is above the least of them
    assert ids(head.keep_xtc(row, 0.15, 0.0, np.array(0.0))) == [0, 1, 2, 3]
    two = head.keep_xtc(np.stack([row, row]), 0.15, 0.5, np.array([0.4, 0.6]))
    assert [ids(one) for one in two] == [[2, 3], [0, 1, 2, 3]]


@spec("HEAD-4", "FILTER-1")
@pytest.mark.parametrize("operation", FILTERS)
@given(st.data())
def test_a_row_alone_and_anywhere_in_a_batch(head: Head, operation: str, data: st.DataObject) -> None:
    rows = data.draw(strategies.logits(shapes=st.just((3,))))
    given = OPERATIONS[operation].given(OPERATIONS[operation].defaults)
    given.pop("ties", None), given.pop("until", None)
    uniform = {"uniform": np.array([0.2, 0.2, 0.2])} if operation == "keep_xtc" else {}
    together = getattr(head, operation)(rows, **given, **uniform)
    for i, row in enumerate(rows):
        alone = getattr(head, operation)(row, **given, **{name: value[i] for name, value in uniform.items()})
        np.testing.assert_array_equal(alone, together[i])


@spec("FILTER-10")
@given(strategies.logits())
def test_greedy(head: Head, row: np.ndarray) -> None:
    found = np.asarray(head.greedy(row))
    assert found.shape == row.shape[:-1]
    assert compare("greedy", reference.greedy(row), found, logits=row).require().word == Word.IDENTICAL
    for index in np.ndindex(row.shape[:-1]):
        values = row[index].tolist()
        assert found[index] == values.index(max(values))


@spec("FILTER-10")
@pytest.mark.parametrize("shift", [0, 20, -100])
def test_greedy_tells_neighbours_apart(head: Head, shift: float) -> None:
    """In 16 bits, or as probabilities, these are equal."""
    row = np.full(7, shift, f32)
    row[3] = np.nextafter(f32(shift), f32(INF))
    assert head.greedy(row) == 3
    assert head.greedy(np.array([20.01, 20.05], f32)) == 1


@spec("FILTER-10")
@pytest.mark.parametrize("v", [2, 4_097, 65_537, 131_074])
def test_greedy_takes_the_lowest_of_the_tied(head: Head, v: int) -> None:
    row = flat(v=v)
    assert head.greedy(row) == 0
    row[[v // 2, v - 1]] = 1
    assert head.greedy(row) == v // 2


OUTSIDE = {
    ("keep_top_p", "p"): [0.0, -0.1, 1.5, NAN, INF],
    ("keep_min_p", "p"): [-0.1, 1.5, NAN, -INF],
    ("keep_typical", "mass"): [0.0, 1.0, 1.5, -1.0, NAN],
    ("keep_epsilon", "cutoff"): [0.0, 1.0, -1.0, NAN],
    ("keep_eta", "cutoff"): [0.0, 1.0, -1.0, NAN],
    ("keep_top_h", "h"): [0.0, 1.1, -1.0, NAN],
    ("keep_top_n_sigma", "n"): [0.0, -1.0, INF, NAN],
    ("keep_xtc", "threshold"): [0.0, 1.1, -0.5, NAN],
    ("keep_xtc", "probability"): [-0.1, 1.1, NAN],
}
VALUES = [(operation, name, value) for (operation, name), values in OUTSIDE.items() for value in values]


def call(head: Head, operation: str, name: str, value: Any) -> Any:
    given = OPERATIONS[operation].given(OPERATIONS[operation].defaults)
    given.pop("ties", None), given.pop("until", None)
    if operation == "keep_xtc":
        given["uniform"] = np.array(0.5)
    return getattr(head, operation)(np.array([0.0, 1.0], f32), **{**given, name: value})


@spec("FILTER-11", "HEAD-5")
@pytest.mark.parametrize(("operation", "name", "value"), VALUES)
def test_parameters_outside_their_range(head: Head, operation: str, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=words(head, rf"{name} is .*it must be (in [\[(]0, 1[\])]|finite and > 0)")):
        call(head, operation, name, value)


@spec("FILTER-11", "HEAD-2")
@pytest.mark.parametrize(("operation", "name"), list(OUTSIDE))
@pytest.mark.parametrize("value", ["0.5", None, True, [0.5], np.array(0.5)])
def test_parameters_of_another_kind(head: Head, operation: str, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=words(head, rf"{name} is .*one real number")):
        call(head, operation, name, value)


@spec("FILTER-11", "HEAD-5")
@pytest.mark.parametrize("name", ["until", "ties"])
@pytest.mark.parametrize("value", ["any", "", "strict"])
def test_other_words(head: Head, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=words(head, rf"{name} is '{value}': it must be '\w+' or '\w+'")):
        call(head, "keep_top_p", name, value)


@spec("FILTER-11", "CDF-3")
@pytest.mark.parametrize("uniform", [1.0, -0.1, NAN])
def test_uniforms(head: Head, uniform: float) -> None:
    with pytest.raises(ValueError, match=words(head, r"uniform is .*in \[0, 1\)")):
        call(head, "keep_xtc", "uniform", np.array(uniform))
    with pytest.raises(ValueError, match=words(head, r"uniform has shape \(1,\)")):
        call(head, "keep_xtc", "uniform", np.array([0.5]))

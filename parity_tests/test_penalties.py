"""Penalties and bans: what the text so far does to the logits. One rounding, and hence the same bits, but for one."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import bounds
from reference.operations import OPERATIONS, STAGES

from . import strategies
from .heads import Head
from .test_filters import f32, ids, judged
from .test_refusals import words

spec = pytest.mark.spec
INF, NAN = np.inf, np.nan
PENALTIES = tuple(name for name in STAGES if OPERATIONS[name].family == "penalties")
OF_HISTORY = tuple(name for name in PENALTIES if "history" in OPERATIONS[name].arguments)
SIZED = [name for name in PENALTIES if "penalty" in OPERATIONS[name].arguments]
ROW = np.array([3, -3, 0.5, -0.0, -INF, 7], f32)
ROW.flags.writeable = False  # a head that overwrites its input spoils no other test


@spec("PENALTY-1", "PENALTY-2", "PENALTY-3", "PENALTY-4", "PENALTY-5", "PENALTY-6")
@spec("HEAD-2", "HEAD-3", "HEAD-4")
@pytest.mark.parametrize("operation", PENALTIES)
@given(st.data())
def test_against_the_reference(head: Head, operation: str, data: st.DataObject) -> None:
    case = data.draw(strategies.arguments(operation))
    changed = np.asarray(judged(head, operation, **case))
    assert changed.dtype == strategies.compute_dtype(case["logits"])
    assert (changed[case["logits"] == -INF] == -INF).all()


@spec("PENALTY-2")
@given(strategies.arguments("repetition_penalty", ("float32", "float64")))
def test_repetition_by_definition(head: Head, case: dict[str, Any]) -> None:
    """One token after the other: once for each id, whatever the number of times."""
    changed, r = np.asarray(head.repetition_penalty(**case)), case["logits"].dtype.type(case["penalty"])
    for row in np.ndindex(case["logits"].shape[:-1]):
        for token, x in enumerate(case["logits"][row]):
            seen = token in case["history"][row].tolist()
            assert changed[row][token] == ((x * r if x < 0 else x / r) if seen else x)


@spec("PENALTY-2")
def test_repetition_by_hand(head: Head) -> None:
    """Divided where positive, multiplied where negative; -0 stays -0, a masked token masked; id 0 stands twice."""
    changed = np.asarray(head.repetition_penalty(ROW, np.array([0, 1, 3, 4, 0]), 1.5))
    assert changed.tobytes() == np.array([2, -4.5, 0.5, -0.0, -INF, 7], f32).tobytes()
    assert np.asarray(head.repetition_penalty(ROW, np.array([1]), 0.5))[1] == -1.5


@spec("PENALTY-2")
def test_a_true_division(head: Head) -> None:
    row = np.random.default_rng(3).standard_normal(257).astype(f32)
    changed = np.asarray(head.repetition_penalty(row, np.arange(257), 1.1))
    expected = np.where(row < 0, row * f32(1.1), row / f32(1.1))
    np.testing.assert_array_equal(changed, expected)


@spec("PENALTY-3", "PENALTY-4")
@given(strategies.arguments("frequency_penalty", ("float64",)), st.booleans())
def test_frequency_and_presence_by_definition(head: Head, case: dict[str, Any], negative: bool) -> None:
    case["penalty"] *= -1 if negative else 1
    each, once = (np.asarray(judged(head, name, **case)) for name in ("frequency_penalty", "presence_penalty"))
    for row in np.ndindex(case["logits"].shape[:-1]):
        occurs = Counter(case["history"][row].tolist())
        for token, x in enumerate(case["logits"][row].tolist()):
            assert once[row][token] == (x - case["penalty"] if token in occurs else x)
            due = x - case["penalty"] * occurs[token]
            allowed = bounds.frequency_penalty([x], [occurs[token]], case["penalty"], "float64")[0]
            assert each[row][token] == due or abs(each[row][token] - due) <= 2 * allowed


@spec("PENALTY-3", "PENALTY-4", "PENALTY-1")
def test_each_time_or_once(head: Head) -> None:
    history = np.array([2, 0, 2, 4, 2])
    assert np.asarray(head.frequency_penalty(ROW, history, 0.5)).tolist() == [2.5, -3, -1, 0, -INF, 7]
    assert np.asarray(head.presence_penalty(ROW, history, 0.5)).tolist() == [2.5, -3, 0, 0, -INF, 7]


@spec("PENALTY-4")
def test_the_penalty_in_the_dtype_of_the_logits(head: Head) -> None:
    row = np.random.default_rng(5).standard_normal(257).astype(f32)
    np.testing.assert_array_equal(head.presence_penalty(row, np.arange(257), 0.7), row - f32(0.7))


@spec("PENALTY-3")
def test_a_token_may_occur_hundreds_of_times(head: Head) -> None:
    """256 is 0 in 8 bits, and bfloat16 counts no farther."""
    history = np.repeat([5, 0, 2, 1], [1_000, 256, 257, 70_000])
    judged(head, "frequency_penalty", logits=ROW, history=history, penalty=0.5)


@spec("PENALTY-1", "HEAD-4")
@pytest.mark.parametrize("operation", SIZED)
def test_each_row_has_its_own_history(head: Head, operation: str) -> None:
    rows, history = np.ones((2, 2, 3), f32), np.array([[[0, 0], [1, 2]], [[2, 1], [1, 1]]])
    changed = np.asarray(getattr(head, operation)(rows, history, 0.5))
    for row in np.ndindex(2, 2):
        seen = set(history[row].tolist())
        assert [x != 1 for x in changed[row].tolist()] == [token in seen for token in range(3)]
        np.testing.assert_array_equal(changed[row], getattr(head, operation)(rows[row], history[row], 0.5))


@spec("PENALTY-1")
@pytest.mark.parametrize("operation", OF_HISTORY)
def test_nothing_was_said_yet(head: Head, operation: str) -> None:
    """An empty history: an array of integers, or an empty list."""
    given = {"penalty": 1.5, "ngram_size": 1, "length": 1, "end_ids": np.array([0])}
    given = OPERATIONS[operation].given(given)
    empty: list[Any] = [np.zeros(0, np.int64), []]
    for history in empty:
        changed = np.asarray(getattr(head, operation)(ROW, history, **given))
        expected = np.where(np.arange(6) == 0, -INF, ROW) if operation == "min_length" else ROW
        np.testing.assert_array_equal(changed, expected)


@spec("PENALTY-1")
@pytest.mark.parametrize("operation", SIZED)
def test_a_long_history_of_a_large_vocabulary(head: Head, operation: str) -> None:
    """Ids beyond 65,535, thousands of them."""
    rng = np.random.default_rng(4)
    rows, history = rng.integers(-8, 8, (2, 131_073)).astype(f32), rng.integers(0, 131_073, (2, 3_001))
    history[:, -1] = 131_072
    judged(head, operation, logits=rows, history=history, penalty=0.5)


@spec("PENALTY-5")
def test_bias_by_hand(head: Head) -> None:
    changed = np.asarray(head.logit_bias(ROW, np.array([5, 1, 4, 0]), np.array([0.5, 1, 9, -INF], f32)))
    assert changed.tolist() == [-INF, -2, 0.5, 0, -INF, 7.5]
    assert np.asarray(head.logit_bias(ROW, np.array([0, 2]), np.array([1e4, -300], f32))).tolist()[:3] == [
        10_003,
        -3,
        -299.5,
    ]
    in_float32 = np.asarray(head.logit_bias(ROW, np.array([1]), np.array([0.1])))
    assert in_float32.dtype == f32
    assert in_float32[1] == f32(-3) + f32(0.1)


@spec("PENALTY-6")
def test_ban_by_hand(head: Head) -> None:
    assert ids(head.ban(np.full(4, -1e30, f32), np.array([0, 2, 2]))) == [1, 3]
    assert ids(head.ban(ROW, np.zeros(0, np.int64))) == [0, 1, 2, 3, 5]


@spec("PENALTY-6")
@pytest.mark.parametrize(
    ("history", "size", "banned"),
    [
        ([1, 2, 3, 1, 2], 3, [3]),
        ([1, 2, 3, 1, 2], 2, [3]),
        ([1, 2, 3, 1, 2], 4, []),
        ([1, 2, 3, 1, 2], 1, [1, 2, 3]),
        ([1, 1, 1], 2, [1]),
        ([1, 1, 1], 3, [1]),
        ([1, 1], 3, []),
        ([1, 2, 1, 3, 1], 2, [2, 3]),
        ([2, 1, 2], 3, []),
        ([0, 1, 2, 0, 1], 3, [2]),
        ([4], 2, []),
    ],
)
def test_ngrams_by_hand(head: Head, history: list[int], size: int, banned: list[int]) -> None:
    kept = ids(judged(head, "no_repeat_ngram", logits=np.zeros(6, f32), history=np.array(history), ngram_size=size))
    assert kept == [token for token in range(6) if token not in banned]


@spec("PENALTY-6")
@given(strategies.arguments("no_repeat_ngram"))
def test_ngrams_by_definition(head: Head, case: dict[str, Any]) -> None:
    kept, n = np.asarray(head.no_repeat_ngram(**case)), case["ngram_size"]
    for row in np.ndindex(case["logits"].shape[:-1]):
        said = case["history"][row].tolist()
        known = {tuple(said[i : i + n]) for i in range(len(said) - n + 1)}
        begun = said[len(said) - n + 1 :] if len(said) >= n - 1 else None
        for token, x in enumerate(case["logits"][row]):
            banned = begun is not None and (*begun, token) in known
            assert kept[row][token] == (-INF if banned else x)


@spec("PENALTY-6")
@pytest.mark.parametrize(("length", "kept"), [(1, [0, 1, 2]), (2, [0, 1, 2]), (3, [1])])
def test_min_length_by_hand(head: Head, length: int, kept: list[int]) -> None:
    assert ids(head.min_length(np.zeros(3, f32), np.array([1, 1]), length, np.array([0, 2]))) == kept


@spec("PENALTY-6", "HEAD-4")
def test_min_length_counts_ids_not_rows(head: Head) -> None:
    rows, ends = np.zeros((3, 2), f32), np.array([0])
    assert ids(head.min_length(rows, np.ones((3, 1), int), 2, ends)[0]) == [1]
    assert ids(head.min_length(rows, np.ones((3, 4), int), 4, ends)[0]) == [0, 1]


PLAIN: dict[str, dict[str, Any]] = {
    "history": {"history": np.array([1])},
    "penalty": {"penalty": 1.5},
    "ngram_size": {"ngram_size": 2},
    "length": {"length": 3},
    "end_ids": {"end_ids": np.array([0])},
    "biased": {"biased": np.array([1])},
    "biases": {"biases": np.array([0.5], f32)},
    "banned": {"banned": np.array([1])},
}


def call(head: Head, operation: str, **changed: Any) -> Any:
    given = {name: value for a in OPERATIONS[operation].arguments if a in PLAIN for name, value in PLAIN[a].items()}
    return getattr(head, operation)(**{"logits": np.array([0.5, 1, 2], f32), **given, **changed})


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize("operation", SIZED)
@pytest.mark.parametrize("penalty", [NAN, INF, -INF, 1e39])
def test_penalties_that_are_not_finite(head: Head, operation: str, penalty: float) -> None:
    with pytest.raises(ValueError, match=words(head, r"penalty is .*it must be finite")):
        call(head, operation, penalty=penalty)


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize("penalty", [0.0, -1.1, 1e-46])
def test_repetition_penalties_of_no_sense(head: Head, penalty: float) -> None:
    with pytest.raises(ValueError, match=words(head, r"penalty is .*it must be finite and > 0")):
        call(head, "repetition_penalty", penalty=penalty)


@spec("PENALTY-7", "HEAD-2")
@pytest.mark.parametrize("operation", SIZED)
@pytest.mark.parametrize("penalty", ["1.1", None, True, [1.1]])
def test_penalties_of_another_kind(head: Head, operation: str, penalty: Any) -> None:
    with pytest.raises(TypeError, match=words(head, r"penalty is .*one real number")):
        call(head, operation, penalty=penalty)


OF_IDS = [
    (operation, name)
    for operation in PENALTIES
    for name in ("history", "biased", "banned", "end_ids")
    if name in OPERATIONS[operation].arguments
]


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize(("operation", "name"), OF_IDS)
@pytest.mark.parametrize("token", [-1, 3, 2**40])
def test_ids_outside_the_vocabulary(head: Head, operation: str, name: str, token: int) -> None:
    with pytest.raises(ValueError, match=words(head, rf"{name}\[0\] is {token}: it must be in \[0, 3\)")):
        call(head, operation, **{name: np.array([token])})


@spec("PENALTY-7", "HEAD-2")
@pytest.mark.parametrize(("operation", "name"), OF_IDS)
def test_ids_of_another_kind(head: Head, operation: str, name: str) -> None:
    with pytest.raises(TypeError, match=words(head, rf"{name} has dtype .*float32: token ids are integers")):
        call(head, operation, **{name: np.array([1.0], f32)})


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize(("operation", "name"), OF_IDS)
def test_ids_of_another_shape(head: Head, operation: str, name: str) -> None:
    with pytest.raises(ValueError, match=words(head, rf"{name} has shape \(1, 1\): it must be \(n,\)")):
        call(head, operation, **{name: np.array([[1]])})
    if name == "history":
        with pytest.raises(ValueError, match=words(head, r"history has shape \(1,\): it must be \(2, n\)")):
            call(head, operation, logits=np.zeros((2, 3), f32))


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize(("operation", "name"), [("no_repeat_ngram", "ngram_size"), ("min_length", "length")])
def test_sizes(head: Head, operation: str, name: str) -> None:
    for value in (0, -1):
        with pytest.raises(ValueError, match=words(head, rf"{name} is {value}: it must be at least 1")):
            call(head, operation, **{name: value})
    for kind in (1.0, True, "2", None):
        with pytest.raises(TypeError, match=words(head, rf"{name} is .*it must be an integer")):
            call(head, operation, **{name: kind})


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize(
    ("biased", "biases", "message"),
    [
        ([1], [NAN], r"biases\[0\] is nan"),
        ([0, 1], [1, INF], r"biases\[1\] is inf"),
        ([1], [1, 2], r"biases has shape \(2,\): it must be \(1,\)"),
        ([1, 0, 1], [1, 2, 3], r"biased\[2\] is 1 again"),
        ([0], [1e39], r"biases\[0\] is 1e\+39"),
    ],
)
def test_biases(head: Head, biased: list[int], biases: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        call(head, "logit_bias", biased=np.array(biased), biases=np.array(biases, np.float64))


@spec("PENALTY-7", "HEAD-5")
@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ("repetition_penalty", {"penalty": 1e-38}),
        ("frequency_penalty", {"penalty": -3e38}),
        ("presence_penalty", {"penalty": 3.4e38}),
        ("logit_bias", {"biases": np.array([-3.4e38], f32)}),
    ],
)
def test_finite_logits_that_overflow(head: Head, operation: str, changed: dict[str, Any]) -> None:
    row = np.array([0, 3e38 if operation in ("repetition_penalty", "frequency_penalty") else -3e38, 1], f32)
    with pytest.raises(ValueError, match=words(head, r"\(penalised logits\)\[1\] is -?inf: it overflows")):
        call(head, operation, logits=row, **changed)


@spec("PENALTY-7", "SOFTMAX-4")
@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ("ban", {"banned": np.array([0, 2])}),
        ("logit_bias", {"biased": np.array([2, 0]), "biases": np.array([-INF, -INF], f32)}),
        ("no_repeat_ngram", {"history": np.array([0, 2]), "ngram_size": 1}),
        ("min_length", {"end_ids": np.array([0, 2, 1])}),
    ],
)
def test_no_token_is_left(head: Head, operation: str, changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words(head, r"-inf for every token: leave at least one")):
        call(head, operation, logits=np.array([1, -INF, 0], f32), **changed)

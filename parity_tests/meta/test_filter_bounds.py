"""Bounds of what filters compare: float32 computations, in several orders, stay within them, and not far below."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from reference import bounds

f32 = np.float32
ROWS = [
    ("plain", lambda rng: rng.standard_normal(257) * 3),
    ("near -100", lambda rng: rng.standard_normal(1_025) * 4 - 100),
    ("spread", lambda rng: rng.standard_normal(65) * 50),
    ("flat", lambda rng: rng.standard_normal(4_097) * 1e-3),
    ("masked", lambda rng: np.where(rng.random(300) < 0.5, -np.inf, rng.standard_normal(300))),
    ("real size", lambda rng: rng.standard_normal(50_257) * 4),
]
Row = Callable[[np.random.Generator], np.ndarray]


def exact(row: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Probabilities, `-ln q`, the entropy and the deviation, in 60 digits, then as float64."""
    with mpmath.workdps(60):
        z = [mpmath.mpf(float(x)) for x in row if x > -np.inf]
        high = max(z)
        weights = [mpmath.exp(x - high) for x in z]
        total = mpmath.fsum(weights)
        q = [w / total for w in weights]
        surprise = [mpmath.log(total) - (x - high) for x in z]
        mean = mpmath.fsum(z) / len(z)
        variance = mpmath.fsum((x - mean) ** 2 for x in z) / len(z)
        entropy = mpmath.fsum(p * s for p, s in zip(q, surprise, strict=True))
        lists = np.array([float(p) for p in q]), np.array([float(s) for s in surprise])
        return *lists, float(entropy), float(mpmath.sqrt(variance))


def in_float32(row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, `-ln q` and the terms of the entropy of the unmasked tokens."""
    x = row[row > -np.inf] - row.max()
    weights = np.exp(x)
    total = weights.sum(dtype=f32)
    q, surprise = weights / total, np.log(total) - x
    return q, surprise, q * surprise


def one_by_one(terms: np.ndarray) -> np.ndarray:
    """The running sum in float32, term after term."""
    return np.cumsum(terms, dtype=f32)


@pytest.mark.parametrize(("name", "made"), ROWS)
def test_running_sums_entropies_and_thresholds(name: str, made: Row) -> None:
    row = made(np.random.default_rng(len(name))).astype(f32)
    alive = row > -np.inf
    q, surprise, entropy, deviation = exact(row)
    theirs, their_surprise, terms = in_float32(row)
    order = np.argsort(-row[alive], kind="stable")
    share, filters = 0.9000000357627869, bounds.filters  # a share that float32 holds
    allowed = float(filters.running_share(row, share, "float32")[0])
    due = np.cumsum(q[order])
    for sums in (one_by_one(theirs[order]), 1 - one_by_one(theirs[order][::-1])[::-1] + theirs[order]):
        assert np.abs(sums - due).max() <= allowed
    entropies = [one_by_one(terms)[-1], one_by_one(terms[::-1])[-1], terms.sum(dtype=f32)]
    of_entropy = float(filters.entropy(row, "float32")[0])
    assert max(abs(float(h) - entropy) for h in entropies) <= of_entropy
    apart = np.abs(their_surprise - entropies[0])
    assert (np.abs(apart - np.abs(surprise - entropy)) <= filters.distance(row, "float32")[alive]).all()
    eta = f32(np.sqrt(f32(0.25))) * np.exp(-entropies[0])
    assert abs(float(eta) - 0.5 * np.exp(-entropy)) <= filters.eta(row, 0.25, "float32")[0]
    assert (np.abs(theirs - q) <= filters.probability(row, 0.25, "float32")[alive]).all()
    weight = theirs / theirs.max()
    assert (
        np.abs(weight - np.exp((row[alive] - row.max()).astype(np.float64)))
        <= filters.weight(row, 0.25, "float32")[alive]
    ).all()
    mean = one_by_one(row[alive])[-1] / f32(alive.sum())
    spread = np.sqrt(one_by_one((row[alive] - mean) ** 2)[-1] / f32(alive.sum()))
    least = row.max() - f32(1.5) * spread
    assert abs(float(least) - (float(row.max()) - 1.5 * deviation)) <= filters.threshold(row, 1.5, "float32")


@pytest.mark.parametrize("p", [0.9, 0.5, 0.05, 1e-6])
@pytest.mark.parametrize(("name", "made"), ROWS)
def test_min_p_by_logarithms(name: str, made: Row, p: float) -> None:
    """`z - (max + ln p)` has the sign of `exp(z - max) - p`, but within the bound."""
    row = made(np.random.default_rng(len(name))).astype(f32)
    alive = row > -np.inf
    by_logits = row[alive] >= row.max() + np.log(f32(p))
    weights = np.exp(row[alive].astype(np.float64) - float(row.max()))
    clear = np.abs(weights - p) > bounds.filters.weight(row, p, "float32")[alive]
    assert (by_logits == (weights >= p))[clear].all()
    assert clear.any()


def test_no_bound_where_nothing_rounds() -> None:
    row = np.array([1, 1, -np.inf, 1, 1], f32)
    assert bounds.filters.is_exact(row)[0]
    assert bounds.filters.running_share(row, 0.5, "float32")[0] == 0
    assert (bounds.filters.probability(row, 0.25, "float32") == 0).all()
    assert bounds.filters.running_share(row, 0.3, "float32")[0] > 0  # float32 does not hold it
    assert bounds.filters.running_share(row, 0.3, "float64")[0] == 0
    for other in ([1, 1, 1], [1, 1, 0, 1], [1, 1, np.nextafter(f32(1), f32(2)), 1]):
        assert not bounds.filters.is_exact(np.array(other, f32))[0]
    assert bounds.filters.running_share(row, 0.5, "float32", error=1e-6)[0] > 0


@pytest.mark.parametrize("bits", ["bfloat16", "float16"])
def test_sums_in_16_bits_are_outside(bits: str) -> None:
    """The bound of a row of 4,097 has no room for them."""
    import ml_dtypes

    row = np.random.default_rng(1).standard_normal(4_097).astype(f32)
    q = in_float32(row)[0]
    dtype: Any = ml_dtypes.bfloat16 if bits == "bfloat16" else np.float16
    short = np.zeros((), dtype)
    for p in q:
        short = (short + p.astype(dtype)).astype(dtype)
    assert abs(float(short) - 1) > bounds.filters.running_share(row, 0.5, "float32")[0]


def test_frequency_penalties_added_up_one_by_one() -> None:
    rng = np.random.default_rng(2)
    row, counts = (rng.standard_normal(400) * 5).astype(f32), rng.integers(0, 60, 400)
    each = f32(0.3)
    allowed = bounds.frequency_penalty(row, counts, float(each), "float32")
    due = row.astype(np.float64) - float(each) * counts
    added, taken = np.zeros(400, f32), row.copy()
    for i in range(60):
        added, taken = np.where(i < counts, added + each, added), np.where(i < counts, taken - each, taken)
    for result in (row - each * counts.astype(f32), row - added, taken):
        assert (np.abs(result - due) <= allowed).all()
    assert (allowed[counts == 0] == 0).all()


def test_a_mean_of_log_probabilities() -> None:
    rng = np.random.default_rng(3)
    rows, ids = (rng.standard_normal((33, 257)) * 4).astype(f32), rng.integers(0, 257, 33)
    counted = np.arange(33) % 3 > 0
    allowed = bounds.cross_entropy(rows, ids, counted, "float32")
    due = np.mean([exact(row)[1][token] for row, token in zip(rows[counted], ids[counted], strict=True)])
    x = rows - rows.max(axis=1, keepdims=True)
    scores = np.log(np.exp(x).sum(axis=1, dtype=f32)) - x[np.arange(33), ids]
    assert abs(float(np.cumsum(scores[counted], dtype=f32)[-1] / f32(counted.sum())) - due) <= allowed
    assert abs(float(scores.mean()) - due) > allowed  # the mean of all is another number

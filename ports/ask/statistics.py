"""An exact G-test of counts against a distribution, and its power against another one.

The statistic is `sum o ln(o / (n p))`, half of G. Its distribution is computed, not approximated: class by class, the
sum of the terms `o ln(o / (n p)) - o + n p`, none of them negative, over a grid on which each is rounded to the safe
side, up for the level and down for the power. Poisson counts given their sum are multinomial, so the classes combine
by convolution.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import stats

CLASSES = 7  # that tokens are counted in
LARGEST, BINS = 64.0, 1600  # the grid: beyond exp(-64) the level is not split
Distribution = tuple[float, ...]


@lru_cache(maxsize=4096)
def _survival(n: int, due: Distribution, actual: Distribution, up: bool) -> np.ndarray:
    """P(statistic >= grid[i]) for n draws from `actual`, with a bound on the grid's rounding: `(BINS + 1,)`."""
    counts = np.arange(n + 1)
    mass = np.zeros((n + 1, BINS))  # by number of draws so far, and by the sum of the terms
    mass[0, 0] = 1.0
    for p, q in zip(due, actual, strict=True):
        terms = counts * np.log(np.maximum(counts, 1) / (n * p)) - counts + n * p
        places = terms * (BINS / LARGEST)
        shifts = (np.ceil(places) if up else np.floor(places)).astype(int).clip(0)
        weights = stats.poisson.pmf(counts, n * q)
        combined = np.zeros_like(mass)
        for count in range(n + 1):
            shift = shifts[count]
            if weights[count] > 0 and shift < BINS:
                combined[count:, shift:] += weights[count] * mass[: n + 1 - count, : BINS - shift]
        mass = combined
    below = np.concatenate([[0.0], np.cumsum(mass[n])]) / stats.poisson.pmf(n, n)
    return np.clip(1.0 - below, 0.0, 1.0)


def _classes(due: np.ndarray) -> np.ndarray:
    """The class of each token, -1 for never: neighbours by rank, of about the same probability together.

    What rules change, they change by rank: they cut the end, or shift weight towards it.
    """
    order = np.argsort(-due, kind="stable")
    middles = np.empty(len(due))
    middles[order] = np.cumsum(due[order]) - due[order] / 2
    classes = np.where(due > 0, np.minimum((middles * CLASSES).astype(int), CLASSES - 1), -1)
    present = np.unique(classes[classes >= 0])
    return np.where(classes >= 0, np.searchsorted(present, classes), -1)


def _pooled(values: np.ndarray, classes: np.ndarray) -> Distribution:
    return tuple(float(values[classes == c].sum()) for c in range(classes.max() + 1))


def p_value(counts: np.ndarray, due: np.ndarray) -> float:
    """The probability of counts at least as far from `due` as these: `(N,), (N,) -> 1`. 0 if one cannot be.

    >>> round(p_value(np.array([10, 0]), np.array([0.5, 0.5])), 6)  # 2 / 1024
    0.001953
    """
    n = int(counts.sum())
    if n == 0:
        return 1.0
    if counts[due <= 0].any():
        return 0.0
    classes = _classes(due)
    expected, observed = _pooled(due, classes), _pooled(counts, classes)
    if len(expected) == 1:
        return 1.0
    statistic = sum(o * math.log(o / (n * p)) for o, p in zip(observed, expected, strict=True) if o > 0)
    place = min(max(math.floor((statistic - 1e-9) * BINS / LARGEST), 0), BINS)
    return float(_survival(n, expected, expected, up=True)[place])


def power(n: int, due: np.ndarray, actual: np.ndarray, level: float) -> float:
    """How probably n draws from `actual` are rejected as draws from `due` at this level, or a little more.

    `(N,), (N,) -> 1`. Draws from what `due` cannot give are rejected at once.

    >>> power(30, np.array([1.0, 0.0]), np.array([0.5, 0.5]), 1e-6) == 1 - 0.5**30
    True
    """
    classes = _classes(due)
    impossible = float(actual[classes < 0].sum())
    unseen = (1.0 - impossible) ** n  # nothing impossible is drawn
    expected = _pooled(due, classes)
    if n == 0 or len(expected) == 1 or unseen == 0:
        return 1.0 - unseen
    possible = np.where(classes >= 0, actual, 0.0)
    reached = np.flatnonzero(_survival(n, expected, expected, up=True) <= level)
    if not len(reached):
        return 1.0 - unseen
    given = _pooled(possible / possible.sum(), classes)
    critical = min(int(reached[0]) + 1, BINS)  # the statistic is looked up at the grid's point below it
    return 1.0 - unseen * (1.0 - float(_survival(n, expected, given, up=False)[critical]))

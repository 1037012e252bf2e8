"""When draws reject a prediction, and how probably they would have if another one held."""

import math
from itertools import pairwise

import numpy as np
from scipy import stats

from . import statistics
from .predict import Prediction, tempered
from .row import Row

LEVEL, TESTS = 1e-6, 20  # of all tests together, and how many there are at most
EACH = LEVEL / TESTS
_PARTS = 6  # of the range in which a share can lie


def p_value(counts: np.ndarray, due: Prediction) -> float:
    """How probably counts are at least as far from `due` as these.

    Where the share of the tokens that are not known is an upper bound, two tests: whether they are too many, and
    whether the known ones are in proportion.
    """
    if due.exact:
        return statistics.p_value(counts, due.probs)
    many = float(stats.binom.sf(counts[-1] - 1, counts.sum(), due.probs[-1]))
    return min(2 * min(many, statistics.p_value(counts[:-1], due.probs[:-1] / due.probs[:-1].sum())), 1.0)


def power(n: int, due: Prediction, actual: Prediction) -> float:
    """How probably n draws by `actual` are rejected as draws by `due`, at least."""
    if due.exact:
        return statistics.power(n, due.probs, actual.probs, EACH)
    known = _told_by_known(n, due.probs, actual.probs)
    return max(known, _told_by_others(n, due.probs, actual.probs)) if actual.exact else known


def _told_by_known(n: int, due: np.ndarray, actual: np.ndarray) -> float:
    """By the known tokens alone; the share of the others is at most that of `actual`."""
    known = 1 - actual[-1]
    least = int(stats.binom.ppf(EACH, n, known))  # of n draws, so many are of known tokens, nearly always
    return statistics.power(least, due[:-1] / due[:-1].sum(), actual[:-1] / known, EACH / 2) - EACH


def _told_by_others(n: int, due: np.ndarray, actual: np.ndarray) -> float:
    """By how many others there are; their share is at least that of `actual`."""
    return float(stats.binom.sf(stats.binom.isf(EACH / 2, n, due[-1]), n, actual[-1]))


def closest_temperatures(row: Row, temperature: float, n: int) -> tuple[str, float]:
    """The closest temperatures that would be told from this one with a probability of 0.99."""
    found = []
    for limit in (0.1, 10.0):
        near, far = 1.0, limit
        for _ in range(7):
            middle = float(np.sqrt(near * far))
            near, far = (near, middle) if _told(row, n, temperature, temperature * middle) >= 0.99 else (middle, far)
        if far != limit:
            hundredths = temperature * far * 100  # rounded away from the temperature
            near_by = (
                f"below {math.floor(hundredths) / 100:g}" if limit < 1 else f"above {math.ceil(hundredths) / 100:g}"
            )
            found.append(near_by)
    return f"temperature {' or '.join(found)}" if found else "", 0.99


def _told(row: Row, n: int, due: float, actual: float) -> float:
    """How probably n draws at a temperature are rejected as draws at another, at least.

    At 1, the share of the tokens that are not known is known. Below, it is at most, and above at least, that of
    `tempered`, which is also the closest to the share at 1. Between two shares, more known tokens are drawn than at the
    larger one, and more others than at the smaller one.
    """
    expected, drawn = tempered(row, due), tempered(row, actual)
    if due == 1:
        return statistics.power(n, expected, drawn, EACH)
    others = _told_by_others(n, expected, drawn)
    if actual > 1:
        return others
    if actual == 1:
        return max(others, _told_by_known(n, expected, drawn))
    known = drawn[:-1] / drawn[:-1].sum()
    shares = [np.append(known * (1 - share), share) for share in np.linspace(0, drawn[-1], _PARTS + 1)]
    return min(
        max(_told_by_others(n, expected, less), _told_by_known(n, expected, more)) for less, more in pairwise(shares)
    )

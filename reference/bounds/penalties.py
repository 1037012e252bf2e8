"""Bounds of penalties, where more than one rounding is allowed."""

from typing import Any

import numpy as np

from .arithmetic import gamma, smallest_normal, unit_roundoff


def frequency_penalty(logits: Any, counts: Any, penalty: float, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Error of `x - a c` from logits off by `error`: `(..., V), (..., V) -> (..., V)`  [PENALTY-3].

    `a c` is a product, rounded once, or c equal numbers that are added up one by one: `gamma_c |a| c`. So is x, if they
    are taken from it one by one: then each of c subtractions rounds a number of at most `|x| + |a| c`. a is rounded to
    the dtype first. A token that did not occur keeps its bits, and so does a masked one.
    """
    x, c = np.asarray(logits, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    alive = np.isfinite(x)
    u = unit_roundoff(dtype)
    size = np.where(alive, np.abs(x), 0.0) + abs(penalty) * c + error
    with np.errstate(divide="ignore"):
        steps = np.where((c + 1) * u < 1, (c + 1) * u / np.abs(1 - (c + 1) * u), np.inf)
    exact = (c == 0) | ~alive
    return np.where(exact, np.where(alive, error, 0.0), error + steps * size + smallest_normal(dtype))


def rounded_once(values: Any, dtype: str, error: Any = 0.0) -> np.ndarray:
    """Error of a result that is rounded once, if it was off by `error` before: `error + u (|x| + error)`."""
    x = np.asarray(values, dtype=np.float64)
    alive = np.isfinite(x)
    grown = error + gamma(1, dtype) * (np.where(alive, np.abs(x), 0.0) + error) + smallest_normal(dtype)
    return np.where(alive, grown, 0.0)

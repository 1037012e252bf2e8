"""The race `p / E` in exact arithmetic, and every order of arrival that conforms (DRAW-1)."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, product
from typing import Any

import numpy as np

from reference import bounds

from . import exact
from .build import Answer, ids

MOST = 12  # alternatives of one row


class Race:
    """One row: exact race values, and which token may come before which."""

    def __init__(self, probs: list[float], noise: list[float], dtype: str) -> None:
        p, e = exact.fractions(probs), exact.fractions(noise)
        self.inputs = list(zip(p, e, strict=True))
        self.possible = [i for i, x in enumerate(p) if x > 0]
        self.values: dict[int, Any] = {i: p[i] / abs(e[i]) if e[i] else math.inf for i in self.possible}
        self.computed = {i: exact.rounded(x, dtype) if x < math.inf else math.inf for i, x in self.values.items()}
        self.u, self.smallest = Fraction(bounds.unit_roundoff(dtype)), Fraction(bounds.smallest_normal(dtype))

    def may_precede(self, a: int, b: int) -> bool:
        """Whether a correct race may have `a` before `b`."""
        x, y = self.values[a], self.values[b]
        if self.inputs[a] == self.inputs[b]:  # the same division twice: equal, however it is rounded
            return a < b
        if self.computed[a] == x and self.computed[b] == y:  # nothing is rounded: no coin to flip
            return bool((-x, a) < (-y, b))
        if self.computed[a] == self.computed[b] == math.inf:  # overflown in this dtype, perhaps not in a longer one
            return True
        return bool(x >= y or (y < math.inf and y - x <= self.u * (x + y) + 2 * self.smallest))

    def order(self) -> list[int]:
        """As computed in the dtype: the first of equal values is the lowest id."""
        return sorted(self.possible, key=lambda i: (-self.computed[i], -self.values[i], i))

    def orders(self, n: int, drawn: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
        """Every order of arrival of the first n that conforms."""
        if len(drawn) == n:
            yield drawn
            return
        left = [i for i in self.possible if i not in drawn]
        for i in left:
            if all(j == i or self.may_precede(i, j) for j in left):
                yield from self.orders(n, (*drawn, i))


def answers(probs: np.ndarray, num_samples: int, noise: np.ndarray | None = None, seed: str = "") -> list[Answer]:
    """The order of arrival by exact quotients; others where two are closer than their bounds."""
    dtype = exact.compute_dtype(probs)
    if noise is None:
        noise = np.array(exact.Stream(int(seed)).exponential(probs.size, dtype, 1)).reshape(probs.shape)
    races = [Race(p, e, dtype) for p, e in zip(exact.rows(probs), exact.rows(noise), strict=True)]
    expected = tuple(tuple(race.order()[:num_samples]) for race in races)
    allowed = [list(islice(race.orders(num_samples), MOST)) for race in races]
    if any(row not in orders or len(orders) == MOST for row, orders in zip(expected, allowed, strict=True)):
        raise ValueError(f"a race has too many outcomes that conform: {allowed}")
    others = [drawn for drawn in product(*allowed) if drawn != expected]
    return [Answer({"token_ids": ids(drawn, (*probs.shape[:-1], num_samples))}) for drawn in (expected, *others)]

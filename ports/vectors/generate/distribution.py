"""A row of logits in exact arithmetic: its softmax to 400 bits, and what of a decision on it rounding may change.

A filter compares a number that rounds with a parameter. So each decision here has one outcome, or two where the number
is closer to the parameter than a correct implementation may be off. That distance is taken far wider than the bounds of
the rules: a vector with one right answer is to be fair to everyone. Per token it is `margin * (1 + |z - max|)` in the
exponent, with a margin of 1e-4 in float32 and 1e-11 in float64, or more for a long row. Of 2**m equal logits it is 0:
their probabilities are powers of two, and nothing rounds.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

import mpmath

from .exact import rounded

MP = mpmath.MPContext()  # a context of its own: precision is global in mpmath
MP.prec = 400
_MARGIN = {"float32": 1e-4, "float64": 1e-11}
_UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
_SMALLEST = {"float32": -126, "float64": -1022}


def number(value: Any) -> Any:
    """A number of mpmath."""
    value = Fraction(value)
    return MP.mpf(value.numerator) / value.denominator


def holds(dtype: str, value: float) -> bool:
    """Whether the dtype has this number, so that a parameter is not rounded."""
    return rounded(Fraction(value), dtype) == value


class Row:
    """The unmasked logits of a row, by id. `error` is what steps before have left each of them off by."""

    def __init__(self, logits: Sequence[Any], dtype: str, error: Mapping[int, float] | None = None) -> None:
        self.logits = {i: Fraction(x) for i, x in enumerate(logits) if x != -math.inf}
        self.dtype = dtype
        self._error = error or {}

    @cached_property
    def ranked(self) -> list[int]:
        """Ids by logit descending, then by id."""
        return sorted(self.logits, key=lambda i: (-self.logits[i], i))

    @cached_property
    def groups(self) -> list[list[int]]:
        """Ids of equal logits together, the largest first."""
        found: dict[Fraction, list[int]] = {}
        for i in self.ranked:
            found.setdefault(self.logits[i], []).append(i)
        return list(found.values())

    @cached_property
    def x(self) -> dict[int, Any]:
        """`z - max`."""
        highest = self.logits[self.ranked[0]]
        return {i: number(z - highest) for i, z in self.logits.items()}

    @cached_property
    def q(self) -> dict[int, Any]:
        """The softmax."""
        weights = {i: MP.exp(x) for i, x in self.x.items()}
        total = MP.fsum(weights.values())
        return {i: w / total for i, w in weights.items()}

    @cached_property
    def surprise(self) -> dict[int, Any]:
        """`-ln q`."""
        log_total = MP.log(MP.fsum(MP.exp(x) for x in self.x.values()))
        return {i: log_total - x for i, x in self.x.items()}

    @cached_property
    def entropy(self) -> Any:
        """`-sum q ln q`."""
        return MP.fsum(self.q[i] * self.surprise[i] for i in self.q)

    @cached_property
    def is_exact(self) -> bool:
        """2**m equal logits: probabilities and their sums are exact in every dtype."""
        n = len(self.logits)
        return len(self.groups) == 1 and n & (n - 1) == 0 and not any(self._error.values())

    # What each number may be off by

    @cached_property
    def margin(self) -> float:
        """Of one number that is near 1."""
        return max(_MARGIN[self.dtype], 8 * _UNIT[self.dtype] * (len(self.logits) + 16))

    @cached_property
    def _smallest(self) -> Any:
        """What underflows: in all, far less than any parameter here."""
        return MP.ldexp(MP.mpf(4 * len(self.logits)), _SMALLEST[self.dtype])

    @cached_property
    def off(self) -> dict[int, Any]:
        """A weight, relatively."""
        worst = max(self._error.values(), default=0.0)
        return {i: self.margin * (1 + abs(x)) + 4 * (self._error.get(i, 0.0) + worst) for i, x in self.x.items()}

    @cached_property
    def off_total(self) -> Any:
        """The sum of the weights, relatively."""
        return MP.fsum(self.q[i] * self.off[i] for i in self.q) + self._smallest

    @cached_property
    def off_entropy(self) -> Any:
        """The entropy, and any part of it."""
        terms = (self.q[i] * (self.off[i] + self.off_total) * (1 + self.surprise[i]) for i in self.q)
        return 2 * MP.fsum(terms) + self._smallest

    # Decisions: the exact outcome first, then the other one if rounding may reach it

    def at_least(self, value: Any, least: Any, off: Any, strict: bool = False) -> tuple[bool, ...]:
        """`value >= least`, or `>` where strict."""
        true = bool(value > least if strict else value >= least)
        return (true,) if off == 0 or abs(value - least) > off else (true, not true)

    def ends(self, order: Sequence[Sequence[int]], share: float, until: str) -> list[int]:
        """The places in an order of groups at which the running sum of q may be found to have that share."""
        off = 0 if self.is_exact and holds(self.dtype, share) else 3 * self.off_total + self.margin * share
        running, places, exact = MP.mpf(0), list[int](), -1
        for place, group in enumerate(order):
            running += MP.fsum(self.q[i] for i in group)
            enough = self.at_least(running, number(share), off, until == "exceeded")
            if place == len(order) - 1:
                enough = (True,)
            if enough[0] and exact < 0:
                exact = place
            if True in enough:
                places.append(place)
            if False not in enough:
                break
        return [exact, *(place for place in places if place != exact)]

    def reaching(self, scores: Mapping[int, Any], least: Any, off: Mapping[int, Any]) -> list[list[int]]:
        """The ids whose score is at least that, where scores have the order of the logits; it may be none."""
        counts, exact = [0], 0
        for count, (first, *_) in enumerate(self.groups, 1):
            found = self.at_least(scores[first], least, off[first])
            if found == (True,):
                counts = [count]
            elif True in found:
                counts.append(count)
            if found[0]:
                exact = count
        return [[i for group in self.groups[:count] for i in group] for count in _first(exact, counts)]

    def probable(self, cutoff: Any, more: Any = 0) -> list[list[int]]:
        """The ids with `q >= cutoff`, a number that is itself off by `more`; it may be none."""
        if self.is_exact and not more and holds(self.dtype, cutoff):
            off = dict.fromkeys(self.q, MP.mpf(0))
        else:
            off = {i: q * (self.off[i] + 2 * self.off_total) + self.margin * cutoff + more for i, q in self.q.items()}
        return self.reaching(self.q, cutoff if isinstance(cutoff, MP.mpf) else number(cutoff), off)

    def require_order(self, keys: Mapping[int, Any], off: Mapping[int, Any], order: Sequence[Sequence[int]]) -> None:
        """Raises where two groups next to each other in an order may change places by rounding."""
        for (a, *_), (b, *_) in pairwise(order):
            if abs(keys[a] - keys[b]) <= off[a] + off[b]:
                raise ValueError(f"rounding decides which of tokens {a} and {b} comes first: no case for a vector")

    def require_gap(self, kept: Sequence[int]) -> list[int]:
        """The ids; raises where the least that stays and the largest that falls differ, but by next to nothing."""
        fall = [i for i in self.ranked if i not in set(kept)]
        if fall and self.logits[fall[0]] != self.logits[kept[-1]]:
            self.require_order(self.x, self.off, [[kept[-1]], [fall[0]]])
        return list(kept)


def _first(exact: int, counts: Sequence[int]) -> Iterator[int]:
    """The exact one, then the others."""
    yield exact
    yield from (count for count in counts if count != exact)

"""What a filter may keep of one row: decided by numbers that round, so rounding may decide a token near the border."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MANY = 64  # more ways to cut a row than that are not tried one by one


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Every token of `sure` stays, none outside of `possible` does, and `key` says which of those between them may.

    `key` `(V,)` ranks the tokens, the largest first: what stays is always the first of the ranking. Of equal keys all
    stay or none (`ties="all"`), or those of the lowest ids ("lowest_id"), or whichever ("any"). Without a ranking any
    token between may stay; yet tokens with equal logits, `same`, have one fate.
    """

    sure: np.ndarray
    possible: np.ndarray
    key: np.ndarray | None = None
    ties: str = "all"
    same: np.ndarray | None = None

    def allows(self, kept: np.ndarray) -> bool:
        """Whether some correct implementation keeps these tokens."""
        if not kept.any():
            return False
        if self.key is not None and self.ties != "all":
            count = int(kept.sum())
            first = _ranked(self.key)[:count]
            as_many = self.sure.sum() <= count <= self.possible.sum()
            if self.ties == "any":
                return bool(as_many) and np.array_equal(np.sort(self.key[kept]), np.sort(self.key[first]))
            return bool(as_many and kept[first].all())
        if (kept & ~self.possible).any() or (self.sure & ~kept).any():
            return False
        if self.key is not None:
            return not (~kept).any() or self.key[kept].min() > self.key[~kept].max()
        return self.same is None or not np.isin(self.same[kept], self.same[~kept & (self.same > -np.inf)]).any()

    def choices(self) -> Iterator[np.ndarray]:
        """Everything that it allows, each once, but for which of the tied stay under "any"; MANY if it is too much."""
        free = np.flatnonzero(self.possible & ~self.sure)
        if not len(free):
            yield self.possible
            return
        if self.key is not None:
            ranked = _ranked(self.key)
            for count in range(max(1, int(self.sure.sum())), int(self.possible.sum()) + 1)[:MANY]:
                kept = np.zeros(len(self.sure), bool)
                kept[ranked[:count]] = True
                if self.ties != "all" or self.allows(kept):
                    yield kept
            return
        kinds = [free[self.same[free] == one] for one in np.unique(self.same[free])] if self.same is not None else free
        if 2 ** len(kinds) >= MANY:
            yield from [self.possible] * MANY
            return
        for number in range(2 ** len(kinds)):
            kept = self.sure.copy()
            for place, ids in enumerate(kinds):
                kept[ids] = bool(number >> place & 1)
            if self.allows(kept):
                yield kept


def _ranked(key: np.ndarray) -> np.ndarray:
    """Ids, the largest key first, of equal ones the lowest id."""
    ids: np.ndarray = np.argsort(-key, kind="stable")
    return ids


def reaching(key: np.ndarray, scores: np.ndarray, least: float, band: np.ndarray) -> Cut:
    """What scores at least `least`; scores within `band` of it may count as either. `key` has the order of the scores.

    Where the band is 0 for a score, that one is exact.
    """
    alive = key > -np.inf
    return Cut(sure=alive & (scores - band >= least), possible=alive & (scores + band >= least), key=key)


def first_of(key: np.ndarray, shares: np.ndarray, enough: float, band: float, strict: bool, ties: str) -> Cut:
    """The first by `key`, up to where the running sum of `shares` is enough; sums within `band` of it may be either."""
    ranked = _ranked(key)
    running = np.cumsum(shares[ranked])
    n = int((key > -np.inf).sum())

    def count(least: float) -> int:
        short = running[: n - 1] <= least if strict else running[: n - 1] < least
        return 1 + int(np.count_nonzero(short))

    fewest, most = count(enough - band), count(enough + band)
    sure, possible = np.zeros(len(key), bool), np.zeros(len(key), bool)
    sure[ranked[:fewest]] = possible[ranked[:most]] = True
    if ties == "all":
        sure, possible = key >= key[ranked[fewest - 1]], key >= key[ranked[most - 1]]
    return Cut(sure=sure, possible=possible, key=key, ties=ties)


def near(key: np.ndarray, off: np.ndarray, shares: np.ndarray, enough: float, band: float, strict: bool = False) -> Cut:
    """As `first_of` where keys, too, are off by up to `off`, so that the order is not sure; the smallest key is first.

    A token stays where what comes before it is not enough, or where it is as near as the last one. It surely stays if
    all that may come before it, and all that may be as near, is not enough; it falls if what surely comes before is.
    """
    alive = np.isfinite(key)
    low, high = np.where(alive, key - off, np.inf), np.where(alive, key + off, np.inf)
    before = _sum_below(high, shares, low)  # those that are nearer whatever the rounding
    maybe = _sum_below(low, shares, np.nextafter(high, np.inf)) - shares
    sure = maybe + band <= enough if strict else maybe + band < enough
    possible = before - band <= enough if strict else before - band < enough
    return Cut(sure=alive & sure, possible=alive & possible)


def _sum_below(keys: np.ndarray, shares: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """For each limit the sum of the shares whose key is below it."""
    order = np.argsort(keys, kind="stable")
    running = np.concatenate([[0.0], np.cumsum(shares[order])])
    total: np.ndarray = running[np.searchsorted(keys[order], limits, side="left")]
    return total

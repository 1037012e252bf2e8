"""Judges filters: the survivors' bits are exact, and the set of survivors is one that rounding may leave.

A filter compares rounded numbers with a parameter. `cut_of` says which tokens every correct implementation keeps, and
which none does (`reference.bounds.filters`). A set in between is a TIE_BREAK.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import bounds
from reference.operations import OPERATIONS, STEPS

from .cuts import Cut, first_of, near, reaching
from .words import Verdict, Word, diverged, same_bits

# The rule that an argument stands for, where it is not at its default.
_RULE_OF = {"until": "FILTER-3", "ties": "FILTER-3"}


def _softmax(z: np.ndarray) -> np.ndarray:
    weights = np.exp(z - z.max())
    return weights / weights.sum()


# For each filter two functions: how far off what it compares may be, for all rows, and what it may keep of one row.


def _top_p_band(z: np.ndarray, dtype: str, error: Any, p: float, **_: Any) -> np.ndarray:
    return bounds.filters.running_share(z, p, dtype, error)


def _top_p(z: np.ndarray, band: np.ndarray, error: Any, p: float, until: str, ties: str) -> Cut:
    alive = z > -np.inf
    if p == 1:
        return Cut(sure=alive, possible=alive, key=z)
    if np.any(error):
        return near(np.where(alive, -z, np.inf), error, _softmax(z), p, float(band[0]), until == "exceeded")
    return first_of(z, _softmax(z), p, float(band[0]), until == "exceeded", ties)


def _min_p_band(z: np.ndarray, dtype: str, error: Any, p: float) -> np.ndarray:
    return bounds.filters.weight(z, p, dtype, error)


def _min_p(z: np.ndarray, band: np.ndarray, error: Any, p: float) -> Cut:
    alive = z > -np.inf
    return Cut(sure=alive, possible=alive, key=z) if p == 0 else reaching(z, np.exp(z - z.max()), p, band)


def _surprise(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """q, `-ln q` and the entropy."""
    q, x = _softmax(z), z - z.max()
    surprise = np.log(np.exp(x).sum()) - x
    return q, surprise, float(np.sum(q * np.where(z > -np.inf, surprise, 0)))


def _typical_band(z: np.ndarray, dtype: str, error: Any, mass: float) -> np.ndarray:
    """Of each distance; and in the last place, of the sum."""
    of_sum = bounds.filters.running_share(z, mass, dtype, error)
    return np.concatenate([bounds.filters.distance(z, dtype, error), of_sum], axis=-1)


def _typical(z: np.ndarray, band: np.ndarray, error: Any, mass: float) -> Cut:
    q, surprise, entropy = _surprise(z)
    found = near(np.abs(surprise - entropy), band[:-1], q, mass, float(band[-1]))
    return Cut(sure=found.sure, possible=found.possible, same=None if np.any(error) else z)


def _epsilon_band(z: np.ndarray, dtype: str, error: Any, cutoff: float) -> np.ndarray:
    return bounds.filters.probability(z, cutoff, dtype, error)


def _epsilon(z: np.ndarray, band: np.ndarray, error: Any, cutoff: float) -> Cut:
    return _and_the_largest(reaching(z, _softmax(z), cutoff, band), z, error)


def _eta_band(z: np.ndarray, dtype: str, error: Any, cutoff: float) -> np.ndarray:
    return bounds.filters.probability(z, cutoff, dtype, error) + bounds.filters.eta(z, cutoff, dtype, error)


def _eta(z: np.ndarray, band: np.ndarray, error: Any, cutoff: float) -> Cut:
    q, _, entropy = _surprise(z)
    return _and_the_largest(reaching(z, q, min(cutoff, np.sqrt(cutoff) * np.exp(-entropy)), band), z, error)


def _and_the_largest(cut: Cut, z: np.ndarray, error: Any) -> Cut:
    """The same cut, but that the largest logit stays in any case; with an error, whichever is the largest."""
    first = z == z.max()
    return Cut(
        sure=cut.sure | (first & (not np.any(error))),
        possible=cut.possible | (z + error >= (z - error).max()),
        key=None if np.any(error) else z,
    )


def _top_h_band(z: np.ndarray, dtype: str, error: Any, h: float, **_: Any) -> np.ndarray:
    """Of the 100 largest alone."""
    ranked = np.argsort(-z, axis=-1, kind="stable")[..., :100]
    off = np.take_along_axis(error, ranked, axis=-1) if np.ndim(error) else error
    return bounds.filters.running_entropy(np.take_along_axis(z, ranked, axis=-1), h, dtype, off)


def _top_h(z: np.ndarray, band: np.ndarray, error: Any, h: float, ties: str = "lowest_id") -> Cut:
    ranked = np.argsort(-z, kind="stable")[:100]
    r, surprise, whole = _surprise(z[ranked])
    running = np.cumsum(np.where(r > 0, r * np.where(np.isfinite(surprise), surprise, 0), 0))
    sure, possible = np.zeros(len(z), bool), np.zeros(len(z), bool)
    sure[ranked], possible[ranked] = running <= h * whole - band, running <= h * whole + band
    sure[ranked[0]] = possible[ranked[0]] = True
    alive = z > -np.inf
    if np.any(error):  # which are the 100 largest, and which of them is the first, is not sure
        close = z + error >= (z - error)[ranked[-1]]
        return Cut(sure=np.zeros(len(z), bool), possible=(possible | close) & alive)
    return Cut(sure=sure & alive, possible=possible & alive, key=z, ties=ties)


def _top_n_sigma_band(z: np.ndarray, dtype: str, error: Any, n: float) -> np.ndarray:
    return bounds.filters.threshold(z, n, dtype, error)


def _top_n_sigma(z: np.ndarray, band: np.ndarray, error: Any, n: float) -> Cut:
    alive = z > -np.inf
    size = max(1.0, np.abs(z[alive]).max())  # so that no square overflows
    least = z.max() - n * np.std(z[alive] / size) * size
    return _and_the_largest(reaching(z, z, least, band + np.where(z == z.max(), 0, error)), z, error)


def _xtc_band(z: np.ndarray, dtype: str, error: Any, threshold: float, **_: Any) -> np.ndarray:
    return bounds.filters.probability(z, threshold, dtype, error)


def _xtc(z: np.ndarray, band: np.ndarray, error: Any, threshold: float, probability: float, uniform: float) -> Cut:
    alive = z > -np.inf
    if not uniform < probability:
        return Cut(sure=alive, possible=alive, key=z)
    q = _softmax(z)
    surely, maybe = q - band >= threshold, q + band >= threshold
    # What falls is above the least of those that reach the threshold: the more reach it, the more fall.
    lowest = np.where(maybe & alive, z - error, np.inf).min()
    highest = np.where(surely & alive, z + error, np.inf).min()
    sure, possible = alive & (z + error <= lowest), alive & (z - error <= highest)
    return Cut(sure=sure, possible=possible, key=None if np.any(error) else np.where(alive, -z, -np.inf), same=z)


# Those of `keep_top_p` are `_top_p_band` and `_top_p`, and so on.
_FILTERS = [name for name in STEPS if OPERATIONS[name].family == "filters"]
_BANDS: dict[str, Callable[..., np.ndarray]] = {n: globals()[f"{n.removeprefix('keep')}_band"] for n in _FILTERS}
_CUTS: dict[str, Callable[..., Cut]] = {name: globals()[name.removeprefix("keep")] for name in _FILTERS}


def _band(operation: str, logits: np.ndarray, dtype: str, error: Any, given: dict[str, Any]) -> np.ndarray:
    """How far off what is compared may be in a computation in `dtype`, and the judge's in float64: `(..., V or 1)`."""
    both = [_BANDS[operation](logits, each, error, **given) for each in (dtype, "float64")]
    return np.asarray(both[0] + both[1])


def cut_of(operation: str, row: np.ndarray, dtype: str, error: Any = 0.0, **given: Any) -> Cut:
    """What this filter may keep of a row of logits that are off by at most `error`, computed in `dtype`."""
    z = np.asarray(row, dtype=np.float64)
    with np.errstate(all="ignore"):
        return _CUTS[operation](z, _band(operation, z, dtype, error, given), error, **given)


def _judge(operation: str) -> Callable[..., Verdict]:
    names = OPERATIONS[operation].arguments

    def judge(expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, **given: Any) -> Verdict:
        given = OPERATIONS[operation].defaults | given
        logits = np.asarray(logits)
        wide, of_all = (
            logits.astype(np.float64),
            {name: given[name] for name in given if name in names or name == "ties"},
        )
        word = Word.IDENTICAL
        with np.errstate(all="ignore"):
            bands = _band(operation, wide, dtype or expected.dtype.name, 0.0, of_all)
        for row in np.ndindex(logits.shape[:-1]):
            z, of_row = logits[row], dict(of_all)
            if "uniform" in of_row:
                of_row["uniform"] = float(np.asarray(given["uniform"])[row])
            with np.errstate(all="ignore"):
                cut = _CUTS[operation](wide[row], bands[row], 0.0, **of_row)
            for who, result in (("", actual[row]), ("the reference itself: ", expected[row])):
                kept = result > -np.inf
                rule, reason = "FILTER-1", ""
                if not kept.any():
                    reason = "no token is left"
                elif not same_bits(result, np.where(kept, z, -np.inf).astype(result.dtype)):
                    reason = "survivors or mask changed"
                elif not cut.allows(kept):
                    rule, reason = _rule(operation, of_row), "other survivors"
                if reason:
                    found, due = (np.flatnonzero(x[row] > -np.inf) for x in (actual, expected))
                    inputs = {"logits": z, **of_row}
                    return diverged(rule, who + reason, place=row, actual=found, expected=due, inputs=inputs)
            if not np.array_equal(actual[row], expected[row]):
                word = Word.TIE_BREAK
        return Verdict(word=word)

    judge.__doc__ = f"`{operation}`: survivors keep their bits, and rounding may decide only what is within its bound."
    return judge


def _rule(operation: str, given: dict[str, Any]) -> str:
    other = [
        _RULE_OF[name]
        for name, usual in OPERATIONS[operation].defaults.items()
        if name in _RULE_OF and given[name] != usual
    ]
    rules = OPERATIONS[operation].rules
    return next((rule for rule in other if rule in rules), OPERATIONS[operation].rule)


JUDGES = {name: _judge(name) for name in _CUTS}


def greedy(expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, error: Any = 0.0) -> Verdict:
    """The lowest id of the largest logit; a TIE_BREAK only where the gap is within the `error` of the logits."""
    logits = np.asarray(logits)
    off = np.broadcast_to(np.asarray(error, dtype=np.float64), logits.shape)
    word = Word.IDENTICAL
    for row in np.ndindex(logits.shape[:-1]):
        token, due, z = int(actual[row]), int(expected[row]), logits[row].astype(np.float64)
        best = int(np.argmax(z))
        inputs = {"logits": logits[row]}
        if due != best:
            return diverged("FILTER-10", "the reference itself is wrong", place=row, actual=token, expected=best)
        if token == best:
            continue
        if not 0 <= token < len(z):
            reason = "a token id outside the vocabulary"
            return diverged("FILTER-10", reason, place=row, actual=token, expected=best, inputs=inputs)
        gap = z[best] - z[token]
        if not gap <= off[row][best] + off[row][token] or not np.any(off[row]):
            reason = f"its logit is {gap:.3g} below the largest" if gap else "of equal logits not the lowest id"
            return diverged("FILTER-10", reason, place=row, actual=token, expected=best, inputs=inputs)
        word = Word.TIE_BREAK
    return Verdict(word=word)

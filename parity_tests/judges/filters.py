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


def _band(bound: Callable[..., np.ndarray], dtypes: tuple[str, ...], *given: Any, error: Any) -> Any:
    """The bound in all of these dtypes together: the implementation's, and float64 for the judge."""
    return sum(bound(*given, dtype=dtype, error=error) for dtype in dtypes)


def _top_p(z: np.ndarray, dtypes: tuple[str, ...], error: Any, p: float, until: str, ties: str) -> Cut:
    alive = z > -np.inf
    if p == 1:
        return Cut(sure=alive, possible=alive, key=z)
    band = float(_band(bounds.filters.running_share, dtypes, z, p, error=error)[0])
    if np.any(error):
        return near(np.where(alive, -z, np.inf), error, _softmax(z), p, band, until == "exceeded")
    return first_of(z, _softmax(z), p, band, until == "exceeded", ties)


def _min_p(z: np.ndarray, dtypes: tuple[str, ...], error: Any, p: float) -> Cut:
    alive = z > -np.inf
    if p == 0:
        return Cut(sure=alive, possible=alive, key=z)
    return reaching(z, np.exp(z - z.max()), p, _band(bounds.filters.weight, dtypes, z, p, error=error))


def _surprise(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """q, `-ln q` and the entropy."""
    q, x = _softmax(z), z - z.max()
    surprise = np.log(np.exp(x).sum()) - x
    return q, surprise, float(np.sum(q * np.where(z > -np.inf, surprise, 0)))


def _typical(z: np.ndarray, dtypes: tuple[str, ...], error: Any, mass: float) -> Cut:
    q, surprise, entropy = _surprise(z)
    off = _band(bounds.filters.distance, dtypes, z, error=error)
    band = float(_band(bounds.filters.running_share, dtypes, z, mass, error=error)[0])
    found = near(np.abs(surprise - entropy), off, q, mass, band)
    return Cut(sure=found.sure, possible=found.possible, same=None if np.any(error) else z)


def _epsilon(z: np.ndarray, dtypes: tuple[str, ...], error: Any, cutoff: float) -> Cut:
    band = _band(bounds.filters.probability, dtypes, z, cutoff, error=error)
    return _and_the_largest(reaching(z, _softmax(z), cutoff, band), z, error)


def _eta(z: np.ndarray, dtypes: tuple[str, ...], error: Any, cutoff: float) -> Cut:
    q, _, entropy = _surprise(z)
    least = min(cutoff, np.sqrt(cutoff) * np.exp(-entropy))
    band = _band(bounds.filters.probability, dtypes, z, cutoff, error=error)
    band = band + _band(bounds.filters.eta, dtypes, z, cutoff, error=error)
    return _and_the_largest(reaching(z, q, least, band), z, error)


def _and_the_largest(cut: Cut, z: np.ndarray, error: Any) -> Cut:
    """The same cut, but that the largest logit stays in any case; with an error, whichever is the largest."""
    first = z == z.max()
    return Cut(
        sure=cut.sure | (first & (not np.any(error))),
        possible=cut.possible | (z + error >= (z - error).max()),
        key=None if np.any(error) else z,
    )


def _top_h(z: np.ndarray, dtypes: tuple[str, ...], error: Any, h: float, ties: str = "lowest_id") -> Cut:
    ranked = np.argsort(-z, kind="stable")[:100]
    r, surprise, whole = _surprise(z[ranked])
    running = np.cumsum(np.where(r > 0, r * np.where(np.isfinite(surprise), surprise, 0), 0))
    band = float(
        _band(bounds.filters.running_entropy, dtypes, z[ranked], h, error=error[ranked] if np.ndim(error) else error)[0]
    )
    sure, possible = np.zeros(len(z), bool), np.zeros(len(z), bool)
    sure[ranked], possible[ranked] = running <= h * whole - band, running <= h * whole + band
    sure[ranked[0]] = possible[ranked[0]] = True
    alive = z > -np.inf
    if np.any(error):  # which are the 100 largest, and which of them is the first, is not sure
        close = z + error >= (z - error)[ranked[-1]]
        return Cut(sure=np.zeros(len(z), bool), possible=(possible | close) & alive)
    return Cut(sure=sure & alive, possible=possible & alive, key=z, ties=ties)


def _top_n_sigma(z: np.ndarray, dtypes: tuple[str, ...], error: Any, n: float) -> Cut:
    least = z.max() - n * np.std(z[z > -np.inf])
    band = float(_band(bounds.filters.threshold, dtypes, z, n, error=error)) + np.where(z == z.max(), 0, error)
    cut = reaching(z, z, least, np.broadcast_to(band, z.shape))
    return _and_the_largest(cut, z, error)


def _xtc(
    z: np.ndarray, dtypes: tuple[str, ...], error: Any, threshold: float, probability: float, uniform: float
) -> Cut:
    alive = z > -np.inf
    if not uniform < probability:
        return Cut(sure=alive, possible=alive, key=z)
    q, band = _softmax(z), _band(bounds.filters.probability, dtypes, z, threshold, error=error)
    surely, maybe = q - band >= threshold, q + band >= threshold
    # What falls is above the least of those that reach the threshold: the more reach it, the more fall.
    lowest = np.where(maybe & alive, z - error, np.inf).min()
    highest = np.where(surely & alive, z + error, np.inf).min()
    sure, possible = alive & (z + error <= lowest), alive & (z - error <= highest)
    return Cut(sure=sure, possible=possible, key=None if np.any(error) else np.where(alive, -z, -np.inf), same=z)


# The cut of `keep_top_p` is the function `_top_p`, and so on.
_CUTS: dict[str, Callable[..., Cut]] = {
    name: globals()[name.removeprefix("keep")] for name in STEPS if OPERATIONS[name].family == "filters"
}


def cut_of(operation: str, row: np.ndarray, dtypes: tuple[str, ...], error: Any = 0.0, **given: Any) -> Cut:
    """What this filter may keep of a row of logits that are off by at most `error`, computed in one of `dtypes`."""
    with np.errstate(all="ignore"):
        return _CUTS[operation](np.asarray(row, dtype=np.float64), dtypes, error, **given)


def _judge(operation: str) -> Callable[..., Verdict]:
    names = OPERATIONS[operation].arguments

    def judge(expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, logits: Any, **given: Any) -> Verdict:
        given = OPERATIONS[operation].defaults | given
        logits = np.asarray(logits)
        computed = (dtype or expected.dtype.name, "float64")
        word = Word.IDENTICAL
        for row in np.ndindex(logits.shape[:-1]):
            z = logits[row]
            of_row = {name: given[name] for name in given if name in names or name == "ties"}
            if "uniform" in of_row:
                of_row["uniform"] = float(np.asarray(given["uniform"])[row])
            cut = cut_of(operation, z, computed, **of_row)
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

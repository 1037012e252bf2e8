"""The two draws, judged on given randomness: the race on its noise, the walk on its uniform."""

from typing import Any

import numpy as np

from reference import bounds

from .elements import compute_dtype, exact_softmax
from .words import Verdict, Word


def multinomial(
    ours: np.ndarray,
    theirs: np.ndarray,
    dtype: str | None,
    *,
    probs: Any,
    noise: Any,
    error: Any = 0.0,
    num_samples: int = 1,
) -> Verdict:
    """Token ids drawn from the same noise. `error` is how far the probabilities themselves may be off."""
    probs, noise = np.asarray(probs), np.asarray(noise)
    dtype = dtype or compute_dtype(probs)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        race = np.where(probs > 0, np.abs(probs.astype(np.float64) / noise), -np.inf)
        race = np.where(np.isinf(race.astype(dtype)), race.astype(dtype), race)  # what overflows is equal (DRAW-4)
    bound = bounds.race(probs, noise, dtype, error) + bounds.race(probs, noise, "float64")
    identical = np.array_equal(ours, theirs)
    for row in np.ndindex(probs.shape[:-1]):
        for who, ids in (("theirs", theirs[row]), ("the reference's", ours[row])):
            fault = _race_fault(ids, race[row], bound[row], probs[row])
            if fault:
                rule, reason = fault
                case = {"probs": probs[row], "noise": noise[row]}
                return Verdict(
                    Word.DIVERGED, "multinomial", 0.0, rule, row, ours[row], theirs[row], f"{who}: {reason}", case
                )
    return Verdict(Word.IDENTICAL if identical else Word.TIE_BREAK, "multinomial")


def _race_fault(ids: np.ndarray, race: np.ndarray, bound: np.ndarray, probs: np.ndarray) -> tuple[str, str] | None:
    """Why `ids` cannot be the order of arrival of this race, or None."""
    if not ((ids >= 0) & (ids < len(race))).all():
        return "DRAW-2", "a token id outside the vocabulary"
    if len(set(ids.tolist())) != len(ids):
        return "DRAW-3", "a token drawn twice"
    if (probs[ids] <= 0).any():
        return "DRAW-2", "a token of probability zero"
    remaining = race.copy()
    for token in ids:
        best = int(np.argmax(remaining))
        with np.errstate(invalid="ignore"):
            behind = remaining[best] - race[token]
        if behind > bound[best] + bound[token]:
            return "DRAW-1", f"token {best} is ahead of {token} by more than the bound"
        remaining[token] = -np.inf
    return None


def inverse_cdf(
    ours: np.ndarray, theirs: np.ndarray, dtype: str | None, *, probs: Any, uniform: Any, error: Any = 0.0
) -> Verdict:
    """The id whose running sum first exceeds u * total, judged at the distance that rounding may move a running sum."""
    probs, uniform = np.asarray(probs), np.asarray(uniform, dtype=np.float64)
    bound = bounds.running_sum(probs, dtype or "float64", error)
    for row in np.ndindex(probs.shape[:-1]):
        p = probs[row].astype(np.float64)
        running = np.cumsum(p)
        target = float(uniform[row]) * running[-1]
        slack = bound[row]
        for who, token in (("theirs", int(theirs[row])), ("the reference's", int(ours[row]))):
            reason, rule = "", "CDF-1"
            if not 0 <= token < len(p):
                reason, rule = "a token id outside the vocabulary", "CDF-2"
            elif p[token] <= 0:
                reason, rule = "a token of probability zero", "CDF-2"
            elif not (running[token] > target - slack and running[token] - p[token] <= target + slack):
                reason = "the running sum does not cross u * total there"
            if reason:
                case = {"probs": probs[row], "uniform": float(uniform[row])}
                return Verdict(
                    Word.DIVERGED, "inverse_cdf", 0.0, rule, row, ours[row], theirs[row], f"{who}: {reason}", case
                )
    return Verdict(Word.IDENTICAL if np.array_equal(ours, theirs) else Word.TIE_BREAK, "inverse_cdf")


def judge_draw(
    context: np.ndarray, embedding: np.ndarray, noise: np.ndarray, token: int, temperature: float, k: int
) -> float:
    """How far `token` is behind the winner of this race, in units of the derived bound; at most 1 is a coin flip.

    Tokens too close to the cut to tell whether they survive may be in the race or not: `token` only has to beat those
    that surely are.
    """
    divisor = float(np.float32(temperature))
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    logits_error = bounds.logits(context, embedding, "float32", "float64")
    scaled, error = exact / divisor, bounds.temperature(exact, divisor, "float32", logits_error)
    cut = np.sort(scaled)[-min(k, len(scaled))]
    at_cut = error[scaled == cut].max()
    if scaled[token] < cut - error[token] - at_cut:
        return np.inf
    surely = scaled > cut + error + at_cut
    surely[token] = True
    kept = np.where(surely, scaled, -np.inf)
    probs = exact_softmax(kept)
    bound = bounds.race(probs, noise, "float32", bounds.softmax(kept, "float32", error))
    race = np.where(surely, probs / noise, -np.inf)
    winner = int(np.argmax(race))
    return float((race[winner] - race[token]) / (bound[winner] + bound[token]))

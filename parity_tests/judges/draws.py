"""Judges the two draws on given random numbers: the race on its noise, the walk on its uniform.

A draw turns numbers that carry a rounding error into a token. The token itself has no error: it is right or wrong. So
both judges ask the same question: is there any result of the arithmetic, within the derived bounds, for which this is
the token? If so, a token that differs from the reference's is a TIE_BREAK. Otherwise it is DIVERGED.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from reference import bounds
from weights_export.output_layer import finished

from .elements import compute_dtype, exact_softmax
from .words import Verdict, Word, diverged


def multinomial(
    expected: np.ndarray,
    actual: np.ndarray,
    dtype: str | None,
    *,
    probs: Any,
    noise: Any,
    error: Any = 0.0,
    num_samples: int = 1,
) -> Verdict:
    """Token ids drawn from the same noise. `error` is the error that the probabilities themselves may have."""
    probs, noise = np.asarray(probs), np.asarray(noise)
    dtype = dtype or compute_dtype(probs)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        race = np.where(probs > 0, np.abs(probs.astype(np.float64) / noise), -np.inf)
        # Race values that overflow in the dtype of the draw are equal there (DRAW-4). In float64 they would not
        # overflow, and would differ.
        race = np.where(np.isinf(race.astype(dtype)), race.astype(dtype), race)
    bound = bounds.race(probs, noise, dtype, error) + bounds.race(probs, noise, "float64")

    def fault(ids: np.ndarray, row: tuple[int, ...]) -> tuple[str, str] | None:
        same_noise = noise[row] if not np.any(error) else np.full_like(noise[row], np.nan)  # nan: nothing is the same
        return _race_fault(ids[row], race[row], bound[row], probs[row], same_noise)

    return _drawn(expected, actual, fault, {"probs": probs, "noise": noise})


def _drawn(
    expected: np.ndarray,
    actual: np.ndarray,
    fault: Callable[[np.ndarray, tuple[int, ...]], tuple[str, str] | None],
    inputs: dict[str, np.ndarray],
) -> Verdict:
    """The verdict on a draw. `fault(ids, row)` returns None, or the rule and the reason why the ids cannot be right.

    The reference's own ids are checked in the same way, so that an error of the reference is noticed too.
    """
    for row in np.ndindex(inputs["probs"].shape[:-1]):
        for prefix, ids in (("", actual), ("the reference itself: ", expected)):
            found = fault(ids, row)
            if found:
                at = {"place": row, "actual": actual[row], "expected": expected[row]}
                return diverged(
                    found[0], prefix + found[1], **at, inputs={name: value[row] for name, value in inputs.items()}
                )
    word = Word.IDENTICAL if np.array_equal(expected, actual) else Word.TIE_BREAK
    return Verdict(word=word)


def _race_fault(
    ids: np.ndarray, race: np.ndarray, bound: np.ndarray, probs: np.ndarray, noise: np.ndarray
) -> tuple[str, str] | None:
    """Why `ids` cannot be the tokens of this race in their order, or None.

    The race is run token by token. Each one must be the best of those that are left, or so close to the best that the
    two bounds together could have changed their order. Tokens with the same probability and noise divide the same
    numbers, so they are equal however that is rounded, and the lowest id comes first.
    """
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
        same = (probs == probs[token]) & (noise == noise[token]) & (remaining > -np.inf)
        if same[:token].any():
            return "DRAW-1", f"token {int(np.argmax(same))} has the same race value as {token}, and a lower id"
        remaining[token] = -np.inf
    return None


def inverse_cdf(
    expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, probs: Any, uniform: Any, error: Any = 0.0
) -> Verdict:
    """The first id whose running sum exceeds u * total, give or take the distance by which rounding may move a sum."""
    probs, uniform = np.asarray(probs), np.asarray(uniform, dtype=np.float64)
    slack = bounds.running_sum(probs, dtype or "float64", error)
    if uniform.size and not np.any(error):
        slack = np.where(_exact_walk(probs, uniform, dtype or "float64"), 0.0, slack)

    def fault(ids: np.ndarray, row: tuple[int, ...]) -> tuple[str, str] | None:
        return _walk_fault(int(ids[row]), probs[row].astype(np.float64), float(uniform[row]), float(slack[row]))

    return _drawn(expected, actual, fault, {"probs": probs, "uniform": uniform})


def _exact_walk(probs: np.ndarray, uniform: np.ndarray, dtype: str) -> np.ndarray:
    """Where neither the running sums nor the target round, as with whole numbers and a uniform of few digits."""
    rows = probs.reshape(uniform.size, probs.shape[-1])
    exact = bounds.never_rounds(np.ones(probs.shape[-1]), rows, dtype)
    totals = rows.astype(np.float64).sum(axis=-1)
    targets = zip(uniform.reshape(-1).tolist(), totals.tolist(), strict=True)
    quotients = [Fraction(u) * Fraction(total) == Fraction(u * total) for u, total in targets]
    return (exact & quotients).reshape(uniform.shape)


def _walk_fault(token: int, probs: np.ndarray, uniform: float, slack: float) -> tuple[str, str] | None:
    """Why the walk cannot end at `token`, or None."""
    if not 0 <= token < len(probs):
        return "CDF-2", "a token id outside the vocabulary"
    if probs[token] <= 0:
        return "CDF-2", "a token of probability zero"
    running = np.cumsum(probs)
    target = uniform * running[-1]
    # The walk ends at `token` if the running sum exceeds the target with it, but not yet without it. Rounding may move
    # either comparison by the slack.
    if running[token] > target - slack and running[token] - probs[token] <= target + slack:
        return None
    return "CDF-1", "the running sum does not cross u * total there"


def judge_draw(
    context: np.ndarray,
    embedding: np.ndarray,
    noise: np.ndarray,
    token: int,
    temperature: float,
    k: int,
    finish: Mapping[str, Any] | None = None,
) -> float:
    """How far `token` is behind the winner of this race, as a multiple of the derived bound. Up to 1, rounding decides.

    This judges the whole way from context vector to token, so it does not know which tokens survive the cut: of those
    too close to it, rounding may keep any. `token` only has to beat the tokens that survive in any case. If it loses
    to a doubtful one, an implementation that cuts the doubtful one is still right. `finish` are the arguments of
    `finish_logits`.
    """
    divisor = float(np.float32(temperature))
    exact, of_float64 = finished(context, embedding, finish or {}, "float64")
    logits_error = finished(context, embedding, finish or {})[1] + of_float64
    scaled, error = exact / divisor, bounds.temperature(exact, divisor, "float32", logits_error)
    cut = np.sort(scaled)[-min(k, len(scaled))]
    at_cut = error[scaled == cut].max()
    if scaled[token] < cut - error[token] - at_cut:  # no rounding brings it above the cut
        return np.inf
    surely = scaled > cut + error + at_cut
    surely[token] = True
    kept = np.where(surely, scaled, -np.inf)
    probs = exact_softmax(kept)
    bound = bounds.race(probs, noise, "float32", bounds.softmax(kept, "float32", error))
    race = np.where(surely, probs / noise, -np.inf)
    winner = int(np.argmax(race))
    return float((race[winner] - race[token]) / (bound[winner] + bound[token]))

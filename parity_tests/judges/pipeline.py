"""Judges a pipeline: whether some correct implementation of each step, one after the other, leads to the result.

Most steps have one right result. Where rounding may decide which tokens a filter keeps, each way is followed, and so is
the error that a frequency penalty leaves for the steps after it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reference import bounds
from reference.filter_validation import counted
from reference.operations import OPERATIONS
from reference.pipeline import FUNCTIONS, Step

from .cuts import MANY, Cut, near
from .elements import exact_softmax, worst_element
from .filters import cut_of
from .penalties import counts
from .words import Verdict, Word, diverged, same_bits

State = tuple[np.ndarray, np.ndarray]  # logits of one row, and what they may be off by


def process(
    expected: np.ndarray,
    actual: np.ndarray,
    dtype: str | None,
    *,
    logits: Any,
    steps: Sequence[Step],
    history: Any = None,
    prompt_length: int = 0,
    uniform: Any = None,
) -> Verdict:
    """The result of a pipeline; where the steps may lead MANY ways, as after a penalty on tied tokens, any is right."""
    logits = np.asarray(logits)
    ids = np.zeros((*logits.shape[:-1], 0), np.int64) if history is None else np.asarray(history)
    any_of_the_tied = any(arguments.get("ties") == "any" for _, arguments in steps)
    word, worst = Word.IDENTICAL, 0.0
    for row in np.ndindex(logits.shape[:-1]):
        of_row = [(name, _arguments(name, given, ids[row], prompt_length, uniform, row)) for name, given in steps]
        ends = list(_ends(logits[row].astype(expected.dtype), of_row, dtype or expected.dtype.name))
        for who, result in (("", actual[row]), ("the reference itself: ", expected[row])):
            ratio = min((_ratio(result, *end, any_of_the_tied) for end in ends), default=np.inf)
            if len(ends) < MANY and not ratio <= 1:
                kept = result > -np.inf
                of_kept = [e for e in ends if np.array_equal(e[0] > -np.inf, kept)]
                reason = who + ("other logits" if of_kept else "other survivors")
                at = {"actual": result, "expected": expected[row]}
                inputs = {"logits": logits[row], "steps": list(steps), "history": ids[row]}
                return diverged("PIPE-1", reason, ratio=ratio, place=row, **at, inputs=inputs)
            worst = max(worst, ratio if not who and ratio <= 1 else 0.0)
        if not same_bits(actual[row], expected[row]) and word != Word.TIE_BREAK:
            moved = not np.array_equal(actual[row] > -np.inf, expected[row] > -np.inf)
            word = Word.TIE_BREAK if moved else Word.WITHIN_BOUND
    return Verdict(word=word, ratio=worst)


def _arguments(
    name: str, given: Any, ids: np.ndarray, prompt_length: int, uniform: Any, row: tuple[int, ...]
) -> dict[str, Any]:
    """The arguments of a step for one row, as the function takes them; ties may be "any"."""
    arguments = dict(given)
    if "history" in OPERATIONS[name].arguments:
        arguments["history"] = counted(ids, prompt_length, arguments.pop("counts", "all"))
    if "uniform" in OPERATIONS[name].arguments:
        arguments["uniform"] = float(np.asarray(uniform)[row])
    return OPERATIONS[name].defaults | arguments


def _ends(row: np.ndarray, steps: list[tuple[str, dict[str, Any]]], dtype: str, error: Any = 0.0) -> Iterator[State]:
    """Where the steps may lead from logits that are off by at most `error`: at most MANY ways."""
    states: list[State] = [(row, np.zeros(len(row)) + error)]
    for name, given in steps:
        states = [end for state in states for end in _after(*state, name, given, dtype)][:MANY]
    yield from states


def _after(z: np.ndarray, error: np.ndarray, name: str, given: dict[str, Any], dtype: str) -> Iterator[State]:
    """What one step may make of logits that are off by at most `error`; of the tied, the lowest ids stay."""
    given = {argument: value for argument, value in given.items() if (argument, value) != ("ties", "any")}
    cut: Cut | None = None
    if OPERATIONS[name].family == "filters":
        cut = cut_of(name, z, dtype, error if error.any() else 0.0, **OPERATIONS[name].defaults | given)
    elif name == "keep_top_k" and error.any():  # the first k, each of which counts as one
        down = np.where(z > -np.inf, -z.astype(np.float64), np.inf)
        cut = near(down, error, np.ones(len(z)), given["k"], band=0)
    if cut is None:
        after = FUNCTIONS[name](z, **given)
        yield after, _error_after(z, after, error, name, given, dtype)
        return
    for kept in cut.choices():
        yield np.where(kept, z, -np.inf).astype(z.dtype), np.where(kept, error, 0.0)


def _error_after(
    z: np.ndarray, after: np.ndarray, error: np.ndarray, name: str, given: dict[str, Any], dtype: str
) -> np.ndarray:
    """How far off the logits may be after a step that is no filter."""
    alive = np.isfinite(after)
    if name == "frequency_penalty":
        occurs, each = counts(given["history"], z.shape), float(z.dtype.type(given["penalty"]))
        of_step: np.ndarray = 2 * bounds.frequency_penalty(z, occurs, each, dtype, error)
        return np.where(alive, of_step, 0.0)
    if not error.any():
        return error  # one right rounding
    scale, rounds = 1.0, 0.0 if OPERATIONS[name].rule == "PENALTY-6" else 4 * bounds.unit_roundoff(dtype)
    if "temperature" in given:
        scale = 1 / float(z.dtype.type(given["temperature"]))
    elif "multiplier" in given:
        scale = given["multiplier"] / given["divisor"]
    elif OPERATIONS[name].rule == "PENALTY-2":
        scale = max(given["penalty"], 1 / given["penalty"])
    grown = error * scale + rounds * (np.abs(np.where(alive, after, 0)) + error * scale)
    return np.where(alive, grown + bounds.smallest_normal(dtype), 0.0)


def _ratio(result: np.ndarray, z: np.ndarray, error: np.ndarray, any_of_the_tied: bool) -> float:
    """The largest error of a result that may be this end, over its bound; infinite if it is another."""
    if any_of_the_tied:  # what only one of the two keeps is compared by value, and -0 ties with 0; the rest by place
        alone = np.isfinite(z) != np.isfinite(result)
        z, result = (np.where(alone, x + x.dtype.type(0), x) for x in (z, result))
        order, own = (np.lexsort((np.where(alone, x, 0), alone)) for x in (z, result))
        z, error, result = z[order], error[order], result[own]
    if not np.array_equal(z > -np.inf, result > -np.inf):
        return np.inf
    if not error.any():
        return 0.0 if same_bits(result, z.astype(result.dtype)) else np.inf
    return worst_element(result, z.astype(np.float64), error)[0]


def draw_behind(
    logits: np.ndarray,
    error: np.ndarray,
    steps: Sequence[Step],
    history: np.ndarray,
    prompt_length: int,
    noise: np.ndarray,
    token: int,
) -> float:
    """How far `token` is behind the winner of the race after these steps, as a multiple of the derived bound.

    For one row: logits `(V,)` that are off by at most `error`, their history `(n,)` and the noise `(V,)`. Up to 1,
    rounding decides.
    """
    of_row = [(name, _arguments(name, given, history, prompt_length, None, ())) for name, given in steps]
    behind = np.inf
    for z, off in _ends(logits, of_row, "float32", error=error):
        probs = exact_softmax(z)
        bound = bounds.race(probs, noise, "float32", bounds.softmax(z, "float32", off))
        race = np.where(probs > 0, probs / noise, -np.inf)
        winner = int(np.argmax(race))
        if probs[token] > 0:
            behind = min(behind, float((race[winner] - race[token]) / (bound[winner] + bound[token])))
    return behind

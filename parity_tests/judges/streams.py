"""Judges draws from the streams of other runtimes: a walk exactly, a race where its values are close."""

from typing import Any

import numpy as np

import reference
from reference import bounds
from reference.generators import jax_uniform
from reference.streams import STREAMS, ranked
from reference.validation import check_probabilities

from . import draws
from .elements import compute_dtype
from .words import Verdict, Word, diverged

TOKENS = ("a token id outside the vocabulary", "another token")


def draw_as(
    expected: np.ndarray, actual: np.ndarray, dtype: str | None, *, probs: Any, runtime: str, seed: int
) -> Verdict:
    """The same tokens, or in a race of JAX or nanochat tokens whose race values rounding may put in either order."""
    own = dtype or compute_dtype(np.asarray(probs))
    rows = check_probabilities(probs)
    close = {"jax": _close_in_jax, "nanochat": _close_in_nanochat}.get(runtime, _the_same)
    flat = rows.reshape(-1, rows.shape[-1])
    right = close(flat, seed, own, expected.reshape(-1), actual.reshape(-1)).reshape(expected.shape)
    if right.all():
        return Verdict(word=Word.IDENTICAL if np.array_equal(expected, actual) else Word.TIE_BREAK)
    at = tuple(int(i) for i in np.argwhere(~right)[0])
    inside = bool(0 <= actual[at] < rows.shape[-1])
    return diverged(
        STREAMS[runtime].rule,
        TOKENS[inside],
        place=at,
        actual=actual[at],
        expected=expected[at],
        inputs={"probs": rows[at], "runtime": runtime, "seed": seed},
    )


def _the_same(rows: np.ndarray, seed: int, dtype: str, expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    return np.asarray(expected == actual)


def _close_in_jax(rows: np.ndarray, seed: int, dtype: str, expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    uniform = jax_uniform(seed, 0, rows.size, rows.dtype).reshape(rows.shape).astype(np.float64)
    with np.errstate(divide="ignore"):
        values = np.log(rows.astype(np.float64)) - np.log(-np.log(uniform))
    return _close(values, bounds.gumbel(rows, uniform, dtype), expected, actual)


def _close_in_nanochat(rows: np.ndarray, seed: int, dtype: str, expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    rng, right = reference.TorchGenerator(seed), np.zeros(len(rows), bool)
    for i, row in enumerate(rows):
        ids = ranked(row)
        noise = rng.standard_exponential(len(ids), row.dtype)
        places = [np.flatnonzero(ids == found[i]) for found in (expected, actual)]
        if all(place.size for place in places):
            ours, theirs = places
            judged = draws.multinomial(ours, theirs, dtype, probs=row[ids], noise=noise)
            right[i] = judged.conforms
    return right


def _close(values: np.ndarray, bound: np.ndarray, expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Whether each of the two tokens of a row is at most the two bounds behind the best."""
    right, every = np.ones(len(values), bool), np.arange(len(values))
    best = values.argmax(axis=-1)
    for ids in (expected, actual):
        inside = (ids >= 0) & (ids < values.shape[-1])
        chosen = np.where(inside, ids, 0)
        behind = values[every, best] - values[every, chosen]
        right &= inside & (behind <= bound[every, best] + bound[every, chosen])
    return right

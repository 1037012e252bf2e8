"""The stages composed in exact arithmetic: probabilities, their bounds, and every set of survivors that conforms."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np

from reference import bounds

from . import exact
from .build import Answer, bound, floats
from .top_k import best


def survivors(z: list[Fraction], error: list[float], k: int) -> Iterator[list[int]]:
    """Every set of k ids that a correct head may keep, the exact one first.

    Tokens closer to the cut than both their errors may be in or out; of exactly equal ones the lowest ids stay where
    nothing is rounded (all errors 0).
    """
    order = best(z, len(z))
    kept = order[:k]
    yield kept
    if k >= len(z) or not any(error):
        return
    close = [Fraction(e) for e in error]
    last, first_out = kept[-1], order[k]
    sure = [i for i in kept if z[i] - z[first_out] > close[i] + close[first_out]]
    open_ = [i for i in order if i not in sure and z[last] - z[i] <= close[i] + close[last]]
    for chosen in combinations(open_, k - len(sure)):
        if {*sure, *chosen} != set(kept):
            yield [*sure, *chosen]


def _errors(context: np.ndarray, embedding: np.ndarray, z: np.ndarray, divisor: float, dtype: str) -> np.ndarray:
    """Of the logits after the division: `(..., V)`."""
    before = bounds.logits(context.astype(np.float64), embedding.astype(np.float64), dtype)
    return bounds.temperature(z, divisor, dtype, before)


def _whole(context: np.ndarray, embedding: np.ndarray) -> bool:
    """Small whole numbers: the product is exact in any order, equal logits are equal on every machine."""
    both = [*exact.fractions(context), *exact.fractions(embedding)]
    return all(isinstance(x, Fraction) and x.denominator == 1 and abs(x) < 2**8 for x in both)


def answers(context: np.ndarray, embedding: np.ndarray, temperature: float = 0.7, k: int = 50) -> list[Answer]:
    """The exact probabilities, rounded once to float64; the defaults are HEAD-1's."""
    dtype, v = exact.compute_dtype(context, embedding), len(embedding)
    shape = (*context.shape[:-1], v)
    divisor = float(np.dtype(dtype).type(temperature))
    logits = exact.product(context, embedding)
    exact_z = np.array([[float(z) for z in row] for row in logits]).reshape(shape)
    errors = _errors(context, embedding, exact_z, divisor, dtype).reshape(-1, v)
    whole = _whole(context, embedding)
    rows = []
    for row, error in zip(logits, errors, strict=True):
        scaled = [z / Fraction(divisor) for z in row]
        at_the_cut = [0.0] * v if whole else error.tolist()
        rows.append([_row(scaled, error, kept, dtype) for kept in survivors(scaled, at_the_cut, min(k, v))])
    return [_answer(chosen, shape, dtype) for chosen in product(*rows)]


def _row(scaled: list[Fraction], error: np.ndarray, kept: list[int], dtype: str) -> tuple[list[float], list[float]]:
    """Probabilities and their bounds where `kept` survive."""
    masked: list[Any] = [x if i in kept else -math.inf for i, x in enumerate(scaled)]
    return exact.softmax(masked), bounds.softmax(np.array([float(x) for x in masked]), dtype, error).tolist()


def _answer(rows: tuple[Any, ...], shape: tuple[int, ...], dtype: str) -> Answer:
    values = [p for probs, _ in rows for p in probs]
    allowed = [b for _, bound_ in rows for b in bound_]
    return Answer({"probs": floats(values, shape, dtype)}, {"probs": bound(allowed, values, shape)})

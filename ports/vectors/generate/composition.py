"""The stages composed in exact arithmetic: probabilities, their bounds, and every set of survivors that conforms."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np

from reference import bounds

from . import exact
from .build import Answer, within
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


def _is_exact(context: np.ndarray, embedding: np.ndarray) -> bool:
    """Small whole numbers: the product is exact in any order, equal logits are equal on every machine."""
    return all(x.is_integer() and abs(x) < 2**8 for row in exact.rows(context) + exact.rows(embedding) for x in row)


def answers(context: np.ndarray, embedding: np.ndarray, temperature: float = 0.7, k: int = 50) -> list[Answer]:
    """The exact probabilities, rounded once to float64; the defaults are HEAD-1's."""
    dtype, v = exact.compute_dtype(context, embedding), len(embedding)
    shape, divisor = (*context.shape[:-1], v), exact.divisor(temperature, dtype)
    logits = exact.product(context, embedding)
    of_product = bounds.logits(context.astype(np.float64), embedding.astype(np.float64), dtype).reshape(-1, v)
    close = not _is_exact(context, embedding)
    outcomes = []
    for row, before in zip(logits, of_product, strict=True):
        error = bounds.temperature([float(z) for z in row], float(divisor), dtype, before)
        scaled = [z / divisor for z in row]
        at_the_cut = error.tolist() if close else [0.0] * v
        outcomes.append([_probs(scaled, error, kept, dtype) for kept in survivors(scaled, at_the_cut, min(k, v))])
    return [_answer(chosen, shape, dtype) for chosen in product(*outcomes)]


def _probs(scaled: list[Fraction], error: np.ndarray, kept: list[int], dtype: str) -> tuple[list[float], list[float]]:
    """Probabilities and their bounds where `kept` survive."""
    masked: list[Any] = [x if i in kept else -math.inf for i, x in enumerate(scaled)]
    return exact.softmax(masked), bounds.softmax([float(x) for x in masked], dtype, error).tolist()


def _answer(rows: Sequence[tuple[list[float], list[float]]], shape: Sequence[int], dtype: str) -> Answer:
    values = [p for probs, _ in rows for p in probs]
    allowed = [bound for _, of_row in rows for bound in of_row]
    return within("probs", values, allowed, shape, dtype)

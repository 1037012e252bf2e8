"""Five correct orders of summation, to compare an error with: `(rows, d), (V, d) -> (rows, V)` in the dtype given.

The bounds hold for every order. These show how large errors really are, on the very inputs of a case.
"""

from collections.abc import Callable, Iterable

import numpy as np

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


def one_by_one(order: Callable[[int], Iterable[int]]) -> Product:
    """A product whose sums take one hidden dimension after the other, in the order of `order(d)`."""

    def product(rows: np.ndarray, embedding: np.ndarray) -> np.ndarray:
        logits, columns = np.zeros((len(rows), len(embedding)), rows.dtype), np.ascontiguousarray(embedding.T)
        for i in order(rows.shape[1]):
            logits += rows[:, i, None] * columns[i]
        return logits

    return product


def pairwise(rows: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """The products are summed by `np.sum`, which adds in pairs, like a tree."""
    logits = np.zeros((len(rows), len(embedding)), rows.dtype)
    for row, out in zip(rows, logits, strict=True):
        out[:] = (row * embedding).sum(axis=-1)
    return logits


def blocked(rows: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """The product is computed for 5 hidden dimensions at a time and added up."""
    logits = np.zeros((len(rows), len(embedding)), rows.dtype)
    for start in range(0, rows.shape[1], 5):
        logits += rows[:, start : start + 5] @ embedding[:, start : start + 5].T
    return logits


def library(rows: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """NumPy's matrix product, in whatever order its BLAS has on this machine."""
    product: np.ndarray = rows @ embedding.T
    return product


ORDERS: tuple[Product, ...] = (one_by_one(range), one_by_one(lambda d: reversed(range(d))), pairwise, blocked, library)

"""How mistakes in filters, penalties and log-probabilities are registered, and what they have in common."""

from collections.abc import Callable

import numpy as np

from .. import by_row
from ..by_row import INF, Recipe, called_as, each_row, only, ranked
from .registry import FOLK, mutant

__all__ = ["INF", "Recipe", "batch_mistake", "entropy", "log_softmax", "mistake", "only", "ranked", "softmax"]


def batch_mistake(operation: str, rule: str, looks_like: str, source: str = FOLK) -> Callable[[Recipe], Recipe]:
    """Register a recipe of the whole batch: it gets the right result as `right`, and the arguments by name."""

    def register(recipe: Recipe) -> Recipe:
        mutant(operation, rule, looks_like, source)(called_as(operation, recipe.__name__)(recipe))
        return recipe

    return register


def mistake(operation: str, rule: str, looks_like: str, source: str = FOLK) -> Callable[[Recipe], Recipe]:
    """Register a recipe of one row, as `each_row` takes it."""

    def register(recipe: Recipe) -> Recipe:
        mutant(operation, rule, looks_like, source)(called_as(operation, recipe.__name__)(each_row(recipe)))
        return recipe

    return register


def softmax(z: np.ndarray) -> np.ndarray:
    """Of one row, in float64."""
    return by_row.softmax(z.astype(np.float64))


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Of a row or a batch, in float64."""
    return by_row.log_softmax(z.astype(np.float64))


def entropy(q: np.ndarray) -> float:
    """In nats."""
    return float(-(q[q > 0] * np.log(q[q > 0])).sum())

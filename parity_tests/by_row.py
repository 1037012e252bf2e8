"""Operations written for one row, as mutants and variants are: called as the reference's, refusing what it refuses."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import reference
from reference import validation

INF = np.inf
Recipe = Callable[..., Any]
_OF_EACH_ROW = ("history", "token_ids", "uniform")


def called_as(operation: str, name: str) -> Callable[[Recipe], Recipe]:
    """The decorated function of all arguments by name, as a function with the signature of the operation.

    It is called after the reference, which refuses bad input and whose result it gets as `right`. It gets the logits in
    the dtype of the computation, in C order.
    """
    function = getattr(reference, operation)
    signature = inspect.signature(function)

    def make(recipe: Recipe) -> Recipe:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            right = function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            logits = np.ascontiguousarray(validation.check_logits(bound.arguments["logits"]))
            with np.errstate(all="ignore"):
                return recipe(right=right, **{**bound.arguments, "logits": logits})

        called.__name__ = name.strip("_")
        return called

    return make


def each_row(recipe: Recipe) -> Recipe:
    """The function of a batch, and of the right result, by one of a row `z` `(V,)` and of the other arguments by name.

    It returns the row of the result, or bools: which logits stay, with -inf for the others.
    """

    def of_batch(right: Any, logits: np.ndarray, **given: Any) -> Any:
        result = np.empty_like(right)
        for row in np.ndindex(logits.shape[:-1]):
            own = {
                name: np.asarray(value)[row] if name in _OF_EACH_ROW and value is not None else value
                for name, value in given.items()
            }
            found = np.asarray(recipe(logits[row], **own))
            result[row] = np.where(found, logits[row], -INF) if found.dtype == bool else found
        return result

    return of_batch


def ranked(z: np.ndarray) -> np.ndarray:
    """Ids, the largest first, of equal ones the lowest."""
    ids: np.ndarray = np.argsort(-z, kind="stable")
    return ids


def only(ids: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which tokens these are, `(V,)`."""
    stays = np.zeros(len(z), bool)
    stays[ids] = True
    return stays

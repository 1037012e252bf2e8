"""Operations written for one row, as mutants and variants are: called as the reference's, refusing what it refuses."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import reference
from reference import validation
from reference.filter_validation import counted
from reference.operations import OPERATIONS

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


def by_row(operation: str) -> Callable[[Recipe], Recipe]:
    """A function of one row, `z` and the arguments by name, as the operation."""
    return lambda of_row: called_as(operation, of_row.__name__)(each_row(of_row))


def by_operation(*functions: Any) -> dict[str, Recipe]:
    """Each of these functions by the name of its operation."""
    return {function.__wrapped__.__name__: function for function in functions}


def whole(operation: str) -> Callable[[Recipe], Recipe]:
    """A function of the whole batch, and of the arguments by name, as the operation."""

    def make(of_batch: Recipe) -> Recipe:
        def without_right(right: Any, **given: Any) -> Any:
            return of_batch(**given)

        return called_as(operation, of_batch.__name__)(without_right)

    return make


def process_with(functions: Mapping[str, Recipe]) -> Recipe:
    """A pipeline of these functions."""

    @whole("process")
    def process(logits: np.ndarray, steps: Any, history: Any, prompt_length: int, uniform: Any) -> np.ndarray:
        ids = np.zeros((*logits.shape[:-1], 0), np.int64) if history is None else np.asarray(history)
        for name, given in steps:
            own = dict(given)
            if "history" in OPERATIONS[name].arguments:
                own["history"] = counted(ids, prompt_length, own.pop("counts", "all"))
            if "uniform" in OPERATIONS[name].arguments:
                own["uniform"] = uniform
            if own.get("ties") == "any":
                del own["ties"]
            logits = functions[name](logits, **own)
        return logits.copy()

    return process


def ranked(z: np.ndarray) -> np.ndarray:
    """Ids, the largest first, of equal ones the lowest."""
    ids: np.ndarray = np.argsort(-z, kind="stable")
    return ids


def only(ids: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which tokens these are, `(V,)`."""
    stays = np.zeros(len(z), bool)
    stays[ids] = True
    return stays


def softmax(z: np.ndarray) -> np.ndarray:
    """Of one row, in its own dtype."""
    weights = np.exp(z - z.max())
    probs: np.ndarray = weights / weights.sum()
    return probs


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Of a row or a batch, in its own dtype."""
    x = z - z.max(axis=-1, keepdims=True)
    scores: np.ndarray = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return scores

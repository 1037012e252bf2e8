"""The statistical second figure: errors within the worst-case bound, but larger than rounding errors ever are.

The worst-case bound supposes that all roundings go the same way. They hardly ever do, so at large d an error may be a
thousand times too large and still inside. The figure compares the errors with the largest standard deviation that any
order of summation has (`bounds.deviation`): their root mean square, the largest of them, and their part along the
logits, as a wrong temperature has. Each is divided by the value that it exceeds with a probability of 1e-6. Above 1 a
result is *unusual*: shown and counted, but no defect in itself.
"""

from collections.abc import Callable

import numpy as np

from reference import bounds

from .orders import ORDERS


def figure(errors: np.ndarray, deviation: np.ndarray, always: np.ndarray | float, along: np.ndarray) -> float:
    """The figure of `errors`, whose standard deviations are at most these.

    `always` is the part of each error that is not random, at most. `along` is the direction in which errors might grow:
    the exact logits. Equal errors may have one cause, as in equal rows of an embedding, and count once.
    """
    known = (deviation > 0) & np.isfinite(errors)
    unit = deviation[known]
    arrays = [np.broadcast_to(x, errors.shape)[known] / unit for x in (errors, always, along)]
    if not len(unit):
        return 0.0
    found = _figure(*arrays)
    if found <= 1:  # nearly always
        return found
    once = np.unique(np.abs(errors[known]), return_index=True)[1]
    return _figure(*(x[once] for x in arrays))


def _figure(errors: np.ndarray, always: np.ndarray, along: np.ndarray) -> float:
    """As `figure`, all in units of the deviation."""
    n, length = len(errors), np.linalg.norm(along) or 1.0
    size = (np.linalg.norm(errors) - np.linalg.norm(always)) / np.sqrt(n * bounds.mean_square(n))
    furthest = np.max(np.abs(errors) - always) / bounds.largest(n)
    grown = (abs(errors @ along) - always @ np.abs(along)) / length / bounds.largest(1)
    return float(max(0.0, size, furthest, grown))


def next_to_others(
    context: np.ndarray, embedding: np.ndarray, size: float, measured: Callable[[np.ndarray], float]
) -> str:
    """How the `size` of an error compares with `measured(logits)` of five correct orders of summation, in words."""
    others = [measured(product(context, embedding)) for product in ORDERS]
    largest = max(others)
    if largest == 0:
        return f"five orders of summation in {context.dtype} have no error here"
    return f"{size / largest:.3g} times the largest error of five orders of summation in {context.dtype}"

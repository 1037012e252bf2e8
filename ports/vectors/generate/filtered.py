"""What the vectors of all filters share: answers from sets of survivors, and the groups that hold for every filter."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np

from . import exact
from .build import BAD_LOGITS, KIND_ERROR, Answer, File, array, empty, float64, floats
from .distribution import Row

Survivors = Callable[..., list[list[int]]]
MOST = 8  # answers to one vector: more are a mistake in the vector

FLAGS = (
    """
FiniteMask (FILTER-1): what falls becomes a finite number, 0 or nan in place of -inf
NoTokenLeft (FILTER-1): no token is left
Bits (FILTER-1): a survivor changed: its log-probability or probability returned, -0 become 0
MaskedCounts (FILTER-1): a masked token survives, is counted, or adds to a sum
NoShift (SOFTMAX-2): the maximum not subtracted, or its search begun from 0: exp overflows above 88.7, is 0 below -104
OfTheBatch (HEAD-4): a sum, a maximum or a threshold of the whole batch, or that of its first row
OutputDtype (HEAD-2): 16-bit logits filtered or answered in 16 bits
InPlace (HEAD-3): the caller's logits overwritten
BadShare (FILTER-11): a parameter outside its range means off, one token or everything
    https://github.com/huggingface/transformers/blob/main/src/transformers/generation/configuration_utils.py
"""
    + BAD_LOGITS
    + KIND_ERROR
)


def answers(survivors: Survivors) -> Callable[..., list[Answer]]:
    """Every answer that conforms, from `survivors(row, **arguments)`: sets of ids, the exact one first."""

    def of_arguments(logits: np.ndarray, **given: Any) -> list[Answer]:
        dtype, rows = exact.compute_dtype(logits), exact.rows(logits)
        uniforms = np.asarray(given.pop("uniform", np.zeros(len(rows)))).reshape(-1).tolist()
        found = []
        for row, uniform in zip(rows, uniforms, strict=True):
            of_row = given | ({"uniform": uniform} if survivors.__code__.co_varnames[-1:] == ("uniform",) else {})
            found.append(different(survivors(Row(row, dtype), **of_row)))
        if math.prod(map(len, found)) > MOST:
            raise ValueError(f"{math.prod(map(len, found))} answers conform: take other logits")
        return [
            Answer({"logits": floats([x for pair in zip(rows, kept, strict=True) for x in masked(*pair)], logits.shape, dtype)})
            for kept in product(*found)
        ]

    return of_arguments

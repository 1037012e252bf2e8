"""In which precision a right head computed: what it rounds, where that puts the logits, and how far off they may be.

A float32 head rounds its sums alone. Others round the inputs, the result or both: each is a prediction with a bound of
its own, far narrower than that of a float32 head is wide, so a precision that fits is evidence, not an excuse.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from reference import bounds
from reference.bounds import quantised
from weights_export.output_layer import finished

from ..judges.roundings import INPUTS, NAMES, RESULT, rounded, rounded_factors

Factors = tuple[np.ndarray, np.ndarray, np.ndarray | float]  # context, embedding, what a logit may be off besides
SHORT = ("float16", "bfloat16")


@dataclass(frozen=True)
class Precision:
    """A way to round: `inputs` gives the factors of the product, and `result` is the dtype of the logits.

    `form` is its name but for the format that is rounded to, `label`. It exists where `block` divides the hidden size.
    """

    form: str
    label: str
    inputs: Callable[[np.ndarray, np.ndarray], Factors]
    result: str = "float32"
    block: int = 1

    @property
    def name(self) -> str:
        """What a report calls it."""
        return self.form.format(self.label)


@dataclass(frozen=True)
class Predicted:
    """Where a head in some precision puts the logits, `(N, V)`, and how far from there they may be."""

    logits: np.ndarray
    allowed: np.ndarray

    def ratio(self, theirs: np.ndarray) -> np.ndarray:
        """The error of each logit in units of what is allowed, `(N, V)`; infinite for nan."""
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.abs(theirs - self.logits)
            return np.where(theirs == self.logits, 0.0, np.where(np.isnan(error), np.inf, error / self.allowed))


def _as_they_are(h: np.ndarray, w: np.ndarray) -> Factors:
    return h, w, 0.0


def _rounded(what: str, dtype: str, h: np.ndarray, w: np.ndarray) -> Factors:
    return *rounded_factors(what, dtype, h, w), 0.0


def _quantised_table(h: np.ndarray, w: np.ndarray) -> Factors:
    return h, quantised.q8_0(w), np.abs(h) @ quantised.undecided(w).T  # an integer may as well be its neighbour


def _activations(name: str, table: bool, h: np.ndarray, w: np.ndarray) -> Factors:
    """A context of 8 bits, as llama.cpp has it; with `table` the embedding was quantised to Q8_0, too."""
    hr = quantised.ROUNDED[name](h)
    _, wr, step = _quantised_table(hr, w) if table else (hr, w, 0.0)
    return hr, wr, step + quantised.undecided(h, quantised.BLOCKS[name]) @ np.abs(wr).T


FLOAT32 = Precision("{}", "float32", _as_they_are)
BOTH = "{} inputs and result"
PRECISIONS = (
    FLOAT32,
    *(Precision(what, NAMES[dtype], partial(_rounded, what, dtype)) for dtype in NAMES for what in INPUTS),
    *(Precision(RESULT, dtype, _as_they_are, dtype) for dtype in SHORT),
    *(Precision(BOTH, dtype, partial(_rounded, INPUTS[0], dtype), dtype) for dtype in SHORT),
    *(
        Precision("{} activations", name, partial(_activations, name, False), block=block)
        for name, block in quantised.BLOCKS.items()
    ),
    Precision("a {} embedding", "Q8_0", _quantised_table, block=32),
    Precision("{} embedding and activations", "Q8_0", partial(_activations, "Q8_0", True), block=32),
)


def of_table(dtype: str) -> Precision:
    """A head in this dtype whose contexts are known as it has them."""
    if dtype == "float32":
        return FLOAT32
    return Precision(BOTH, dtype, partial(_rounded, INPUTS[2], dtype), dtype)


def predicted(
    precision: Precision,
    h: np.ndarray,
    w: np.ndarray,
    finish: Mapping[str, Any],
    stored: str,
    of_context: np.ndarray | None = None,
) -> Predicted:
    """The prediction for contexts `(N, d)` and tokens `(V, d)`, in a file of dtype `stored`.

    `of_context` is what the contexts may be off by, `(N, d)`, where a runtime computes them.
    """
    hr, wr, besides = precision.inputs(h, w)
    if of_context is not None:
        besides = besides + of_context @ np.abs(w).T.astype(np.float64) * (1 + 2.0**-20)
    exact, slack = finished(hr, wr, finish, "float64")
    scale = finish.get("multiplier", 1.0) / finish.get("divisor", 1.0)  # a cap makes an error no larger
    allowed = finished(hr, wr, finish)[1] + slack + besides * scale
    if precision.result in SHORT:
        allowed = allowed + result(exact, allowed, precision.result, _steps(finish))
    if stored in SHORT:
        allowed = allowed + result(exact, allowed, stored, 1)
    return Predicted(exact, allowed)


def result(exact: np.ndarray, error: np.ndarray, dtype: str, steps: int = 1) -> np.ndarray:
    """What so many roundings to a short dtype add to what a number may be off by."""
    return bounds.gamma(steps, dtype) * (np.abs(exact) + error) + steps * bounds.smallest_normal(dtype)


def _steps(finish: Mapping[str, Any]) -> int:
    """How often a result is rounded: after the product, and after each step that finishes it."""
    steps = (finish.get("bias") is not None, finish.get("multiplier", 1) != 1, finish.get("divisor", 1) != 1)
    return 1 + sum(steps) + 3 * (finish.get("cap", np.inf) < np.inf)  # a quotient, a tanh, a product


def held_in(theirs: np.ndarray) -> list[str]:
    """The short dtypes that hold all these numbers: no result was rounded to another."""
    return [dtype for dtype in SHORT if np.array_equal(rounded(theirs, dtype), theirs, equal_nan=True)]


def possible(hidden_size: int, results: tuple[str, ...] = ("float32", *SHORT)) -> list[Precision]:
    """The precisions that a head of this hidden size may have whose logits are in one of these dtypes."""
    return [one for one in PRECISIONS if hidden_size % one.block == 0 and one.result in results]


def all_predicted(
    theirs: np.ndarray,
    h: np.ndarray,
    w: np.ndarray,
    finish: Mapping[str, Any],
    stored: str,
    of_context: np.ndarray | None = None,
) -> Iterator[tuple[Precision, Predicted]]:
    """Every precision that a head with these logits and factors may have, float32 first."""
    for precision in possible(h.shape[-1], ("float32", *held_in(theirs))):
        yield precision, predicted(precision, h, w, finish, stored, of_context)

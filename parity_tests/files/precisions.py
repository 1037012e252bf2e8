"""In which precision a right head computed: what it rounds, where that puts the logits, and how far off they may be.

A float32 head rounds its sums alone. Others round the inputs, the result or both: each is a prediction with a bound of
its own, far narrower than that of a float32 head is wide, so a precision that fits is evidence, not an excuse.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference import bounds
from reference.bounds import quantised
from weights_export.output_layer import finished

from ..judges import roundings

Factors = tuple[np.ndarray, np.ndarray, np.ndarray | float]  # context, embedding, what a logit may be off besides
SHORT = ("float16", "bfloat16")


@dataclass(frozen=True)
class Precision:
    """A way to round: `inputs` gives the factors of the product, None if they have no such form; `result` the dtype."""

    name: str
    inputs: Callable[[np.ndarray, np.ndarray], Factors | None]
    result: str = "float32"


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


def _rounded(dtype: str) -> Callable[[np.ndarray, np.ndarray], Factors]:
    return lambda h, w: (roundings.rounded(h, dtype), roundings.rounded(w, dtype), 0.0)


def of_table(dtype: str) -> Precision:
    """A head in this dtype whose contexts are known as it has them."""
    if dtype == "float32":
        return FLOAT32
    return Precision(dtype, lambda h, w: (h, roundings.rounded(w, dtype), 0.0), dtype)


def _activations(name: str, table: bool) -> Callable[[np.ndarray, np.ndarray], Factors | None]:
    """A context of 8 bits, as llama.cpp has it; with `table` the embedding was quantised to Q8_0, too."""

    def inputs(h: np.ndarray, w: np.ndarray) -> Factors | None:
        block = quantised.BLOCKS[name]
        if h.shape[-1] % block:
            return None
        hr = quantised.ROUNDED[name](h)
        wr = quantised.q8_0(w) if table else w
        step = quantised.undecided(h, block) @ np.abs(wr).T
        if table:  # an integer of the table, too, may as well be its neighbour
            step = step + np.abs(hr) @ quantised.undecided(w, 32).T
        return (hr, wr, step) if np.isfinite(hr).all() and np.isfinite(wr).all() else None

    return inputs


FLOAT32 = Precision("float32", _as_they_are)
PRECISIONS = (
    FLOAT32,
    Precision("TF32 inputs", _rounded("tfloat32")),
    *(Precision(f"{dtype} inputs", _rounded(dtype)) for dtype in SHORT),
    *(Precision(f"a {dtype} result", _as_they_are, dtype) for dtype in SHORT),
    *(Precision(f"{dtype} inputs and result", _rounded(dtype), dtype) for dtype in SHORT),
    *(Precision(f"{name} activations", _activations(name, False)) for name in quantised.BLOCKS),
    Precision("a Q8_0 embedding", lambda h, w: (h, quantised.q8_0(w), 0.0) if w.shape[-1] % 32 == 0 else None),
    Precision("a Q8_0 embedding and Q8_0 activations", _activations("Q8_0", True)),
)


def predicted(
    precision: Precision,
    h: np.ndarray,
    w: np.ndarray,
    finish: Mapping[str, Any],
    stored: str,
    of_context: np.ndarray | None = None,
) -> Predicted | None:
    """The prediction for contexts `(N, d)` and tokens `(V, d)`, in a file of dtype `stored`; None if there is none.

    `of_context` is what the contexts may be off by, `(N, d)`, where a runtime computes them.
    """
    factors = precision.inputs(h, w)
    if factors is None:
        return None
    hr, wr, besides = factors
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
    return [dtype for dtype in SHORT if np.array_equal(roundings.rounded(theirs, dtype), theirs, equal_nan=True)]


def all_predicted(
    theirs: np.ndarray,
    h: np.ndarray,
    w: np.ndarray,
    finish: Mapping[str, Any],
    stored: str,
    of_context: np.ndarray | None = None,
) -> Iterator[tuple[Precision, Predicted]]:
    """Every precision that a head with these logits and factors may have, float32 first."""
    short = held_in(theirs)
    for precision in PRECISIONS:
        if precision.result not in ("float32", *short):
            continue
        found = predicted(precision, h, w, finish, stored, of_context)
        if found is not None:
            yield precision, found

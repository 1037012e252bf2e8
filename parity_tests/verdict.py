"""Four words for "is it the same?": `compare(operation, expected, actual, **inputs) -> Verdict`.

    IDENTICAL     the same bits
    WITHIN_BOUND  different bits, but every element is within the derived bound
    TIE_BREAK     another token or survivor, but the candidates are closer than the bound: rounding decides
    DIVERGED      anything else

`expected` is the result of the reference, `actual` that of the implementation under test, from the same inputs. Where
an operation rounds, both are judged against the exact value, so that an error of the reference is noticed too. Where
nothing is rounded (the cut), or only in one way (the quotient of given logits), they must have the same bits.
Bounds come from `reference.bounds`; no tolerance is picked here. An implementation may compute in another dtype than
the reference: name it with `dtype`.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from reference.operations import OPERATIONS, STAGES

from . import judges
from .judges.elements import exact_softmax
from .judges.words import BAD, Verdict, Word, diverged, same_bits

__all__ = ["BAD", "Verdict", "Word", "compare", "exact_softmax", "same_bits"]

# The judge of an operation is the function with its name in a module of `judges`, or stands in its JUDGES.
_MODULES = [import_module(f"{judges.__name__}.{found.name}") for found in iter_modules(judges.__path__)]
JUDGES: dict[str, Callable[..., Verdict]] = {
    name: found[name]
    for name in STAGES
    for found in ({**vars(module), **getattr(module, "JUDGES", {})} for module in _MODULES)
    if name in found and getattr(found[name], "__module__", "").startswith(judges.__name__)
}


def compare(operation: str, expected: Any, actual: Any, dtype: str | None = None, **inputs: Any) -> Verdict:
    """Judge `actual` against `expected` for one operation of the head.

    `inputs` are the arguments of the operation by name; `multinomial` has `noise` instead of `rng`. `dtype` is the one
    that the implementation computed in, by default that of `expected`.
    Raises: ValueError for an unknown operation.
    """
    judge = JUDGES.get(operation)
    if judge is None:
        raise ValueError(f"operation is {operation!r}: it must be one of {', '.join(JUDGES)}")
    if len(OPERATIONS[operation].results) == 1:
        expected, actual = np.asarray(expected), np.asarray(actual)
        due = np.dtype(dtype) if dtype and expected.dtype.kind == "f" else expected.dtype
        for rule, what, wanted, found in (
            (OPERATIONS[operation].rule, "shape", expected.shape, actual.shape),
            ("HEAD-2", "dtype", due, actual.dtype),
        ):
            if wanted != found:
                verdict = diverged(rule, f"has {what} {found}, not {wanted}", actual=actual, expected=expected)
                return replace(verdict, operation=operation)
    return replace(judge(expected, actual, dtype, **inputs), operation=operation)

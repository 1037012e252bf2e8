"""How an adapter is called: questions that do not apply to it are skipped, and known differences are passed over."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

import reference
from parity_tests.contract import FLOATS
from parity_tests.heads import REFERENCE
from reference.operations import OPERATIONS

from ..checker.errors import SkippedError
from ..checker.judge import of_head
from ..checker.port import Port, from_python

IDS = ("history", "biased", "biases")  # arguments that are no row of logits


def tie_rules(module: ModuleType, operations: Iterable[str]) -> dict[str, str]:
    """The rule for ties that each function of an adapter follows."""
    return dict.fromkeys(operations, getattr(module, "TIES", "lowest_id")) | getattr(module, "TIES_OF", {})


def ports_of(module: ModuleType) -> Iterator[Port]:
    """An adapter as ports for the checker: one for each rule for ties that any of its functions follows."""
    found = from_python(module.__name__)
    rules = tie_rules(module, found.operations)
    for rule in dict.fromkeys(rules.values()):
        yield replace(
            found,
            operations=tuple(op for op in found.operations if rules[op] == rule),
            contract=replace(found.contract, dtypes=getattr(module, "DTYPES", FLOATS), ties=(rule,)),
            call=Call(found.call, (rule,), getattr(module, "POINTERS", False)),
        )


class Call:
    """Calls the implementation, but skips questions that do not apply to it."""

    def __init__(self, call: Any, ties: tuple[str, ...], pointers: bool) -> None:
        self.call, self.ties, self.pointers = call, ties, pointers

    def __call__(self, op: str, given: dict[str, Any]) -> dict[str, Any]:
        """See `judge.Call`."""
        ties, named = given.get("ties", "lowest_id"), "ties" in OPERATIONS[op].arguments
        if named and ties != self.ties[0] and (ties, self.ties[0]) != ("lowest_id", "any"):
            raise SkippedError(f"no ties={ties!r}")
        if given.get("until", "reached") != "reached":
            raise SkippedError(f"no until={given['until']!r}")
        if self.pointers and _beyond_pointers(given):
            raise SkippedError("it takes one row of floats and nothing else")
        # Vectors of the whole head follow TOPK-2. Where a tie decides, a head that follows TOPK-7 is right to differ.
        if op == "lm_head" and self.ties == ("all",) and _tied(given):
            raise SkippedError("a tie at the cut: it follows the other tie rule, TOPK-7")
        # No function of an adapter has such an argument: each follows one rule.
        taken = given.pop("ties", None) if named else None
        try:
            result: dict[str, Any] = self.call(op, given)
        finally:
            if taken is not None:  # put back for the judge, which would see an argument missing (HEAD-3)
                given["ties"] = taken
        return result


class Known:
    """Lets the reference answer where the implementation is known to differ.

    A random search stops at its first failure. Without this, that would nearly always be a difference that the vectors
    have shown already, such as a refused batch.
    """

    def __init__(self, call: Any, refused: set[str], batches: set[str]) -> None:
        self.call, self.refused, self.batches = call, refused, batches

    def __call__(self, op: str, given: dict[str, Any]) -> dict[str, Any]:
        """See `judge.Call`."""
        if op in self.batches and is_batch(given):
            return of_head(REFERENCE)(op, given)
        try:
            result: dict[str, Any] = self.call(op, given)
        except Exception as error:
            if op not in self.refused or isinstance(error, SkippedError):
                raise
            result = of_head(REFERENCE)(op, given)
        return result


def is_batch(inputs: dict[str, Any]) -> bool:
    """Whether any argument but the embedding has a leading axis."""
    return any(np.ndim(given) > 1 for name, given in inputs.items() if name != "embedding")


def _beyond_pointers(given: dict[str, Any]) -> bool:
    """Whether a C caller could not pass arguments of these shapes or dtypes at all."""
    arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray) and name not in IDS}
    if any(array.dtype.name not in FLOATS or array.shape[-1:] == (0,) for array in arrays.values()):
        return True
    if "embedding" in arrays:
        context, embedding = arrays["context"], arrays["embedding"]
        fits = context.ndim > 0 and embedding.ndim == 2 and context.shape[-1:] == embedding.shape[1:]
        return not (fits and len(embedding))
    first = next(iter(arrays.values()))
    return first.ndim == 0 or ("uniform" in arrays and arrays["uniform"].shape != first.shape[:-1])


def _tied(given: dict[str, Any]) -> bool:
    """Whether the two rules for ties give different survivors here, by the reference."""
    k, temperature = given.get("k", 50), given.get("temperature", 0.7)
    try:
        logits = reference.compute_logits(given["context"], given["embedding"])
        logits = reference.apply_temperature(logits, temperature)
        lowest, every = reference.keep_top_k(logits, k), reference.keep_top_k(logits, k, ties="all")
    except (ValueError, TypeError):
        return False
    return not np.array_equal(lowest, every)

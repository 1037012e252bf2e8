"""Steps one after the other in exact arithmetic, for `process`: every answer that conforms, the exact one first.

What rounds is rounded once a step, correctly, so its bound is 0. A frequency penalty leaves an error, which grows from
there on: such a number is the exact one, rounded to float64 alone. Filters are those of their own files.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import combinations, pairwise, product
from math import copysign, inf, isfinite
from typing import Any

import numpy as np

from reference import bounds
from reference.operations import OPERATIONS

from . import ban, exact, logit_bias, min_length, no_repeat_ngram, presence_penalty, repetition_penalty
from .build import Answer, within
from .distribution import Row
from .filtered import MOST, masked
from .penalised import Changed, histories, parameter
from .top_k import best

_PENALTIES: dict[str, Changed] = {
    module.__name__.rpartition(".")[2]: module.changed
    for module in (repetition_penalty, presence_penalty, logit_bias, ban, no_repeat_ngram, min_length)
}


@dataclass(frozen=True)
class _State:
    """The logits of a row after some steps, and what each may be off by."""

    row: list[float]
    error: list[float]
    dtype: str


def _divided(state: _State, temperature: float) -> _State:
    t, row, error = exact.divisor(temperature, state.dtype), list[float](), list[float]()
    for x, e in zip(state.row, state.error, strict=True):
        if not isfinite(x):
            row.append(x)
            error.append(0.0)
            continue
        to = "float64" if e else state.dtype
        row.append(copysign(exact.rounded(Fraction(x) / t, to), x))
        error.append(float(bounds.temperature(x, float(t), state.dtype, e)) + math.ulp(row[-1]) if e else 0.0)
    return _State(row, error, state.dtype)


def _frequent(state: _State, ids: Sequence[int], penalty: float) -> _State:
    """`x - a c` in float64, and its error; what did not occur keeps its bits."""
    if any(state.error):
        raise ValueError("a second frequency penalty: take other steps")
    each = parameter(penalty, state.dtype)
    counts = [ids.count(i) for i in range(len(state.row))]
    row = [
        exact.rounded(Fraction(x) - Fraction(each) * c, "float64") if c and isfinite(x) else x
        for x, c in zip(state.row, counts, strict=True)
    ]
    error = bounds.frequency_penalty(state.row, counts, each, state.dtype).tolist()
    return _State(row, error, state.dtype)


def _finished(state: _State, multiplier: float = 1.0, divisor: float = 1.0) -> _State:
    m, q = (exact.divisor(x, state.dtype) for x in (multiplier, divisor))
    return _State([exact.finished(x, 0.0, m, q, state.dtype) for x in state.row], state.error, state.dtype)


def _any_of_the_tied(row: Row, kept: Sequence[int]) -> Iterator[list[int]]:
    """As many of those that tie with the last one, whichever; the lowest ids first."""
    last = row.logits[kept[-1]]
    sure = [i for i in kept if row.logits[i] > last]
    tied = sorted(i for i, z in row.logits.items() if z == last)
    yield from ([*sure, *chosen] for chosen in combinations(tied, len(kept) - len(sure)))


def _survivors(state: _State, name: str, given: dict[str, Any]) -> list[list[int]]:
    row = Row(state.row, state.dtype, {i: e for i, e in enumerate(state.error) if e})
    for a, b in pairwise(row.ranked if any(state.error) else []):
        if state.row[a] - state.row[b] <= 4 * (state.error[a] + state.error[b]):
            raise ValueError(f"rounding decides which of tokens {a} and {b} comes first: take other logits")
    whichever = given.get("ties") == "any"
    if whichever:
        del given["ties"]
    if name == "keep_top_k":
        found = [[i for i in best(state.row, given["k"]) if state.row[i] > -inf]]
    else:
        found = import_module(f"{__package__}.{name}").survivors(row, **given)
    return [ids for kept in found for ids in _any_of_the_tied(row, kept)] if whichever else found


def _counted(ids: list[int], prompt: int, counts: Any) -> list[int]:
    if isinstance(counts, str):
        return {"all": ids, "prompt": ids[:prompt], "output": ids[prompt:]}[counts]
    return ids[max(0, len(ids) - counts) :]


def _after(
    state: _State, name: str, arguments: Mapping[str, Any], ids: list[int], prompt: int, u: float
) -> list[_State]:
    given = dict(arguments)
    counted = _counted(ids, prompt, given.pop("counts", "all"))
    if "temperature" in given:
        return [_divided(state, **given)]
    if name == "frequency_penalty":
        return [_frequent(state, counted, **given)]
    finishes = OPERATIONS[name].file == "finish_logits"
    if finishes or name in _PENALTIES:
        if any(state.error):
            raise ValueError(f"{name} after a frequency penalty: take other steps")
        if finishes:
            return [_finished(state, **given)]
        return [_State(_PENALTIES[name](state.row, counted, state.dtype, **given), state.error, state.dtype)]
    if "uniform" in OPERATIONS[name].arguments:
        given["uniform"] = u
    return [
        _State(masked(state.row, kept), [e if i in kept else 0.0 for i, e in enumerate(state.error)], state.dtype)
        for kept in _survivors(state, name, given)
    ]


def answers(
    logits: np.ndarray,
    steps: Sequence[Any],
    history: np.ndarray | None = None,
    prompt_length: int = 0,
    uniform: np.ndarray | None = None,
) -> list[Answer]:
    """Step after step, every way that a filter may go."""
    dtype, rows, ends = exact.compute_dtype(logits), exact.rows(logits), list[list[_State]]()
    uniforms = [1.0] * len(rows) if uniform is None else uniform.astype(np.float64).reshape(-1).tolist()
    for row, ids, u in zip(rows, histories(logits, history), uniforms, strict=True):
        states = [_State(row, [0.0] * len(row), dtype)]
        for name, arguments in steps:
            states = [after for state in states for after in _after(state, name, arguments, ids, prompt_length, u)]
        ends.append(states)
    if math.prod(map(len, ends)) > MOST:
        raise ValueError(f"{math.prod(map(len, ends))} answers conform: take other logits")
    return [
        within(
            "logits",
            [x for state in chosen for x in state.row],
            [e for state in chosen for e in state.error],
            logits.shape,
            dtype,
        )
        for chosen in product(*ends)
    ]

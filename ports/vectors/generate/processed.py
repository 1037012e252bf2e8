"""Steps one after the other in exact arithmetic, for `process`: answers that are the same everywhere, or a refusal.

What rounds is divided once a step, correctly, and a filter raises where rounding may decide what survives.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import copysign, isfinite
from typing import Any

import numpy as np

from . import ban, exact, keep_top_p, logit_bias, min_length, no_repeat_ngram, presence_penalty, repetition_penalty
from .build import Answer, within
from .distribution import MP, Row, number
from .filtered import masked
from .penalised import Changed, histories
from .top_k import best

_PENALTIES: dict[str, Changed] = {
    "repetition_penalty": repetition_penalty.changed,
    "presence_penalty": presence_penalty.changed,
    "logit_bias": logit_bias.changed,
    "ban": ban.changed,
    "no_repeat_ngram": no_repeat_ngram.changed,
    "min_length": min_length.changed,
}


def _divided(row: Sequence[float], dtype: str, temperature: float) -> list[float]:
    t = exact.divisor(temperature, dtype)
    return [copysign(exact.rounded(Fraction(x) / t, dtype), x) if isfinite(x) else x for x in row]


def _only(sets: list[list[int]]) -> list[int]:
    if len(sets) != 1:
        raise ValueError("rounding decides what survives: take other logits")
    return sets[0]


def _min_p(row: Row, p: float) -> list[int]:
    weights = {i: MP.exp(x) for i, x in row.x.items()}
    return _only(row.reaching(weights, number(p), row.off))


def _xtc(row: Row, threshold: float, probability: float, uniform: float) -> list[int]:
    reach = _only(row.probable(threshold))
    if not uniform < probability or len(reach) < 2:
        return row.ranked
    return [i for i in row.ranked if row.logits[i] <= row.logits[reach[-1]]]


def _survivors(name: str, row: list[float], dtype: str, given: Mapping[str, Any], uniform: float) -> list[int]:
    of_row, given = Row(row, dtype), {key: value for key, value in given.items() if (key, value) != ("ties", "any")}
    if name == "keep_top_k":
        return best(row, given["k"])
    if name == "keep_top_p":
        return _only(keep_top_p.survivors(of_row, **given))
    return _min_p(of_row, **given) if name == "keep_min_p" else _xtc(of_row, **given, uniform=uniform)


def _counted(ids: list[int], prompt: int, counts: Any) -> list[int]:
    if isinstance(counts, str):
        return {"all": ids, "prompt": ids[:prompt], "output": ids[prompt:]}[counts]
    return ids[max(0, len(ids) - counts) :]


def answers(
    logits: np.ndarray,
    steps: Sequence[Any],
    history: np.ndarray | None = None,
    prompt_length: int = 0,
    uniform: np.ndarray | None = None,
) -> list[Answer]:
    """Step after step, the bound of each number 0."""
    dtype, values = exact.compute_dtype(logits), list[float]()
    rows, of_rows = exact.rows(logits), histories(logits, history)
    uniforms = [1.0] * len(rows) if uniform is None else uniform.astype(np.float64).reshape(-1).tolist()
    for row, ids, u in zip(rows, of_rows, uniforms, strict=True):
        for name, arguments in steps:
            given = dict(arguments)
            counted = _counted(ids, prompt_length, given.pop("counts", "all"))
            if name == "apply_temperature":
                row = _divided(row, dtype, **given)
            elif name in _PENALTIES:
                row = _PENALTIES[name](row, counted, dtype, **given)
            else:
                row = masked(row, _survivors(name, row, dtype, given, u))
        values += row
    return [within("logits", values, np.zeros(len(values)), logits.shape, dtype)]

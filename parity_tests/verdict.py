"""Four words for "is it the same?": `compare(stage, ours, theirs, **inputs) -> Verdict`.

    IDENTICAL     the same bits
    WITHIN_BOUND  other bits, every element inside the derived bound
    TIE_BREAK     another token or survivor, but the candidates are closer than the bound: rounding's coin flip
    DIVERGED      anything else

`ours` is a result of the reference for the given inputs, `theirs` what the implementation under test returned for the
same inputs. Where a stage rounds, both are judged against the exact value, so that a fault of the reference shows too;
where nothing may round (the cut, the quotient of given logits) they must have the same bits. Bounds come from
`reference.bounds`; no tolerance is picked here. An implementation may compute in another dtype than the reference:
name it with `dtype`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .judges import draws, elements, survivors
from .judges.elements import exact_softmax
from .judges.words import Verdict, Word, same_bits

__all__ = ["Verdict", "Word", "compare", "exact_softmax", "same_bits"]


def compare(stage: str, ours: Any, theirs: Any, dtype: str | None = None, **inputs: Any) -> Verdict:
    """Judge `theirs` against `ours` for one stage of the head.

    `stage` is a function name of `reference.head`; `inputs` are its arguments by name, and for `multinomial` the
    `noise` in place of `rng`. `dtype` is the one the other implementation computed in (default: that of `ours`).
    Raises ValueError for an unknown stage.
    """
    judge = _JUDGES.get(stage)
    if judge is None:
        raise ValueError(f"stage is {stage!r}: it must be one of {', '.join(_JUDGES)}")
    if stage == "top_k":
        return judge(ours, theirs, dtype, **inputs)
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    for rule, what, a, b in (
        (_SHAPE_RULE[stage], "shape", ours.shape, theirs.shape),
        ("HEAD-2", "dtype", np.dtype(dtype) if dtype and ours.dtype.kind == "f" else ours.dtype, theirs.dtype),
    ):
        if a != b:
            return Verdict(Word.DIVERGED, stage, rule=rule, ours=a, theirs=b, reason=f"another {what}")
    return judge(ours, theirs, dtype, **inputs)


_JUDGES: dict[str, Callable[..., Verdict]] = {
    "compute_logits": elements.compute_logits,
    "apply_temperature": elements.apply_temperature,
    "top_k": survivors.top_k,
    "keep_top_k": survivors.keep_top_k,
    "softmax": elements.softmax,
    "multinomial": draws.multinomial,
    "inverse_cdf": draws.inverse_cdf,
    "lm_head": survivors.lm_head,
}
_SHAPE_RULE = {
    "compute_logits": "LOGITS-1",
    "apply_temperature": "TEMP-1",
    "keep_top_k": "TOPK-6",
    "softmax": "SOFTMAX-1",
    "multinomial": "DRAW-1",
    "inverse_cdf": "CDF-1",
    "lm_head": "HEAD-1",
}

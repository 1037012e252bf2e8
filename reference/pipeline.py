"""Several steps, one after the other, from the logits of the model to those that are drawn from.

    logits [..., V]
        |   process      penalties, temperature and filters, in the order given
    logits [..., V]       a token is drawn from the softmax of these

A step is data: the name of a function, then its arguments by name, as in `("keep_top_k", {"k": 50})`. The order is part
of the definition: a filter looks at the softmax of what reaches it, so before the temperature it keeps other tokens
than after it  [PIPE-1]. `profiles.py` builds steps from the settings of existing engines.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import filters, head, output_layer, penalties
from .filter_validation import check_history, check_prompt_length, check_steps, counted
from .operations import OPERATIONS, STEPS
from .validation import check_logits

Step = tuple[str, Mapping[str, Any]]
_MODULES = (head, output_layer, filters, penalties)
FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    name: getattr(module, name) for name in STEPS for module in _MODULES if hasattr(module, name)
}


def process(
    logits: ArrayLike,
    steps: Sequence[Step],
    history: ArrayLike | None = None,
    prompt_length: int = 0,
    uniform: ArrayLike | None = None,
) -> np.ndarray:
    """The logits after all steps: `(..., V), (..., n), (...) -> (..., V)`  [PIPE-1 to PIPE-4].

    `history` holds the token ids so far; the first `prompt_length` are the prompt. A step that takes a history may say
    which ids count: `"counts"` is "all", as without it, "prompt", "output", or a number: that many, the last ones.
    `uniform` is for `keep_xtc`. `"ties": "any"` remarks that an engine keeps any of the tied  [PIPE-3].
    Raises: as each step; ValueError for a step or an argument that is unknown or missing, and for "counts" that is none
    of these.

    >>> flat = [("apply_temperature", {"temperature": 2.0}), ("keep_top_p", {"p": 0.9})]
    >>> process(np.array([3.0, 2.0, 1.0, 0.0, -1.0]), flat)
    array([ 1.5,  1. ,  0.5,  0. , -inf])
    >>> process(np.array([3.0, 2.0, 1.0, 0.0, -1.0]), flat[::-1])
    array([ 1.5,  1. ,  0.5, -inf, -inf])
    """
    logits = check_logits(logits).copy()
    rows = logits.shape[:-1]
    history = check_history(np.zeros((*rows, 0), np.int64) if history is None else history, logits.shape)
    prompt = check_prompt_length(prompt_length, history)
    for name, arguments in check_steps(steps, FUNCTIONS):
        if "history" in OPERATIONS[name].arguments:
            arguments["history"] = counted(history, prompt, arguments.pop("counts", "all"))
        if "uniform" in OPERATIONS[name].arguments:
            arguments["uniform"] = uniform
        logits = FUNCTIONS[name](logits, **arguments)
    return logits

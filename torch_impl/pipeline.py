"""Several steps, one after the other, in PyTorch: the mirror of `reference/pipeline.py`, read that first."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from . import filters, head, output_layer, penalties
from .filter_validation import Ids, check_history, check_prompt_length, check_steps, counted
from .validation import check_logits

Step = tuple[str, Mapping[str, Any]]


def _is_step(function: Any) -> bool:
    """Whether it goes from logits to logits: it has another argument besides, unlike `softmax` and `greedy`."""
    signature = inspect.signature(function)
    first, *others = signature.parameters
    return first == "logits" and bool(others) and signature.return_annotation is Tensor


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: function
    for module in (head, output_layer, filters, penalties)
    for name, function in vars(module).items()
    if getattr(function, "__module__", "") == module.__name__ and not name.startswith("_") and _is_step(function)
}


def process(
    logits: Tensor,
    steps: Sequence[Step],
    history: Ids | None = None,
    prompt_length: int = 0,
    uniform: Any = None,
) -> Tensor:
    """The logits after all steps: `(..., V), (..., n), (...) -> (..., V)`  [PIPE-1 to PIPE-4].

    A step is a name and its arguments. `"counts"` says which ids of the history it looks at: "all", "prompt", "output"
    or that many of the last ones. With `"ties": "any"` the lowest id stays.
    Raises: as each step; ValueError for a step or an argument that is unknown or missing, and for "counts" that is none
    of these.

    >>> flat = [("apply_temperature", {"temperature": 2.0}), ("keep_top_p", {"p": 0.9})]
    >>> process(torch.tensor([3.0, 2.0, 1.0, 0.0, -1.0]), flat)
    tensor([1.5000, 1.0000, 0.5000, 0.0000,   -inf])
    """
    logits = check_logits(logits).clone()
    none = torch.zeros((*logits.shape[:-1], 0), dtype=torch.int64)
    ids = check_history(none if history is None else history, logits)
    prompt = check_prompt_length(prompt_length, ids)
    for name, arguments, takes in check_steps(steps, FUNCTIONS):
        if "history" in takes:
            arguments["history"] = counted(ids, prompt, arguments.pop("counts", "all"))
        if "uniform" in takes:
            arguments["uniform"] = uniform
        logits = FUNCTIONS[name](logits, **arguments)
    return logits

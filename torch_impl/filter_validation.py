"""What filters, penalties, log-probabilities and pipelines refuse besides what `validation.py` does."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .validation import (
    COMPUTE_DTYPE,
    INTEGERS,
    as_tensor,
    bad_number,
    check_integer,
    check_integers,
    check_range,
    check_some_unmasked,
    check_token_ids,
    first,
    in_dtype,
    place,
    shown,
)

Ids = Tensor | Sequence[Any]  # token ids: a tensor, or what becomes one, as a list or nested lists
_FLOAT64 = torch.zeros((), dtype=torch.float64, device="cpu")


def check_share(name: str, value: Any, limits: str = "(0, 1]") -> float:
    """A number between 0 and 1, in float64; the brackets of `limits` say whether 0 and 1 themselves are in."""
    rounded = in_dtype(name, value, _FLOAT64)
    share = float(rounded.item())
    if not (0 < share < 1 or (share == 0 and limits[0] == "[") or (share == 1 and limits[-1] == "]")):
        raise bad_number(name, value, rounded, f"in {limits}")
    return share


def check_word(name: str, value: Any, *words: str) -> str:
    """One of these words."""
    if value not in words:
        raise ValueError(f"{name} is {value!r}: it must be {' or '.join(map(repr, words))}")
    return str(value)


def _check_integers(name: str, values: Any, like: Tensor) -> Tensor:
    """Integers as int64, on the device of `like`."""
    ids = as_tensor(name, values, like, INTEGERS)
    if ids.numel() == 0:  # an empty list has no dtype of its own
        ids = ids.long()
    return check_integers(name, ids).to(like.device)


def _check_range(name: str, ids: Tensor, vocab_size: int) -> Tensor:
    check_range(name, ids, vocab_size, "leave out padding")
    return ids


def check_history(values: Any, logits: Tensor) -> Tensor:
    """Token ids `(..., n)`, those of one row for each row of logits."""
    ids, rows = _check_integers("history", values, logits), tuple(logits.shape[:-1])
    if ids.dim() != logits.dim() or ids.shape[:-1] != rows:
        wanted = f"({', '.join([*map(str, rows), 'n'])})" if rows else "(n,)"
        raise ValueError(
            f"history has shape {tuple(ids.shape)}: it must be {wanted}, the ids so far of each row of logits"
        )
    return _check_range("history", ids, logits.shape[-1])


def check_ids(name: str, values: Any, logits: Tensor) -> Tensor:
    """Token ids `(n,)` that hold for every row."""
    ids = _check_integers(name, values, logits)
    if ids.dim() != 1:
        raise ValueError(f"{name} has shape {tuple(ids.shape)}: it must be (n,), a list of token ids")
    return _check_range(name, ids, logits.shape[-1])


def check_biases(biased: Any, biases: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Ids `(n,)`, each once, and their biases `(n,)`, finite or -inf, rounded to the dtype of the logits."""
    ids = check_ids("biased", biased, logits)
    numbers = as_tensor("biases", biases, logits, "convert it to float32 or float64")
    if numbers.numel() and numbers.dtype not in COMPUTE_DTYPE:
        raise TypeError(f"biases has dtype {numbers.dtype}: convert it to float32 or float64")
    if numbers.shape != ids.shape:
        one = "one number for each id of biased"
        raise ValueError(f"biases has shape {tuple(numbers.shape)}: it must be {tuple(ids.shape)}, {one}")
    rounded = numbers.to(logits)
    bad = ~((rounded < math.inf) & (rounded.isfinite() | (numbers == -math.inf).to(logits.device)))  # so nan is bad
    if bad.any():
        (index,) = first(bad)
        raise ValueError(f"biases[{index}] is {numbers[index].item()}: it must be finite, or -inf to mask a token")
    values, counts = ids.unique(return_counts=True)
    if (counts > 1).any():
        twice = values[counts > 1][0]
        index = (ids == twice).nonzero()[1].item()
        raise ValueError(f"biased[{index}] is {twice.item()} again: an id may stand once; add its biases")
    return ids, rounded


def check_penalised(penalised: Tensor, logits: Tensor) -> Tensor:
    """Logits after a penalty; refused where a finite one has become infinite."""
    bad = penalised.isinf() & logits.isfinite()
    if bad.any():
        index = first(bad)
        name = place("(penalised logits)", index)
        raise ValueError(f"{name} is {penalised[index].item()}: it overflows; lower the penalty")
    return penalised


def check_left(logits: Tensor) -> Tensor:
    """Logits after a ban; refused where it leaves no token of a row."""
    check_some_unmasked(logits.amax(dim=-1) > -math.inf, "(logits after the ban)")
    return logits


def check_targets(values: Any, logits: Tensor, ignore_index: Any) -> tuple[Tensor, Tensor]:
    """The id of each row of logits, 0 where it is to be ignored, and which rows count; at least one does."""
    ids, ignored = _check_integers("token_ids", values, logits), check_integer("ignore_index", ignore_index)
    is_int64 = -(2**63) <= ignored < 2**63  # with any other PyTorch does not compare
    counts = ids != ignored if is_int64 else torch.ones_like(ids, dtype=torch.bool)
    ids = check_token_ids(ids.where(counts, 0), logits.shape[:-1], logits.shape[-1], "row of logits")
    if not counts.any():
        raise ValueError(
            f"token_ids has no position that counts (shape {tuple(counts.shape)}): the mean needs at least one"
        )
    return ids, counts


_signature = cache(inspect.signature)  # which takes longer than a filter of the survivors


def check_steps(
    steps: Any, functions: Mapping[str, Callable[..., Any]]
) -> list[tuple[str, dict[str, Any], Sequence[str]]]:
    """The steps of a pipeline: names, copies of their arguments, and the names of all that their functions take.

    The remark that any of the tied stay, `"ties": "any"`, is left out.
    """
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise TypeError(f"steps is {steps!r}: it must be a list of steps, each a name and its arguments")
    return [_check_step(f"steps[{number}]", step, functions) for number, step in enumerate(steps)]


def _check_step(
    name: str, step: Any, functions: Mapping[str, Callable[..., Any]]
) -> tuple[str, dict[str, Any], Sequence[str]]:
    if isinstance(step, str) or not isinstance(step, Sequence) or len(step) != 2 or not isinstance(step[1], Mapping):
        raise TypeError(f"{name} is {step!r}: it must be a name and a mapping of arguments")
    function, arguments = step
    if function not in functions:
        raise ValueError(f"{name} is {function!r}: it must be one of {', '.join(functions)}")
    takes = _signature(functions[function]).parameters
    arguments = {key: value for key, value in arguments.items() if (key, value) != ("ties", "any")}
    handed = ("logits", "history", "uniform")  # by the pipeline
    allowed = [argument for argument in takes if argument not in handed] + ["counts"] * ("history" in takes)
    for argument in arguments:
        if argument not in allowed:
            raise ValueError(f"{name} has {argument!r}: {function} takes {', '.join(allowed)}")
    for argument, parameter in takes.items():
        if parameter.default is parameter.empty and argument not in (*handed, *arguments):
            raise ValueError(f"{name} has no {argument!r}: {function} needs it")
    return function, arguments, list(takes)


def check_prompt_length(value: Any, history: Tensor) -> int:
    """How many ids of the history `(..., n)` are the prompt."""
    prompt, n = check_integer("prompt_length", value), history.shape[-1]
    if not 0 <= prompt <= n:
        raise ValueError(f"prompt_length is {shown(prompt)}: it must be from 0 to {n}, the length of the history")
    return prompt


def counted(history: Tensor, prompt: int, counts: Any) -> Tensor:
    """The part of the history `(..., n)` that counts; its first `prompt` ids are the prompt."""
    parts = {"all": slice(None), "prompt": slice(prompt), "output": slice(prompt, None)}
    if isinstance(counts, str):
        return history[..., parts[check_word("counts", counts, *parts)]]
    last = check_integer("counts", counts)
    if last < 0:
        raise ValueError(f"counts is {shown(last)}: it must be 0 or more, how many of the last ids count")
    return history[..., max(0, history.shape[-1] - last) :]

"""What filters, penalties, log-probabilities and pipelines refuse besides what `validation.py` does."""

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from .operations import OPERATIONS
from .validation import (
    COMPUTE_DTYPE,
    bad_number,
    check_integer,
    check_integers,
    check_range,
    check_some_finite,
    check_token_ids,
    in_dtype,
    place,
    shown,
)


def check_share(name: str, value: Any, limits: str = "(0, 1]") -> float:
    """A number between 0 and 1, in float64; the brackets of `limits` say whether 0 and 1 themselves are in."""
    share = float(in_dtype(name, value, np.dtype(np.float64)))
    if not (0 < share < 1 or (share == 0 and limits[0] == "[") or (share == 1 and limits[-1] == "]")):
        raise bad_number(name, value, np.float64(share), f"in {limits}")
    return share


def check_word(name: str, value: Any, *words: str) -> str:
    """One of these words."""
    if value not in words:
        raise ValueError(f"{name} is {value!r}: it must be {' or '.join(map(repr, words))}")
    return str(value)


def _integers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    return check_integers(
        name, array if array.size else array.astype(np.int64)
    )  # an empty list has no dtype of its own


def check_history(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Token ids `(..., n)`, those of one row for each row of logits of this shape."""
    ids = _integers("history", values)
    if ids.ndim != len(shape) or ids.shape[:-1] != shape[:-1]:
        wanted = f"({', '.join([*map(str, shape[:-1]), 'n'])})" if shape[:-1] else "(n,)"
        raise ValueError(f"history has shape {ids.shape}: it must be {wanted}, the ids so far of each row of logits")
    return check_range("history", ids, shape[-1], "leave out padding")


def check_ids(name: str, values: Any, vocab_size: int) -> np.ndarray:
    """Token ids `(n,)` that hold for every row."""
    ids = _integers(name, values)
    if ids.ndim != 1:
        raise ValueError(f"{name} has shape {ids.shape}: it must be (n,), a list of token ids")
    return check_range(name, ids, vocab_size, "leave out padding")


def check_biases(biased: Any, biases: Any, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids `(n,)`, each once, and their biases `(n,)`, finite or -inf, rounded to the dtype of the logits."""
    ids, numbers = check_ids("biased", biased, logits.shape[-1]), np.asarray(biases, None if np.size(biases) else float)
    if numbers.dtype.name not in COMPUTE_DTYPE:
        raise TypeError(f"biases has dtype {numbers.dtype}: convert it to float32 or float64")
    if numbers.shape != ids.shape:
        raise ValueError(f"biases has shape {numbers.shape}: it must be {ids.shape}, one number for each id of biased")
    with np.errstate(all="ignore"):  # refused in the next lines
        rounded = numbers.astype(logits.dtype)
    bad = ~((rounded < np.inf) & (np.isfinite(rounded) | (numbers == -np.inf)))  # written so that nan is bad
    if bad.any():
        index = int(np.argmax(bad))
        raise ValueError(f"biases[{index}] is {numbers[index]}: it must be finite, or -inf to mask a token")
    twice = np.flatnonzero(np.bincount(ids, minlength=1) > 1)
    if len(twice):
        index = int(np.flatnonzero(ids == twice[0])[1])
        raise ValueError(f"biased[{index}] is {twice[0]} again: an id may stand once; add its biases")
    return ids, rounded


def check_penalised(penalised: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Logits after a penalty; refused where a finite one has become infinite."""
    bad = np.isinf(penalised) & np.isfinite(logits)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{place('(penalised logits)', index)} is {penalised[index]}: it overflows; lower the penalty")
    return penalised


def check_left(logits: np.ndarray) -> np.ndarray:
    """Logits after a ban; refused where it leaves no token of a row."""
    check_some_finite((logits.max(axis=-1) > -np.inf).reshape(-1), logits.shape[:-1], "(logits after the ban)")
    return logits


def check_targets(values: Any, shape: tuple[int, ...], ignore_index: Any) -> tuple[np.ndarray, np.ndarray]:
    """The id of each row of logits, 0 where it is to be ignored, and which rows count; at least one does."""
    ids, ignored = _integers("token_ids", values), check_integer("ignore_index", ignore_index)
    counted = ids != ignored
    ids = check_token_ids(np.where(counted, ids, 0), shape[:-1], shape[-1], "row of logits")
    if not counted.any():
        raise ValueError(f"token_ids has no position that counts (shape {counted.shape}): the mean needs at least one")
    return ids, counted


_signature = cache(inspect.signature)  # which takes longer than a filter of the survivors


def check_steps(steps: Any, functions: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The steps of a pipeline: names, and copies of their arguments, without the remark that any of the tied stay."""
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise TypeError(f"steps is {steps!r}: it must be a list of steps, each a name and its arguments")
    return [_check_step(f"steps[{number}]", step, functions) for number, step in enumerate(steps)]


def _check_step(name: str, step: Any, functions: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(step, str) or not isinstance(step, Sequence) or len(step) != 2 or not isinstance(step[1], Mapping):
        raise TypeError(f"{name} is {step!r}: it must be a name and a mapping of arguments")
    function, arguments = step
    if function not in functions:
        raise ValueError(f"{name} is {function!r}: it must be one of {', '.join(functions)}")
    known = OPERATIONS[function].arguments
    arguments = {key: value for key, value in arguments.items() if (key, value) != ("ties", "any")}
    handed = ("logits", "history", "uniform")  # by the pipeline
    allowed = [argument for argument in known if argument not in handed] + ["counts"] * ("history" in known)
    for argument in arguments:
        if argument not in allowed:
            raise ValueError(f"{name} has {argument!r}: {function} takes {', '.join(allowed)}")
    for argument, parameter in _signature(functions[function]).parameters.items():
        if parameter.default is parameter.empty and argument not in (*handed, *arguments):
            raise ValueError(f"{name} has no {argument!r}: {function} needs it")
    return function, arguments


def check_prompt_length(value: Any, history: np.ndarray) -> int:
    """How many ids of the history `(..., n)` are the prompt."""
    prompt, n = check_integer("prompt_length", value), history.shape[-1]
    if not 0 <= prompt <= n:
        raise ValueError(f"prompt_length is {shown(prompt)}: it must be from 0 to {n}, the length of the history")
    return prompt


def counted(history: np.ndarray, prompt: int, counts: Any) -> np.ndarray:
    """The part of the history `(..., n)` that counts; its first `prompt` ids are the prompt."""
    parts = {"all": slice(None), "prompt": slice(prompt), "output": slice(prompt, None)}
    if isinstance(counts, str):
        return history[..., parts[check_word("counts", counts, *parts)]]
    last = check_integer("counts", counts)
    if last < 0:
        raise ValueError(f"counts is {shown(last)}: it must be 0 or more, how many of the last ids count")
    return history[..., max(0, history.shape[-1] - last) :]

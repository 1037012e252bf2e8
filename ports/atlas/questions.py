"""The same questions to every implementation, with answers of a few words that can be read side by side."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from . import Otherwise

LONG = 12  # an array of up to so many elements is shown in full


def value(given: Any) -> str:
    """A number or an array as text, with the digits of its dtype: `[1, -inf, 0.1]`."""
    if not isinstance(given, (np.ndarray, np.generic)):
        return str(given)
    array = np.asarray(given)
    if array.size > LONG:
        return f"({array.size:,} numbers)"
    return _digits(array)


def _digits(array: np.ndarray) -> str:
    if array.ndim:
        return f"[{', '.join(_digits(part) for part in array)}]"
    return str(array[()]).removesuffix(".0")


def shown(inputs: dict[str, Any]) -> str:
    """Arguments as a person writes them: `logits [1, 2, 2], k 2`. The dtype is shown unless it is float32."""
    return ", ".join(f"{name} {_kind(given)}{value(given)}" for name, given in inputs.items())


def _kind(given: Any) -> str:
    floats = isinstance(given, np.ndarray) and given.dtype != np.float32
    return f"{given.dtype.name} " if floats else ""


def _row(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def _survivors(module: ModuleType, logits: np.ndarray, k: int) -> str:
    """The ids of the survivors in ascending order. Their own order is not asked here: TOPK-3 has vectors for it."""
    if hasattr(module, "survivors"):
        ids = np.array(module.survivors(logits, k))
    elif hasattr(module, "keep_top_k"):
        ids = np.flatnonzero(np.asarray(module.keep_top_k(logits, k)) > -np.inf)
    else:
        ids = np.sort(np.asarray(module.top_k(logits, k)[1]))
    return f"ids {value(ids)}" if ids.size <= LONG else f"{ids.size:,} of them"


NAN, INF = np.nan, np.inf
BELOW_ONE = float(np.float32(1 - 2.0**-24))  # the largest float32 uniform
TWELVE = np.float32(1 / 12)

SURVIVORS = ("keep_top_k", "top_k", "survivors")


def _sample(module: ModuleType, logits: np.ndarray, temperature: float) -> str:
    if hasattr(module, "sample"):
        return f"id {module.sample(logits, temperature)}"
    return f"id {module.draw(module.apply_temperature(logits, temperature))}"


QUESTIONS: dict[str, tuple[tuple[str, ...], Callable[[ModuleType], str]]] = {
    "which of [1, 2, 2, 2, 3] survive at k = 3": (
        SURVIVORS,
        lambda m: _survivors(m, _row(1, 2, 2, 2, 3), 3),
    ),
    "which of [2, 2] survive at k = 1": (SURVIVORS, lambda m: _survivors(m, _row(2, 2), 1)),
    "which of 1,000 equal logits survive at k = 5": (
        SURVIVORS,
        lambda m: _survivors(m, np.zeros(1000, np.float32), 5),
    ),
    "which of [1, 2] survive at k = 2": (SURVIVORS, lambda m: _survivors(m, _row(1, 2), 2)),
    "which of [1, 2] survive at k = 3": (SURVIVORS, lambda m: _survivors(m, _row(1, 2), 3)),
    "which of [1, 2] survive at k = 0": (SURVIVORS, lambda m: _survivors(m, _row(1, 2), 0)),
    "the logits [5, -3] at temperature 0.7": (
        ("apply_temperature",),
        lambda m: value(m.apply_temperature(_row(5, -3), 0.7)),
    ),
    "the logits [1, 0] at temperature 0": (
        ("apply_temperature",),
        lambda m: value(m.apply_temperature(_row(1, 0), 0.0)),
    ),
    "the logits [1, 0] at temperature -1": (
        ("apply_temperature",),
        lambda m: value(m.apply_temperature(_row(1, 0), -1.0)),
    ),
    "the logits [1, 0] at temperature 2, an integer": (
        ("apply_temperature",),
        lambda m: value(m.apply_temperature(_row(1, 0), 2)),
    ),
    "the softmax of [-104, -104]": (("softmax",), lambda m: value(m.softmax(_row(-104, -104)))),
    "the softmax of [0, 89], to six decimals": (("softmax",), lambda m: value(np.round(m.softmax(_row(0, 89)), 6))),
    "the softmax of [0, nan]": (("softmax",), lambda m: value(m.softmax(_row(0, NAN)))),
    "the softmax of [0, inf]": (("softmax",), lambda m: value(m.softmax(_row(0, INF)))),
    "the softmax of [-inf, -inf]": (("softmax",), lambda m: value(m.softmax(_row(-INF, -INF)))),
    "the walk over [0, 1] at uniform 0": (
        ("inverse_cdf",),
        lambda m: "id " + value(m.inverse_cdf(_row(0, 1), np.array(0.0))),
    ),
    "the walk over twelve 1/12 and one 0 at the largest uniform": (
        ("inverse_cdf",),
        lambda m: "id " + value(m.inverse_cdf(_row(*[float(TWELVE)] * 12, 0), np.array(BELOW_ONE))),
    ),
    "one token drawn from the logits [20, 0] at temperature 0": (
        ("apply_temperature", "sample"),
        lambda m: _sample(m, _row(20, 0), 0.0),
    ),
    "one token drawn from the logits [20, 0] at temperature -1": (
        ("apply_temperature", "sample"),
        lambda m: _sample(m, _row(20, 0), -1.0),
    ),
    "one token drawn from the logits [0, nan, 0]": (("draw",), lambda m: f"id {m.draw(_row(0, NAN, 0))}"),
    "one token drawn from the logits [-inf, -inf]": (("draw",), lambda m: f"id {m.draw(_row(-INF, -INF))}"),
    "one token drawn from the logits [-104, -104, -104, -inf]": (
        ("draw",),
        lambda m: f"id {m.draw(_row(-104, -104, -104, -INF))}",
    ),
    "one token drawn from the logits [0, 89, 0]": (("draw",), lambda m: f"id {m.draw(_row(0, 89, 0))}"),
}


def answers(module: ModuleType) -> dict[str, str]:
    """Question -> answer, for the questions that the implementation has a function for."""
    return {
        question: _answer(ask, module)
        for question, (functions, ask) in QUESTIONS.items()
        if any(hasattr(module, function) for function in functions)
    }


def _answer(ask: Callable[[ModuleType], str], module: ModuleType) -> str:
    try:
        return ask(module)
    except Otherwise as otherwise:
        return str(otherwise)
    except Exception as error:
        return f"raises {type(error).__name__}"

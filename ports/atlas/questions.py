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
SURVIVORS = ("keep_top_k", "top_k", "survivors")

Ask = Callable[[ModuleType], str]
# The question, which functions can answer it, and how they are asked.
Question = tuple[str, tuple[tuple[str, ...], Ask]]


def _which_survive(logits: np.ndarray, k: int, of: str = "") -> Question:
    return f"which of {of or value(logits)} survive at k = {k}", (SURVIVORS, lambda m: _survivors(m, logits, k))


def _divided(logits: np.ndarray, temperature: float, note: str = "") -> Question:
    ask: Ask = lambda m: value(m.apply_temperature(logits, temperature))  # noqa: E731 - one of a row of questions
    return f"the logits {value(logits)} at temperature {temperature:g}{note}", (("apply_temperature",), ask)


def _softmax(logits: np.ndarray) -> Question:
    return f"the softmax of {value(logits)}", (("softmax",), lambda m: value(m.softmax(logits)))


def _drawn(logits: np.ndarray) -> Question:
    return f"one token drawn from the logits {value(logits)}", (("draw",), lambda m: f"id {m.draw(logits)}")


def _sampled(logits: np.ndarray, temperature: float) -> Question:
    def ask(module: ModuleType) -> str:
        if hasattr(module, "sample"):
            return f"id {module.sample(logits, temperature)}"
        return f"id {module.draw(module.apply_temperature(logits, temperature))}"

    functions = ("apply_temperature", "sample")
    return f"one token drawn from the logits {value(logits)} at temperature {temperature:g}", (functions, ask)


def _walked(over: str, probs: np.ndarray, at: str, uniform: float) -> Question:
    ask: Ask = lambda m: "id " + value(m.inverse_cdf(probs, np.array(uniform)))  # noqa: E731 - see _divided
    return f"the walk over {over} at {at}", (("inverse_cdf",), ask)


QUESTIONS: dict[str, tuple[tuple[str, ...], Ask]] = dict(
    (
        _which_survive(_row(1, 2, 2, 2, 3), 3),
        _which_survive(_row(2, 2), 1),
        _which_survive(np.zeros(1000, np.float32), 5, "1,000 equal logits"),
        *(_which_survive(_row(1, 2), k) for k in (2, 3, 0)),
        _divided(_row(5, -3), 0.7),
        _divided(_row(1, 0), 0.0),
        _divided(_row(1, 0), -1.0),
        _divided(_row(1, 0), 2, ", an integer"),
        _softmax(_row(-104, -104)),
        (
            "the softmax of [0, 89], to six decimals",
            (("softmax",), lambda m: value(np.round(m.softmax(_row(0, 89)), 6))),
        ),
        *(_softmax(row) for row in (_row(0, NAN), _row(0, INF), _row(-INF, -INF))),
        _walked("[0, 1]", _row(0, 1), "uniform 0", 0.0),
        _walked("twelve 1/12 and one 0", _row(*[1 / 12] * 12, 0), "the largest uniform", BELOW_ONE),
        *(_sampled(_row(20, 0), temperature) for temperature in (0.0, -1.0)),
        *(_drawn(row) for row in (_row(0, NAN, 0), _row(-INF, -INF), _row(-104, -104, -104, -INF), _row(0, 89, 0))),
    )
)


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

"""What the harness refuses, with the codes of PROTOCOL.md. ONNX operators do not raise errors for bad numbers.

The checks are those of `reference.validation`. This file gives each of them its code.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import validation

OF_TENSORS = ("bad_shape", "bad_logits", "bad_probs", "bad_noise", "bad_uniform")  # a TypeError here means bad_dtype


class Refused(Exception):  # noqa: N818 - the word that PROTOCOL.md uses
    """The input is bad by a rule of SPEC.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(code: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function(*arguments)`. Raises: `Refused` instead of TypeError or ValueError."""
    try:
        return function(*arguments)
    except TypeError as error:
        raise Refused("bad_dtype" if code in OF_TENSORS else code, str(error)) from None
    except ValueError as error:
        raise Refused(code, str(error)) from None


def factors(context: np.ndarray, embedding: np.ndarray) -> None:
    """`(..., d)` and `(V, d)`  [LOGITS-4]. MatMul would accept a context without an axis, or a transposed matrix."""
    check("bad_shape", validation.check_stored_factors, context, embedding)


def logits(array: np.ndarray) -> np.ndarray:
    """Logits are finite or -inf, and at least one of each row is finite  [SOFTMAX-4]. Softmax would return nan."""
    check("bad_shape", validation.check_vocabulary, "logits", array)
    check("bad_logits", validation.check_logits, array)
    return array


def scaled(array: np.ndarray, temperature: float) -> np.ndarray:
    """The quotients must not overflow  [TEMP-3]."""
    check("overflow", validation.check_scaled, array, temperature)
    return array


def temperature(value: Any, dtype: str) -> float:
    """The temperature is finite and above 0, also in the dtype of the logits  [TEMP-2]. Div would accept any number."""
    compute = np.dtype("float64" if dtype == "float64" else "float32")
    check("bad_temperature", validation.check_temperature, value, compute)
    return float(value)


def count(name: str, value: Any) -> int:
    """An integer of at least 1  [TOPK-5, DRAW-6]. TopK would accept 0 and return no tokens."""
    number: int = check(f"bad_{name}", validation.check_count, name, value)
    return number


def weights(array: np.ndarray, num_samples: int = 1) -> np.ndarray:
    """Probabilities are finite and >= 0. Each row has at least as many above 0 as are drawn  [DRAW-5, DRAW-6]."""
    check("bad_shape", validation.check_vocabulary, "probs", array)
    check("bad_probs", validation.check_probabilities, array)
    check("bad_num_samples", validation.check_probabilities, array, num_samples)
    return array


def noise(array: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Noise has one finite number >= 0 for each element of probs  [DRAW-5]."""
    _same_shape("noise", array, probs.shape)
    check("bad_noise", validation.check_noise, array, probs)
    return array


def uniform(array: np.ndarray, rows: tuple[int, ...]) -> np.ndarray:
    """A uniform has one number in [0, 1) for each row  [CDF-3]."""
    _same_shape("uniform", array, rows)
    check("bad_uniform", validation.check_uniform, array, rows)
    return array


def _same_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.dtype.name not in validation.COMPUTE_DTYPE:
        raise Refused("bad_dtype", f"{name} has dtype {array.dtype}: convert it to float32 or float64")
    if array.shape != shape:
        raise Refused("bad_shape", f"{name} has shape {array.shape}: it must be {shape}")


def total(running: np.ndarray) -> None:
    """The sums of the rows of probabilities, `(..., 1)`, must not overflow  [CDF-4]."""
    check("overflow", validation.check_total, running)

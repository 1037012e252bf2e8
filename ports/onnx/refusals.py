"""What the harness refuses, with the codes of PROTOCOL.md: no ONNX operator raises an error for a bad number.

Each function returns what it was given, or raises `Refused`.
"""

import math
from typing import Any

import numpy as np

FLOATS = ("float16", "bfloat16", "float32", "float64")


class Refused(Exception):  # noqa: N818 - the word of PROTOCOL.md
    """The input is bad, by a rule of SPEC.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _first(name: str, array: np.ndarray, good: np.ndarray) -> str:
    """`logits[2, 417] is nan` of the first element that is not good."""
    place = tuple(int(i) for i in np.argwhere(~good)[0])
    return f"{name}{list(place) or ''} is {array[place]}"


def floats(name: str, array: np.ndarray) -> np.ndarray:
    """Any of the four dtypes  [HEAD-2]."""
    if array.dtype.name not in FLOATS:
        raise Refused("bad_dtype", f"{name} has dtype {array.dtype}: convert it to float32 or float64")
    return array


def vocabulary(name: str, array: np.ndarray) -> np.ndarray:
    """`(..., V)`, V >= 1  [SOFTMAX-4]."""
    floats(name, array)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise Refused("bad_shape", f"{name} has shape {array.shape}: it needs a last axis, the vocabulary")
    return array


def factors(context: np.ndarray, embedding: np.ndarray) -> None:
    """`(..., d)` and `(V, d)`  [LOGITS-4]. MatMul would take a context without an axis, or a transposed matrix."""
    floats("context", context)
    floats("embedding", embedding)
    if context.ndim == 0 or embedding.ndim != 2 or not len(embedding) or context.shape[-1] != embedding.shape[1]:
        shapes = f"context has shape {context.shape} and embedding {embedding.shape}"
        raise Refused("bad_shape", f"{shapes}: they must be (..., d) and (V, d), V >= 1")


def logits(array: np.ndarray, name: str = "logits", code: str = "bad_logits") -> np.ndarray:
    """Finite or -inf, and in each row at least one finite  [SOFTMAX-4]. Softmax would answer nan."""
    vocabulary(name, array)
    wide = array.astype(np.float64)  # float16 and bfloat16 compare the same there
    good = wide < np.inf  # not nan, not +inf
    if not good.all():
        raise Refused(code, f"{_first(name, array, good)}: it must be finite, or -inf for a masked token")
    masked = wide.max(axis=-1) == -np.inf
    if masked.any():
        raise Refused(code, f"{_first(name, array, ~masked).rpartition(' is ')[0]} is -inf for every token: leave one")
    return array


def scaled(array: np.ndarray) -> np.ndarray:
    """Logits after the division  [TEMP-3]."""
    return logits(array, "logits / temperature", "overflow")


def temperature(value: Any, dtype: str) -> float:
    """A number that is finite and above 0 in the dtype of the logits  [TEMP-2]. Div would answer inf, nan or signs."""
    rounded = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            with np.errstate(over="ignore"):
                rounded = np.dtype("float64" if dtype == "float64" else "float32").type(value)
        except OverflowError:  # an integer beyond float64
            rounded = math.inf
    if not 0 < rounded < math.inf:
        remedy = "it must be finite and > 0; for greedy decoding take the argmax"
        raise Refused("bad_temperature", f"temperature is {value!r}, {rounded} in {dtype}: {remedy}")
    return float(value)


def count(name: str, value: Any) -> int:
    """An integer of at least 1  [TOPK-5, DRAW-6]. TopK takes 0 and gives nothing."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused(f"bad_{name}", f"{name} is {value!r}: it must be an integer of at least 1")
    return value


def weights(array: np.ndarray, num_samples: int = 1) -> np.ndarray:
    """Finite, >= 0, and in each row as many above 0 as are drawn  [DRAW-5, DRAW-6]."""
    vocabulary("probs", array)
    wide = array.astype(np.float64)
    good = (wide >= 0) & (wide < np.inf)
    if not good.all():
        raise Refused("bad_probs", f"{_first('probs', array, good)}: it must be finite and >= 0")
    possible = np.count_nonzero(wide, axis=-1)
    if (possible == 0).any():
        raise Refused("bad_probs", "a row of probs sums to zero: leave at least one token a probability")
    if (possible < num_samples).any():
        least = f"a row of probs has {possible.min()} tokens of non-zero probability"
        raise Refused("bad_num_samples", f"num_samples is {num_samples} but {least}: draw fewer")
    return array


def noise(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One finite number >= 0 for each element of probs  [DRAW-5]."""
    floats("noise", array)
    if array.shape != shape:
        raise Refused("bad_shape", f"noise has shape {array.shape}: it must be that of probs, {shape}")
    good = (array >= 0) & (array < np.inf)
    if not good.all():
        raise Refused("bad_noise", f"{_first('noise', array, good)}: it must be finite and >= 0")
    return array


def uniform(array: np.ndarray, rows: tuple[int, ...]) -> np.ndarray:
    """A number in [0, 1) for each row  [CDF-3]."""
    floats("uniform", array)
    if array.shape != rows:
        raise Refused("bad_shape", f"uniform has shape {array.shape}: it must be {rows}, one number a row")
    good = (array >= 0) & (array < 1)
    if not good.all():
        raise Refused("bad_uniform", f"{_first('uniform', array, good)}: it must be in [0, 1)")
    return array


def total(array: np.ndarray) -> None:
    """The sum of each row of probabilities  [CDF-4]."""
    if not np.isfinite(array).all():
        raise Refused("overflow", "the sum of a row of probs overflows: divide the row by its largest value first")

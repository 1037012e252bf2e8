"""Arrays and numbers as JSON, for the vectors and the protocol; `PROTOCOL.md` defines the format under "Values"."""

import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "int64": np.dtype(np.int64),
    "bool": np.dtype(np.bool_),
}
WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan, "-0": -0.0}


def number_to_json(value: float) -> float | int | str:
    """A JSON number that parses back to exactly `value`. Infinities, nan and negative zero become words.

    >>> [number_to_json(x) for x in (2.0, -0.0, -math.inf, float(np.float32(0.1)))]
    [2, '-0', '-inf', 0.10000000149011612]
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    value = float(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0 and math.copysign(1, value) < 0:
        return "-0"
    return int(value) if abs(value) < 2**53 and value.is_integer() else value


def number_from_json(value: Any) -> float:
    """The number of such a JSON value: the reverse of `number_to_json`.

    Raises: ValueError for anything but a number or one of the four words.
    """
    if isinstance(value, str):
        if value not in WORDS:
            raise ValueError(
                f"{value[:80]!r} is not a number: write a JSON number or one of {', '.join(map(repr, WORDS))}"
            )
        return WORDS[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{str(value)[:80]!r} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a tensor cannot hold an integer beyond the range of float64") from None


def to_json(array: Any) -> dict[str, Any]:
    """An array as `{"dtype", "shape", "data"}`, with the data as one flat list in C order.

    >>> to_json(np.array([[1.5, -np.inf]], dtype=np.float32))
    {'dtype': 'float32', 'shape': [1, 2], 'data': [1.5, '-inf']}
    """
    array = np.asarray(array)
    if array.dtype.name not in DTYPES:
        raise ValueError(f"the dtype of an array is {array.dtype}: it must be one of {', '.join(DTYPES)}")
    flat = array.reshape(-1)
    if flat.dtype.kind in "ib":
        data = flat.tolist()
    else:
        # As `number_to_json` writes each, but what needs no word is converted at once.
        numbers = flat.astype(np.float64)
        whole = (numbers == np.rint(numbers)) & (np.abs(numbers) < 2**53) & ~((numbers == 0) & np.signbit(numbers))
        data = (np.where(whole, numbers, 0).astype(np.int64) if whole.all() else numbers).tolist()
        if not whole.all():
            for i in np.flatnonzero(whole | (numbers == 0) | ~np.isfinite(numbers)).tolist():
                data[i] = number_to_json(data[i])
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def from_json(tensor: Any) -> np.ndarray:
    """The array of such an object: the reverse of `to_json`.

    Raises: ValueError if the keys, the dtype, the shape or the number of elements are wrong; the message says which.
    """
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data"}:
        raise ValueError(f"{str(tensor)[:80]} is not a tensor: it needs exactly the keys dtype, shape and data")
    dtype, shape, data = DTYPES.get(str(tensor["dtype"])), tensor["shape"], tensor["data"]
    if dtype is None:
        raise ValueError(f"a tensor's dtype is {str(tensor['dtype'])[:80]!r}: it must be one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise ValueError(f"a tensor's shape is {str(shape)[:80]}: it must be a list of lengths")
    if not isinstance(data, list) or len(data) != math.prod(shape):
        found = f"of length {len(data)}" if isinstance(data, list) else f"{str(data)[:40]!r}"
        raise ValueError(f"a tensor of shape {shape} has data {found}: it must be a list of length {math.prod(shape)}")
    if dtype.kind == "b":
        if not all(type(x) is bool for x in data):
            raise ValueError("a tensor of dtype bool has other values in its data")
    elif dtype.kind == "i":
        if not all(type(x) is int and -(2**63) <= x < 2**63 for x in data):
            raise ValueError("a tensor of dtype int64 has elements that are not 64-bit integers")
    elif not {float, int}.issuperset(map(type, data)):  # numbers from the JSON reader need no conversion
        # The words are many in masked logits: `WORDS.get` is the quick way for them, and refuses nothing itself.
        data = [x if x.__class__ is float else WORDS.get(x) if x.__class__ is str else x for x in data]
        if not {float, int}.issuperset(map(type, data)):
            data = [number_from_json(x) for x in tensor["data"]]
    with np.errstate(over="ignore"):
        try:
            array = np.array(data, dtype=np.float64 if dtype.kind not in "ib" else dtype)
        except OverflowError:
            raise ValueError("a tensor cannot hold an integer beyond the range of float64") from None
        return array.astype(dtype).reshape(shape)


def encode(value: Any) -> Any:
    """An argument or a result as JSON: arrays become tensors, also inside a list; a float becomes a number or a word.

    >>> encode([np.array([0.5])]), encode(-math.inf), encode("lowest_id")
    ([{'dtype': 'float64', 'shape': [1], 'data': [0.5]}], '-inf', 'lowest_id')
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return to_json(value)
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    if isinstance(value, Mapping):  # the arguments of a step
        return {name: encode(part) for name, part in value.items()}
    return number_to_json(value) if isinstance(value, float) else value


def encoded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the `inputs` of a request: a seed is a string.

    >>> encoded({"seed": -1, "k": 5})
    {'seed': '-1', 'k': 5}
    """
    return {name: str(value) if name == "seed" else encode(value) for name, value in arguments.items()}


def decode(value: Any) -> Any:
    """Tensors become arrays, also inside a list. Anything else stays as it is."""
    if isinstance(value, list):
        return [from_json(part) if isinstance(part, dict) else part for part in value]
    return from_json(value) if isinstance(value, dict) else value

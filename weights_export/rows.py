"""Tables in blocks of rows, in any of the stored dtypes: widened, narrowed and checked without a copy of the whole."""

import math
from collections.abc import Iterator

import numpy as np

from .strict_json import BundleError

BLOCK = 1 << 22  # numbers at a time: 16 MB in float32


def ranges(shape: tuple[int, ...], start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """`(start, stop)` along the first axis, about BLOCK numbers each."""
    stop = shape[0] if stop is None else stop
    step = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def widen(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Stored numbers in the dtype to compute in (HEAD-2): 16 bits become float32, exactly; others stay as they are."""
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32) if dtype == "float16" else stored


def narrow(values: np.ndarray, dtype: str) -> np.ndarray:
    """Float32 numbers as they are stored in `dtype`, rounded to nearest even; too large ones become infinite.

    >>> narrow(np.float32([1.0, -2.0]), "bfloat16")
    array([16256, 49152], dtype=uint16)
    """
    if dtype == "bfloat16":  # the upper half of the bits, rounded
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


def as_dtype(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Stored numbers as an array that computes; bfloat16 needs ml_dtypes, NumPy has none."""
    if dtype != "bfloat16":
        return stored
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        raise BundleError("bfloat16 needs ml_dtypes: pip install ml_dtypes, or export with --dtype float32") from None
    return stored.view(ml_dtypes.bfloat16)


def check_finite(values: np.ndarray, where: str, start: int = 0) -> None:
    """Refuse nan and infinity by place; `values` are rows of a table, from row `start` on.

    Raises: BundleError.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        first, *rest = (int(i) for i in np.argwhere(bad)[0])
        value, place = values[(first, *rest)], ", ".join(str(i) for i in (start + first, *rest))
        raise BundleError(f"{where}[{place}] is {value}: every number must be finite")

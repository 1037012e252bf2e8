"""Tables in blocks of rows, in any of the stored dtypes: widened, narrowed and checked without a copy of the whole."""

import math
import mmap
from collections.abc import Iterator

import numpy as np

from .strict_json import BundleError
from .tensors import Tensor, view

BLOCK = 1 << 22  # numbers at a time: 16 MB in float32


def ranges(shape: tuple[int, ...], start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """`(start, stop)` along the first axis, about BLOCK numbers each."""
    stop = shape[0] if stop is None else stop
    step = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


class Table:
    """A tensor in a mapped file, given out in blocks of rows, so that no more than a block need stay in memory."""

    def __init__(self, mapped: mmap.mmap, tensor: Tensor) -> None:
        self._mapped, self._tensor, self._stored = mapped, tensor, view(mapped, tensor)
        self.shape = tensor.shape

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[np.ndarray]:
        """The rows `[first, last)` in the dtype to compute in; a block must be used before the next is taken."""
        for start, stop in ranges(self.shape, first, last):
            yield widen(self._stored[start:stop], self._tensor.dtype)
            release(self._mapped)


def release(mapped: mmap.mmap) -> None:
    """Give the memory of a mapped file back; what is needed again is read from the file again."""
    if hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


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

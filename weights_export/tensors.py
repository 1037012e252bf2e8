"""Tensors in files: where one lies, how its numbers are stored, and reading and writing it a block of rows at a time.

Whatever the file format, a tensor is one run of bytes, little-endian and row-major. Tables are read and written in
blocks, so that an embedding never takes a second embedding's memory.
"""

import math
import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from .errors import BundleError
from .plain_files import release

BLOCK = 1 << 22  # numbers at a time: 16 MB in float32
# How NumPy sees the bytes of each dtype of a bundle. It has no bfloat16: those are shown as their bits.
STORED = {"float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}
# Bytes per number of the dtypes of safetensors, by their names there: a checkpoint may hold tensors of any of them.
ITEMSIZE = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1),
}


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: `offset` counts from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Its size in bytes."""
        itemsize = np.dtype(STORED[self.dtype]).itemsize if self.dtype in STORED else ITEMSIZE[self.dtype]
        return math.prod(self.shape) * itemsize

    def entry(self, file: str) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"file": file, "dtype": self.dtype, "shape": list(self.shape), "offset": self.offset}


@dataclass(frozen=True)
class Content:
    """A tensor to write: its values come in blocks of rows, as its dtype is stored."""

    dtype: str
    shape: tuple[int, ...]
    blocks: Iterable[np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Content":
        """An array of float32 or float64."""
        return cls(array.dtype.name, array.shape, [array])

    def write(self, file: IO[bytes], name: str) -> None:
        """Append the values to a file. Raises: ValueError if the blocks do not add up to the shape."""
        size = 0
        for block in self.blocks:
            # In C order: a transpose or a slice would be written in another order, or not at all.
            data = np.ascontiguousarray(block, dtype=STORED[self.dtype])
            size += data.nbytes
            file.write(data.reshape(-1).view(np.uint8).data)
        if size != (expected := Tensor(self.dtype, self.shape, 0).size):
            raise ValueError(f"{name}: {size} bytes were given, its shape {self.shape} takes {expected}")


def write(file: IO[bytes], contents: Mapping[str, Content]) -> dict[str, Tensor]:
    """Append tensors to a file one after the other; where each lies."""
    tensors = {}
    for name, content in contents.items():
        tensors[name] = Tensor(content.dtype, content.shape, file.tell())
        content.write(file, name)
    return tensors


def view(mapped: mmap.mmap, tensor: Tensor) -> np.ndarray:
    """A tensor as a read-only array over the mapped file; bfloat16 as its bits, uint16."""
    flat = np.frombuffer(mapped, STORED[tensor.dtype], math.prod(tensor.shape), tensor.offset)
    return flat.reshape(tensor.shape)


def blocks(
    mapped: mmap.mmap, tensor: Tensor, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The rows `[start, stop)`, a few at a time: the first one's number, and the rows in the dtype to compute in.

    A block must be used before the next is taken.
    """
    for first, block in stored_blocks(mapped, tensor, start, stop):
        yield first, widen(block, tensor.dtype)


def stored_blocks(
    mapped: mmap.mmap, tensor: Tensor, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """As `blocks`, but the numbers as they are stored."""
    stored, stop = view(mapped, tensor), tensor.shape[0] if stop is None else stop
    step = max(1, BLOCK // max(1, math.prod(tensor.shape[1:])))
    for first in range(start, stop, step):
        yield first, stored[first : min(first + step, stop)]
        release(mapped)


def stored(values: np.ndarray) -> np.ndarray:
    """An array as its bytes are stored: bfloat16, which NumPy does not have, as its bits."""
    return values.view(np.uint16) if values.dtype.name == "bfloat16" else values


def widen(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Stored numbers in the dtype to compute in: 16 bits become float32, exactly; others stay as they are  [HEAD-2]."""
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32) if dtype == "float16" else stored


def narrow(values: np.ndarray, dtype: str) -> np.ndarray:
    """Float32 numbers as `dtype` stores them, rounded to nearest even; too large ones become infinite.

    >>> narrow(np.float32([1.0, -2.0]), "bfloat16")
    array([16256, 49152], dtype=uint16)
    """
    if dtype == "bfloat16":  # the upper half of the bits, rounded
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


def check_stored(block: np.ndarray, dtype: str, where: str, start: int = 0) -> None:
    """As `check_finite`, for numbers as they are stored. Those of 16 bits are looked at in place, without widening.

    Raises: BundleError.
    """
    if dtype in _EXPONENT and not (block.view(np.uint16) & 0x7FFF).max(initial=0) >= _EXPONENT[dtype]:
        return
    check_finite(widen(block, dtype), where, start)


_EXPONENT = {"bfloat16": 0x7F80, "float16": 0x7C00}  # the bits of infinity; those of nan are larger


def check_finite(values: np.ndarray, where: str, start: int = 0) -> None:
    """Refuse nan and infinity, and say where; `values` are the rows of a table from row `start` on.

    Raises: BundleError.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        first, *rest = (int(i) for i in np.argwhere(bad)[0])
        value, place = values[(first, *rest)], ", ".join(str(i) for i in (start + first, *rest))
        raise BundleError(f"{where}[{place}] is {value}: every number must be finite")

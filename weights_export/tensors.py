"""A safetensors file as read-only arrays over the file: nothing is allocated before the header has been checked.

The layout, https://github.com/huggingface/safetensors#format: 8 bytes, the length of the header as a little-endian
unsigned integer; the header, a JSON object from tensor name to dtype, shape and data_offsets; the data, row-major and
little-endian, to the end of the file.
"""

import math
import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .strict_json import BundleError, integer, parse

MAX_HEADER = 16 << 20
# Of each dtype its bytes. Only those of BUNDLE_DTYPES are read; the others may stand beside them in a checkpoint.
ITEMSIZE = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "C64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1,
}
BUNDLE_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# How NumPy sees the bytes: it has no bfloat16, whose bits are shown as integers.
STORED = {"float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: `offset` counts from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        itemsize = np.dtype(STORED[self.dtype]).itemsize if self.dtype in STORED else ITEMSIZE[self.dtype]
        return math.prod(self.shape) * itemsize


def open_regular(path: Path) -> int:
    """A descriptor of a regular file, never of what a link points to.

    Raises: BundleError for a missing file, a link, a folder, a pipe or a device; OSError if reading is not permitted.
    """
    try:
        # Without O_NONBLOCK a pipe would be waited for; O_NOFOLLOW is not everywhere, so links are looked for as well.
        if stat.S_ISLNK(path.lstat().st_mode):
            raise BundleError(f"{path} is a link: a bundle holds plain files only")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path} is missing") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is no plain file")
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """The whole of a plain file of at most `limit` bytes."""
    with open(open_regular(path), "rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise BundleError(f"{path} has more than {limit:,} bytes")
    return raw


def map_file(path: Path) -> mmap.mmap:
    """A plain file mapped for reading.

    Raises: as `open_regular`; BundleError for an empty file, which cannot be mapped.
    """
    descriptor = open_regular(path)
    try:
        if os.fstat(descriptor).st_size == 0:
            raise BundleError(f"{path} is empty")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def view(mapped: mmap.mmap, tensor: Tensor) -> np.ndarray:
    """A tensor as a read-only array over the mapped file; bfloat16 as its bits, uint16."""
    flat = np.frombuffer(mapped, STORED[tensor.dtype], math.prod(tensor.shape), tensor.offset)
    return flat.reshape(tensor.shape)


def header_length(first: bytes, size: int, where: str, limit: int = MAX_HEADER) -> int:
    """The length of the header, from the first eight bytes of a file of `size` bytes."""
    if len(first) < 8 or size < 8:
        raise BundleError(f"{where} is no safetensors file: it has {size} bytes and needs at least 8")
    length = int.from_bytes(first[:8], "little")
    if length > min(limit, size - 8):
        raise BundleError(
            f"{where}: the header says it is {length:,} bytes long, the file has {size - 8:,} after its length "
            f"(and at most {limit:,} are read); truncated, or no safetensors file"
        )
    return length


def parse_header(header: bytes, size: int, where: str) -> dict[str, Tensor]:
    """Every tensor of a safetensors header; `size` is that of the whole file.

    Raises: BundleError unless the tensors fill the data one after the other, without gap or overlap.
    """
    if not header.startswith(b"{"):
        raise BundleError(f"{where}: the header must begin with '{{'")
    entries = parse(header, f"{where}: the header", max_bytes=MAX_HEADER)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise BundleError(f"{where}: __metadata__ must map names to strings")
    start = 8 + len(header)
    tensors = {name: _tensor(entry, start, f"{where}: tensor {name[:80]!r}") for name, entry in entries.items()}
    position = start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)):
        if tensor.offset != position:
            raise BundleError(
                f"{where}: tensor {name[:80]!r} begins at byte {tensor.offset}, expected {position}: "
                "tensors must follow each other without gap or overlap"
            )
        position += tensor.size
    if position != size:
        raise BundleError(f"{where}: the tensors end at byte {position}, the file has {size}; truncated, or damaged")
    return tensors


def _tensor(entry: Any, start: int, where: str) -> Tensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise BundleError(f"{where} must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEMSIZE:
        raise BundleError(f"{where} has dtype {dtype!r}: it must be one of {', '.join(ITEMSIZE)}")
    for name, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or not all(integer(n) and 0 <= n < 2**63 for n in numbers):
            raise BundleError(f"{where} has {name} {str(numbers)[:80]}: it must be a list of integers >= 0")
    if len(shape) > 8 or len(offsets) != 2:
        raise BundleError(f"{where} has {len(shape)} axes and {len(offsets)} offsets: at most 8 and exactly 2")
    tensor = Tensor(BUNDLE_DTYPES.get(dtype, dtype), tuple(shape), start + offsets[0])
    if offsets[1] - offsets[0] != tensor.size:
        raise BundleError(f"{where} of shape {shape} takes {tensor.size} bytes, its data_offsets are {offsets}")
    return tensor


def read_header(mapped: Any, where: str, limit: int = MAX_HEADER) -> dict[str, Tensor]:
    """Every tensor of a mapped safetensors file; a header longer than `limit` is not read."""
    length = header_length(mapped[:8], len(mapped), where, limit)
    return parse_header(mapped[8 : 8 + length], len(mapped), where)

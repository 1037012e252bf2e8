"""Safetensors files, read and written without the library: a reader checks the header before it allocates anything.

The layout, https://github.com/huggingface/safetensors#format: 8 bytes, the length of the header as a little-endian
unsigned integer; the header, a JSON object from tensor name to dtype, shape and data_offsets; the data, row-major and
little-endian, to the end of the file.
"""

import json
from collections.abc import Mapping
from typing import IO, Any

from . import tensors
from .errors import BundleError
from .strict_json import integer, parse
from .tensors import ITEMSIZE, Content, Tensor

MAX_HEADER = 16 << 20
_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # of our dtypes in a header
_OURS = {theirs: ours for ours, theirs in _NAMES.items()}


def header_length(first: bytes, size: int, where: str, limit: int = MAX_HEADER) -> int:
    """The length of the header, from the first eight bytes of a file of `size` bytes."""
    if len(first) < 8 or size < 8:
        raise BundleError(f"{where} is not a safetensors file: it has {size} bytes, the shortest one has 8")
    length = int.from_bytes(first[:8], "little")
    if length > min(limit, size - 8):
        raise BundleError(
            f"{where}: the header says it is {length:,} bytes long, the file has {size - 8:,} after its length "
            f"(and at most {limit:,} are read); truncated, or not a safetensors file"
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
    position = start = 8 + len(header)
    found = {name: _tensor(entry, start, f"{where}: tensor {name[:80]!r}") for name, entry in entries.items()}
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].offset, item[1].size)):
        if tensor.offset != position:
            begins = f"tensor {name[:80]!r} begins at byte {tensor.offset}"
            raise BundleError(f"{where}: {begins}, expected {position}: there must be no gap or overlap")
        position += tensor.size
    if position != size:
        raise BundleError(f"{where}: the tensors end at byte {position}, the file has {size}; truncated or damaged")
    return found


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
    tensor = Tensor(_OURS.get(dtype, dtype), tuple(shape), start + offsets[0])
    if offsets[1] - offsets[0] != tensor.size:
        raise BundleError(f"{where} of shape {shape} takes {tensor.size} bytes, its data_offsets are {offsets}")
    return tensor


def read_header(mapped: Any, where: str, limit: int = MAX_HEADER) -> dict[str, Tensor]:
    """Every tensor of a mapped safetensors file; a header longer than `limit` is refused."""
    length = header_length(mapped[:8], len(mapped), where, limit)
    return parse_header(mapped[8 : 8 + length], len(mapped), where)


def write(file: IO[bytes], contents: Mapping[str, Content]) -> dict[str, Tensor]:
    """Write tensors in this order; where each lies."""
    entries, start = {}, 0
    for name, content in contents.items():
        stop = start + Tensor(content.dtype, content.shape, 0).size
        shape = list(content.shape)
        entries[name] = {"dtype": _NAMES[content.dtype], "shape": shape, "data_offsets": [start, stop]}
        start = stop
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # aligns the first tensor to 8 bytes
    file.write(len(header).to_bytes(8, "little") + header)
    return tensors.write(file, contents)

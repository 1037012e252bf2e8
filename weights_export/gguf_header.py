"""The head of a GGUF file: its metadata and where each tensor lies, checked before anything is allocated.

The layout, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, little-endian: the magic `GGUF`, a version, the
numbers of tensors and of metadata entries; the entries, each a key, a type and a value; the tensors, each a name, its
axes (the fastest first), a type and an offset; padding; the tensors' data, each aligned.

The package `gguf` supplies the names and numbers of types and keys. Reading is ours, because its `GGUFReader` trusts
what the file says: it accepts tensors that overlap and offsets of nearly 2**64, raises whatever Python or NumPy raise
on the way, and keeps array objects for each string. To check a file for it takes a parser of the whole layout; that
parser is a reader.
"""

import math
from dataclasses import dataclass
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, Keys

from .errors import BundleError
from .gguf_values import AGAIN, MAX_STRINGS, Cursor, Value, read_scalar, skip_value

MAX_ENTRIES = 1 << 15  # metadata entries, and tensors: a large model has 2,000


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies: `shape` has the fastest axis last, as NumPy's; `size` is 0 for a type of unknown size."""

    type: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class Header:
    """All that precedes the data. `alignment` is that of each tensor, in bytes."""

    version: int
    alignment: int
    metadata: dict[str, Value]
    tensors: dict[str, TensorInfo]


def read_header(mapped: Any, where: str) -> Header:
    """The header of a mapped GGUF file; `where` names it in messages.

    Raises: BundleError for another format or version, and unless every value and tensor lies inside the file, alone.
    """
    cursor = Cursor(mapped, where)
    version = _version(cursor)
    tensors, entries = (cursor.number("<Q", f"the number of {what}") for what in ("tensors", "metadata entries"))
    for count, what in ((tensors, "tensors"), (entries, "metadata entries")):
        if count > MAX_ENTRIES:
            raise BundleError(f"{where} says it has {count:,} {what}: at most {MAX_ENTRIES:,} are read; {AGAIN}")
    metadata: dict[str, Value] = {}
    strings = 0
    for i in range(entries):
        key = cursor.name(f"the key of metadata entry {i}")
        if key in metadata:
            raise BundleError(f"{where}: the metadata key {key!r} appears twice; write the file again")
        metadata[key] = skip_value(cursor, key, MAX_STRINGS - strings)
        strings += metadata[key].count if metadata[key].of == "STRING" else 0
    alignment = _alignment(mapped, metadata, where)
    found: dict[str, TensorInfo] = {}
    for i in range(tensors):
        name = cursor.name(f"the name of tensor {i}")
        if name in found:
            raise BundleError(f"{where}: there are two tensors {name!r}; write the file again")
        found[name] = _tensor(cursor, f"tensor {name!r}")
    start = -(-cursor.at // alignment) * alignment
    return Header(version, alignment, metadata, _placed(found, start, alignment, len(mapped), where))


def _version(cursor: Cursor) -> int:
    magic = cursor.mapped[: min(4, len(cursor.mapped))]
    if magic != b"GGUF":
        way_out = "download it with git lfs pull" if magic == b"vers" else "convert the model with llama.cpp"
        raise BundleError(f"{cursor.where} is not a GGUF file: it begins with {magic!r}, not b'GGUF'; {way_out}")
    cursor.at = 4
    version = cursor.number("<I", "the version")
    if version & 0xFFFF == 0 and version:
        raise BundleError(f"{cursor.where} is big-endian: convert it with gguf's gguf_convert_endian first")
    if version not in (2, 3):
        raise BundleError(f"{cursor.where} has GGUF version {version}: 2 and 3 are read; convert the model again")
    return version


def _alignment(mapped: Any, metadata: dict[str, Value], where: str) -> int:
    value = metadata.get(Keys.General.ALIGNMENT)
    if value is None:
        return 32
    found = int(read_scalar(mapped, value)) if value.kind == "UINT32" else 0
    if found == 0 or found & (found - 1):
        is_this = found if value.kind == "UINT32" else f"a {value.kind}"
        raise BundleError(f"{where}: general.alignment is {is_this}: it must be a power of two, as UINT32; {AGAIN}")
    return found


def _tensor(cursor: Cursor, what: str) -> TensorInfo:
    """A tensor as the table gives it; its offset counts from the start of the data."""
    axes = cursor.number("<I", f"the number of axes of {what}")
    if not 1 <= axes <= 4:
        raise BundleError(f"{cursor.where}: {what} has {axes:,} axes, expected 1 to 4; {AGAIN}")
    shape = tuple(cursor.number("<Q", f"an axis of {what}") for _ in range(axes))[::-1]
    number, offset = cursor.number("<I", f"the type of {what}"), cursor.number("<Q", f"the offset of {what}")
    if not 0 < math.prod(shape) <= 8 * len(cursor.mapped):  # no type takes less than a bit
        raise BundleError(f"{cursor.where}: {what} has shape {shape}, which this file cannot hold; {AGAIN}")
    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        return TensorInfo(str(number), shape, offset, 0)
    length, size = GGML_QUANT_SIZES[kind]
    if shape[-1] % length:
        whole = f"is {kind.name}, which stores {length} numbers at a time"
        raise BundleError(f"{cursor.where}: {what} {whole}, but a row of it has {shape[-1]:,}; convert it again")
    return TensorInfo(kind.name, shape, offset, math.prod(shape) // length * size)


def _placed(tensors: dict[str, TensorInfo], start: int, alignment: int, size: int, where: str) -> dict[str, TensorInfo]:
    """The tensors with offsets from the start of the file. Each must be aligned, inside the file, and by itself."""
    end, last = start, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size)):
        at = start + tensor.offset
        if tensor.offset % alignment:
            raise BundleError(f"{where}: tensor {name!r} begins at byte {at:,}, not a multiple of {alignment}; {AGAIN}")
        if at + tensor.size > size:
            ends = f"ends at byte {at + tensor.size:,}, the file has {size:,}"
            raise BundleError(f"{where}: tensor {name!r} {ends}; {AGAIN}")
        if at < end:
            raise BundleError(f"{where}: tensors {last!r} and {name!r} overlap at byte {at:,}; {AGAIN}")
        end, last = at + tensor.size, name
        tensors[name] = TensorInfo(tensor.type, tensor.shape, at, tensor.size)
    return tensors

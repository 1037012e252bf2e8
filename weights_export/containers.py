"""The three containers of a bundle: safetensors, npz and raw bytes; written in blocks, read without a copy.

Whatever the container, a tensor is one run of bytes, little-endian and row-major, at the offset in the manifest. The
containers differ in what stands around these runs. Tensors are written in the order given, from an iterator of blocks
each, so that writing an embedding never takes a second one in memory.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .strict_json import BundleError
from .tensors import BUNDLE_DTYPES, STORED, Tensor, read_header

CONTAINERS = ("safetensors", "npz", "bin")
MAX_HEADER = 1 << 16  # of a bundle's own safetensors files, which hold a handful of tensors
_SAFETENSORS_NAME = {ours: theirs for theirs, ours in BUNDLE_DTYPES.items()}
_LOCAL_HEADER = 30  # bytes of a zip entry before its name


@dataclass(frozen=True)
class Content:
    """A tensor to write: its dtype and shape, and its values in blocks of whole rows, as the dtype is stored."""

    dtype: str
    shape: tuple[int, ...]
    blocks: Iterable[np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> "Content":
        """A whole array; its dtype must be float32 or float64."""
        return cls(array.dtype.name, array.shape, [array])


def write(path: Path, container: str, contents: Mapping[str, Content]) -> dict[str, Tensor]:
    """Write one file and say where each tensor lies in it. Raises: OSError; ValueError for blocks that do not fit."""
    writer = {"safetensors": _write_safetensors, "npz": _write_npz, "bin": _write_bin}[container]
    with path.open("xb") as file:
        return writer(file, contents)


def _stream(file: BinaryIO | Any, name: str, content: Content) -> None:
    size = 0
    for block in content.blocks:
        # In C order: an array that is a transpose or a slice would be written in another order, or not at all.
        data = np.ascontiguousarray(block, dtype=STORED[content.dtype])
        size += data.nbytes
        file.write(data.reshape(-1).view(np.uint8).data)
    if size != Tensor(content.dtype, content.shape, 0).size:
        raise ValueError(f"{name} came as {size} bytes, its shape {content.shape} needs another number")


def _layout(contents: Mapping[str, Content], start: int) -> dict[str, Tensor]:
    tensors = {}
    for name, content in contents.items():
        tensors[name] = Tensor(content.dtype, content.shape, start)
        start += tensors[name].size
    return tensors


def _write_safetensors(file: BinaryIO, contents: Mapping[str, Content]) -> dict[str, Tensor]:
    entries = {
        name: {
            "dtype": _SAFETENSORS_NAME[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [tensor.offset, tensor.offset + tensor.size],
        }
        for name, tensor in _layout(contents, 0).items()
    }
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that the first tensor is aligned to 8 bytes
    file.write(len(header).to_bytes(8, "little") + header)
    for name, content in contents.items():
        _stream(file, name, content)
    return _layout(contents, 8 + len(header))


def _write_bin(file: BinaryIO, contents: Mapping[str, Content]) -> dict[str, Tensor]:
    for name, content in contents.items():
        _stream(file, name, content)
    return _layout(contents, 0)


def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": STORED[dtype], "fortran_order": False, "shape": shape})
    return header.getvalue()


def _write_npz(file: BinaryIO, contents: Mapping[str, Content]) -> dict[str, Tensor]:
    tensors = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, so that the same tensors give the same bytes
            header = _npy_header(content.dtype, content.shape)
            offset = file.tell() + _LOCAL_HEADER + len(entry.filename) + len(header)
            tensors[name] = Tensor(content.dtype, content.shape, offset)
            entry.file_size = len(header) + tensors[name].size  # from 2 GiB on zipfile would add fields to the header
            if entry.file_size >= zipfile.ZIP64_LIMIT:
                raise ValueError(f"{name} has {entry.file_size:,} bytes: too many for --format npz, take another")
            with archive.open(entry, "w") as member:
                member.write(header)
                _stream(member, name, content)
    return tensors


def check(mapped: Any, container: str, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse a file whose own headers do not say what the manifest says of its tensors.

    Raises: BundleError, before anything larger than the headers has been read.
    """
    if container == "safetensors":
        found = read_header(mapped, where, MAX_HEADER)
    elif container == "npz":
        found = _walk_npz(mapped, tensors, where)
    else:
        found = _walk_bin(mapped, tensors, where)
    for name in sorted(tensors.keys() | found.keys()):
        if found.get(name) != tensors.get(name):
            raise BundleError(
                f"{where} holds {found.get(name)} as {name[:80]!r}, the manifest says {tensors.get(name)}; export again"
            )


def _walk_bin(mapped: Any, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors one after the other, in the order of the manifest's offsets, to the end of the file."""
    found, position = {}, 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        found[name] = Tensor(tensor.dtype, tensor.shape, position)
        position += tensor.size
    if position != len(mapped):
        raise BundleError(f"{where} has {len(mapped)} bytes, its tensors take {position}; truncated, or damaged")
    return found


def _walk_npz(mapped: Any, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The entries of the archive: for each tensor, in order of offset, exactly the header that it was written with."""
    found, position = {}, 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        header = _npy_header(tensor.dtype, tensor.shape)
        entry, filename = bytes(mapped[position : position + _LOCAL_HEADER]), f"{name}.npy".encode()
        size = (len(header) + tensor.size).to_bytes(4, "little")
        # Signature; method 0, stored; both sizes; the length of the name; no extra fields.
        expected = [(0, b"PK\3\4"), (8, b"\0\0"), (18, size * 2), (26, len(filename).to_bytes(2, "little") + b"\0\0")]
        start = position + _LOCAL_HEADER
        offset = start + len(filename) + len(header)
        if any(entry[at : at + len(value)] != value for at, value in expected) or (
            mapped[start:offset] != filename + header
        ):
            raise BundleError(f"{where}: no entry {name}.npy of shape {tensor.shape}, stored as it is, at {position}")
        found[name] = Tensor(tensor.dtype, tensor.shape, offset)
        position = offset + tensor.size
    if mapped[position : position + 4] != b"PK\1\2":
        raise BundleError(f"{where}: the archive's directory must begin at byte {position}; truncated, or damaged")
    return found

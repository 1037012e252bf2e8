"""`.npz` files as NumPy reads them: a zip archive of `.npy` entries, uncompressed, so that a tensor can be mapped."""

import io
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from .errors import BundleError
from .tensors import STORED, Content, Tensor

_LOCAL_HEADER = 30  # bytes of a zip entry before its name


def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": STORED[dtype], "fortran_order": False, "shape": shape})
    return header.getvalue()


def write(file: IO[bytes], contents: Mapping[str, Content]) -> dict[str, Tensor]:
    """Write tensors in this order; where each lies. Raises: ValueError for one of 2 GiB or more."""
    tensors = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the same tensors give the same bytes
            header = _npy_header(content.dtype, content.shape)
            offset = file.tell() + _LOCAL_HEADER + len(entry.filename) + len(header)
            tensors[name] = Tensor(content.dtype, content.shape, offset)
            entry.file_size = len(header) + tensors[name].size  # from 2 GiB on, zipfile adds fields to the header
            if entry.file_size >= zipfile.ZIP64_LIMIT:
                raise ValueError(f"{name} has {entry.file_size:,} bytes, too many for --format npz: choose another")
            with archive.open(entry, "w") as member:
                member.write(header)
                content.write(member, name)
    return tensors


def find(mapped: Any, tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The archive's tensors, if it holds exactly what `write` makes of these.

    Raises: BundleError, before anything but headers has been read.
    """
    found, position = {}, 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        header = _npy_header(tensor.dtype, tensor.shape)
        entry, filename = bytes(mapped[position : position + _LOCAL_HEADER]), f"{name}.npy".encode()
        size = min(len(header) + tensor.size, 2**32 - 1).to_bytes(4, "little")  # nothing larger fits in here
        # Signature; method 0, stored; both sizes; the length of the name; no extra fields.
        expected = [(0, b"PK\3\4"), (8, b"\0\0"), (18, size * 2), (26, len(filename).to_bytes(2, "little") + b"\0\0")]
        start = position + _LOCAL_HEADER
        offset = start + len(filename) + len(header)
        if any(entry[at : at + len(value)] != value for at, value in expected) or (
            mapped[start:offset] != filename + header
        ):
            raise BundleError(f"{where}: no uncompressed {name}.npy of shape {tensor.shape} at byte {position}")
        found[name] = Tensor(tensor.dtype, tensor.shape, offset)
        position = offset + tensor.size
    if mapped[position : position + 4] != b"PK\1\2":
        raise BundleError(f"{where}: the archive's directory must begin at byte {position}; truncated or damaged")
    return found

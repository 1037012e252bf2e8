"""The file formats that a bundle's tensors may be in: safetensors, npz, and bin, which is the tensors and nothing else.

The manifest gives each tensor's place in its file, so a reader need not know which format it is in.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import npz_file, safetensors_file, tensors
from .errors import BundleError
from .tensors import Content, Tensor

CONTAINERS = ("safetensors", "npz", "bin")
MAX_HEADER = 1 << 16  # of a bundle's own safetensors files, which hold a handful of tensors


def write(path: Path, container: str, contents: Mapping[str, Content]) -> dict[str, Tensor]:
    """Write tensors to one file, in this order; where each lies. Raises: OSError; ValueError for wrong blocks."""
    writer = {"safetensors": safetensors_file.write, "npz": npz_file.write, "bin": tensors.write}[container]
    with path.open("xb") as file:
        return writer(file, contents)


def check(mapped: Any, container: str, expected: Mapping[str, Tensor], where: str) -> None:
    """Refuse a file whose own headers contradict the manifest.

    Raises: BundleError, before anything but headers has been read.
    """
    if container == "safetensors":
        found = safetensors_file.read_header(mapped, where, MAX_HEADER)
    else:
        found = (npz_file.find if container == "npz" else _find_bin)(mapped, expected, where)
    for name in sorted(expected.keys() | found.keys()):
        ours, theirs = found.get(name), expected.get(name)
        if ours != theirs:
            raise BundleError(f"{where} holds {ours} as {name[:80]!r}, the manifest says {theirs}; export again")


def _find_bin(mapped: Any, expected: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    found, position = {}, 0
    for name, tensor in sorted(expected.items(), key=lambda item: item[1].offset):
        found[name] = Tensor(tensor.dtype, tensor.shape, position)
        position += tensor.size
    if position != len(mapped):
        raise BundleError(f"{where} has {len(mapped)} bytes, its tensors take {position}; truncated or damaged")
    return found

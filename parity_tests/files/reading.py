"""Arrays that a runtime wrote: .npy, .npz, .safetensors, or the bare numbers. No pickle; nothing unpacked unseen."""

import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from weights_export import safetensors_file, tensors
from weights_export.plain_files import map_file

Shapes = dict[str, tuple[int, ...]]
FLOATS = ("float32", "float64", "float16", "bfloat16")
_NPY_HEADER = 1 << 16  # bytes before the numbers of an .npy file, at most


def read(path: Path, shapes: Shapes, kinds: tuple[str, ...] = FLOATS, dtype: str | None = None) -> np.ndarray:
    """The array of a file, as it is stored. It must have one of the `shapes`, named by what they are.

    `dtype` is needed for bare numbers of 16 bits, which two formats have. An .npz or .safetensors file may hold several
    arrays: the one that fits is taken, if there is only one.
    Raises: OSError; ValueError for another shape or dtype, and for a file of none of these forms.
    """
    if dtype is not None and path.suffix in (".npy", ".npz", ".safetensors"):
        raise ValueError(f"--dtype {dtype} is for files of bare numbers: {path} says itself what it holds")
    if not path.is_file():
        raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'missing'}: expected a file of numbers")
    reader = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}.get(path.suffix)
    found = reader(path, shapes) if reader else {"": _bare(path, shapes, kinds, dtype)}
    fitting = {name: array for name, array in found.items() if array.shape in shapes.values()}
    if len(fitting) != 1:
        held = ", ".join(f"{name or 'an array'} of shape {shown(array.shape)}" for name, array in found.items())
        raise ValueError(f"{path} holds {held or 'no array'}: expected {'one array' if fitting else _either(shapes)}")
    (array,) = fitting.values()
    if array.dtype.name not in kinds:
        raise ValueError(f"{path} has dtype {array.dtype}: expected {' or '.join(kinds)}")
    return array


def shown(shape: tuple[int, ...]) -> str:
    """`(16, 50257)`: as a person writes it."""
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _either(shapes: Shapes) -> str:
    return " or ".join(f"{shown(shape)}, {what}" for what, shape in shapes.items())


def _largest(shapes: Shapes) -> int:
    return max(int(np.prod(shape)) for shape in shapes.values()) * 8 + _NPY_HEADER


def _npy(path: Path, shapes: Shapes) -> dict[str, np.ndarray]:
    try:
        return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no .npy file of numbers: {error}") from None


def _npz(path: Path, shapes: Shapes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            large = [entry.filename for entry in archive.infolist() if entry.file_size > _largest(shapes)]
            if large:
                raise ValueError(f"{large[0]} is larger than {_either(shapes)}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no .npz file of numbers: {error}") from None


def _safetensors(path: Path, shapes: Shapes) -> dict[str, np.ndarray]:
    mapped = map_file(path)
    found = safetensors_file.read_header(mapped, str(path))
    return {name: _array(mapped, tensor, f"{path}: {name[:80]}") for name, tensor in found.items()}


_INTEGERS = {"I64": "int64", "I32": "int32"}


def _array(mapped: Any, tensor: tensors.Tensor, where: str) -> np.ndarray:
    if tensor.dtype in _INTEGERS:
        flat = np.frombuffer(mapped, _INTEGERS[tensor.dtype], int(np.prod(tensor.shape)), tensor.offset)
        return flat.reshape(tensor.shape)
    if tensor.dtype not in tensors.STORED:
        raise ValueError(f"{where} has dtype {tensor.dtype}: expected {' or '.join((*FLOATS, *_INTEGERS.values()))}")
    stored = tensors.view(mapped, tensor)
    return stored.view(ml_dtypes.bfloat16) if tensor.dtype == "bfloat16" else stored


def _bare(path: Path, shapes: Shapes, kinds: tuple[str, ...], dtype: str | None) -> np.ndarray:
    """Little-endian numbers in row-major order, and nothing else; the size tells which shape and how many bits."""
    if dtype is not None and dtype not in kinds:
        raise ValueError(f"--dtype is {dtype}: it must be one of {', '.join(kinds)}")
    raw = map_file(path)
    numbers = {kind: np.dtype(getattr(ml_dtypes, kind) if kind == "bfloat16" else kind) for kind in kinds}
    fits = [
        (shape, number)
        for shape in shapes.values()
        for kind, number in numbers.items()
        if dtype in (None, kind) and int(np.prod(shape)) * number.itemsize == len(raw)
    ]
    if len(fits) > 1:
        raise ValueError(f"{path} may be {' or '.join(kind.name for _, kind in fits)}: say which with --dtype")
    if not fits:
        raise ValueError(
            f"{path} has {len(raw):,} bytes: expected bare numbers of shape {_either(shapes)}, and nothing else"
        )
    ((shape, kind),) = fits
    return np.frombuffer(raw, kind).reshape(shape)

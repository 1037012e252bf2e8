"""A cursor that never leaves a GGUF file, and metadata values: checked when the file is opened, read when asked for."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gguf.constants import GGUFValueType

from .errors import BundleError

MAX_STRINGS = 1 << 21  # in all arrays together: the tokens and merges of a large vocabulary are 1 million
MAX_NAME = 255  # bytes of a key or a tensor's name; llama.cpp takes tensor names of 63
MAX_TEXT = 1 << 16  # bytes of a string that is read; a token is shorter
MAX_TEXTS = 1 << 24  # of all strings of an array that is read: the tokens of a large vocabulary have 2 million
AGAIN = "truncated or damaged: copy or download it again"
_SCALARS = {
    "UINT8": "<B", "INT8": "<b", "UINT16": "<H", "INT16": "<h", "UINT32": "<I", "INT32": "<i", "UINT64": "<Q",
    "INT64": "<q", "FLOAT32": "<f", "FLOAT64": "<d", "BOOL": "<?",
}  # fmt: skip
SIZES = {kind: struct.calcsize(code) for kind, code in _SCALARS.items()}


@dataclass(frozen=True, slots=True)
class Value:
    """A metadata value that has been checked and not read: `of` and `count` are of an array's elements."""

    kind: str
    offset: int
    of: str = ""
    count: int = 1


class Cursor:
    """A place in the mapped file that moves on as it is read, never beyond the end."""

    def __init__(self, mapped: Any, where: str) -> None:
        self.mapped, self.where, self.at = mapped, where, 0

    def skip(self, size: int, what: str) -> int:
        """Move on; the place before. Raises: BundleError for more bytes than there are."""
        if size > len(self.mapped) - self.at:
            ends = f"takes {size:,} bytes from byte {self.at:,} on, the file has {len(self.mapped):,}"
            raise BundleError(f"{self.where}: {what} {ends}; {AGAIN}")
        before, self.at = self.at, self.at + size
        return before

    def number(self, code: str, what: str) -> int:
        """An integer in the format `code` of `struct`."""
        found: int = struct.unpack_from(code, self.mapped, self.skip(struct.calcsize(code), what))[0]
        return found

    def name(self, what: str) -> str:
        """A short string. Raises: BundleError if it is empty, longer than a name is, or not UTF-8."""
        length = self.number("<Q", f"the length of {what}")
        if not 0 < length <= MAX_NAME:
            raise BundleError(f"{self.where}: {what} is {length:,} bytes long, expected 1 to {MAX_NAME}; {AGAIN}")
        start = self.skip(length, what)
        raw = self.mapped[start : start + length]
        try:
            return str(raw.decode("utf-8"))
        except UnicodeDecodeError:
            raise BundleError(f"{self.where}: {what} is {raw[:40]!r}, which is not UTF-8; {AGAIN}") from None


def _kind(number: int, key: str, where: str) -> str:
    try:
        return GGUFValueType(number).name
    except ValueError:
        raise BundleError(f"{where}: the metadata key {key!r} has the unknown type {number}; {AGAIN}") from None


def skip_value(cursor: Cursor, key: str, strings: int) -> Value:
    """Where the value of `key` lies; the cursor moves behind it. `strings` is how many strings an array may have."""
    what = f"the value of {key!r}"
    kind = _kind(cursor.number("<I", what), key, cursor.where)
    if kind != "ARRAY":
        start = cursor.at
        _skip_one(cursor, kind, what)
        return Value(kind, start)
    of, count = _kind(cursor.number("<I", what), key, cursor.where), cursor.number("<Q", what)
    if of == "ARRAY":
        raise BundleError(f"{cursor.where}: {key!r} is an array of arrays, which GGUF readers refuse; write it flat")
    start = cursor.at
    if of != "STRING":
        cursor.skip(count * SIZES[of], f"{what}, an array of {count:,} numbers,")
    elif count > strings or 8 * count > len(cursor.mapped):
        raise BundleError(f"{cursor.where}: {key!r} says it has {count:,} strings: {strings:,} more are read; {AGAIN}")
    else:
        for _ in range(count):
            _skip_one(cursor, "STRING", what)
    return Value(kind, start, of, count)


def _skip_one(cursor: Cursor, kind: str, what: str) -> None:
    cursor.skip(cursor.number("<Q", what) if kind == "STRING" else SIZES[kind], what)


def read_scalar(mapped: Any, value: Value) -> Any:
    """A number or truth value. `value.kind` is one of `SIZES`."""
    return struct.unpack_from(_SCALARS[value.kind], mapped, value.offset)[0]


def read_string(mapped: Any, offset: int, where: str) -> tuple[bytes, int]:
    """The bytes of a string that has been checked, and where it ends. Raises: BundleError above MAX_TEXT bytes."""
    (length,) = struct.unpack_from("<Q", mapped, offset)
    if length > MAX_TEXT:
        raise BundleError(f"{where} has {length:,} bytes: at most {MAX_TEXT:,} are read; shorten it")
    return mapped[offset + 8 : offset + 8 + length], offset + 8 + length


def read_numbers(mapped: Any, value: Value) -> np.ndarray:
    """An array of numbers, as a view of the file. `value.of` is one of `SIZES`."""
    return np.frombuffer(mapped, np.dtype(_SCALARS[value.of]), value.count, value.offset)


class Metadata:
    """The metadata of a file by key: what is absent is None, what is of the wrong kind is refused."""

    def __init__(self, mapped: Any, values: dict[str, Value], where: str) -> None:
        self.values, self._mapped, self._where = values, mapped, where

    def text(self, key: str) -> str | None:
        """A string. Raises: BundleError for a value of another kind, or that is not UTF-8."""
        if (value := self.values.get(key)) is None:
            return None
        if value.kind != "STRING":
            raise self._wrong(key, f"a {value.kind}", "a string")
        raw = read_string(self._mapped, value.offset, f"{self._where}: {key}")[0]
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._wrong(key, repr(raw[:40]), "UTF-8") from None

    def count(self, key: str) -> int | None:
        """An integer >= 0, of any width. Raises: BundleError for a value of another kind."""
        if (value := self.values.get(key)) is None:
            return None
        if not value.kind.lstrip("U").startswith("INT"):
            raise self._wrong(key, f"a {value.kind}", "an integer")
        found = int(read_scalar(self._mapped, value))
        if found < 0:
            raise self._wrong(key, str(found), "an integer >= 0")
        return found

    def number(self, key: str) -> float | None:
        """A floating-point number. Raises: BundleError for a value of another kind."""
        if (value := self.values.get(key)) is None:
            return None
        if not value.kind.startswith("FLOAT"):
            raise self._wrong(key, f"a {value.kind}", "a FLOAT32")
        return float(read_scalar(self._mapped, value))

    def flag(self, key: str) -> bool | None:
        """A truth value. Raises: BundleError for a value of another kind."""
        if (value := self.values.get(key)) is None:
            return None
        if value.kind != "BOOL":
            raise self._wrong(key, f"a {value.kind}", "a BOOL")
        return bool(read_scalar(self._mapped, value))

    def strings(self, key: str) -> Iterator[bytes]:
        """The elements of an array, which `values[key]` must be, of strings. Raises: BundleError for one too long."""
        at, total = self.values[key].offset, 0
        for i in range(self.values[key].count):
            raw, at = read_string(self._mapped, at, f"{self._where}: {key}[{i}]")
            total += len(raw)
            if total > MAX_TEXTS:
                raise BundleError(
                    f"{self._where}: {key} has more than {MAX_TEXTS:,} bytes in its strings; shorten them"
                )
            yield raw

    def _wrong(self, key: str, found: str, expected: str) -> BundleError:
        return BundleError(f"{self._where}: {key} is {found}: it must be {expected}; convert the model again")

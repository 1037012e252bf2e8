"""Regular files from strangers: links and pipes are refused, large files are mapped, nothing is copied."""

import hashlib
import mmap
import os
import stat
from pathlib import Path

from .errors import BundleError
from .progress import Report


def _open(path: Path) -> int:
    try:
        # O_NONBLOCK, because opening a pipe would wait for a writer. Not every system has O_NOFOLLOW, hence lstat too.
        if stat.S_ISLNK(path.lstat().st_mode):
            raise BundleError(f"{path} is a link: a bundle holds regular files only")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path} is missing") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a regular file")
    return descriptor


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises: BundleError for a larger or missing file, a link, a folder, a pipe or a device; OSError without permission.
    """
    with open(_open(path), "rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise BundleError(f"{path} has more than {limit:,} bytes")
    return raw


def map_file(path: Path) -> mmap.mmap:
    """A regular file mapped for reading.

    Raises: as `read_file`; BundleError for an empty file, which cannot be mapped.
    """
    descriptor = _open(path)
    try:
        if os.fstat(descriptor).st_size == 0:
            raise BundleError(f"{path} is empty")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def release(mapped: mmap.mmap) -> None:
    """Let the system reclaim the memory behind a mapped file; what is needed again is read from disk again."""
    if hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def sha256(mapped: mmap.mmap, name: str, report: Report) -> str:
    """The hash of a mapped file, that is of the very bytes that arrays over it show."""
    digest, step = hashlib.sha256(), 1 << 20
    for start in range(0, len(mapped), step):
        digest.update(mapped[start : start + step])
        release(mapped)
        report(f"sha256 of {name}", start + step, len(mapped))
    return digest.hexdigest()

"""A folder that is complete or absent: written beside its target under a temporary name, and renamed at the end."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BundleError
from .plain_files import read_file
from .strict_json import parse


def check_target(output: Path, force: bool) -> None:
    """Refuse a target that exists; with `force`, one that is neither a bundle nor an empty folder.

    Raises: FileExistsError.
    """
    if not os.path.lexists(output):
        return
    if not force:
        raise FileExistsError(f"{output} exists: name a new folder, nothing is overwritten (or pass --force)")
    if output.is_symlink() or not output.is_dir() or (any(output.iterdir()) and not _is_bundle(output)):
        raise FileExistsError(f"{output} is not a bundle: --force replaces bundles and empty folders, nothing else")


def _is_bundle(folder: Path) -> bool:
    """Whether a folder has a manifest that says it is a bundle, of whatever version and condition."""
    try:
        manifest = parse(read_file(folder / "manifest.json", 1 << 20), "manifest.json")
    except (BundleError, OSError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == "lm-head-bundle"


def left_over(output: Path) -> Iterator[str]:
    """A line for each folder that a killed export of this target left behind."""
    for path in sorted(output.parent.glob(f".{glob.escape(output.name)}.*")):
        old = path / output.name
        if path.name.startswith(f".{output.name}.incomplete-"):
            yield f"{path} was left by an interrupted export and is not a bundle: it can be deleted"
        elif path.name.startswith(f".{output.name}.replaced-"):
            if old.is_dir() and not output.exists():
                yield f"{old} is the bundle that an interrupted --force was replacing: move it back or delete it"
            else:
                yield f"{path} is the rest of a bundle that --force has replaced: it can be deleted"


@contextmanager
def temporary(output: Path) -> Iterator[Path]:
    """A new folder beside `output`, removed at the end of the block whatever happens, short of a kill."""
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.incomplete-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flush(folder: Path) -> None:
    """Force every file of a folder, and the folder itself, to disk: a rename after this cannot overtake the data."""
    for path in (*folder.iterdir(), folder):
        if path.is_dir() and os.name == "nt":  # Windows cannot open folders
            continue
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def put_in_place(folder: Path, output: Path, force: bool) -> None:
    """Rename a finished folder to `output`.

    A folder that is not empty cannot be renamed over, so a bundle that is replaced is moved aside first and deleted
    last. Killed between the two renames, the old bundle is complete under its other name, and `left_over` says so.
    Raises: FileExistsError if the target has appeared in the meantime.
    """
    check_target(output, force)
    if not os.path.lexists(output):
        folder.rename(output)
        return
    # The old bundle moves into a new folder, because a name that is free now may be taken a moment later.
    aside = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.replaced-"))
    old = aside / output.name
    try:
        output.rename(old)
        folder.rename(output)
    except BaseException:
        if old.exists() and not os.path.lexists(output):  # the second rename failed: undo the first
            old.rename(output)
        if not old.exists():
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)

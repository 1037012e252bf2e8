"""What can go wrong on the way: a kill, a full disk, no permission, a target that exists."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reference
from weights_export import BundleError, containers, open_bundle, staging
from weights_export import __main__ as command
from weights_export.checkpoint import TINY
from weights_export.export import Options, export
from weights_export.source import local

from .checkpoints import make

ROOT = Path(reference.__file__).parents[1]
NOBODY = 65534


def run(
    *arguments: str | Path | int, module: str = "weights_export", before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", module, *map(str, arguments)]  # -B: a full disk would cut .pyc files short
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, preexec_fn=before)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    make(tmp_path / "model", vocab_size=2_000)
    result = run(tmp_path / "model", tmp_path, 20, 4, module="parity_tests.export.kill")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["faults"] == []
    assert report["killed"] >= report["left"] == 20, "so many exports were killed after their first byte"


def test_every_step_of_a_replacement_can_be_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut between any two steps: no later step happens. The old or the new bundle is always there."""
    model = local("tiny", TINY)
    export(model, Options(tmp_path / "old", head_only=True))
    export(model, Options(tmp_path / "new", head_only=True, dtype="float16"))
    for steps in range(4):
        folder = tmp_path / str(steps)
        shutil.copytree(tmp_path / "old", folder / "bundle")
        shutil.copytree(tmp_path / "new", folder / ".bundle.incomplete-x")
        with monkeypatch.context() as patch:
            count = stop_after(steps, patch)
            staging.put_in_place(folder / ".bundle.incomplete-x", folder / "bundle", force=True)
            assert count() == 3, "two renames and a removal"
        found = [path for path in (folder / "bundle", *folder.glob(".bundle.replaced-*/bundle")) if path.exists()]
        dtypes = []
        for path in found:
            bundle = open_bundle(path)
            bundle.verify()
            dtypes.append(bundle.manifest["dtype"])
        assert dtypes in (["float32"], ["float16", "float32"], ["float16"]), steps
        lines = list(staging.left_over(folder / "bundle"))
        assert len(lines) == len(list(folder.glob(".*")))
        if not (folder / "bundle").exists():
            assert any("is the bundle that an interrupted --force was replacing" in line for line in lines)


def stop_after(steps: int, patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """After `steps` calls, renaming and removing do nothing, as if the process had died. Returns a counter of calls."""
    calls = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            return real(*arguments, **options) if calls <= steps else arguments[0]

        return call

    patch.setattr(Path, "rename", counted(Path.rename))
    patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    return lambda: calls


def test_left_overs_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".bundle.incomplete-abc").mkdir()
    (tmp_path / ".bundle.replaced-abc").mkdir()
    arguments = ["tiny", "-o", str(tmp_path / "bundle"), "--head-only"]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 2
    assert ".bundle.incomplete-abc was left by an interrupted export and is not a bundle" in printed[0]
    assert ".bundle.replaced-abc is the rest of a bundle that --force has replaced" in printed[1]
    assert command.main(["verify", str(tmp_path / ".bundle.incomplete-abc")]) == 1
    assert "left by an interrupted export and is not a bundle: it can be deleted" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [0, 100, 50_000, 1_570_000])
def test_a_full_disk(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file may grow beyond the limit: writing fails partway, in the manifest, the head or the tokens."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        status = command.main(["tiny", "-o", str(tmp_path / "bundle"), "--head-only"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    printed = capsys.readouterr().err
    assert status == 1
    assert printed.splitlines()[-1].endswith("bundle: File too large"), printed  # perhaps after progress
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    export(local("tiny", TINY), Options(tmp_path / "bundle", head_only=True))
    limit = (50_000, 50_000)
    arguments = ("tiny", "-o", tmp_path / "bundle", "--head-only", "--force")
    result = run(*arguments, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    open_bundle(tmp_path / "bundle").verify()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_no_permission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a folder that may not be written to; root may write anywhere, so root does this as nobody."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(NOBODY)
        assert command.main(["tiny", "-o", str(folder / "bundle"), "--head-only"]) == 1
    finally:
        os.seteuid(user)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "Permission denied" in printed
    assert list(folder.iterdir()) == []


def test_the_parent_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert command.main(["tiny", "-o", str(tmp_path / "file" / "bundle"), "--head-only"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_force_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    model, output = local("tiny", TINY), tmp_path / "bundle"
    export(model, Options(output, head_only=True))
    with pytest.raises(FileExistsError, match=r"exists: name a new folder, nothing is overwritten \(or pass --force\)"):
        export(model, Options(output, head_only=True, dtype="float16"))
    assert open_bundle(output).manifest["dtype"] == "float32"
    export(model, Options(output, head_only=True, dtype="float16", force=True))
    assert open_bundle(output).manifest["dtype"] == "float16"
    (output / "head.safetensors").write_bytes(b"")  # damaged, and still a bundle to replace
    export(model, Options(output, head_only=True, force=True))
    open_bundle(output).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]

    (tmp_path / "empty").mkdir()
    export(model, Options(tmp_path / "empty", head_only=True, force=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(output)
    for name in ("mine", "file", "link"):
        with pytest.raises(FileExistsError, match=r"is not a bundle: --force replaces bundles and empty folders"):
            export(model, Options(tmp_path / name, head_only=True, force=True))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_target_that_appears_meanwhile_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def appears(folder: Path) -> None:
        (tmp_path / "bundle").mkdir(exist_ok=True)
        (tmp_path / "bundle" / "theirs").write_text("kept")

    monkeypatch.setattr("weights_export.staging.flush", appears)
    with pytest.raises(FileExistsError, match="exists: name a new folder"):
        export(local("tiny", TINY), Options(tmp_path / "bundle", head_only=True))
    assert (tmp_path / "bundle" / "theirs").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_an_export_that_does_not_read_back_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that changes a bit between writing and reading back."""

    def write_and_flip(path: Path, container: str, contents: Any) -> Any:
        written = write(path, container, contents)
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
        return written

    write = containers.write
    monkeypatch.setattr(containers, "write", write_and_flip)
    with pytest.raises(BundleError, match=r"embedding reads back otherwise than it was written, from row 0 on"):
        export(local("tiny", TINY), Options(tmp_path / "bundle", head_only=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["verify"], ["show"]])
def test_reading_commands_refuse_in_one_line(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    export(local("tiny", TINY), Options(tmp_path / "bundle", head_only=True))
    assert command.main([*arguments, str(tmp_path / "bundle")]) == 0
    assert "tiny" in capsys.readouterr().out or arguments == ["verify"]
    head = tmp_path / "bundle" / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1])
    assert command.main([*arguments, str(tmp_path / "bundle")]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "has 1,574,639 bytes, the manifest says 1,574,640: truncated or damaged" in printed
    assert command.main([*arguments, str(tmp_path / "nothing")]) == 1
    assert "there is no folder" in capsys.readouterr().err

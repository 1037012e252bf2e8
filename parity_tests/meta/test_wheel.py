"""What `pip install` installs: no tests, and everything that the commands need."""

import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from zipfile import ZipFile

import pytest

import reference

ROOT = Path(reference.__file__).parents[1]
PACKAGES = ("reference", "torch_impl", "weights_export", "parity_tests", "ports")
IN_A_CLONE_ALONE = (
    "*/test_*.py",
    "*/conftest.py",
    "parity_tests/meta/*",
    "parity_tests/export/*",
    "ports/tests/*",
    "ports/c/*",
    "ports/javascript/*",
    "ports/explorer/src/*",
    "*/node_modules/*",
    "*/__pycache__/*",
)
DATA = (
    "reference/SPEC.md",
    "reference/py.typed",
    "torch_impl/py.typed",
    "weights_export/py.typed",
    "weights_export/FORMAT.md",
    "weights_export/*.json",
    "weights_export/tiny_gpt2/*.json",
    "weights_export/tiny_gpt2/*.safetensors",
    "parity_tests/report/*.html",
    "ports/PROTOCOL.md",
    "ports/checker/*.html",
    "ports/explorer/page.*",
    "ports/atlas/records/*.json",
    "ports/tiny_bundle/*",
    "ports/vectors/*.json",
    "ports/vectors/schemas/*.json",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this folder, built and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    subprocess.run([sys.executable, "-m", "pip", *build, str(ROOT)], cwd=folder, check=True, timeout=120)
    ZipFile(next(folder.glob("*.whl"))).extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def names(installed: Path) -> list[str]:
    return [path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()]


def in_a_clone_alone(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in IN_A_CLONE_ALONE)


def test_nothing_else_is_installed(names: list[str]) -> None:
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {*PACKAGES, "lm_head_parity_pytest.py"}
    assert [name for name in names if in_a_clone_alone(name)] == []
    suffixes = {Path(name).suffix for name in names if ".dist-info/" not in name}
    assert suffixes == {".py", ".typed", ".md", ".json", ".safetensors", ".html", ".css", ".js", ".c", ".mjs"}


def test_modules_and_data_are_installed(names: list[str]) -> None:
    """Every module but the tests', and every data file of this folder."""
    here = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    for pattern in DATA:
        found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
        assert found, pattern
        here |= found
    assert {name for name in here if not in_a_clone_alone(name)} - set(names) == set()


def test_what_it_brings_and_registers(installed: Path) -> None:
    about = next(installed.glob("*.dist-info"))
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", (about / "METADATA").read_text("utf-8"), re.MULTILINE)
    assert required == ["numpy"]  # the others are extras
    entry_points = (about / "entry_points.txt").read_text("utf-8").split("\n")
    assert [line for line in entry_points if line] == ["[pytest11]", "lm_head_parity = lm_head_parity_pytest"]


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("weights_export tiny -o bundle --head-only", 0, "bundle: a bundle of tiny"),
        ("ports check reference.penalties", 0, "reference.penalties (Python) conforms"),
        ("ports explorer", 0, "explorer.html"),
        ("parity_tests mutants", 2, "mutants: this runs the suite's tests, which are not installed"),
    ],
)
def test_commands_run_from_any_folder(installed: Path, command: str, status: int, words: str, tmp_path: Path) -> None:
    """With the unpacked wheel in front of this folder on Python's path."""
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert words in done.stdout + done.stderr

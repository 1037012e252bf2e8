"""`pytest --lm-head-port`: a porter's own test run, once in a process of its own, else inside this one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lm_head_parity_pytest
from ports.vectors import load_all

ROOT = Path(lm_head_parity_pytest.__file__).parent

Run = Callable[..., tuple[int, str]]
GROUPS = sum(len(vectors.groups) for vectors in load_all())


@pytest.fixture(autouse=True)
def of_a_porter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the run that this test is in."""
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status and output of a run in the current folder."""

    def run(*options: str) -> tuple[int, str]:
        # Of the last two, one has but one standard error, and one collects this process's garbage, five times.
        inner = ("no:cacheprovider", "no:xdist", "no:faulthandler", "no:unraisableexception")
        status = pytest.main(["-q", "-s", *(word for name in inner for word in ("-p", name)), *options])
        return int(status), "".join(capsys.readouterr())

    return run


def run_process(folder: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_one_item_a_vector_group(tmp_path: Path) -> None:
    """A conforming process, beside a test of the porter's own."""
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n", encoding="utf-8")
    status, out = run_process(tmp_path, "--lm-head-port", f"{sys.executable} -m ports.tests.harness")
    assert status == 0, out
    assert f"{GROUPS + 1} passed" in out


def test_a_wrong_port_fails_its_groups_and_says_why(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a_porters_own.py").write_text(
        "import reference\n"
        "def top_k(logits, k):\n"
        "    values, token_ids = reference.top_k(logits, k)\n"
        "    return values, token_ids[..., ::-1]\n",
        encoding="utf-8",
    )
    status, out = run("--lm-head-port", "a_porters_own:")
    assert status == 1
    assert "top_k DIVERGED breaks TOPK-" in out
    assert "Traceback" not in out
    assert "skipped" in out  # the operations that it lacks


@pytest.mark.parametrize(("command", "words"), [("no-such-command", "cannot be started"), ("true", "the port ended")])
def test_no_port(run: Run, command: str, words: str) -> None:
    status, out = run("--lm-head-port", command)
    assert status == 2, out
    assert words in out


def test_without_the_option_nothing_is_added(run: Run) -> None:
    status, out = run()
    assert status == 5, out
    assert "no tests ran" in out


def test_nothing_of_ours_is_imported_without_the_option() -> None:
    """pytest loads the plugin wherever the package is installed."""
    program = (
        "import sys, pytest\n"
        "assert pytest.main(['-q', '-p', 'no:cacheprovider', '--collect-only']) == 5\n"
        f"ours = {lm_head_parity_pytest.NEEDED!r} + ('torch_impl', 'numpy', 'torch')\n"
        "assert 'lm_head_parity_pytest' in sys.modules and not set(ours) & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["ports", "reference"])
def test_a_project_with_a_package_of_the_same_name(name: str, tmp_path: Path) -> None:
    """Its tests pass; with the option, which would need our package in its place, one line says so."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("theirs = 1\n", encoding="utf-8")
    (tmp_path / "test_theirs.py").write_text(f"import {name}\ndef test(): assert {name}.theirs\n", encoding="utf-8")
    status, out = run_process(tmp_path)
    assert status == 0, out
    assert "1 passed" in out
    status, out = run_process(tmp_path, "--lm-head-port", "true")
    assert status == pytest.ExitCode.USAGE_ERROR, out
    found = tmp_path / name / "__init__.py"
    assert out.strip() == (
        f"ERROR: --lm-head-port: the package `{name}` is {found} here, not lm-head-parity's: "
        f"run this where no other `{name}` is in front of it"
    )

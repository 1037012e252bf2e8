"""`pytest --lm-head-port`: a porter's own test run, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ports.vectors import load_all

GROUPS = sum(len(vectors.groups) for vectors in load_all())


def run(folder: Path, *options: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_one_item_a_vector_group(tmp_path: Path) -> None:
    """A conforming process, beside a test of the porter's own."""
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n", encoding="utf-8")
    status, out = run(tmp_path, "--lm-head-port", f"{sys.executable} -m ports.tests.harness")
    assert status == 0, out
    assert f"{GROUPS + 1} passed" in out


def test_a_wrong_port_fails_its_groups_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import reference\n"
        "def top_k(logits, k):\n"
        "    values, token_ids = reference.top_k(logits, k)\n"
        "    return values, token_ids[..., ::-1]\n",
        encoding="utf-8",
    )
    status, out = run(tmp_path, "--lm-head-port", "mine:")
    assert status == 1
    assert "top_k DIVERGED breaks TOPK-" in out
    assert "Traceback" not in out
    assert "skipped" in out  # the operations that it lacks


@pytest.mark.parametrize(("command", "words"), [("no-such-command", "cannot be started"), ("true", "the port ended")])
def test_no_port(tmp_path: Path, command: str, words: str) -> None:
    status, out = run(tmp_path, "--lm-head-port", command)
    assert status == 2, out
    assert words in out


def test_without_the_option_nothing_is_added(tmp_path: Path) -> None:
    status, out = run(tmp_path)
    assert status == 5, out
    assert "no tests ran" in out

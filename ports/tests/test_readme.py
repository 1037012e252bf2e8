"""What ports/README.md shows is what happens."""

import re
import sys
from io import StringIO
from pathlib import Path
from textwrap import dedent

import pytest
from rich.console import Console

from ports.__main__ import main
from ports.ask.interview import interview
from ports.ask.judge import judge
from ports.ask.report import show

from .asked_servers import Server

PARAMETERS = [
    *("log-probabilities", "seed", "rows", "frequencies", "temperature", "top_k", "top_p", "min_p"),
    *("top_p and temperature", "min_p and temperature", "top_k and top_p", "min_p and top_p"),
    *("temperature 0", "top_k 1", "neighbours"),
]
README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_half_written_port_gets_the_report_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    port = tmp_path / "my_head.py"
    indented = re.search(r"   ```python\n(.*?)   ```", README, re.DOTALL)
    assert indented
    port.write_text(dedent(indented[1]), encoding="utf-8")
    assert main(["check", "--", sys.executable, str(port)]) == 1
    said = capsys.readouterr().out
    shown = re.search(r"my_head.py\n   \.\.\.\n(.*?)   ```", README, re.DOTALL)
    assert shown
    for line in filter(None, dedent(shown[1]).splitlines()):  # `...` stands for whatever is left out
        assert re.search(f"^{re.escape(line).replace(re.escape('...'), '.*')}$", said, re.MULTILINE), line


def test_the_report_on_a_server_has_the_lines_shown() -> None:
    """The README shows a real server; a right one of the tests gets the same parameters and sentences."""
    shown = re.search(r"ports ask http.*?\n(.*?)```", README, re.DOTALL)
    assert shown
    console = Console(width=100, file=StringIO())
    asked = interview(Server("llama.cpp", refuses={"n": 1}), "smollm2")
    show(judge(asked, "http://localhost:8000/v1"), console)
    for text in (shown[1], console.file.getvalue()):  # type: ignore[attr-defined]
        assert re.findall(r"^  (\w[\w -]*?)   ", text, re.MULTILINE) == ["parameter", *PARAMETERS]
        assert "behaves as: llama.cpp\n" in text
        assert "no deviation found\n" in text


def test_links_lead_somewhere() -> None:
    documents = [path for path in Path(__file__).parents[1].rglob("*.md") if "node_modules" not in path.parts]
    assert len(documents) > 5
    for text in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text.read_text("utf-8")):
            assert (text.parent / target).exists(), f"{text}: {target}"

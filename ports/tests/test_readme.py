"""What ports/README.md shows is what happens."""

import re
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from ports.__main__ import main

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


def test_links_lead_somewhere() -> None:
    documents = [path for path in Path(__file__).parents[1].rglob("*.md") if "node_modules" not in path.parts]
    assert len(documents) > 5
    for text in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text.read_text("utf-8")):
            assert (text.parent / target).exists(), f"{text}: {target}"

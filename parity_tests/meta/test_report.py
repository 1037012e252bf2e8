"""The report: one set of figures, in the terminal and on the page; a head that diverges is shown and fails it."""

import io
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from reference.operations import OPERATIONS, STAGES

from .. import power, report
from ..mutants import MUTANTS
from ..report import grid
from ..report.page import html
from ..report.plots import ERRORS, MARGINS
from ..report.table import table

BROKEN = next(mutant for mutant in MUTANTS if str(mutant) == "top_k-highest_id").head


@pytest.fixture(scope="module")
def settings() -> list[grid.Setting]:
    rng = np.random.default_rng(1)
    context = np.rint(rng.standard_normal((3, 8)) * 2)  # whole numbers: ties on purpose
    return list(grid.settings("small", context, np.rint(rng.standard_normal((300, 8)) * 2)))


@pytest.fixture(scope="module")
def cells(settings: list[grid.Setting]) -> list[grid.Cell]:
    return [cell for setting in settings for cell in grid.cells(setting)]


@pytest.fixture(scope="module")
def page(settings: list[grid.Setting], cells: list[grid.Cell]) -> str:
    return html(cells, settings, grid.IMPLEMENTATIONS)


def in_terminal(cells: list[grid.Cell]) -> list[str]:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(cells))
    return console.export_text().splitlines()


def test_every_stage_implementation_and_dtype_has_its_cell(cells: list[grid.Cell]) -> None:
    assert {cell.stage for cell in cells} == set(STAGES)
    assert {cell.implementation for cell in cells} == {"reference", "torch_impl", "Transformers", "ONNX Runtime"}
    for name in grid.DTYPES:
        of_mirror = {
            cell.stage for cell in cells if cell.setting == f"small {name}" and cell.implementation == "torch_impl"
        }
        assert of_mirror >= set(STAGES) - {"multinomial"}
    assert all(cell.verdict.word != "DIVERGED" for cell in cells)


def test_the_page_and_the_terminal_say_the_same(page: str, cells: list[grid.Cell]) -> None:
    lines = in_terminal(cells)
    assert max(map(len, lines)) <= 100
    terminal = [re.split(r" {2,}", line.strip())[1:] for line in lines if line.startswith("  small")]
    rows = [re.findall(r"<td class[^>]*>([^<]+)</td>", row) for row in page.split("<tr>") if "<td" in row]
    rows = [[unescape(cell) for cell in row] for row in rows]
    assert rows == terminal
    assert sum(map(len, rows)) == len(cells)


def test_the_page_stands_alone(page: str, settings: list[grid.Setting], cells: list[grid.Cell]) -> None:
    assert page == html(cells, settings, grid.IMPLEMENTATIONS)
    assert {stage for stage in STAGES if OPERATIONS[stage].rounds} <= {**ERRORS, **MARGINS}.keys()
    assert page.count("<svg") == len({**ERRORS, **MARGINS}) >= 8
    links = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert [link for link in links if not link.startswith("#")] == []
    assert "default-src 'none'" in page


def test_a_head_that_diverges_fails_the_report(
    settings: list[grid.Setting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grid, "all_settings", lambda: iter(settings[:1]))
    monkeypatch.setattr(power, "HIDDEN_SIZES", power.HIDDEN_SIZES[:2])  # `test_power.py` has all of them
    assert report.main() == 0
    assert report.main(str(tmp_path / "bad.html"), [f"{__name__}:BROKEN"]) == 1
    assert "top_k DIVERGED breaks TOPK-3" in capsys.readouterr().out
    assert "top_k DIVERGED breaks TOPK-3" in (tmp_path / "bad.html").read_text("utf-8")


def test_what_cannot_be_reported_is_said_in_one_line(
    settings: list[grid.Setting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grid, "all_settings", lambda: iter(settings[:1]))
    assert report.main(None, ["parity_tests.no_such_module"]) == 2
    assert capsys.readouterr().err.startswith("report: No module named")
    assert report.main(str(tmp_path / "no" / "folder.html")) == 2
    printed = capsys.readouterr()
    assert "folder.html cannot be written: No such file or directory" in printed.err
    assert printed.out == "", "said before anything is judged"

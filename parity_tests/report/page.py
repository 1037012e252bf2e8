"""The matrix and the plots as one self-contained HTML file."""

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import jinja2

from .grid import Cell, Implementation, Setting
from .plots import ERRORS, MARGINS, svg
from .table import matrix

PACKAGES = ("numpy", "torch", "transformers", "onnxruntime")


def html(
    cells: Sequence[Cell],
    settings: Sequence[Setting],
    implementations: Sequence[Implementation],
    power_cells: Sequence[Cell] = (),
) -> str:
    """The page: the number of cells for each verdict, the tables of the terminal, and a plot for each stage."""
    names, blocks = matrix(cells)
    sizes, power = matrix(power_cells)
    template = jinja2.Template(
        Path(__file__).with_name("page.html").read_text("utf-8"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    shapes = {}
    for setting in settings:
        inputs = setting.inputs["compute_logits"]
        shapes[setting.shape] = (len(inputs["context"]), *inputs["embedding"].shape)
    return template.render(
        implementations=names,
        blocks=blocks,
        total=len(cells),
        counts=Counter(str(cell.verdict.word) for cell in cells),
        plots={stage: svg(stage, settings, implementations) for stage, _ in blocks if stage in {**ERRORS, **MARGINS}},
        computes=set(ERRORS),
        shapes=shapes,
        sizes=sizes,
        power=[row for _, rows in power for row in rows],
        versions={"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        machine=platform.machine(),
    )

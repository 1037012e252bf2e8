"""The matrix and the plots as one self-contained HTML file."""

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import jinja2
import numpy as np

from reference import bounds

from ..judges.precision import rounded
from .grid import Cell, Implementation, Setting
from .plots import ERRORS, MARGINS, svg
from .table import matrix

PACKAGES = ("numpy", "torch", "transformers", "onnxruntime")


def fingerprints(setting: Setting) -> dict[str, float]:
    """Largest error / bound of the logits of a float32 setting: in plain float32, and from inputs with fewer bits."""
    context, embedding = (
        setting.inputs["compute_logits"][name].astype(np.float64) for name in ("context", "embedding")
    )
    exact, bound = bounds.exact_logits(context, embedding), bounds.logits(context, embedding, "float32")
    honest = context.astype(np.float32) @ embedding.astype(np.float32).T
    ratios = {"float32": float(np.max(np.abs(honest - exact) / bound))}
    for dtype in ("tfloat32", "float16", "bfloat16"):
        off = rounded(context, dtype) @ rounded(embedding, dtype).T
        ratios[dtype] = float(np.max(np.abs(off - exact) / bound))
    return ratios


def html(cells: Sequence[Cell], settings: Sequence[Setting], implementations: Sequence[Implementation]) -> str:
    """The page: the number of cells for each verdict, the same table as in the terminal, and a plot for each stage."""
    names, blocks = matrix(cells)
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
        fingerprints=fingerprints([s for s in settings if s.dtype == "float32"][-1]),
        versions={"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        machine=platform.machine(),
    )

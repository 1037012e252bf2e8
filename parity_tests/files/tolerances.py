"""`python -m parity_tests tolerances BUNDLE`: what each precision does to logits and to what is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.table import Table

import reference
from weights_export import Bundle

from ..judges.roundings import rounded
from ..judges.words import Word
from .judging import judge_logits, whole
from .precisions import FLOAT32, SHORT, possible

TEMPERATURE, K = 0.7, 50


@dataclass(frozen=True)
class Line:
    """One precision: the largest error of a logit, also in units of float32's bound; in how many contexts another token
    is the largest; after temperature and top-k, how many other tokens survive, the largest change of a probability, and
    the largest share of the mass that moves to other tokens; and the verdict on a head that claims float32.
    """

    name: str
    error: float
    times: float
    flips: int
    survivors: int
    change: float
    moved: float
    in_float32: Word


def lines(bundle: Bundle) -> Iterator[Line]:
    """One line for each precision that the hidden size allows; float32 is PyTorch's."""
    exact = whole(bundle, FLOAT32, "float32")
    due = _probs(exact.logits)
    for precision in possible(bundle.manifest["hidden_size"]):
        logits = np.array(bundle.logits)
        if precision is not FLOAT32:
            logits = whole(bundle, precision, "float32").logits.astype(np.float32)
        if precision.result in SHORT:
            logits = rounded(logits, precision.result).astype(np.float32)
        probs, judged = _probs(logits), judge_logits(bundle, logits)
        yield Line(
            precision.name,
            float(np.abs(logits - exact.logits).max()),
            judged.times_float32,
            int((logits.argmax(axis=-1) != exact.logits.argmax(axis=-1)).sum()),
            int(((probs > 0) != (due > 0)).sum()) // 2,
            float(np.abs(probs - due).max()),
            float(np.abs(probs - due).sum(axis=-1).max() / 2),
            Word.WITHIN_BOUND if judged.right and judged.precision == FLOAT32.name else Word.DIVERGED,
        )


def _probs(logits: np.ndarray) -> np.ndarray:
    """After temperature and top-k, in the dtype of the logits."""
    return reference.softmax(reference.keep_top_k(reference.apply_temperature(logits, TEMPERATURE), K))


def table(bundle: Bundle, found: list[Line]) -> Table:
    """The lines as a table."""
    n, v, d = (bundle.manifest[key] for key in ("prompts", "vocab_size", "hidden_size"))
    title = (
        f"{bundle.manifest['model']}, {n} contexts, V = {v:,}, d = {d:,}; after temperature {TEMPERATURE} and top-{K}"
    )
    shown = Table(title=title, title_justify="left", show_edge=False)
    shown.add_column("precision")
    for name in ("logit\nerror", "float32\nbounds", "argmax\nflips", "others\nkept", "p\nerror", "mass\nmoved"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("claimed to\nbe float32", no_wrap=True)
    for line in found:
        shown.add_row(
            line.name,
            f"{line.error:.1g}",
            f"{line.times:.2g}" if line.times < 100 else f"{line.times:.0f}",
            str(line.flips),
            str(line.survivors),
            f"{line.change:.1g}",
            f"{line.moved:.1g}",
            line.in_float32,
        )
    return shown

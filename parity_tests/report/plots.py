"""A plot of error against bound for each stage.

A stage that computes numbers shows how far below the bound the errors of correct implementations stay. A stage that
chooses tokens shows the margin of each choice: below the bound, rounding would decide.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from reference import bounds

from ..judges.elements import exact_softmax
from ..judges.output_layer import exact_finish, exact_layer_norm, exact_rms_norm
from ..judges.penalties import counts
from ..judges.scores import exact_log_probs
from .grid import Implementation, Setting, result

BINS, MARKERS = 40, "ox+^vs"
Oracle = Callable[..., tuple[np.ndarray, np.ndarray]]
ERRORS: dict[str, Oracle] = {}  # operations that compute: dtype, inputs -> exact values and their bounds
MARGINS: dict[str, Oracle] = {}  # operations that choose: all inputs, dtype -> margins of the choices and their bounds


def _shows(registry: dict[str, Oracle], *operations: str) -> Callable[[Oracle], Oracle]:
    def register(oracle: Oracle) -> Oracle:
        registry.update(dict.fromkeys(operations, oracle))
        return oracle

    return register


@_shows(ERRORS, "compute_logits")
def _logits(dtype: str, context: Any, embedding: Any) -> tuple[np.ndarray, np.ndarray]:
    return bounds.exact_logits(context, embedding), bounds.logits(context, embedding, dtype)


@_shows(ERRORS, "apply_temperature")
def _scaled(dtype: str, logits: Any, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    divisor = float(np.dtype(dtype).type(temperature))
    return logits.astype(np.float64) / divisor, bounds.temperature(logits, divisor, dtype)


@_shows(ERRORS, "softmax")
def _probs(dtype: str, logits: Any) -> tuple[np.ndarray, np.ndarray]:
    return exact_softmax(logits), bounds.softmax(logits, dtype)


@_shows(ERRORS, "lm_head")
def _head(dtype: str, context: Any, embedding: Any, temperature: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    exact, error = _logits(dtype, context, embedding)
    divisor = float(np.dtype(dtype).type(temperature))
    scaled, error = exact / divisor, bounds.temperature(exact, divisor, dtype, error)
    kept = np.where(scaled >= np.sort(scaled, axis=-1)[..., -k, None], scaled, -np.inf)
    return exact_softmax(kept), bounds.softmax(kept, dtype, error)


@_shows(ERRORS, "layer_norm")
def _layer_norm(dtype: str, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    return exact_layer_norm(**given), bounds.layer_norm(**given, dtype=dtype)


@_shows(ERRORS, "rms_norm")
def _rms_norm(dtype: str, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    return exact_rms_norm(**given), bounds.rms_norm(**given, dtype=dtype)


@_shows(ERRORS, "finish_logits")
def _finished(dtype: str, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    return exact_finish(**given), bounds.finish_logits(**given, dtype=dtype)


@_shows(ERRORS, "log_probs")
def _log_probs(dtype: str, logits: Any) -> tuple[np.ndarray, np.ndarray]:
    return exact_log_probs(logits), bounds.log_probs(logits, dtype)


@_shows(ERRORS, "cross_entropy")
def _loss(dtype: str, logits: Any, token_ids: Any, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.take_along_axis(exact_log_probs(logits), token_ids[..., None], axis=-1)[..., 0]
    counted = token_ids != ignore_index
    return -scores[counted].mean(), bounds.cross_entropy(logits, token_ids, counted, dtype)


@_shows(ERRORS, "frequency_penalty")
def _penalised(dtype: str, logits: Any, history: Any, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    occurs, each = counts(history, logits.shape), float(np.dtype(dtype).type(penalty))
    return logits.astype(np.float64) - each * occurs, bounds.frequency_penalty(logits, occurs, each, dtype)


@_shows(MARGINS, "keep_top_p", "process")
def _nucleus(inputs: dict[str, dict[str, Any]], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The distance of the nearest running sum from p, and how far off either may be."""
    logits, p = inputs["keep_top_p"]["logits"], inputs["keep_top_p"]["p"]
    running = np.cumsum(-np.sort(-exact_softmax(logits), axis=-1), axis=-1)
    return np.abs(running - p).min(axis=-1), bounds.filters.running_share(logits, p, dtype)[..., 0]


@_shows(MARGINS, "top_k", "keep_top_k", "top_log_probs")
def _cut(inputs: dict[str, dict[str, Any]], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The lead of the k-th logit over the (k+1)-th, and the sum of their bounds."""
    logits, k = inputs["top_k"]["logits"].astype(np.float64), inputs["top_k"]["k"]
    error = bounds.logits(**inputs["compute_logits"], dtype=dtype)
    order = np.argsort(-logits, axis=-1)[:, k - 1 : k + 1]
    values, errors = (np.take_along_axis(array, order, axis=-1) for array in (logits, error))
    return values[:, 0] - values[:, 1], errors.sum(axis=-1)


@_shows(MARGINS, "multinomial")
def _race(inputs: dict[str, dict[str, Any]], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The winner's lead over the runner-up, and the sum of their bounds."""
    probs, noise = (inputs["multinomial"][name].astype(np.float64) for name in ("probs", "noise"))
    race, error = probs / noise, bounds.race(probs, noise, dtype)
    order = np.argsort(-race, axis=-1)[:, :2]
    values, errors = (np.take_along_axis(array, order, axis=-1) for array in (race, error))
    return values[:, 0] - values[:, 1], errors.sum(axis=-1)


@_shows(MARGINS, "inverse_cdf")
def _walk(inputs: dict[str, dict[str, Any]], _: str) -> tuple[np.ndarray, np.ndarray]:
    """The distance of the target from the nearest running sum, and how far rounding may move the two."""
    probs, uniform = (inputs["inverse_cdf"][name].astype(np.float64) for name in ("probs", "uniform"))
    running = np.cumsum(probs, axis=-1)
    distance = np.abs(running - (uniform * running[:, -1])[:, None])
    return distance.min(axis=-1), bounds.running_sum(probs)


def svg(stage: str, settings: Sequence[Setting], implementations: Sequence[Implementation]) -> str:
    """The plot of one stage as an `<svg>` element, from the float32 settings."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")  # 360 points wide, which is legible on a phone too
    axes = figure.subplots()
    chosen = [setting for setting in settings if setting.dtype == "float32"]
    if stage in ERRORS:
        _plot_errors(axes, stage, chosen[-1], implementations)
        axes.set_ylabel("largest error")
    else:
        for setting, marker in zip(chosen, MARKERS, strict=False):
            margin, bound = MARGINS[stage](setting.inputs, "float32")
            axes.loglog(bound, margin, marker, fillstyle="none", label=f"{setting.shape}, one point a row")
        axes.set_ylabel("margin of the choice")
    ends = np.array(axes.get_xlim())
    axes.loglog(ends, ends, color="gray", linestyle="--", label="bound")
    axes.set_xlim(*ends)
    axes.set_xlabel("derived bound")
    figure.legend(loc="outside upper left", ncols=3, fontsize="small", frameon=False, handletextpad=0.2)
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        labelled = (1,) if high > 100 * low else (1, 2, 5) if high > 10 * low else (1, 2, 4, 7)
        axis.set_major_locator(LogLocator(subs=labelled, numticks=7))
        axis.set_major_formatter("{x:.0e}")  # typesetting powers of ten would take longer than the rest of the plot
        axis.minorticks_off()
    return _as_svg(figure, stage)


def _plot_errors(axes: Axes, stage: str, setting: Setting, implementations: Sequence[Implementation]) -> None:
    """The largest error of each implementation, among elements with about the same bound."""
    inputs, dtype = setting.inputs[stage], "float32"
    exact, bound = ERRORS[stage](dtype, **inputs)
    for number, implementation in enumerate(implementations):
        if stage not in implementation.stages:
            continue
        error = np.abs(np.asarray(result(implementation.head, stage, inputs), np.float64) - exact)
        alive = (bound > 0) & np.isfinite(error)
        edges = np.geomspace(bound[alive].min(), bound[alive].max() * (1 + 1e-9), BINS + 1)
        place = np.digitize(bound[alive], edges) - 1
        largest = np.array([error[alive][place == i].max(initial=0) for i in range(BINS)])
        shown, centers = largest > 0, np.sqrt(edges[:-1] * edges[1:])
        marker = MARKERS[number % len(MARKERS)]
        axes.loglog(centers[shown], largest[shown], marker, fillstyle="none", label=implementation.head.name)


def _as_svg(figure: Figure, stage: str) -> str:
    # No date, and ids from a fixed salt: the same figure always gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": stage, "svg.fonttype": "none"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("#000000", "currentColor")  # black lines would vanish in a dark theme

"""How the time of a step grows with V, d, batch and k: log-log, with the exponent of a power law fitted to each."""

from pathlib import Path
from typing import Any

import numpy as np

from . import candidates
from .measure import measure

GRID = {
    "V": (2_000, 6_000, 18_000, 54_000),
    "d": (96, 192, 384, 768, 1_536),
    "batch": (1, 4, 16, 64),
    "k": (1, 10, 100, 1_000, 10_000),
}
BASE = {"V": 20_000, "d": 384, "batch": 4, "k": 50}
SHOWN = ("fast path", "fast path, NumPy's noise", "reference", "lesson", "ONNX Runtime")

Growth = dict[str, dict[str, list[float]]]  # axis -> candidate -> median seconds at each point of GRID[axis]


def growth(threads: int, rounds: int, grid: dict[str, tuple[int, ...]] = GRID, base: dict[str, int] = BASE) -> Growth:
    """Medians along each axis of `grid`, the other three at `base`."""
    result: Growth = {}
    for axis, points in grid.items():
        series: dict[str, list[float]] = {name: [] for name in SHOWN}
        for point in points:
            at = {**base, axis: point}
            inputs = candidates.Inputs(at["batch"], at["V"], at["d"], at["k"])
            functions = {name: f for name, f in candidates.steps(inputs, threads).items() if name in SHOWN}
            for name, benchmark in measure(functions, rounds).items():
                series[name].append(benchmark.median())
        result[axis] = series
    return result


def exponent(points: Any, seconds: Any) -> float:
    """The slope of a straight line through log time against log size: 1 is linear, 0 does not grow."""
    return float(np.polyfit(np.log(np.asarray(points, float)), np.log(np.asarray(seconds, float)), 1)[0])


def plot(result: Growth, file: Path, grid: dict[str, tuple[int, ...]] = GRID, base: dict[str, int] = BASE) -> None:
    """One panel an axis, in the format that the file's name asks for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    for axes, (axis, series) in zip(figure.subplots(2, 2).flat, result.items(), strict=True):
        for name, seconds in series.items():
            slope = exponent(grid[axis], seconds)
            axes.loglog(grid[axis], np.array(seconds) * 1e3, marker="o", label=f"{name}: {axis}^{slope:.2f}")
        others = ", ".join(f"{name} = {value:,}" for name, value in base.items() if name != axis)
        axes.set(xlabel=axis, ylabel="ms a step", title=others)
        axes.legend(fontsize=7)
    figure.savefig(file)

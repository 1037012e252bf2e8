"""How the time of a step grows with V, d, batch and k: the exponent of a power law, fitted along each axis."""

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


def exponents(axis: str, threads: int, rounds: int) -> dict[str, float]:
    """The exponent of each candidate along one axis, with the other axes at `BASE`: 1 is linear, 0 does not grow."""
    seconds = []
    for point in GRID[axis]:
        at = {**BASE, axis: point}
        functions = candidates.steps(candidates.Inputs(at["batch"], at["V"], at["d"], at["k"]), threads)
        times = measure({name: functions[name] for name in SHOWN}, rounds)
        seconds.append([np.median(times[name]) for name in SHOWN])
    slopes = np.polyfit(np.log(GRID[axis]), np.log(seconds), 1)[0]
    return dict(zip(SHOWN, slopes.tolist(), strict=True))

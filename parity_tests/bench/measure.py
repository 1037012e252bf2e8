"""How candidates are timed: in one process, round by round, each time in another order, by pyperf's clock.

A machine that drifts hurts all alike, and so do caches: each candidate runs once untimed before it is timed, as in a
loop over tokens. Threads that spin for work after a call would slow down whoever comes next; the command switches that
off before the libraries load, and `order_effect` shows whether it worked.
"""

import ctypes
import gc
import random
from pathlib import Path
from typing import Any

import pyperf

from .candidates import Functions


def measure(functions: Functions, rounds: int, order: str = "shuffled") -> dict[str, pyperf.Benchmark]:
    """The timings of each, `rounds` of them, as a pyperf benchmark of that name.

    `order` is "shuffled", another in each round, or "forwards" or "backwards", the same in all. Raises ValueError for
    another word.
    """
    if order not in ("shuffled", "forwards", "backwards"):
        raise ValueError(f"order is {order!r}: it must be 'shuffled', 'forwards' or 'backwards'")
    times: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)[:: -1 if order == "backwards" else 1]
    shuffle = random.Random(0).shuffle
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            if order == "shuffled":
                shuffle(names)
            for name in names:
                function = functions[name]
                function()
                start = pyperf.perf_counter()
                function()
                times[name].append(pyperf.perf_counter() - start)
    finally:
        gc.enable()
    return {name: _benchmark(name, values) for name, values in times.items()}


def _benchmark(name: str, values: list[float]) -> pyperf.Benchmark:
    metadata = {"name": name, "unit": "second"}
    return pyperf.Benchmark([pyperf.Run(values, metadata=metadata, collect_metadata=False)])


def order_effect(functions: Functions, rounds: int) -> dict[str, tuple[float, float, float]]:
    """For each candidate the median seconds forwards and backwards, and their spread (median absolute deviation)."""
    forwards, backwards = (measure(functions, rounds, order) for order in ("forwards", "backwards"))
    return {
        name: (
            forwards[name].median(),
            backwards[name].median(),
            max(spread(forwards[name]), spread(backwards[name])),
        )
        for name in functions
    }


def spread(benchmark: pyperf.Benchmark) -> float:
    """The median absolute deviation, seconds; 0 for a single value."""
    return benchmark.median_abs_dev() if benchmark.get_nvalue() > 1 else 0.0


def peak_memory(function: Any) -> int | None:
    """By how many bytes one call raises the process above where it stood; None where Linux's /proc is not there.

    Memory that the allocator keeps from earlier calls is given back first, so that it counts when it is taken again.
    """
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    function()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    clear.write_text("5")  # the peak starts again from here
    before = status("VmRSS")
    function()
    return max(0, status("VmHWM") - before)


def status(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024

"""How candidates are timed: in one process, round by round, in another order each time.

So a machine that slows down affects all candidates equally. Each candidate runs once untimed before it is timed, so
its data are in the cache, as in a loop over tokens. Threads that spin for work after a call would slow down the next
candidate, so the command switches spinning off before the libraries load. With all this, timing the candidates forwards
and backwards moved no median by more than three times its spread.
"""

import ctypes
import gc
import random
from pathlib import Path
from statistics import median
from time import perf_counter

from .candidates import Function, Functions

Timings = dict[str, list[float]]  # seconds of each call, by candidate


def measure(functions: Functions, rounds: int) -> Timings:
    """`rounds` timings of each candidate."""
    times: Timings = {name: [] for name in functions}
    names, shuffle = list(functions), random.Random(0).shuffle
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(names)
            for name in names:
                function = functions[name]
                function()
                start = perf_counter()
                function()
                times[name].append(perf_counter() - start)
    finally:
        gc.enable()
    return times


def spread(seconds: list[float]) -> float:
    """The median absolute deviation."""
    middle = median(seconds)
    return median(abs(value - middle) for value in seconds)


def peak_memory(functions: Functions) -> dict[str, int | None]:
    """How many bytes one call of each candidate adds to the process at its peak; None without Linux's /proc.

    Memory that the allocator kept from earlier calls is given back first. Otherwise a call that uses it again would
    seem to need none.
    """
    gc.collect()
    return {name: _peak_of_one(function) for name, function in functions.items()}


def _peak_of_one(function: Function) -> int | None:
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    function()
    ctypes.CDLL(None).malloc_trim(0)
    clear.write_text("5")  # resets the recorded peak
    before = status("VmRSS")
    function()
    return max(0, status("VmHWM") - before)


def status(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024

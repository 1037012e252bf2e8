"""Progress on standard error, for whoever waits: a bar on a terminal, gone when done, or lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, int, int], None]  # what is being done, how much of it, out of how much
EVERY = 2.0  # seconds


def silent(_what: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def _lines() -> Report:
    """A line every two seconds: for a log."""
    last = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            print(f"{what}: {min(done / total, 1):.0%}", file=sys.stderr, flush=True)
            last = time.monotonic()

    return report


@contextmanager
def shown() -> Iterator[Report]:
    """A bar on standard error while the block runs; a line every two seconds where that is no terminal."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        current = ""

        def report(what: str, done: int, total: int) -> None:
            nonlocal current
            if what != current:
                current = what
                progress.reset(task, description=what)
            progress.update(task, completed=min(done, total), total=total)

        yield report

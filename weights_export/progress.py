"""Progress on standard error: a bar on a terminal, which goes away when done, or lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, int, int], None]  # what is being done, how much of it, out of how much
EVERY = 2.0  # seconds between two lines of a log


def silent(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""


@contextmanager
def shown() -> Iterator[Report]:
    """Show what is reported while the block runs."""
    last, current = time.monotonic(), ""
    if not sys.stderr.isatty():

        def log(what: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY:
                print(f"{what}: {min(done / total, 1):.0%}", file=sys.stderr, flush=True)
                last = time.monotonic()

        yield log
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def bar(what: str, done: int, total: int) -> None:
            nonlocal current
            if what != current:
                current = what
                progress.reset(task, description=what)
            progress.update(task, completed=min(done, total), total=total)

        yield bar

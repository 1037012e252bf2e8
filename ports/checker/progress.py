"""Says on standard error what is being checked, as soon as that takes more than two seconds."""

import sys
import time

from rich.console import Console
from rich.status import Status

SECONDS = 2.0


class Progress:
    """In a terminal one line that changes; elsewhere a line each time that SECONDS have passed. For use in `with`."""

    def __init__(self, command: str = "ports check") -> None:
        self._command = command
        console = Console(stderr=True)
        self._status: Status | None = console.status("smoke") if console.is_terminal else None
        self._said = time.monotonic()

    def __enter__(self) -> "Progress":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def at(self, what: str) -> None:
        """The check is at this phase, or at this operation of it."""
        if self._status:
            self._status.update(what)
        elif time.monotonic() - self._said > SECONDS:
            self._said = time.monotonic()
            print(f"{self._command}: {what}", file=sys.stderr, flush=True)

"""A time limit for calls in this process: a head in Python may hang, or end Python, as a port in a process may."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from .errors import BrokenError

P = ParamSpec("P")
R = TypeVar("R")
# A call into C that never comes back cannot be interrupted. So long after the limit, the checker itself ends.
GRACE = 20.0
_running: list[tuple[float, float]] = []  # calls, each inside the one before: when the checker ends, and the limit


class _TimeUp(BaseException):
    """Raised in the call that took too long. A `BaseException`, so that no `except Exception` in a head stops it."""


def limited(call: Callable[P, R], seconds: float) -> Callable[P, R]:
    """The same call; it raises BrokenError if it takes longer than `seconds`, or if it ends Python.

    There is no limit in threads other than the first, nor where there are no alarms, as on Windows.
    """

    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        alarms = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        before: Any = signal.signal(signal.SIGALRM, _ring) if alarms else None
        if alarms:
            _start_watching()
            _running.append((time.monotonic() + seconds + GRACE, seconds))
            signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return call(*args, **kwargs)
        except _TimeUp:
            raise BrokenError(f"the head gave no reply within {seconds:g} s") from None
        except SystemExit as error:
            raise BrokenError(f"the head ended Python with sys.exit({error.code!r}) instead of replying") from None
        finally:
            if alarms:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
                _running.pop()

    return within


def _ring(_: int, __: FrameType | None) -> None:
    raise _TimeUp


@cache
def _start_watching() -> None:
    """One thread for all calls: to start one takes longer than most calls."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while True:
        time.sleep(1)
        for end, seconds in tuple(_running):
            if time.monotonic() > end:
                _give_up(seconds)


def _give_up(seconds: float) -> None:
    print(
        f"ports check: {GRACE:g} s after its {seconds:g} s the head is still in a call that cannot be interrupted: "
        "it does not conform",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)

"""A time limit for calls in this process: a head in Python may hang, or end Python, as a port in a process may."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from .errors import BrokenError

P = ParamSpec("P")
R = TypeVar("R")
# A call into C that never comes back cannot be interrupted. So long after the limit, the checker itself ends.
GRACE = 20.0


class _TimeUp(BaseException):
    """Raised in the call that took too long. A `BaseException`, so that no `except Exception` in a head stops it."""


def limited(call: Callable[P, R], seconds: float) -> Callable[P, R]:
    """The same call; it raises BrokenError if it takes longer than `seconds`, or if it ends Python.

    There is no limit in threads other than the first, nor where there are no alarms, as on Windows.
    """

    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        alarms = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        before: Any = signal.signal(signal.SIGALRM, _ring) if alarms else None
        last = threading.Timer(seconds + GRACE, _give_up, [seconds])
        last.daemon = True
        if alarms:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            last.start()
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
                last.cancel()

    return within


def _ring(_: int, __: FrameType | None) -> None:
    raise _TimeUp


def _give_up(seconds: float) -> None:
    print(
        f"ports check: {GRACE:g} s after its {seconds:g} s the head is still in a call that cannot be interrupted: "
        "it does not conform",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)

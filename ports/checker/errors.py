"""What a port may do instead of giving a result."""

from typing import Any


class RefusedError(ValueError):
    """The port refused the input, with a code of PROTOCOL.md."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class SkippedError(Exception):
    """The port does not support this; the text says what."""


class ErroredError(Exception):
    """The port reports that it failed."""


class BrokenError(Exception):
    """The port broke the protocol: no reply, a line that is not JSON, the number of another request, and so on."""


class GaveUpError(BaseException):
    """The port broke the protocol too often to go on.

    A `BaseException`, so that no `except Exception` on the way to `check` stops it. `judge` would record it as one more
    failure. Hypothesis would take it for a failing example and shrink it: hundreds of requests to a broken port.
    `verdict` is that on the request before, if it was being asked again.
    """

    verdict: Any = None

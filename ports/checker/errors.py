"""What a port may do in the place of a result."""


class RefusedError(ValueError):
    """It refused the input, with a code of PROTOCOL.md."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class SkippedError(Exception):
    """It does not have this; the text says what."""


class ErroredError(Exception):
    """It says that it failed."""


class BrokenError(Exception):
    """It did not keep to the protocol: no reply, no JSON, another request's number, ..."""


class GaveUpError(BaseException):
    """It broke the protocol too often to go on.

    Not an `Exception`, so that nothing that would try further inputs catches it.
    """

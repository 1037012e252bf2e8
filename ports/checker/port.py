"""The port that is checked: a process that speaks the protocol, or a Python object."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity_tests.judges.words import brief
from reference.operations import OPERATIONS, TIES, WITH_VECTORS

from ..values import DTYPES
from .errors import BrokenError, ErroredError, SkippedError
from .judge import Call, of_head
from .process import Process

if TYPE_CHECKING:  # at run time this would import PyTorch
    from parity_tests.heads import Head

PROTOCOL = 1
FLOATS = tuple(name for name, dtype in DTYPES.items() if dtype.kind not in "ib")


class NoPortError(Exception):
    """There is no port to check: the command does not start, or does not answer `hello` as PROTOCOL.md says."""


@dataclass(frozen=True)
class Port:
    """A port: what it says about itself, and how to call one of its operations (`judge.Call`)."""

    name: str
    version: str
    language: str
    dtypes: tuple[str, ...]
    ties: tuple[str, ...]
    operations: tuple[str, ...]
    call: Call
    close: Callable[[], None] = lambda: None
    in_other_layout: Call | None = None  # `call` with arrays in Fortran's memory order; None for another process

    def lacks(self, op: str, arguments: dict[str, Any]) -> str:
        """Why the port does not support this call; "" if it does."""
        if op not in self.operations:
            return f"it has no {op}"
        for value in arguments.values():
            if isinstance(value, np.ndarray) and value.dtype.name in FLOATS and value.dtype.name not in self.dtypes:
                return f"it has no {value.dtype.name}"
        ties = arguments.get("ties")
        return f"it has no ties={ties!r}" if ties in TIES and ties not in self.ties else ""


def from_command(process: Process) -> Port:
    """The port behind a process, after asking it for `hello`.

    Raises: NoPortError if the answer is wrong, after closing the process. The message says what is wrong.
    """
    try:
        return _greeted(process)
    except NoPortError:
        process.close()
        raise


def _greeted(process: Process) -> Port:
    try:
        hello = process.request("hello", {"protocol": PROTOCOL})
    except (BrokenError, ErroredError) as error:
        raise NoPortError(str(error)) from None
    except Exception as error:  # refused or skipped
        raise NoPortError(f"the port does not answer hello: {error}") from None
    if hello.get("protocol") != PROTOCOL:
        raise NoPortError(f"the port speaks protocol {hello.get('protocol')!r}, this checker {PROTOCOL}")
    for key in ("name", "version", "language"):
        if not isinstance(hello.get(key), str):
            raise NoPortError(f"hello: {key} is {hello.get(key)!r}: it must be text")
    known = {"dtypes": FLOATS, "ties": TIES, "operations": (*OPERATIONS, "hello", "stop")}
    for key, words in known.items():
        given = hello.get(key)
        if not isinstance(given, list) or not set(map(str, given)) <= set(words):
            raise NoPortError(f"hello: {key} is {given!r}: it must be a list of words from {', '.join(words)}")
    if not set(hello["operations"]) & {operation.name for operation in WITH_VECTORS}:
        raise NoPortError("hello: operations lists no stage and no torch_rng: there is nothing to check")
    name, version, language = (brief(hello[key], 60) for key in ("name", "version", "language"))
    dtypes, ties, operations = (tuple(hello[key]) for key in ("dtypes", "ties", "operations"))
    return Port(name, version, language, dtypes, ties, operations, process.call, process.close)


def from_python(name: str) -> Port:
    """A module or `module:object` with any of the functions of `reference.head`, called in this process.

    Raises: NoPortError if the object does not exist, has none of the functions, or has one with other arguments.
    """
    from parity_tests.heads import NO_HEAD, from_name  # imports PyTorch, which a port in a process does not need

    try:
        head = from_name(name)
    except NO_HEAD as error:
        raise NoPortError(f"{name}: {error}") from None
    return from_head(head)


def from_head(head: "Head") -> Port:
    """A head of the suite as a port in this process."""
    operations = tuple(operation for operation in head.operations if operation not in head.absent)
    call, in_other_layout = _of(head, "C"), _of(head, "F")
    return Port(head.name, "", "Python", FLOATS, head.ties, operations, call, in_other_layout=in_other_layout)


def _of(head: "Head", order: str) -> Call:
    call = of_head(head, order)

    def without_a_choice(op: str, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("ties", "lowest_id") not in head.ties:
            raise SkippedError("it has no choice of ties")
        return call(op, given)

    return call if len(head.ties) > 1 else without_a_choice

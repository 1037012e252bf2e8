"""The port that is checked: a process that speaks the protocol, or a Python object."""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from parity_tests.contract import FLOATS, OPTIONS, Contract, is_option
from parity_tests.judges.words import brief
from reference.operations import CALLED, DEFAULTS, OPERATIONS, TIES, WITH_VECTORS
from reference.profiles import Profile
from weights_export.manifest import VERSIONS

from .errors import BrokenError, ErroredError, SkippedError
from .judge import LAYOUTS, Call, of_head
from .process import Process
from .time_limit import limited

if TYPE_CHECKING:  # at run time this would import PyTorch
    from parity_tests.heads import Head

PROTOCOL = 1
NO_ANSWER = """
  - flush the output after every line
  - read line by line: a program that waits for the end of its input waits for ever
  - if it only takes long to start, give it time with --timeout"""


class NoPortError(Exception):
    """There is no port to check: the command does not start, or does not answer `hello` as PROTOCOL.md says."""


@dataclass(frozen=True)
class Port:
    """A port: what it says about itself, and how to call one of its operations (`judge.Call`)."""

    name: str
    version: str
    language: str
    contract: Contract
    operations: tuple[str, ...]
    call: Call
    bundle_versions: tuple[int, ...] = (2,)  # of the bundle format, which it reads
    close: Callable[[], str] = lambda: ""  # ends it; returns what was wrong with its end
    # `call` with arrays in other memory layouts, by what a report calls them; none for another process.
    layouts: Mapping[str, Call] = field(default_factory=dict)
    profile: Profile | None = None  # that it is judged by

    @property
    def described(self) -> dict[str, Any]:
        """What it says about itself, as plain data."""
        about = {name: getattr(self, name) for name in ("name", "version", "language", "operations", "bundle_versions")}
        return about | vars(self.contract)

    def options(self, op: str) -> dict[str, str]:
        """The profile's `until` and `ties` of an operation that it has a row for."""
        return self.profile.options(op) if self.profile else {}

    def contract_of(self, op: str) -> Contract:
        """The contract that an operation is judged by: its own, but for what the profile says."""
        by_profile: dict[str, Any] = {option: (value,) for option, value in self.options(op).items()}
        return replace(self.contract, **by_profile)

    def on_its_terms(self, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with the options of the profile in place of others; any of the tied is no argument.

        Where a port has no `until` but the one that a request has to name, this one does.
        """
        given = dict(arguments)
        if "until" in OPERATIONS[op].arguments and DEFAULTS["until"] not in self.contract.until:
            given.setdefault("until", (*self.contract.until, DEFAULTS["until"])[0])
        for option, value in self.options(op).items():
            if option not in given or is_option(option, given[option]):
                given[option] = value
        return {name: value for name, value in given.items() if (name, value) != ("ties", "any")}

    def departs(self) -> list[str]:
        """Where it declares another option than its profile has: a line for each."""
        lines = []
        for op in self.operations:
            for option, value in self.options(op).items():
                said = getattr(self.contract, option)
                if not self.contract.offers(option, "lowest_id" if value == "any" else value):
                    lines.append(f"{op} is judged with {option}={value}: it declares {option} {', '.join(said)}")
        return lines

    def lacks(self, op: str, arguments: dict[str, Any]) -> str:
        """Why the port does not support this call; "" if it does."""
        if op not in self.operations:
            return f"it has no {op}"
        for name, value in arguments.items():
            # Noise is float32 even where a port has 16 bits alone: it is computed in float32 (HEAD-2).
            dtype = value.dtype.name if isinstance(value, np.ndarray) and name != "noise" else ""
            if dtype in FLOATS and dtype not in self.contract.dtypes:
                return f"it has no {dtype}"
        for option in arguments.keys() & set(OPTIONS):
            if not self.contract_of(op).offers(option, arguments[option]):
                return f"it has no {option}={arguments[option]!r}"
        if op == "torch_rng" and self.contract.stream == "own":
            return "its random stream is its own"
        return ""


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
        hint = NO_ANSWER if "gave no reply" in str(error) else ""
        raise NoPortError(f"{error}{hint}") from None
    except Exception as error:  # refused or skipped
        raise NoPortError(f"the port does not answer hello: {error}") from None
    spoken = hello.get("protocol")
    if type(spoken) is not int or spoken != PROTOCOL:
        raise NoPortError(f"the port speaks protocol {brief(repr(spoken), 60)}, this checker {PROTOCOL}")
    for key in ("name", "version", "language"):
        if not isinstance(hello.get(key), str):
            raise NoPortError(f"hello: {key} is {brief(repr(hello.get(key)), 60)}: it must be text")
    for key in ("dtypes", "ties"):
        if key not in hello:
            raise NoPortError(f"hello: {key} is missing: it must be a list of words")
    try:
        contract = Contract.read(hello)
    except ValueError as error:
        raise NoPortError(f"hello: {brief(error, 300).removeprefix('ValueError: ')}") from None
    operations, known = hello.get("operations"), (*OPERATIONS, "hello", "stop")
    if not isinstance(operations, list) or not set(map(str, operations)) <= set(known):
        words = ", ".join(known)
        raise NoPortError(
            f"hello: operations is {brief(repr(operations), 200)}: it must be a list of words from {words}"
        )
    versions = hello.get("bundle_versions", [2])
    if not isinstance(versions, list) or not versions or not all(type(n) is int and n in VERSIONS for n in versions):
        known_versions = ", ".join(map(str, VERSIONS))
        said = brief(repr(versions), 60)
        raise NoPortError(f"hello: bundle_versions is {said}: it must be a list of versions from {known_versions}")
    if not contract.dtypes:
        raise NoPortError("hello: dtypes is []: list at least one of " + ", ".join(FLOATS))
    if not contract.ties and {"keep_top_k", "lm_head", "step", "sequence"} & set(operations):
        raise NoPortError(f"hello: ties is []: a port that cuts lists at least one of {', '.join((*TIES, 'any'))}")
    if not set(operations) & {*(operation.name for operation in WITH_VECTORS), *CALLED}:
        raise NoPortError(
            "the harness answers hello; operations lists no stage yet, so there is nothing to check: "
            "add the first one to it (ports/TEMPLATE.md)"
        )
    name, version, language = (brief(hello[key], 60) for key in ("name", "version", "language"))
    return Port(
        name, version, language, contract, tuple(operations), process.call, tuple(sorted(set(versions))), process.close
    )


def from_python(name: str, timeout: float = 10.0) -> Port:
    """A module or `module:object` with any of the functions of `reference.head`, called in this process.

    Raises: NoPortError if the object does not exist, has none of the functions, or has one with other arguments.
    """
    from parity_tests.heads import from_name  # imports PyTorch, which a port in a process does not need

    terminal = sys.stdin
    sys.stdin = io.StringIO()  # a harness that is taken for a head reads requests, and would wait for the user
    try:
        head = limited(from_name, timeout)(name)
    except (Exception, SystemExit) as error:
        said = f"it ends Python with {error!r} when it is imported" if isinstance(error, SystemExit) else error
        raise NoPortError(f"{name}: {said}") from None
    finally:
        sys.stdin = terminal
    return from_head(head, timeout)


def from_head(head: "Head", timeout: float = 10.0) -> Port:
    """A head of the suite as a port in this process. A call that takes longer than `timeout` seconds is ended."""
    operations = tuple(operation for operation in head.operations if operation not in head.absent)
    layouts = {name: limited(_of(head, layout), timeout) for name, layout in LAYOUTS.items()}
    call = limited(_of(head, np.array), timeout)
    return Port(head.name, "", "Python", head.contract, operations, call, layouts=layouts)


def _of(head: "Head", layout: Callable[[np.ndarray], np.ndarray]) -> Call:
    call = of_head(head, layout)

    def without_a_choice(op: str, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("ties", head.ties[0]) != head.ties[0]:
            raise SkippedError("it has no choice of ties")
        return call(op, given)

    return call if len(head.ties) > 1 else without_a_choice

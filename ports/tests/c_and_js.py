"""The C and the JavaScript port for tests: how they are built, run and asked."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.contract import FLOATS
from parity_tests.verdict import compare
from reference.operations import OPERATIONS

from .missing import unavailable
from .wire import Port

PORTS = Path(__file__).parents[1]
f32 = np.float32

# The arguments of `make` for each.
BUILDS = {
    "c": ["all"],
    "c-sanitized": ["sanitize"],
    "c-fused": ["all", "CFLAGS=-O3 -march=native -ffp-contract=fast"],
}


def tool(name: str, package: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        unavailable(f"this machine has no {name}: install {package} (make setup-ports)")
    return str(path)


def compile_harness(folder: Path, *arguments: str) -> None:
    """`make` into a folder; warnings are errors there."""
    compiler, make = tool("gcc", "gcc"), tool("make", "make")
    include = [compiler, "-fsyntax-only", "-include", "cjson/cJSON.h", "-xc", os.devnull]
    if subprocess.run(include, capture_output=True).returncode:
        unavailable("this machine has no cjson/cJSON.h: install libcjson-dev (make setup-ports)")
    run = subprocess.run(
        [make, "-C", str(PORTS / "c"), f"OUT={folder}", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[Port]:
    """A port; at the end it must exit cleanly, having written nothing to standard error."""
    with Port(*command) as port:
        yield port
        assert port.ask("stop") == {"result": {}}
        assert port.close() == 0, port.errors()
        assert port.errors() == ""


class Together(Port):
    """Builds of one source, asked the same: they must reply the same, to the last bit."""

    def __init__(self, *ports: Port) -> None:
        self.ports, self._hello = ports, None

    def line(self, text: str) -> dict[str, Any]:
        """The reply of all to a line as it is."""
        return _the_same([port.line(text) for port in self.ports])

    def ask(self, op: str, **inputs: Any) -> dict[str, Any]:
        """The reply of all to a request."""
        return _the_same([port.ask(op, **inputs) for port in self.ports])


def _the_same(replies: list[dict[str, Any]]) -> dict[str, Any]:
    assert all(reply == replies[0] for reply in replies), replies
    return replies[0]


def answer(port: Port, op: str, **inputs: Any) -> dict[str, Any] | None:
    """The result; None for a tensor in a dtype that the port does not have, which it must then have skipped."""
    tensors = [value for name, value in inputs.items() if isinstance(value, np.ndarray) and name != "uniform"]
    if {tensor.dtype.name for tensor in tensors} & set(FLOATS) <= set(port.hello()["dtypes"]):
        return port.result(op, **inputs)
    assert port.ask(op, **inputs).keys() == {"skipped"}
    return None


def agrees(port: Port, op: str, **inputs: Any) -> dict[str, Any]:
    """Judge the port's answer beside the reference's; empty if the port has skipped a dtype that it does not have."""
    found = answer(port, op, **inputs)
    if found:
        results = tuple(found[name] for name in OPERATIONS[op].results)
        actual = results if len(results) > 1 else results[0]
        compare(op, getattr(reference, op)(**inputs), actual, **inputs).require()
    return found or {}


def row(*values: float) -> np.ndarray:
    """One row in float32."""
    return np.array(values, f32)

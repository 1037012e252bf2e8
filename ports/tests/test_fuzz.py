"""Whatever a port says of itself and whatever it replies: a verdict, never a traceback, never a hang."""

import io
import json
import os
import random
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from parity_tests.contract import CHOICES, FLOATS
from ports.checker.check import Plan, check
from ports.checker.port import NoPortError, Port, from_command
from ports.checker.process import Process
from ports.checker.report import as_json, html, junit, replay, show
from ports.tests.whole import Whole
from ports.values import encode
from reference.operations import OPERATIONS

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HELLO = {
    "protocol": st.just(1) | JSON,
    "name": st.text(max_size=70) | JSON,
    "version": st.text(max_size=5) | JSON,
    "language": st.text(max_size=5) | JSON,
    "dtypes": st.lists(st.sampled_from([*FLOATS, "int8"]), max_size=4) | JSON,
    "ties": st.lists(st.sampled_from(["lowest_id", "all", "any", "some"]), max_size=3) | JSON,
    "operations": st.lists(st.sampled_from([*OPERATIONS, "hello", "stop"]), max_size=6) | JSON,
    "bundle_versions": st.lists(st.integers(1, 4), max_size=3) | JSON,
    **{key: st.sampled_from(list(choices)) | JSON for key, choices in CHOICES.items()},
}
REPORTED = {"name", "version", "language"}


class Greeting(Process):
    """A process that answers hello with this, and everything else with `skipped`."""

    def __init__(self, hello: Any) -> None:
        super().__init__(["none"])
        self.hello = hello

    def request(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        self._seq = 1
        reply = {"seq": 1, "result": self.hello} if op == "hello" else {"seq": 1, "skipped": "no"}
        return self._reply(json.dumps(reply).encode(errors="replace"))


def in_every_form(port: Port, plan: Plan) -> None:
    """The check ends with a report, and the report can be shown, saved and replayed."""
    report = check(port, plan)
    assert report.status in (0, 1, 2)
    show(report, Console(file=io.StringIO(), width=100))
    json.dumps(as_json(report), allow_nan=False)
    ElementTree.fromstring(junit(report).split("?>", 1)[1])
    html(report).encode()
    assert len(report.requests) == len(report.failures)
    for line in replay(report).splitlines():
        json.loads(line)


@settings(max_examples=1_000 if THOROUGH else 60, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.fixed_dictionaries({}, optional=HELLO) | JSON)
def test_whatever_hello_says(hello: Any) -> None:
    """It is refused in words, or the port is checked as it says."""
    try:
        port = from_command(Greeting(hello))
    except NoPortError:
        return
    port = replace(port, close=lambda: "")
    in_every_form(port, Plan(examples=1, sizes=False, bundle=None))


PIECES: list[Any] = [None, True, 0, -1, 2**70, 1e999, "", "nan", "x", [], [[]], {}, {"dtype": "float32"}, [None] * 3]


class Mangling(Process):
    """A whole port. Some of its replies lose a key, gain one, change a value, or lose bytes on their way."""

    def __init__(self, seed: int) -> None:
        super().__init__(["none"])
        self._breaks[False] = self._breaks[True] = -(10**9)  # it never gives up
        self.port, self.random, self.mangled = Whole(), random.Random(seed), 0

    def request(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def call(self, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self._seq = 7
        result: Any = {name: encode(value) for name, value in self.port(op, arguments).items()}
        line = json.dumps({"seq": 7, "result": result}).encode()
        if self.random.random() < 0.5:
            self.mangled += 1
            line = self._mangle(result, line)
        return self._decoded(op, self._reply(line))

    def _mangle(self, result: dict[str, Any], line: bytes) -> bytes:
        choose = self.random.choice
        reply: Any = {"seq": 7, "result": result}
        kind = choose(["bytes", "value", "key", "reply"])
        if kind == "bytes":
            at = self.random.randrange(len(line))
            return line[:at] + choose([b"", b"\xff", b"[", b'"', b"1e999", b"9" * 400, b"\\ud800"]) + line[at + 3 :]
        if kind == "reply":
            refused = {"seq": 7, "refused": choose(PIECES)}
            return json.dumps(choose([[reply], {**reply, "seq": choose(PIECES)}, {"seq": 7}, refused])).encode()
        name = choose([*result, "more"]) if result else "more"
        if kind == "key" and isinstance(result.get(name), dict):
            result[name][choose(["dtype", "shape", "data", "more"])] = choose(PIECES)
        else:
            result[name] = choose(PIECES)
        return json.dumps(reply).encode()


def test_whatever_it_replies() -> None:
    """In the thorough profile more than 5,000 malformed replies."""
    mangled = 0
    for seed in range(25 if THOROUGH else 1):
        mangling = Mangling(seed)
        in_every_form(replace(Whole().port(), call=mangling.call), Plan(examples=2, sizes=False))
        mangled += mangling.mangled
    assert mangled > (5_000 if THOROUGH else 200)

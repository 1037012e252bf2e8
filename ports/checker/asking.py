"""Asks a port: what does not conform is asked again, and what was asked is remembered.

A port that answers one request in fifty wrongly, or dies on every seventh, breaks no rule of SPEC.md that the request
would test. So a failing request is asked again. If the answer is right then, its answers do not depend on the request
alone, and that is what is reported.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from parity_tests.judges.words import BAD, Verdict, Word

from ..values import encoded
from .errors import GaveUpError
from .judge import Call
from .port import Port


def confirmed(ask: Callable[[], Verdict]) -> Verdict:
    """The verdict of `ask()`. If it is bad, it is asked again: a right answer then means that the answers vary."""
    first = ask()
    if first.word not in BAD or "gave no reply" in first.reason:  # a hang costs a time limit, and says enough
        return first
    try:
        again = ask()
    except GaveUpError as error:
        error.verdict = first
        raise
    if not again.conforms:
        return first
    said = {Word.ERRORED: "it gave no answer", Word.UNREFUSED: "it did not refuse"}.get(first.word, "it was wrong")
    reason = f"the same request is answered in different ways: {said}, and was right when it was asked again"
    told = f"; the first time: {first.reason}" if first.reason else ""
    return replace(first, word=Word.ERRORED, rule="", reason=reason + told, ratio=0.0, repeats=False)


@dataclass
class Seen:
    """The largest sizes of requests that were answered with a result, by what they are called."""

    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, arguments: Mapping[str, Any]) -> None:
        """The sizes of these arguments."""
        for name, axes in (("embedding", "Vd"), ("logits", "V"), ("probs", "V"), ("context", "d"), ("hidden", "d")):
            value = arguments.get(name)
            if isinstance(value, np.ndarray) and value.ndim >= len(axes):
                for axis, size in zip(axes[::-1], value.shape[::-1], strict=False):
                    self.raised(axis, size)
                if name != "embedding":
                    self.raised("rows", math.prod(value.shape[:-1]))
        if type(arguments.get("k")) is int and arguments["k"] <= self.sizes.get("V", 0):
            self.raised("k", arguments["k"])

    def add_bundle(self, size: Mapping[str, Any]) -> None:
        """The sizes of a bundle, as the port reports them."""
        for axis, name in (("V", "vocab_size"), ("d", "hidden_size")):
            if type(size.get(name)) is int:
                self.raised(axis, size[name])

    def raised(self, what: str, size: int) -> None:
        """This size was seen, too."""
        self.sizes[what] = max(size, self.sizes.get(what, 0))

    def __str__(self) -> str:
        names = {"V": "V", "d": "d", "rows": "rows of a batch", "k": "k"}
        return ", ".join(f"{name} to {self.sizes[what]:,}" for what, name in names.items() if what in self.sizes)


class Recorder:
    """Calls a port, and remembers the last request and the sizes of those that were answered."""

    def __init__(self, call: Call, seen: Seen) -> None:
        self._call, self._seen = call, seen
        self.last: tuple[str, dict[str, Any]] = ("hello", {})
        self.answer: Any = None  # to it: a result, or the exception
        self.opened: str | None = None

    def __call__(self, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """As `judge.Call`."""
        self.last = op, dict(arguments)
        try:
            result = self.answer = self._call(op, arguments)
        except BaseException as error:
            self.answer = error
            raise
        self._seen.add(arguments)
        if op == "open_bundle":
            self.opened = arguments["path"]
            self._seen.add_bundle(result)
        elif op == "sequence":
            self._seen.raised("rows", max(map(len, arguments["contexts"]), default=0))
        return result

    def watching(self, port: Port) -> Port:
        """The port, called through this."""
        return replace(port, call=self)

    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """The last request with what must come before it, as JSON values."""
        op, arguments = self.last
        before = [("open_bundle", {"path": self.opened})] if op in ("step", "sequence") and self.opened else []
        return [*before, (op, encoded(arguments))]

"""A port as a process: one line of JSON out, one line of JSON back. Nothing that the port does can stop the checker.

The process may hang, die, flood, print garbage or answer out of order. Each of these raises a `BrokenError` with the
last lines of its standard error. By then the process has been killed, with all that it started, and the next request
starts a new one.

Two threads read the output of the process. One empties standard error: a port that fills that pipe would block on it,
while the checker waits for a reply that never comes. The other reads replies into a queue: `readline` may wait for
ever, but reading from a queue has a time limit. Writing needs no thread, because it does not block (see `_send`).
"""

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NoReturn

from parity_tests.judges.words import printable

from ..values import decode, encoded
from .errors import BrokenError, ErroredError, GaveUpError, RefusedError, SkippedError

LONGEST_LINE = 2**26  # bytes; the largest correct reply, float64 logits of a large vocabulary, is far shorter
STDERR_FIRST, STDERR_LAST = 4, 8  # how many of its lines a message shows: a panic comes first, a backtrace last
STOP_SECONDS = 2.0  # how long a port may take to end after the request `stop`
# How often a port may break the protocol before the checker gives up. A port that hangs costs a time limit each time,
# and one that writes garbage has a broken harness, so more of the same tells nothing. A port that dies may be half
# written and crash on bad input only. That tells something about each input, and a new process starts quickly.
SILENT_BREAKS = 3
DEATHS = 60
SAME_DEATHS = 3  # so many deaths in a row on the n-th request of a process are no matter of what was asked


class Process:
    """A command that speaks the protocol of PROTOCOL.md. As a context manager, it ends the process on the way out.

    Raises: BrokenError if the command cannot be started.
    """

    def __init__(self, command: Sequence[str], timeout: float = 10.0) -> None:
        self.command, self.timeout = list(command), timeout
        self._breaks: Counter[bool] = Counter()  # how often it broke the protocol, by whether it had died
        self._seq = 0
        self._bundle: dict[str, Any] | None = None  # the inputs of the last `open_bundle` that was answered
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._stderr = _Stderr()
        self._died_at: list[int] = []  # the number of the request on which each process died
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call one operation with NumPy arrays; the tensors of its result are arrays too.

        Raises: RefusedError, SkippedError or ErroredError as the port replied; BrokenError if it broke the protocol;
        GaveUpError if it has done so too often.
        """
        inputs = encoded(arguments)
        if self._process is None and op in ("step", "sequence") and self._bundle is not None:
            self.request("open_bundle", self._bundle)  # a new process has no bundle open
        result = self.request(op, inputs)
        if op == "open_bundle":
            self._bundle = inputs
        return self._decoded(op, result)

    def _decoded(self, op: str, result: dict[str, Any]) -> dict[str, Any]:
        try:
            return {name: decode(value) for name, value in result.items()}
        except ValueError as error:
            raise ErroredError(f"the result of {op} cannot be read: {error}") from None

    def request(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Send one request with JSON `inputs` and return the `result` of the reply. Raises: as `call`."""
        if self._process is None:
            self._start()
        self._seq += 1
        line = json.dumps({"seq": self._seq, "op": op, "inputs": inputs}, allow_nan=False).encode() + b"\n"
        if not self._lines.empty():  # nothing was asked yet: taken for the reply, this line would shift all that follow
            early = self._lines.get()
            if early is None:
                self._broken(f"ended ({self._ended()}) instead of replying to {op}")
            self._broken(f"wrote a line unprompted: {_excerpt(early)}; messages belong on standard error")
        deadline = time.monotonic() + self.timeout
        self._send(line, deadline)
        reply = self._next_line(op, deadline)
        if reply is None:
            self._broken(f"ended ({self._ended()}) instead of replying to {op}")
        return self._reply(reply)

    def _next_line(self, op: str, deadline: float) -> bytes | None:
        """The next line, or None at the end of the output.

        The end of the output is not enough to notice a death: a child of the port may keep its standard output open.
        So the process itself is looked at too, ten times a second.
        """
        while True:
            died = self._process is not None and self._process.poll() is not None
            try:
                return self._lines.get(timeout=1.0 if died else 0.1)  # a reply from just before the death counts
            except queue.Empty:
                if died:
                    return None
                if time.monotonic() > deadline:
                    self._broken(f"gave no reply to {op} within {self.timeout:g} s")

    def close(self) -> str:
        """Ask the port to stop, and kill it if it does not. Returns what was wrong with its end, "" for nothing."""
        if self._process is None:
            return ""
        fault = ""
        self.timeout = min(self.timeout, STOP_SECONDS)
        try:
            self.request("stop", {})
            assert self._process is not None
            status = self._process.wait(self.timeout)
            fault = f"after stop it ended with status {status}, not 0" if status else ""
        except subprocess.TimeoutExpired:
            fault = f"it answered stop, but did not end within {self.timeout:g} s"
        except (BrokenError, GaveUpError, ErroredError, RefusedError, SkippedError) as error:
            fault = f"stop was not answered with a result: {error}"
        self._reap()
        return fault

    def _start(self) -> None:
        self._lines, self._seq = queue.Queue(), 0
        self._stderr = _Stderr()
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A process group of its own, so that `_reap` can kill a wrapper script together with the port that the
                # script started. Killing the script alone would leave the port running, and holding the pipes open.
                start_new_session=True,
            )
        except OSError as error:
            raise BrokenError(f"{self.command[0]} cannot be started: {error.strerror}") from None
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._readers = [
            threading.Thread(target=_read_lines, args=(self._process.stdout, self._lines), daemon=True),
            threading.Thread(target=self._stderr.read, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _send(self, line: bytes, deadline: float) -> None:
        """Write the request before the deadline.

        A port that does not read leaves the pipe full, and a blocking write would then wait for ever. If the port has
        ended, this returns: reading its output next will show its last line, or that it ended.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        pipe, rest = self._process.stdin.fileno(), memoryview(line)
        while rest:
            if not select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))[1]:
                self._broken(f"did not read a request of {len(line):,} bytes within {self.timeout:g} s")
            try:
                rest = rest[os.write(pipe, rest) :]
            except BlockingIOError:
                continue
            except OSError:
                return

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            self._broken(f"wrote a line that is not JSON: {_excerpt(line)}")
        if not isinstance(reply, dict) or reply.get("seq") != self._seq:
            self._broken(f"answered request {self._seq} with another number or none: {_excerpt(line)}")
        kinds = reply.keys() & {"result", "refused", "skipped", "errored"}
        if len(kinds) != 1:
            self._broken(f"must reply with exactly one of result, refused, skipped, errored: {_excerpt(line)}")
        kind = kinds.pop()
        value = reply[kind]
        if kind == "skipped":
            raise SkippedError(printable(str(value)[:200]))
        if kind == "errored":
            raise ErroredError(printable(str(value)[:2000]))
        if not isinstance(value, dict):
            self._broken(f"{kind} must be an object: {_excerpt(line)}")
        if kind == "refused":
            raise RefusedError(*(printable(str(value.get(key, ""))[:200]) for key in ("code", "message")))
        return value

    def _broken(self, what: str) -> NoReturn:
        running = self._process is not None
        died = self._process is None or self._process.poll() is not None
        self._reap()
        message = f"the port {what}{self._stderr}"
        self._breaks[died] += 1
        if died and running:
            self._died_at.append(self._seq)
            last = self._died_at[-SAME_DEATHS:]
            if len(last) == SAME_DEATHS and set(last) == {self._seq} and self._seq > 1:
                every = f"the port dies on request {self._seq} after every start, whatever it is asked"
                raise GaveUpError(f"{every}: {SAME_DEATHS} times in a row it {what}{self._stderr}")
        if self._breaks[died] > (DEATHS if died else SILENT_BREAKS):
            raise GaveUpError(f"gave up after {self._breaks[died]} of these: the port {what}")
        raise BrokenError(message)

    def _ended(self) -> str:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.returncode
        if code is None:
            return "its standard output was closed"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        return f"exit status {code}"

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for reader in self._readers[1:]:
            reader.join(0.2)  # let it read the end of standard error, which is part of the message
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in self._readers:
            reader.join(1)
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if pipe is not None and not any(reader.is_alive() for reader in self._readers):
                    pipe.close()


def _read_lines(stream: Any, lines: "queue.Queue[bytes | None]") -> None:
    """Put lines into the queue, and None at the end. Stops at a line that is too long, so that memory stays bounded."""
    with contextlib.suppress(OSError, ValueError):
        while line := stream.readline(LONGEST_LINE + 1):
            lines.put(line[:LONGEST_LINE] if len(line) <= LONGEST_LINE else line[:200] + b"... (a line without end)")
            if len(line) > LONGEST_LINE or lines.qsize() > 1000:
                break
    lines.put(None)


class _Stderr:
    """The first and the last lines of a port's standard error; as text, what a message shows of it."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=STDERR_LAST)
        self._left_out = 0

    def read(self, stream: Any) -> None:
        """Keep reading until the end."""
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(10_000):
                text = printable(line.decode(errors="replace").rstrip()[:200])
                if len(self._first) < STDERR_FIRST:
                    self._first.append(text)
                else:
                    self._left_out += len(self._last) == STDERR_LAST
                    self._last.append(text)

    def __str__(self) -> str:
        lines = [*self._first, *[f"... {self._left_out} lines left out"] * bool(self._left_out), *self._last]
        return "".join(["\n  its standard error", *(f"\n    {line}" for line in lines)]) if lines else ""


def _excerpt(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return repr(text[:120]) + ("" if len(text) <= 120 else " ...")

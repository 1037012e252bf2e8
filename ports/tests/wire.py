"""A port at the other end of two pipes: write a request, read the reply; just enough of `PROTOCOL.md` for tests."""

import contextlib
import json
import queue
import subprocess
import threading
from typing import Any

from ports.checker.errors import RefusedError, SkippedError
from ports.values import decode, encode

SECONDS = 300  # for one reply: valgrind is slow, and a hang must end


class Port:
    """A running port. Use it as a context manager: it is always reaped, and its exit status is kept in `status`."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._replies: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._replies.put), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stderr, self._errors.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._seq = 0
        self._hello: dict[str, Any] | None = None
        self.status: int | None = None

    @staticmethod
    def _read(lines: Any, put: Any) -> None:
        for line in lines:
            put(line)
        put("")

    def line(self, text: str) -> dict[str, Any]:
        """Send a line as it is and read one reply."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
            reply = self._replies.get(timeout=SECONDS)
        except (BrokenPipeError, queue.Empty) as error:
            raise AssertionError(f"{type(error).__name__} after {text[:200]}: {self.errors()}") from None
        assert reply, f"no reply to {text[:200]}: {self.errors()}"
        return json.loads(reply)

    def ask(self, op: str, **inputs: Any) -> dict[str, Any]:
        """Send a request with arrays as tensors; the reply, its `seq` checked and taken out."""
        self._seq += 1
        request = {"seq": self._seq, "op": op, "inputs": {name: encode(value) for name, value in inputs.items()}}
        reply = self.line(json.dumps(request))
        assert reply.pop("seq") == self._seq
        assert len(reply) == 1, reply
        assert reply.keys() <= {"result", "refused", "skipped", "errored"}, reply
        return reply

    def result(self, op: str, **inputs: Any) -> dict[str, Any]:
        """The result, tensors as arrays.

        Raises: RefusedError with the code, SkippedError, AssertionError for an error of the port.
        """
        reply = self.ask(op, **inputs)
        if "refused" in reply:
            assert reply["refused"].keys() == {"code", "message"}, reply
            raise RefusedError(reply["refused"]["code"], reply["refused"]["message"])
        if "skipped" in reply:
            raise SkippedError(reply["skipped"])
        assert "result" in reply, str(reply)[:2000]
        return {key: decode(value) for key, value in reply["result"].items()}

    def hello(self) -> dict[str, Any]:
        """What the port says of itself; asked once."""
        if self._hello is None:
            self._hello = self.result("hello", protocol=1)
        return self._hello

    def close(self) -> int:
        """Close the port's input and wait for its end; the exit status."""
        assert self._process.stdin is not None
        if self.status is None:
            with contextlib.suppress(BrokenPipeError):  # it has ended already
                self._process.stdin.close()
            try:
                self.status = self._process.wait(timeout=SECONDS)
            finally:
                self._process.kill()
                self._process.wait()
            for reader in self._readers:
                reader.join()
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                pipe.close()
        return self.status

    def errors(self) -> str:
        """What came on standard error."""
        return "".join(self._errors[-60:])

    def __enter__(self) -> "Port":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

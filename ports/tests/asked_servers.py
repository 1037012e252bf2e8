"""Servers for the tests of `ports/ask`: right ones by any profile, and wrong ones, on the tiny GPT-2's real logits.

`Server` is asked in the process; `serving` puts it behind HTTP, with faults of its own.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zlib import crc32

import numpy as np
import safetensors.numpy

import reference
from ports.ask.client import RefusedError
from ports.ask.predict import engine, filters_first, usual
from ports.checker.bundle_cases import EMBEDDED
from reference.pipeline import process
from weights_export.bundle import open_bundle

NOTHING: Mapping[str, int] = {}
ALWAYS = -1_000_000  # refuses a field whatever its value
KEY = "a-key-that-must-not-be-shown"


@cache
def _logits() -> np.ndarray:
    return safetensors.numpy.load_file(EMBEDDED / "expected.safetensors")["logits"]


@cache
def texts() -> list[str]:
    """What each token reads as; those that are no characters of their own have U+FFFD."""
    return [token.decode("utf-8", "replace") for token in open_bundle(EMBEDDED).token_bytes]


def _row(prompt: str) -> int:
    return crc32(prompt.encode()) % len(_logits())


@lru_cache(maxsize=4096)
def _drawn_from(row: int, rule: str, settings: tuple[tuple[str, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    """The processed logits and the running sums of their probabilities."""
    given = dict(settings)
    if rule == "filters first":
        steps = filters_first(given)
    elif rule == "top_p first":  # and the temperature before the others
        first = {"top_p": given.pop("top_p")} if "top_p" in given else {}
        steps = usual(first) + usual(given)
    else:
        steps = engine(rule, given)
    processed = process(_logits()[row].astype(np.float64), steps)
    return processed, np.cumsum(reference.softmax(processed))


class Server:
    """A right server with the order of `rule`, or a wrong one: `wrong` names the mistake. `salt` changes its draws.

    It gives at most `most` log-probabilities and the drawn token's, and refuses the fields in `refuses` where they are
    above the number there.
    """

    def __init__(
        self, rule: str = "vllm", wrong: str = "", salt: int = 0, most: int = 20, refuses: Mapping[str, int] = NOTHING
    ) -> None:
        self.rule, self.wrong, self.salt, self.most, self.refuses = rule, wrong, salt, most, refuses
        self.budget, self.asked = 400, 0

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        self.asked += 1
        for name, highest in self.refuses.items():
            if body.get(name, highest) > highest:
                raise RefusedError(f"{name} is {body[name]}: not here")
        settings = self._settings(body)
        row = _row(body["prompt"])
        choices = []
        for place in range(body.get("n", 1)):
            shared = self.wrong == "seed shared by rows"
            seed = self.asked if self.wrong == "seed ignored" else body.get("seed", self.asked)
            random = np.random.default_rng([seed, 0 if shared else place, self.salt]).random()
            token, processed = self._draw(row, settings, random)
            choices.append(self._choice(place, token, row, processed, body.get("logprobs")))
        return {"object": "text_completion", "choices": choices}

    def together(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answers to requests that are computed in one batch."""
        given = list(bodies)
        if self.wrong == "a neighbour's parameters":
            given = [{**body, "temperature": given[i - 1]["temperature"]} for i, body in enumerate(given)]
        return [self.complete(body) for body in given]

    def _settings(self, body: Mapping[str, Any]) -> dict[str, float]:
        off = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
        settings = {name: body[name] for name, value in off.items() if body.get(name, value) != value}
        settings.pop(self.wrong.removesuffix(" ignored"), None)
        if self.wrong == "top_k one more" and "top_k" in settings:
            settings["top_k"] += 1
        if self.wrong == "top_k one fewer" and settings.get("top_k", 0) > 1:
            settings["top_k"] -= 1
        if self.wrong == "always greedy" or settings.get("temperature") == 0:
            settings = {} if self.wrong == "greedy that samples" else {"top_k": 1}
        if self.wrong == "a hidden temperature":
            settings["temperature"] = settings.get("temperature", 1.0) * 0.4
        return settings

    def _draw(self, row: int, settings: Mapping[str, float], random: float) -> tuple[int, np.ndarray]:
        rule = self.wrong if self.wrong in ("top_p first", "filters first") else self.rule
        processed, sums = _drawn_from(row, rule, tuple(sorted(settings.items())))
        return int(np.searchsorted(sums, random * sums[-1], side="right")), processed

    def _choice(self, place: int, token: int, row: int, processed: np.ndarray, most: int | None) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": place, "text": texts()[token], "finish_reason": "length", "logprobs": None}
        if most:
            shown = processed if self.wrong == "log-probabilities processed" else _logits()[row].astype(np.float64)
            choice["logprobs"] = _shown(shown.tobytes(), token, min(most, self.most))
        return choice


@lru_cache(maxsize=4096)
def _shown(logits: bytes, token: int, most: int) -> dict[str, Any]:
    logprobs = reference.log_probs(np.frombuffer(logits))
    best = np.argsort(-logprobs, kind="stable")[:most]
    top = {texts()[i]: float(logprobs[i]) for i in (*best, token) if np.isfinite(logprobs[i])}
    return {"tokens": [texts()[token]], "token_logprobs": [float(logprobs[token])], "top_logprobs": [top]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Http"

    def do_GET(self) -> None:
        """The list of models."""
        if self.path != "/v1/models" or self.server.fault == "no list":
            return self._answer(404, {"detail": "Not Found"})
        return self._answer(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        """A completion, or the fault of this server."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = self.server.fault
        if fault == "key" and self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._answer(401, {"error": {"message": f"no: {self.headers.get('Authorization')}"}})
        if fault == "echo":
            return self._answer(503, {"error": {"message": f"failed for {self.headers.get('Authorization')}"}})
        if fault == "busy":
            return self._answer(429, {"error": {"message": "slow down"}})
        if fault == "path" or self.path != "/v1/completions":
            return self._answer(404, {"detail": "Not Found"})
        if body["model"] not in self.server.models:
            return self._answer(404, {"error": {"message": f"The model {body['model']!r} does not exist."}})
        if fault == "cut" and self.server.heads.asked > 40:
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            return None
        if fault == "other":
            return self._answer(200, {"hello": "world"})
        if fault == "wait for four":
            self.server.four.wait(30)
        try:
            with self.server.lock:
                answer = self.server.heads.complete(body)
        except RefusedError as error:
            return self._answer(422, {"detail": str(error)})
        if fault == "none":
            for choice in answer["choices"]:
                choice["logprobs"] = None
        return self._answer(200, answer)

    def _answer(self, status: int, answer: Mapping[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, heads: Server, fault: str, models: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heads, self.fault, self.models = heads, fault, models
        self.lock, self.four = threading.Lock(), threading.Barrier(4)


@contextmanager
def serving(heads: Server | None = None, fault: str = "", models: Sequence[str] = ("tiny",)) -> Iterator[str]:
    """The URL of a server on the loopback."""
    http = _Http(heads or Server(), fault, models)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def wait_for(url: str, seconds: float) -> None:
    """Until something listens at the URL. Raises: TimeoutError."""
    import socket
    from urllib.parse import urlsplit

    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 1.0).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise TimeoutError(f"nothing listens at {url} after {seconds:g} seconds") from None
            time.sleep(0.1)

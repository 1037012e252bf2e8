"""Asks one server, within a budget of requests and seconds. Every way in which that fails is one sentence.

`http.client` follows no redirect and reads no proxy from the environment: only the address given is contacted.
"""

import http.client
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

KEY = "OPENAI_API_KEY"
LONGEST = 160  # characters of a server's own message that are quoted


class CannotAskError(Exception):
    """Nothing can be asked there: one sentence."""


class RefusedError(Exception):
    """The server refuses this request, or fails at it, in its own words. Another one may do."""


class SpentError(Exception):
    """The budget of requests or seconds is used up."""


class Client:
    """A server at a URL.

    Raises: CannotAskError for a URL that is none.
    """

    def __init__(self, url: str, requests: int = 400, seconds: float = 300.0, key: str | None = None) -> None:
        if "://" not in url:
            url = f"http://{url}"
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError as error:
            raise CannotAskError(f"{url} is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not self._host:
            raise CannotAskError(f"{url} is no URL of a server: give one like http://localhost:8000")
        if parts.username or parts.password:
            raise CannotAskError(f"the URL holds a password: put the key into {KEY} instead")
        self._connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        path = parts.path.rstrip("/").removesuffix("/completions")
        self._base = path if path.endswith("/v1") else f"{path}/v1"
        self.url = f"{parts.scheme}://{parts.netloc}{self._base}"
        self._key = os.environ.get(KEY, "") if key is None else key
        self.budget, self.asked, self._counting = requests, 0, Lock()
        self._until, self._seconds = time.monotonic() + seconds, seconds

    def models(self) -> list[str]:
        """The names of the models that it serves; none where it does not say."""
        try:
            answer = self._ask("GET", "/models", None)
            return [str(model["id"]) for model in answer["data"]]
        except (RefusedError, KeyError, TypeError):
            return []

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request for a completion.

        Raises: CannotAskError, RefusedError, SpentError.
        """
        return self._ask("POST", "/completions", body)

    def together(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answers to requests that are all on their way at the same time. Raises: as `complete`."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(self.complete, bodies))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        left = self._until - time.monotonic()
        if left <= 0:
            raise SpentError(f"{self._seconds:g} seconds")
        with self._counting:
            if self.asked >= self.budget:
                raise SpentError(f"{self.budget} requests")
            self.asked += 1
        status, content = self._exchange(method, path, body, left)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if status == 200:
            if not isinstance(answer, dict):
                raise CannotAskError(f"{self.url}{path} answers, but not with a JSON object: not the OpenAI interface")
            return answer
        raise self._refusal(status, self._message(answer), path)

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None, left: float) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection = self._connection(self._host, self._port, timeout=left)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise CannotAskError(f"no server answers at {self.url}: {error.strerror or error}") from None
            connection.request(method, self._base + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError:
            raise SpentError(f"{self._seconds:g} seconds") from None
        except (http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionError):
            raise CannotAskError(f"{self.url} cut the connection at request {self.asked}") from None
        except (http.client.HTTPException, UnicodeError, ValueError):
            raise CannotAskError(f"{self.url} does not speak HTTP, or the key in {KEY} has odd characters") from None
        except OSError as error:
            raise CannotAskError(f"{self.url} failed at request {self.asked}: {error.strerror or error}") from None
        finally:
            connection.close()

    def _message(self, answer: Any) -> str:
        """What the server says about its refusal, without the key."""
        found = answer
        for name in ("error", "message", "detail"):
            if isinstance(found, dict) and name in found:
                found = found[name]
        text = found if isinstance(found, str) else json.dumps(found) if found else ""
        text = "".join(c if c.isprintable() else " " for c in text)
        if self._key:
            text = text.replace(self._key, "***")
        return text if len(text) <= LONGEST else text[:LONGEST] + "..."

    def _refusal(self, status: int, message: str, path: str) -> Exception:
        said = f": {message}" if message else ""
        if status in (401, 403):
            state = f"does not take the key in {KEY}" if self._key else f"wants a key: put it into {KEY}"
            return CannotAskError(f"{self.url} {state} (HTTP {status})")
        if status == 429:
            return CannotAskError(f"{self.url} is asked too often, it says (HTTP 429), at request {self.asked}{said}")
        if status == 404 and path == "/completions" and "model" in message.lower():
            return CannotAskError(f"{self.url} does not have that model{said}")
        if status == 404 and path == "/models":
            return RefusedError(message)
        if status in (400, 422, 500, 501):
            return RefusedError(message or f"HTTP {status}")
        if status in (404, 405):
            return CannotAskError(f"{self.url}{path} is not there (HTTP {status}): no OpenAI completions interface")
        return CannotAskError(f"{self.url} answers HTTP {status} to request {self.asked}{said}")

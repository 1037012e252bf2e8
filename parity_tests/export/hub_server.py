"""A Hub on the loopback: one model repository, served over HTTP the way the Hub serves it, with its faults on order.

What huggingface_hub asks for: the API's model info; `resolve`, where small files come straight and large ones by a
redirect to a content server, with the headers X-Repo-Commit, ETag, X-Linked-ETag and X-Linked-Size; range requests; 404
and 401 with X-Error-Code. Every response is counted by path, in bytes of body.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """The server and its settings: a token to ask for, a gate, and where to cut a connection."""

    daemon_threads = True

    def __init__(self, folder: Path, repo: str = "someone/a-gpt2") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repo = repo
        self.be_plain(folder)

    def be_plain(self, folder: Path) -> None:
        """Serve the folder to anyone and without faults, and forget what was served."""
        self.folder = folder
        self.token: str | None = None  # asked for if set
        self.gated = False
        self.cuts: list[int] = []  # after how many bytes of a large file the next responses break off
        self.short = False  # whether large files come without their last 1,000 bytes
        self.lies = False  # whether large files come with one bit flipped
        self.ranges = True  # whether range requests are honoured
        self.bytes_sent: Counter[str] = Counter()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def cdn(self) -> str:
        """Where large files are: to a client another host, which gets no token."""
        return f"http://localhost:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub, path = self.server, unquote(self.path.split("?")[0])
        hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if match := re.fullmatch(r"/cdn/(.+)", path):
            return self._file(hub.folder / match[1], body, {})
        if match := re.fullmatch(r"/api/models/(.+?)(?:/revision/(.+))?", path):
            if self._refused(match[1], match[2], api=True):
                return None
            names = sorted(file.name for file in hub.folder.iterdir())
            info = {"id": hub.repo, "modelId": hub.repo, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
            return self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, body)
        if match := re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", path):
            if self._refused(match[1], match[2]):
                return None
            return self._resolve(hub.folder / match[3], body)
        return self._send(404, b"", {}, body)

    def _refused(self, repo: str, revision: str | None, api: bool = False) -> bool:
        hub = self.server
        given = self.headers.get("Authorization")
        if given is not None and given != f"Bearer {hub.token}":
            error = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self._send(401, b"", error, False)
        elif repo != hub.repo or (hub.token is not None and given is None and not hub.gated):
            self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, False)
        elif revision not in (None, "main", COMMIT):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, False)
        elif hub.gated and given is None and not api:
            message = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted"}
            self._send(401, b"", message, False)
        else:
            return False
        return True

    def _resolve(self, file: Path, body: bool) -> None:
        if not file.is_file():
            error = {"X-Repo-Commit": COMMIT, "X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return self._send(404, b"", error, body)
        content = file.read_bytes()
        headers = {"X-Repo-Commit": COMMIT}
        if file.suffix != ".safetensors":  # kept in git: named by its blob id
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self._file(file, body, {**headers, "ETag": f'"{blob}"'})
        digest = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        return self._send(302, b"", {**headers, "Location": f"{self.server.cdn}/cdn/{file.name}"}, body)

    def _file(self, file: Path, body: bool, headers: dict[str, str]) -> None:
        hub, content = self.server, file.read_bytes()
        if hub.short and file.suffix == ".safetensors":
            content = content[:-1000]
        if hub.lies and file.suffix == ".safetensors":
            content = content[:-1] + bytes([content[-1] ^ 1])
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if hub.ranges else None
        if span is None:
            return self._send(200, content, {**headers, "Accept-Ranges": "bytes"}, body)
        start, stop = int(span[1]), min(int(span[2]) + 1 if span[2] else len(content), len(content))
        if start >= stop:
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"}, body)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return self._send(206, content[start:stop], headers, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        hub = self.server
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        if hub.cuts and self.path.startswith("/cdn/"):
            cut = hub.cuts.pop(0)
            if cut < len(content):
                content, self.close_connection = content[:cut], True
        self.wfile.write(content)
        hub.bytes_sent[unquote(self.path)] += len(content)


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """The Hub, for as long as the block runs."""
    with Hub(folder) as hub:
        thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()

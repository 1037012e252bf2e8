"""The explorer's file: one, small, the same each time, with a policy that permits its own script and nothing else."""

import base64
import hashlib
import http.server
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ports.__main__ import main
from ports.explorer import page as pages
from ports.explorer import pytorch
from weights_export import Bundle, BundleError

from ..missing import unavailable
from .view import EXPLORER, ROOT, TINY, Tabs, View


def test_one_small_file_the_same_each_time_whose_path_is_printed(
    made: Path, tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pytorch, "SEEDS", 1)
    assert main(["explorer"]) == 0  # the embedded bundle, explorer.html
    assert capsys.readouterr().out == "explorer.html\n"
    assert (tmp_path / "explorer.html").read_text("utf-8") == pages.html(bundle)
    assert made.stat().st_size < 5_000_000


def test_policy_permits_the_page_and_nothing_else(made: Path) -> None:
    text = made.read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    assert parts.keys() == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert (parts["img-src"], parts["base-uri"], parts["form-action"]) == ("data:", "'none'", "'none'")
    for element in ("script", "style"):
        (code,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert parts[f"{element}-src"] == f"'sha256-{digest}'"


def test_damaged_and_headless_bundles_are_refused(
    tmp_path: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "SEEDS", 1)
    damaged = shutil.copytree(ROOT / TINY, tmp_path / "damaged")
    raw = bytearray((damaged / "head.safetensors").read_bytes())
    raw[-1] ^= 1
    (damaged / "head.safetensors").write_bytes(raw)
    output = tmp_path / "explorer.html"
    assert main(["explorer", str(damaged), "-o", str(output)]) == 2
    assert "does not match its sha256" in capsys.readouterr().err
    assert main(["explorer", str(tmp_path / "none"), "-o", str(output)]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert not output.exists()
    monkeypatch.setitem(bundle.manifest, "prompts", 0)  # as --head-only leaves it
    with pytest.raises(BundleError, match="holds no prompts: export it without --head-only"):
        pages.write(bundle, output)
    assert main(["explorer", str(TINY), "-o", str(tmp_path / "no" / "folder.html")]) == 2


def test_every_stage_names_rules_of_the_specification(made: Path) -> None:
    text = made.read_text("utf-8")
    known = set(re.findall(r"^### ([A-Z]+-\d+) ", (ROOT / "reference" / "SPEC.md").read_text("utf-8"), re.MULTILINE))
    for stage, section in re.findall(r'<section id="stage-(\w+)"(.*?)</section>', text, re.DOTALL):
        cited = re.findall(r'class="rule">([A-Z]+-\d+)<', section)
        assert cited or stage == "prompt"
        assert set(cited) <= known


def test_built_script_is_what_its_sources_build(tmp_path: Path) -> None:
    node = shutil.which("node") or ""
    if not node or not (EXPLORER / "node_modules" / "esbuild").exists():
        unavailable("no node, or ports/explorer/node_modules is not installed: make setup-explorer")
    subprocess.run([node, "build.mjs", str(tmp_path / "page.js")], cwd=EXPLORER, check=True, capture_output=True)
    assert (tmp_path / "page.js").read_bytes() == (EXPLORER / "page.js").read_bytes(), (
        "npm run build, then commit page.js"
    )


def test_policy_keeps_every_request_in(visit: Callable[..., View], tabs: Tabs, made: Path) -> None:
    """If the page asked for anything, the browser would refuse; a server that would hear it hears nothing."""
    heard = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET  # noqa: N815  the name that the library calls

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with socket.create_connection(("127.0.0.1", server.server_port)) as probe:  # it does hear
            probe.sendall(b"GET /probe HTTP/1.0\r\n\r\n")
            probe.recv(1000)
        view = visit(made)
        refused = view.page.evaluate(
            """async (address) => {
              const refused = [];
              addEventListener("securitypolicyviolation", (e) => refused.push(e.effectiveDirective));
              await fetch(address + "fetch").catch(() => {});
              try { new XMLHttpRequest().open("GET", address) } catch {}
              try { new WebSocket(address.replace("http", "ws")) } catch {}
              try { new EventSource(address) } catch {}
              navigator.sendBeacon(address + "beacon", "x");
              for (const tag of ["img", "script", "iframe", "audio", "embed"]) {
                const e = document.createElement(tag);
                e.src = address + tag;
                document.body.append(e);
              }
              const style = document.createElement("link");
              style.rel = "stylesheet";
              style.href = address + "style";
              document.head.append(style);
              await new Promise((resolve) => setTimeout(resolve, 300));
              return refused;
            }""",
            address,
        )
        server.shutdown()
    assert heard == ["/probe"]
    assert {"connect-src", "img-src", "script-src-elem", "style-src-elem", "frame-src", "media-src"} <= set(refused)
    tabs.faults.clear()  # the browser's own words about each refusal

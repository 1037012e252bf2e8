"""`ports ask` on real servers, started here on the loopback."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ports.__main__ import main
from weights_export import smollm2
from weights_export.checkpoint import TINY
from weights_export.errors import BundleError

from .asked_servers import wait_for


@contextmanager
def started(*command: str) -> Iterator[str]:
    """The URL of a server that this command starts; {port} in it is a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.format(port=port) for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}", 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["ask", *arguments, "--json"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    report["words"] = {finding["parameter"]: finding["word"] for finding in report["findings"]}
    return report


def test_transformers_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It gives no log-probabilities, so they come from the model; and it draws only where the model's files say so."""
    model = shutil.copytree(TINY, tmp_path / "tiny")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "architectures": ["GPT2LMHeadModel"]}))
    drawing = shutil.copytree(model, tmp_path / "drawing")
    generation = json.loads((model / "generation_config.json").read_text())
    (drawing / "generation_config.json").write_text(json.dumps({**generation, "do_sample": True, "top_k": 0}))
    command = str(Path(sys.executable).with_name("transformers"))
    with started(command, "serve", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu") as url:
        assert main(["ask", url, "--model", str(drawing)]) == 2
        assert "gives no log-probabilities" in capsys.readouterr().err
        report = asked(capsys, url, "--model", str(drawing), "--weights", "tiny")
        greedy = asked(capsys, url, "--model", str(model), "--weights", "tiny", "--requests", "180")
    assert report["status"] == 0
    assert "transformers" in report["profiles"]
    followed = {"seed", "frequencies", "temperature", "top_p", "top_p and temperature", "temperature 0", "neighbours"}
    assert {name for name, word in report["words"].items() if word == "followed"} == followed
    assert {report["words"][name] for name in ("top_k", "min_p", "rows")} == {"refused"}
    assert greedy["status"] == 1
    assert "it does not sample" in {f["parameter"]: f["detail"] for f in greedy["findings"]}["frequencies"]


def test_llama_cpp_server(capsys: pytest.CaptureFixture[str]) -> None:
    missing = [name for name in ("llama_cpp", "sse_starlette", "starlette_context") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install '.[servers]'")
    try:
        gguf = smollm2.fetch(offline=True)
    except (BundleError, OSError) as error:
        pytest.skip(f"SmolLM2 is not here: {error}")
    options = ("--model", str(gguf), "--host", "127.0.0.1", "--logits_all", "true", "--n_ctx", "256")
    with started(sys.executable, "-m", "llama_cpp.server", *options, "--port", "{port}") as url:
        report = asked(capsys, url)
    assert report["status"] == 0
    assert report["profiles"] == ["llama.cpp"]
    assert set(report["words"].values()) <= {"followed", "refused"}

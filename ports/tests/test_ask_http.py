"""`ports ask` over HTTP on the loopback: the table, the budget, and every way in which asking fails."""

import json
import socket
import threading

import pytest

from ports.__main__ import main
from ports.ask.client import Client, SpentError

from .asked_servers import ALWAYS, KEY, Server, serving


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that `ask` ends with."""
    assert main(["ask", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if "request " not in line or "HTTP" in line or "cut" in line]
    assert len(lines) == 1
    return lines[0]


def test_a_right_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server("llama.cpp", refuses={"top_k": ALWAYS, "logprobs": 5, "n": 1})) as url:
        assert main(["ask", url]) == 0
    said = capsys.readouterr().out
    assert "no deviation found" in said
    assert "top_k is -1: not here" in " ".join(said.split())


def test_a_wrong_server_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server(wrong="min_p ignored"), models=["tiny", "other"]) as url:
        assert main(["ask", url + "/v1/", "--model", "tiny", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == 1
    assert said["but"] == ["min_p"]
    assert said["requests"] <= 400


def test_requests_on_their_way_together() -> None:
    """The server answers none of the four before all are there."""
    bodies = [{"model": "tiny", "prompt": "It is", "seed": seed} for seed in range(4)]
    with serving(fault="wait for four") as url:
        assert len(Client(url).together(bodies)) == 4


def test_another_engine_than_the_one_named(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server("mlx-lm")) as url:
        assert main(["ask", url, "--profile", "sglang"]) == 1
    assert "behaves as: another engine than sglang" in capsys.readouterr().out


def test_a_key_is_sent_and_never_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(fault="key") as url:
        assert "wants a key: put it into OPENAI_API_KEY (HTTP 401)" in failed(capsys, url, "--model", "tiny")
        monkeypatch.setenv("OPENAI_API_KEY", "wrong-one")
        said = failed(capsys, url, "--model", "tiny")
        assert "does not take the key" in said
        assert "wrong-one" not in said
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert main(["ask", url, "--model", "tiny"]) == 0
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
    with serving(fault="echo") as url:
        said = failed(capsys, url, "--model", "tiny")
        assert "failed for Bearer ***" in said


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("busy", "is asked too often, it says (HTTP 429), at request 2: slow down"),
        ("path", "/v1/completions is not there (HTTP 404): no OpenAI completions interface"),
        ("other", "the server's answer has no choices: not the OpenAI completions interface"),
        ("none", "gives no log-probabilities with its tokens"),
        ("cut", "cut the connection at request 4"),
        ("no list", "does not say which models it has: name one with --model"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(capsys: pytest.CaptureFixture[str], fault: str, sentence: str) -> None:
    with serving(fault=fault) as url:
        assert sentence in failed(capsys, url)


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(models=["tiny", "large"]) as url:
        assert "has several models, name one with --model: tiny, large" in failed(capsys, url)
        assert "does not have that model: The model 'none' does not exist." in failed(capsys, url, "--model", "none")


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{free.getsockname()[1]}"
    assert "no server answers at http://" in failed(capsys, url)
    assert "is no URL of a server" in failed(capsys, "ftp://there")
    assert "is no URL" in failed(capsys, "http://there:port")
    assert "the URL holds a password" in failed(capsys, "http://me:secret@there")


def test_another_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail.example.org ESMTP\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        assert "does not speak HTTP" in failed(capsys, f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_a_server_that_never_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert "0.2 seconds were used up" in failed(capsys, url, "--seconds", "0.2")


def test_time_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as url:
        assert "0.001 seconds were used up" in failed(capsys, url, "--model", "tiny", "--seconds", "0.001")
        client = Client(url, requests=1)
        client.models()
        with pytest.raises(SpentError, match="1 requests"):
            client.models()

"""Ports whose fault is not their mathematics: the checker says so, and blames no rule."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import reference
from parity_tests.verdict import Word
from ports.__main__ import main
from ports.checker import process as processes
from ports.checker.check import Plan, check
from ports.checker.port import from_command, from_python
from ports.checker.process import Process
from ports.checker.report import conclusion
from ports.checker.results import Report

HARNESS = [sys.executable, "-m", "ports.tests.harness"]
OFFERS = ["top_k", "softmax"]  # few enough that a whole check takes no time
FEW = Plan(examples=5, sizes=False, bundle=None)


def checked(kind: str, *operations: str) -> Report:
    port = from_command(Process([*HARNESS, kind]))
    return check(replace(port, operations=operations or port.operations), FEW)


def test_a_port_that_dies_on_every_seventh_request() -> None:
    report = checked("dies_on_every_7th")
    assert report.gave_up.startswith(
        "the port dies on request 7 after every start, whatever it is asked: 3 times in a row"
    )
    assert all(failure.word == Word.ERRORED for failure in report.failures)
    assert not report.mistakes


def test_a_port_that_is_wrong_once_in_fifty_requests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--", *HARNESS, "wrong_once_in_50", *OFFERS]) == 1
    said = capsys.readouterr().out
    assert re.search(r"(\d+) of \1 failures did not repeat: the answers do not depend on the request alone", said)
    assert "breaks" not in said, "no rule is to blame"
    assert "looks like" not in said


def test_the_first_and_the_last_lines_of_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "DEATHS", 2)
    reason = checked("panics", "softmax", "top_k").failures[0].reason
    lines = [line.strip() for line in reason.splitlines()]
    assert lines[2] == "thread 'main' panicked at src/head.rs:12: index out of bounds"
    assert lines[-1] == "59: frame 59"
    assert "... 49 lines left out" in lines
    assert len(lines) < 20


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("null", "probs is not a tensor but 'null'"),
        ("one_key_more", "the result has seconds too: PROTOCOL.md lists its keys"),
        ("six_digits", "its numbers have 6 digits: float32 needs 9, float64 17, or write the shortest text"),
    ],
)
def test_faults_of_the_form_break_no_rule(kind: str, reason: str) -> None:
    report = checked(kind, "softmax", "top_k")
    assert reason in {failure.reason for failure in report.failures}
    assert all((failure.word, failure.rule) == (Word.ERRORED, "") for failure in report.failures)
    assert not report.mistakes
    assert re.search(r"does not conform: \d+ requests without a right reply$", conclusion(report))


def test_the_exit_status_after_stop() -> None:
    report = checked("stops_with_3", "top_k")
    (failure,) = report.failures
    assert str(failure) == "stop ERRORED: after stop it ended with status 3, not 0"


def test_a_hello_without_operations_is_a_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    """As TEMPLATE.md begins."""
    hello = {"protocol": 1, "name": "x", "version": "0", "language": "x", "dtypes": ["float32"], "ties": []}
    reply = json.dumps({"seq": 1, "result": {**hello, "operations": []}})
    assert main(["check", "--", sys.executable, "-c", f"input(); print({reply!r}, flush=True); input()"]) == 2
    assert "operations lists no stage yet, so there is nothing to check" in capsys.readouterr().err


def test_a_port_that_does_not_answer_hello_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """It waits for the end of its input, as many first harnesses do."""
    assert main(["check", "--timeout", "0.5", "--", sys.executable, "-c", "import sys; sys.stdin.read()"]) == 2
    said = capsys.readouterr().err
    for words in ("gave no reply to hello within 0.5 s", "flush the output", "read line by line", "--timeout"):
        assert words in said


def module(monkeypatch: pytest.MonkeyPatch, softmax: Callable[[Any], Any]) -> str:
    own: Any = ModuleType("own_head")
    own.softmax = softmax
    monkeypatch.setitem(sys.modules, "own_head", own)
    return "own_head"


def hangs(logits: Any) -> Any:
    while np.shape(logits) == (3,):
        pass
    return reference.softmax(logits)


def ends_python(logits: Any) -> Any:
    return sys.exit(3) if np.shape(logits) == (3,) else reference.softmax(logits)


def catches_everything(logits: Any) -> Any:
    try:
        return hangs(logits)
    except Exception:
        return reference.softmax(logits)


@pytest.mark.parametrize(
    ("softmax", "limit", "reason"),
    [
        (hangs, 0.2, "the head gave no reply within 0.2 s"),
        (catches_everything, 0.2, "the head gave no reply within 0.2 s"),
        (ends_python, 60.0, "the head ended Python with sys.exit(3) instead of replying"),
    ],
)
def test_a_python_head_that_hangs_or_ends_python(
    monkeypatch: pytest.MonkeyPatch, softmax: Callable[[Any], Any], limit: float, reason: str
) -> None:
    """The other cases are judged."""
    report = check(from_python(module(monkeypatch, softmax), limit), replace(FEW, examples=0))
    assert {failure.reason for failure in report.failures if failure.word == Word.ERRORED} == {reason}
    assert sum(verdict.conforms for verdict in report.verdicts) > 20


def test_replay_repeats_what_failed(tmp_path: Path) -> None:
    """The file is input for the port itself: it gives the same wrong answers again."""
    file = tmp_path / "failed.jsonl"
    command = [*HARNESS, "other_shape", *OFFERS]
    assert main(["check", "--replay", str(file), "--", *command]) == 1
    requests = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert (requests[0]["op"], requests[-1]["op"]) == ("hello", "stop")
    assert {request["op"] for request in requests[1:-1]} == {"softmax"}
    with file.open("rb") as lines:
        done = subprocess.run(command, stdin=lines, capture_output=True, check=True, text=True)
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply["seq"] for reply in replies] == [request["seq"] for request in requests]
    wrong = [reply["result"]["probs"]["shape"] for reply in replies[1:-1] if "result" in reply]
    assert wrong
    assert all(shape == [1] for shape in wrong)


def test_progress_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("ports.checker.progress.SECONDS", 0.0)
    assert main(["check", "--", *HARNESS, "split_lines", *OFFERS]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert {"ports check: vectors: softmax", "ports check: sizes: top_k"} <= set(lines)


def test_strict_makes_unusual_answers_fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Logits that are 0.01% too large, at a hidden size where the bound is wider than that."""

    def compute_logits(context: Any, embedding: Any) -> np.ndarray:
        logits = reference.compute_logits(context, embedding)
        real_numbers = np.any(np.asarray(context) % 1) and np.shape(context)[-1] > 1_000
        return logits * np.float32(1.0001) if real_numbers else logits

    own: Any = ModuleType("own_head")
    own.compute_logits, own.contract = compute_logits, {"dtypes": ["float32"]}
    monkeypatch.setitem(sys.modules, "own_head", own)
    assert main(["check", "own_head"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"unusual: \d+ answers?, the most compute_logits WITHIN_BOUND, error [\d.]+ x bound, unusual", said
    )
    assert main(["check", "own_head", "--strict"]) == 1
    assert re.search(r"own_head \(Python\) does not conform: \d+ answers? unusual", capsys.readouterr().out)

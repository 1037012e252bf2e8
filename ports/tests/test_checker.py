"""The checker on trial: conforming ports pass, every kind of broken process gets its verdict, nothing hangs."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

import reference
from parity_tests.contract import Contract
from parity_tests.verdict import Word
from ports.__main__ import main
from ports.checker import vector_cases
from ports.checker.bundle_cases import EMBEDDED
from ports.checker.check import Plan, check
from ports.checker.errors import BrokenError, SkippedError
from ports.checker.judge import Call, of_head
from ports.checker.port import NoPortError, Port, from_command, from_python
from ports.checker.process import Process
from ports.checker.report import as_json, html, junit, show
from ports.checker.results import Report
from ports.tests.harness import HEAD, answer
from ports.vectors import load
from weights_export.__main__ import main as export

ROOT = Path(reference.__file__).parents[1]
HARNESS = [sys.executable, "-m", "ports.tests.harness"]
QUICK = Plan(examples=5, bundle=None)
FEW = replace(QUICK, sizes=False)


def port(*kind: str) -> Port:
    """The harness; a kind that breaks the protocol at `softmax` has only that operation and one that it answers."""
    return from_command(Process([*HARNESS, *kind, *(["top_k", "softmax"] if kind else [])]))


def test_what_a_port_lacks_is_never_counted_as_passed() -> None:
    whole = from_python("reference")
    contract = Contract(dtypes=("float32",))
    part = replace(whole, operations=("top_k", "open_bundle"), contract=contract, call=skips_what_it_claims(whole))
    report = check(part, Plan(examples=5))
    assert report.status == 0
    assert {result.operation for result in report.verdicts if result.word != Word.NOT_CHECKED} == {"top_k"}
    assert ("softmax", "it has no softmax") in report.not_checked()
    assert ("open_bundle", "no files here") in report.not_checked()
    assert check(replace(part, operations=("open_bundle",)), QUICK).status == 2  # nothing was checked: no pass


def skips_what_it_claims(port: Port) -> Call:
    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        if op == "open_bundle":
            raise SkippedError("no files here")
        return port.call(op, given)

    return call


def test_a_conforming_process_conforms() -> None:
    report = check(port(), QUICK)
    assert report.status == 0, report.failures
    assert not report.mistakes
    counts = {op: counts for op, counts, _ in report.rows()}
    assert counts["softmax"][Word.WITHIN_BOUND] + counts["softmax"][Word.IDENTICAL] > 20
    assert counts["softmax"][Word.REFUSED] >= 10
    assert counts["torch_rng"][Word.IDENTICAL] >= 10


def test_a_line_in_two_pieces_is_one_line() -> None:
    assert check(port("split_lines"), FEW).status == 0


def test_a_port_that_does_not_stop_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ports.checker.process.STOP_SECONDS", 0.1)
    process = Process([*HARNESS, "ignores_stop"])
    greeted = from_command(process)
    child = process._process
    assert child is not None
    report = check(replace(greeted, operations=("top_k", "softmax")), FEW)
    assert child.poll() is not None
    (failure,) = report.failures
    assert str(failure).startswith("stop ERRORED: it answered stop, but did not end within 0.1 s")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("hangs", "gave no reply to softmax within 0.5 s"),
        ("dies", "ended (exit status 3) instead of replying to softmax"),
        ("crashes", "ended (killed by SIGSEGV) instead of replying to softmax"),
        ("floods", "with another number or none: '{}'"),
        ("floods_one_line", "gave no reply to softmax within 0.5 s|wrote a line that is not JSON: 'xxxx"),
        ("garbage", "wrote a line that is not JSON: 'softmax done in 3 ms'"),
        ("not_utf8", "wrote a line that is not JSON"),
        ("out_of_order", "with another number or none"),
        ("two_kinds", "must reply with exactly one of result, refused, skipped, errored"),
        ("no_kind", "must reply with exactly one of result, refused, skipped, errored"),
        ("a_list", "with another number or none"),
        ("closes_stdout", "ended (its standard output was closed) instead of replying to softmax"),
        ("child_keeps_the_pipe", "ended (exit status 1) instead of replying to softmax"),
        ("unasked", "wrote a line unprompted: 'loading weights ...'"),
    ],
)
def test_a_process_that_breaks_the_protocol(kind: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check goes on with a new process, and gives up in the end; other operations are still judged."""
    for limit in ("DEATHS", "SILENT_BREAKS"):
        monkeypatch.setattr(f"ports.checker.process.{limit}", 1)  # a new interpreter, or a time limit, takes its time
    process = Process([*HARNESS, kind])
    greeted = replace(from_command(process), operations=("top_k", "softmax"))
    if kind in ("hangs", "floods_one_line"):  # the other kinds fail at once
        process.timeout = 0.5
    report = check(greeted, FEW)
    assert report.status == 1
    errored = [result for result in report.failures if result.word == Word.ERRORED]
    assert errored
    said = [result.reason for result in errored]
    assert any(one in reason for one in words.split("|") for reason in said), said
    assert "gave up after 2 of these: the port" in report.gave_up
    assert any(result.operation == "top_k" and result.word == Word.IDENTICAL for result in report.verdicts)


@pytest.mark.parametrize(("kind", "deaths", "breaks"), [("garbage", 60, 4), ("dies", 5, 6)])
def test_how_often_a_port_may_break_the_protocol(
    kind: str, deaths: int, breaks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times by what it writes; more often by dying, here five times."""
    monkeypatch.setattr("ports.checker.process.DEATHS", deaths)
    report = check(port(kind), FEW)
    assert f"gave up after {breaks} of these: the port" in report.gave_up
    asked = sum(result.word == Word.ERRORED for result in report.verdicts)
    assert asked == breaks // 2, "each is asked again"


def test_the_last_lines_of_standard_error_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ports.checker.process.DEATHS", 2)
    report = check(port("dies"), FEW)
    assert "its standard error\n    warming up\n    out of memory: 3 GB wanted" in report.failures[0].reason


@pytest.mark.parametrize(
    ("kind", "word", "words"),
    [
        ("other_shape", Word.DIVERGED, "has shape [1]"),
        ("too_few_numbers", Word.ERRORED, "has data of length 0: it must be a list of length"),
        ("no_numbers", Word.ERRORED, "'a' is not a number"),
        ("no_tensor", Word.ERRORED, "probs is not a tensor but '0.5'"),
        ("another_name", Word.ERRORED, "the result lacks probs and has probabilities too"),
        ("errored", Word.ERRORED, "panic: index out of range"),
    ],
)
def test_answers_of_the_wrong_form(kind: str, word: Word, words: str) -> None:
    report = check(port(kind), FEW)
    assert report.status == 1
    assert not report.gave_up
    failure = next(result for result in report.failures if result.operation == "softmax")
    assert (failure.word, words in failure.reason) == (word, True), failure
    assert {result.operation for result in report.failures} == {"softmax"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["no-such-command-here"], "no-such-command-here cannot be started: No such file or directory"),
        (["true"], "ended (exit status 0)"),
        (["cat"], "must reply with exactly one of"),
        (["echo", "hello"], "'hello'"),
        ([sys.executable, "-c", 'input(); print(\'{"seq": 1, "skipped": "no"}\')'], "does not answer hello: no"),
        (
            [sys.executable, "-c", 'input(); print(\'{"seq": 1, "result": {"protocol": 2}}\')'],
            "speaks protocol 2, this checker 1",
        ),
        (
            [sys.executable, "-c", 'input(); print(\'{"seq": 1, "result": {"protocol": 1}}\')'],
            "hello: name is None: it must be text",
        ),
    ],
)
def test_no_port_at_all(command: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--timeout", "5", "--", *command]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("ports check: ")


def test_no_process_outlives_its_port() -> None:
    with Process([*HARNESS, "child_keeps_the_pipe"]) as process:
        process.request("hello", {"protocol": 1})
        child = process._process
        assert child is not None
        process.timeout = 0.5
        with pytest.raises(BrokenError):
            process.request("softmax", {"logits": {"dtype": "float32", "shape": [1], "data": [1]}})
        assert child.poll() is not None
        # The child held the other ends of the pipes: that their readers came to the end says that it is gone too.
        assert not any(reader.is_alive() for reader in process._readers)


def test_a_port_that_never_reads_does_not_block_the_checker() -> None:
    with Process([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.5) as process:
        big = {"logits": {"dtype": "float32", "shape": [10**6], "data": [0] * 10**6}}
        with pytest.raises(BrokenError, match="did not read a request of 3,000"):
            process.request("softmax", big)


def test_checking_a_process_does_not_import_torch() -> None:
    """It takes seconds to load, and the author of a port need not have it."""
    code = "import ports.checker.check, ports.checker.process, ports.checker.port, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.fixture(scope="module")
def wrong_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "wrong_head.py").write_text(
        "import numpy as np\n"
        "import reference\n"
        "def softmax(logits):\n"
        "    weights = np.exp(np.asarray(reference.apply_temperature(logits, 1)))\n"
        "    return weights / weights.sum(axis=-1, keepdims=True)\n"
        "top_k = reference.top_k\n",
        encoding="utf-8",
    )
    sys.path.insert(0, str(folder))
    yield "wrong_head"
    sys.path.remove(str(folder))


def test_a_python_object_without_a_process(wrong_module: str) -> None:
    found = from_python(wrong_module)
    assert set(found.operations) == {"softmax", "top_k"}
    report = check(found, QUICK)
    assert report.status == 1
    assert {failure.operation for failure in report.failures} == {"softmax"}
    assert "SOFTMAX-2" in {failure.rule for failure in report.failures}
    assert report.mistakes == {"softmax": "looks like: the maximum not subtracted"}
    with pytest.raises(NoPortError, match="No module named 'no_such_head'"):
        from_python("no_such_head")


def test_a_python_object_that_has_one_rule_for_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not have is not checked, and not reported as a mistake."""
    own: Any = ModuleType("own_head")
    own.keep_top_k = lambda logits, k: reference.keep_top_k(logits, k)
    monkeypatch.setitem(sys.modules, "own_head", own)
    report = check(from_python("own_head"), QUICK)
    assert report.status == 0
    assert {why for _, why in report.not_checked()} >= {"it has no ties='all'", "it has no choice of ties"}


def test_the_reports_say_the_same(wrong_module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml, page = tmp_path / "report.xml", tmp_path / "report.html"
    assert main(["check", wrong_module, "--json", "--junit", str(xml), "--html", str(page)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["conforms"], data["status"]) == (False, 1)
    failures = len(data["failures"])
    assert failures == sum(op["DIVERGED"] + op["ERRORED"] for op in data["operations"].values()) > 0
    assert data["likely_mistakes"] == {"softmax": "looks like: the maximum not subtracted"}
    suites = ElementTree.parse(xml).getroot()
    assert sum(int(suite.get("failures", 0)) + int(suite.get("errors", 0)) for suite in suites) == failures
    assert len(suites.findall(".//failure")) + len(suites.findall(".//error")) == failures
    text = page.read_text("utf-8")
    assert text.count("<pre>") == failures
    assert "the maximum not subtracted" in text
    assert main(["check", wrong_module]) == 1
    out = capsys.readouterr().out
    assert "wrong_head (Python) does not conform" in out
    assert "looks like: the maximum not subtracted" in out


def test_command_lines_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "reference", "--bundle", str(tmp_path)]) == 2
    assert "manifest.json is missing" in capsys.readouterr().err
    damaged = shutil.copytree(EMBEDDED, tmp_path / "damaged")
    content = bytearray((damaged / "head.safetensors").read_bytes())
    content[-9] ^= 1
    (damaged / "head.safetensors").write_bytes(content)
    assert main(["check", "reference", "--bundle", str(damaged)]) == 2, "no port is blamed"
    assert "head.safetensors" in capsys.readouterr().err
    assert export(["-o", str(tmp_path / "head"), "--head-only"]) == 0
    assert main(["check", "reference", "--bundle", str(tmp_path / "head")]) == 2
    assert "holds no context: it was exported with --head-only" in capsys.readouterr().err
    for words in (["check", "a", "b"], ["check", "--timeout", "0", "reference"], ["check"]):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == 2


class Mangled(Process):
    """A port that answers softmax right, but for what happens to the bytes of its line on the way."""

    def __init__(self, edits: list[tuple[int, bytes]]) -> None:
        super().__init__(["none"])
        self.edits = edits

    def request(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        self._seq = 7
        line = json.dumps({"seq": 7, **answer(of_head(HEAD), {"op": op, "inputs": inputs})}).encode()
        for place, replacement in self.edits:
            place %= len(line)
            line = line[:place] + replacement + line[place + len(replacement) :]
        return self._reply(line)


PIECES = [b"", b"[", b"}", b'"', b",", b"-1", b"1e999", b"null", b"true", b"\xff", b"\\ud800", b"\\u001b"]
PIECES += [b"9" * 400, b'"result"']


@settings(suppress_health_check=list(HealthCheck), max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**4), st.sampled_from(PIECES) | st.binary(max_size=3)), max_size=4))
def test_whatever_a_port_writes_the_checker_reports(edits: list[tuple[int, bytes]]) -> None:
    """Every reply, however mangled, ends as a result, and every result as a report in all its forms."""
    process = Mangled(edits)
    process._breaks[False] = -1000  # not to give up
    whole = Port("mangled", "", "Python", Contract(dtypes=("float32",), ties=()), ("softmax",), process.call)
    softmax = load("softmax").cases
    report = Report(whole.described)
    report.verdicts += [result for *_, result in vector_cases.run(whole, softmax[:3] + softmax[-2:], "vectors")]
    assert len(report.verdicts) == 5
    show(report, Console(file=io.StringIO(), width=100))
    json.dumps(as_json(report), allow_nan=False)
    ElementTree.fromstring(junit(report).split("?>", 1)[1])
    html(report).encode()

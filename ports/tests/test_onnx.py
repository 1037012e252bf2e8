"""The ONNX port: conforms through the checker, and what its README says of ONNX's operators is true."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import reference
from parity_tests.verdict import Word, compare
from ports.checker import check as plan
from ports.checker.bundle_cases import EMBEDDED
from ports.checker.port import from_command
from ports.checker.process import Process
from ports.onnx import build, head, refusals, run
from ports.onnx.__main__ import HELLO, Harness
from ports.values import to_json
from ports.vectors import load
from reference.operations import OPERATIONS, WITH_VECTORS

from .c_and_js import f32, row
from .wire import Port

spec = pytest.mark.spec
COMMAND = [sys.executable, "-m", "ports.onnx"]
README = Path(build.__file__).with_name("README.md")
OFFERED: Any = HELLO["operations"]


@spec("HEAD-1", "HEAD-2", "HEAD-3", "HEAD-4", "TEMP-1", "TOPK-1", "TOPK-2", "TOPK-3", "TOPK-6", "TOPK-7", "SOFTMAX-2")
@spec("LOGITS-2", "LOGITS-4", "DRAW-1", "DRAW-2", "CDF-1", "CDF-2")
def test_it_conforms() -> None:
    """Every phase of the checker; only the random stream is left out."""
    report = plan.check(from_command(Process(COMMAND, timeout=60)), plan.Plan(examples=20))
    assert report.status == 0, "\n".join(map(str, report.failures)) + report.gave_up
    left_out = {op for op, _ in report.not_checked()}
    lacks = {operation.name for operation in WITH_VECTORS} - {*OFFERED}
    assert left_out == {"multinomial", *lacks}  # of multinomial only the cases from a seed
    seeded = sum("seed" in case.inputs for case in load("multinomial").cases)
    assert report.not_checked()["multinomial", head.NO_STREAM] == seeded
    checked = {result.operation for result in report.verdicts if result.word != Word.NOT_CHECKED}
    assert checked == set(OFFERED)
    assert len(checked) > 9


def test_the_readme_names_what_is_not_offered() -> None:
    named = re.search(r"Not offered: (.*?)\.", README.read_text("utf-8"), re.DOTALL)
    assert named
    assert set(re.findall(r"`(\w+)`", named[1])) - {"multinomial"} == set(OPERATIONS) - set(OFFERED)


def test_it_ends_well_and_says_nothing_on_standard_error() -> None:
    with Port(*COMMAND) as port:
        assert port.ask("hello", protocol=1)["result"]["operations"] == OFFERED
        assert port.ask("dance").keys() == {"skipped"}
        assert port.ask("step", context=0, uniform=0.5)["refused"]["code"] == "bad_bundle"
        assert port.ask("open_bundle", path="no/such/folder")["refused"]["code"] == "bad_bundle"
        assert port.ask("stop") == {"result": {}}
        assert port.close() == 0
        assert port.errors() == ""


@spec("TOPK-2")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("vocab_size", [1, 2, 17, 100, 1_000, 50_257])
def test_topk_gives_the_lowest_of_equal_ids(vocab_size: int, dtype: Any) -> None:
    """ONNX's specification asks for it; ONNX Runtime has several algorithms, chosen by size and k."""
    rng = np.random.default_rng(vocab_size)
    for k in sorted({1, 2, 5, 16, 17, 50, vocab_size // 2, vocab_size - 1, vocab_size} & set(range(1, vocab_size + 1))):
        small, spread = rng.integers(-1, 2, vocab_size), np.rint(3 * rng.standard_normal(vocab_size))
        for logits in (np.zeros(vocab_size), small, spread):
            found = run.run_operation("top_k", logits=logits.astype(dtype), k=k)["token_ids"]
            np.testing.assert_array_equal(found, np.argsort(-logits, kind="stable")[:k])


@spec("TOPK-6")
def test_where_loses_the_sign_of_zero_and_the_port_keeps_it() -> None:
    """Why `keep_all_ties` adds a mask. If this fails, ONNX Runtime has been fixed and Where alone would do."""
    g = build.Graph("float32")
    chosen = g("Where", g.constant(True, np.bool_), g.floats("x", "float32", 1), g.constant(-np.inf), outputs=["y"])
    loaded = run.session(g.model("where", (chosen, build.FLOATS["float32"], 1)))
    assert not np.signbit(run.run(loaded, x=row(-0.0))["y"]).any()
    for ties in ("lowest_id", "all"):
        kept = head.keep_top_k(row(-0.0, -1.0, 0.0), 2, ties)["logits"]
        np.testing.assert_array_equal(np.signbit(kept), [True, True, False])


@spec("HEAD-1", "CDF-1", "DRAW-1")
@pytest.mark.parametrize("draw", ["uniform", "noise"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("inside", [False, True])
def test_the_whole_head_is_one_graph(draw: str, batch: tuple[int, ...], inside: bool) -> None:
    """From the context vector to the token, the embedding an input or part of the file."""
    rng = np.random.default_rng(5)
    context, embedding = rng.standard_normal((*batch, 8), dtype=f32), rng.standard_normal((40, 8), dtype=f32)
    noise, uniform = rng.standard_exponential((*batch, 40), dtype=f32), rng.random(batch)
    model = build.head(axes=len(batch) + 1, draw=draw, embedding=embedding if inside else None)
    onnx.checker.check_model(model, full_check=True)
    inputs: dict[str, Any] = {"context": context, "temperature": 0.7, "k": 10}
    inputs |= {} if inside else {"embedding": embedding}
    inputs |= {"uniform": np.array(uniform)} if draw == "uniform" else {"noise": noise}
    result = run.run(run.session(model), **inputs)
    ours = reference.lm_head(context, embedding, 0.7, 10)
    arguments: dict[str, Any] = {"context": context, "embedding": embedding}
    logits = compare("compute_logits", reference.compute_logits(context, embedding), result["logits"], **arguments)
    assert logits.word != "DIVERGED", logits
    verdict = compare("lm_head", ours, result["probs"], **arguments, temperature=0.7, k=10)
    assert verdict.word != "DIVERGED", verdict
    probs = result["probs"]
    if draw == "uniform":
        walk: dict[str, Any] = {"probs": probs, "uniform": np.array(uniform)}
        drawn = compare("inverse_cdf", reference.inverse_cdf(**walk), result["token_ids"], **walk)
    else:
        with np.errstate(divide="ignore"):
            expected = np.where(probs > 0, probs / noise, -1).argmax(axis=-1)[..., None]
        drawn = compare("multinomial", expected, result["token_ids"], probs=probs, noise=noise)
    assert drawn.word != "DIVERGED", drawn


def test_a_graph_is_the_same_bytes_every_time() -> None:
    first, second = (build.head(draw="uniform").SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_only_operators_of_onnx_itself() -> None:
    for draw in ("uniform", "noise"):
        model = build.head(draw=draw)
        assert {node.domain for node in model.graph.node} == {""}
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", build.OPSET)]


def test_bad_words_are_refused() -> None:
    with pytest.raises(ValueError, match="draw is 'dice'"):
        build.head(draw="dice")
    with pytest.raises(ValueError, match="operation is 'beam'"):
        build.stage("beam", "float32", {"logits": "float32"}, {"logits": 1})


@pytest.mark.parametrize("draw", ["uniform", "noise"])
def test_the_command_writes_a_file(draw: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lm_head.onnx"
    monkeypatch.setattr(sys, "argv", ["build", str(path), "--draw", draw])
    build.main()
    assert re.search(
        rf"inputs context, embedding, temperature, k, {draw}; outputs logits, probs", capsys.readouterr().out
    )
    onnx.checker.check_model(onnx.load(path))


@spec("TOPK-4", "TOPK-5")
@pytest.mark.parametrize("k", [3, 10**6, 2**63, 10**30])
def test_any_k_above_v_means_v(k: int) -> None:
    np.testing.assert_array_equal(head.top_k(row(1, 3, 2), k)["token_ids"], [1, 2, 0])


@spec("TEMP-2")
@pytest.mark.parametrize("temperature", [0, -1, 1e-50, 1e50, 10**400, float("nan"), True, "1", None, [1]])
def test_bad_temperatures_are_refused(temperature: Any) -> None:
    with pytest.raises(refusals.Refused) as caught:
        head.apply_temperature(row(1, 2), temperature)
    assert caught.value.code == "bad_temperature"


@spec("DRAW-1", "HEAD-2")
def test_the_race_is_run_in_the_dtype_of_the_weights() -> None:
    noise = np.array([1.0, 1.0 - 2.0**-40])  # equal in float32
    assert head.multinomial(row(0.5, 0.5), 1, noise)["token_ids"].tolist() == [0]
    assert head.multinomial(np.array([0.5, 0.5]), 1, noise)["token_ids"].tolist() == [1]


@pytest.mark.parametrize("context", [-1, 16])
def test_a_context_that_is_not_in_the_bundle_is_an_error(context: int) -> None:
    bundle = head.Bundle(str(EMBEDDED))
    with pytest.raises(IndexError, match="the bundle has 16"):
        bundle.step(context, 0.5)


@spec("HEAD-5")
def test_a_refusal_says_what_and_where() -> None:
    bad = np.array([[0, 1], [np.nan, 2]], f32)
    with pytest.raises(refusals.Refused, match=r"logits\[1, 0\] is nan") as caught:
        head.softmax(bad)
    assert caught.value.code == "bad_logits"


@spec("HEAD-5")
def test_a_failure_is_errored_and_not_a_refusal() -> None:
    reply = Harness().reply("softmax", {"no such": to_json(row(1))})
    assert reply.keys() == {"errored"}
    assert "TypeError" in reply["errored"]

"""What the C and the JavaScript port refuse, and that nothing that is sent to them makes them fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.operations import OPERATIONS, STAGES, STEPS
from reference.streams import STREAMS

from .c_and_js import f32, row, tool
from .wire import Port

spec = pytest.mark.spec
NAN, INF = np.nan, np.inf

WITH_PROBS: dict[str, dict[str, Any]] = {
    "multinomial": {"num_samples": 1, "seed": "1"},
    "inverse_cdf": {"uniform": np.array(0.5)},
}
DRAWN: dict[str, Any] = {"probs": row(1, 1), "runtime": "llama.cpp", "seed": "1"}
NORMED: dict[str, Any] = {"hidden": row(1, 2), "weight": row(1, 1)}
FINISHED: dict[str, Any] = {"logits": row(1, 2), "bias": row(0, 0)}


def beside(op: str, logits: np.ndarray) -> dict[str, Any]:
    """What the operation takes beside these logits."""
    rows, none = logits.shape[:-1], np.zeros(0, np.int64)
    ids = {"history": np.zeros((*rows, 1), np.int64), "token_ids": np.zeros(rows, np.int64)}
    lists = {"biased": none, "biases": row(), "banned": none, "end_ids": none}
    return OPERATIONS[op].defaults | OPERATIONS[op].given({**ids, **lists, "uniform": np.zeros(rows)})


def new(op: str, **other: Any) -> dict[str, Any]:
    """The operation's arguments for two tokens, but for these."""
    return {"logits": row(1, 2), **beside(op, row(1, 2)), **other}


def steps(name: str, **arguments: Any) -> dict[str, Any]:
    """A pipeline of this step, for two tokens and a history of two ids."""
    return {"logits": row(1, 2), "steps": [[name, arguments]], "history": np.array([0, 1])}


SHARES = [  # parameters, and what they must not be
    *(("keep_top_p", "p", x) for x in (0, -0.0, -0.5, 1.5, INF, -INF, NAN, True, None, "0.5", [0.5])),
    *(("keep_min_p", "p", x) for x in (-1e-9, 1.0000001, NAN, None, "")),
    *(("keep_typical", "mass", x) for x in (0, 1, NAN, True)),
    *(("keep_epsilon", "cutoff", x) for x in (0, 1, NAN, False)),
    *(("keep_eta", "cutoff", x) for x in (0, 1, -1, INF)),
    *(("keep_top_h", "h", x) for x in (0, 1.5, NAN)),
    *(("keep_xtc", "threshold", x) for x in (0, 1.5, NAN)),
    *(("keep_xtc", "probability", x) for x in (-0.5, 1.5, NAN, None)),
]
WITH_IDS = [  # the arguments that are token ids
    *((op, "history") for op in STAGES if "history" in OPERATIONS[op].arguments),
    *((op, "token_ids") for op in STAGES if "token_ids" in OPERATIONS[op].arguments),
    *(("logit_bias", "biased"), ("ban", "banned"), ("min_length", "end_ids")),
]


def as_ids(op: str, name: str, *ids: float, dtype: Any = np.int64) -> dict[str, Any]:
    """Arguments with these ids, one of them where there is one for each row."""
    values = np.array(ids, dtype)
    more = {"biases": np.zeros(len(ids), f32)} if name == "biased" else {}
    return new(op, **{name: values[0] if name == "token_ids" else values}, **more)


NO_STEPS: list[Any] = [
    *(None, "greedy", 1, {"greedy": {}}, ["greedy"], [[]], [["keep_top_p"]], [["keep_top_p", None]]),
    *([[1, {}]], [["ban", {}, {}]], [[["ban"], {}]]),
]
OF_A_STEP: list[tuple[str, str, dict[str, Any]]] = [
    *(("bad_steps", name, {}) for name in (*sorted(OPERATIONS.keys() - set(STEPS)), "keep_top", "")),
    *(("bad_steps", "keep_top_p", {"p": 0.5, name: 1}) for name in ("k", "counts", "history", "P", "")),
    ("bad_steps", "keep_top_p", {"until": "reached"}),
    *(
        ("bad_steps", "presence_penalty", {"penalty": 1, "counts": x})
        for x in ("", "none", "inf", -1, 1.5, None, True, "0")
    ),
    ("bad_share", "keep_top_p", {"p": 1.5}),
    ("bad_until", "keep_top_p", {"p": 0.5, "until": None}),
    ("bad_ties", "keep_top_k", {"k": 1, "ties": "none"}),
    ("bad_k", "keep_top_k", {"k": 0}),
    ("bad_temperature", "apply_temperature", {"temperature": 0}),
    ("overflow", "apply_temperature", {"temperature": 1e-45}),
    ("bad_weight", "finish_logits", {"bias": [0, INF]}),
    ("bad_shape", "finish_logits", {"bias": [0]}),
    ("bad_penalty", "repetition_penalty", {"penalty": 0}),
    ("bad_logits", "no_repeat_ngram", {"ngram_size": 1}),
    ("bad_uniform", "keep_xtc", {"threshold": 0.5, "probability": 1}),  # there is none
    *(("bad_token_ids", "ban", {"banned": [x]}) for x in (2, -1, 0.5, True, "0", None)),
    ("bad_shape", "ban", {"banned": 0}),
    ("bad_shape", "ban", {"banned": [[0]]}),
    *(("bad_biases", "logit_bias", {"biased": [0], "biases": [x]}) for x in (NAN, INF, 1e39, -1e39, None)),
    ("bad_shape", "logit_bias", {"biased": [0], "biases": []}),
    ("bad_shape", "logit_bias", {"biased": [0], "biases": 0}),
    ("bad_shape", "logit_bias", {"biased": [0], "biases": [[0]]}),
]
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("bad_dtype", "softmax", {"logits": np.array([1, 2])}),
    ("bad_dtype", "top_k", {"logits": np.array([True, False]), "k": 1}),
    ("bad_dtype", "compute_logits", {"context": row(1), "embedding": np.array([[1], [2]])}),
    ("bad_dtype", "inverse_cdf", {"probs": row(1), "uniform": np.array(0)}),
    ("bad_dtype", "multinomial", {"probs": row(1), "num_samples": 1, "noise": np.array([1])}),
    ("bad_dtype", "torch_rng", {"seed": "1", "calls": [{"draw": "uniform", "dtype": "float16", "size": 1}]}),
    ("bad_shape", "compute_logits", {"context": row(1, 2, 3), "embedding": np.ones((5, 4), f32)}),
    ("bad_shape", "compute_logits", {"context": row(1, 2), "embedding": row(1, 2)}),
    ("bad_shape", "compute_logits", {"context": row(1, 2), "embedding": np.ones((0, 2), f32)}),
    ("bad_shape", "compute_logits", {"context": np.array(1, f32), "embedding": np.ones((2, 1), f32)}),
    ("bad_shape", "lm_head", {"context": row(1), "embedding": np.ones((3, 2), f32), "temperature": 1.0, "k": 1}),
    ("bad_shape", "softmax", {"logits": np.zeros((2, 0), f32)}),
    ("bad_shape", "softmax", {"logits": np.array(1, f32)}),
    ("bad_shape", "apply_temperature", {"logits": row(), "temperature": 1.0}),
    ("bad_shape", "multinomial", {"probs": row(1, 1), "num_samples": 1, "noise": row(1)}),
    ("bad_shape", "multinomial", {"probs": np.ones((1, 2), f32), "num_samples": 1, "noise": row(1, 1)}),
    ("bad_shape", "inverse_cdf", {"probs": row(1, 1), "uniform": np.zeros(1)}),
    ("bad_shape", "inverse_cdf", {"probs": row(), "uniform": np.array(0.0)}),
    *(
        ("bad_logits", op, {"logits": logits, **beside(op, logits)})
        for op in STAGES
        if "logits" in OPERATIONS[op].arguments
        for logits in (row(0, NAN), row(NAN, 0), row(0, INF), row(-INF, -INF), np.array([[0], [-INF]], f32))
    ),
    ("bad_logits", "lm_head", {"context": row(3e38), "embedding": np.full((1, 1), 9, f32), "temperature": 1.0, "k": 1}),
    *(
        ("bad_temperature", "apply_temperature", {"logits": row(1, 2), "temperature": temperature})
        for temperature in (0, -0.0, -1.0, INF, -INF, NAN, 1e-46, 1e39, True, None, "warm", [1])
    ),
    ("overflow", "apply_temperature", {"logits": row(0, 500), "temperature": 1e-38}),
    ("overflow", "apply_temperature", {"logits": row(-500, -700), "temperature": 1e-38}),
    *(("bad_k", "top_k", {"logits": row(1, 2), "k": k}) for k in (0, -1, -(10**15), 1.5, True, None, "2", INF, NAN)),
    ("bad_k", "keep_top_k", {"logits": row(1, 2), "k": 0, "ties": "all"}),
    ("bad_k", "lm_head", {"context": row(1), "embedding": np.ones((1, 1), f32), "temperature": 1.0, "k": 0}),
    ("bad_k", "top_k", {"logits": np.zeros((0, 2), f32), "k": 0}),
    *(("bad_ties", "keep_top_k", {"logits": row(1, 2), "k": 1, "ties": ties}) for ties in ("some", "", None, 1)),
    *(
        ("bad_probs", op, {"probs": probs, **arguments})
        for op, arguments in WITH_PROBS.items()
        for probs in (row(1, -1), row(1, NAN), row(INF, 1), row(0, 0), row(0, -0.0))
    ),
    *(("bad_noise", "multinomial", {"probs": row(1, 1), "num_samples": 1, "noise": row(1, x)}) for x in (-1, NAN, INF)),
    *(
        ("bad_num_samples", "multinomial", {"probs": row(1, 0, 1), "num_samples": n, "seed": "1"})
        for n in (0, -1, 3, 4, 10**15, 1.5, True, None)
    ),
    *(("bad_uniform", "inverse_cdf", {"probs": row(1, 1), "uniform": np.array(u)}) for u in (1.0, -0.5, NAN, INF)),
    *(
        ("bad_seed", "torch_rng", {"seed": seed, "calls": []})
        for seed in (str(2**64), str(-(2**63) - 1), "", "-", "1.5", "0x1", "1 ", None)
    ),
    ("bad_seed", "multinomial", {"probs": row(1, 1), "num_samples": 1, "seed": "one"}),
    *(("bad_seed", "draw_as", {**DRAWN, "seed": seed}) for seed in ("-1", str(2**32), str(2**32 - 1), "1.5", "", None)),
    *(("bad_seed", "draw_as", {**DRAWN, "runtime": runtime, "seed": "0"}) for runtime in ("llama2.c", "llm.c")),
    *(("bad_runtime", "draw_as", {**DRAWN, "runtime": x}) for x in ("", "ollama", "Llama.cpp", "toString", None, 1)),
    *(("bad_probs", "draw_as", {**DRAWN, "probs": x}) for x in (row(1, -1), row(1, NAN), row(INF, 1), row(0, 0))),
    ("bad_shape", "draw_as", {**DRAWN, "probs": row()}),
    ("bad_dtype", "draw_as", {**DRAWN, "probs": np.array([1, 2])}),
    *(("bad_hidden", "rms_norm", {**NORMED, "hidden": row(x, 1)}) for x in (NAN, INF, -INF)),
    *(("bad_weight", "rms_norm", {**NORMED, "weight": row(x, 1)}) for x in (NAN, INF, -INF)),
    *(("bad_weight", "layer_norm", {**NORMED, "bias": row(x, 1)}) for x in (NAN, INF, -INF)),
    *(("bad_weight", "rms_norm", {**NORMED, "weight_offset": x}) for x in (NAN, INF, 1e39, None, True, "1")),
    *(("bad_epsilon", "layer_norm", {**NORMED, "epsilon": x}) for x in (0, -1e-5, NAN, INF, 1e-46, None, True, "1e-5")),
    *(("bad_shape", "layer_norm", {**NORMED, "bias": x}) for x in (row(1), np.ones((1, 2), f32), np.array(1, f32))),
    ("bad_shape", "rms_norm", {"hidden": row(), "weight": row()}),
    ("bad_shape", "rms_norm", {**NORMED, "hidden": np.array(1, f32)}),
    ("bad_dtype", "rms_norm", {**NORMED, "weight": np.array([1, 2])}),
    ("overflow", "rms_norm", {**NORMED, "weight": row(3e38, 3e38)}),
    *(
        ("bad_scale", "finish_logits", {**FINISHED, name: x})
        for name in ("multiplier", "divisor", "cap")
        for x in (0, -0.0, -1, NAN, -INF, 1e-46, None, True, "2")
    ),
    *(("bad_scale", "finish_logits", {**FINISHED, name: x}) for name in ("multiplier", "divisor") for x in (INF, 1e39)),
    *(("bad_weight", "finish_logits", {**FINISHED, "bias": row(x, 1)}) for x in (NAN, INF, -INF)),
    *(("bad_shape", "finish_logits", {**FINISHED, "bias": x}) for x in (row(1), np.ones((1, 2), f32))),
    ("bad_dtype", "finish_logits", {**FINISHED, "bias": np.array([1, 2])}),
    ("overflow", "finish_logits", {**FINISHED, "multiplier": 3e38}),
    ("overflow", "finish_logits", {**FINISHED, "divisor": 1e-38, "multiplier": 10, "cap": 30}),
    *(
        ("bad_dtype", op, {**new(op), "logits": np.array([1, 2])})
        for op in STAGES
        if "logits" in OPERATIONS[op].arguments
    ),
    *(
        ("bad_shape", op, {**new(op), "logits": logits})
        for op in STAGES
        if "logits" in OPERATIONS[op].arguments
        for logits in (np.array(1, f32), row())
    ),
    *(("bad_share", op, new(op, **{name: value})) for op, name, value in SHARES),
    *(("bad_until", "keep_top_p", new("keep_top_p", until=x)) for x in ("", "all", None, 1)),
    *(("bad_ties", op, new(op, ties=x)) for op in ("keep_top_p", "rank") for x in ("any", "", None, 1)),
    *(("bad_n", "keep_top_n_sigma", new("keep_top_n_sigma", n=x)) for x in (0, -1, INF, NAN, None, True, "1")),
    *(("bad_uniform", "keep_xtc", new("keep_xtc", uniform=np.array(u))) for u in (1.0, -0.5, NAN, INF)),
    ("bad_shape", "keep_xtc", new("keep_xtc", uniform=np.zeros(1))),
    ("bad_dtype", "keep_xtc", new("keep_xtc", uniform=np.array(0))),
    *(
        ("bad_penalty", op, new(op, penalty=x))
        for op in STAGES
        if "penalty" in OPERATIONS[op].arguments
        for x in (NAN, INF, -INF, 1e39, None, True, "1")
    ),
    *(("bad_penalty", "repetition_penalty", new("repetition_penalty", penalty=x)) for x in (0, -0.0, -1.5, 1e-46)),
    *(
        ("overflow", op, {**new(op, penalty=penalty), "logits": row(value, 0)})
        for op, penalty, value in (
            ("repetition_penalty", 2, -3e38),
            ("repetition_penalty", 0.5, 3e38),
            ("frequency_penalty", 3e38, -3e38),
            ("presence_penalty", -3e38, 3e38),
        )
    ),
    *(("bad_token_ids", op, as_ids(op, name, x)) for op, name in WITH_IDS for x in (-1, 2, -100, 2**40)),
    *(("bad_dtype", op, as_ids(op, name, 0, dtype=kind)) for op, name in WITH_IDS for kind in (f32, np.bool_)),
    *(
        ("bad_shape", op, {**as_ids(op, name, 0), name: np.zeros(shape, np.int64)})
        for op, name in WITH_IDS
        for shape in ((1, 1), (2,) if name == "token_ids" else ())
    ),
    *(("bad_token_ids", "cross_entropy", new("cross_entropy", token_ids=np.array(5), ignore_index=x)) for x in (5, 6)),
    *(("bad_token_ids", "cross_entropy", new("cross_entropy", ignore_index=x)) for x in (0.5, None, True)),
    ("bad_token_ids", "cross_entropy", {"logits": np.zeros((0, 2), f32), "token_ids": np.zeros(0, np.int64)}),
    *(("bad_k", "top_log_probs", {"logits": row(1, 2), "k": k}) for k in (0, 1.5, None)),
    *(("bad_biases", "logit_bias", new("logit_bias", biased=np.array([1]), biases=row(x))) for x in (NAN, INF)),
    ("bad_biases", "logit_bias", new("logit_bias", biased=np.array([1, 0, 1]), biases=row(1, 1, 1))),
    ("bad_shape", "logit_bias", new("logit_bias", biased=np.array([1]), biases=row(1, 1))),
    ("bad_shape", "logit_bias", new("logit_bias", biased=np.array([1]), biases=np.array(1, f32))),
    ("bad_dtype", "logit_bias", new("logit_bias", biased=np.array([1]), biases=np.array([1]))),
    ("overflow", "logit_bias", {"logits": row(3e38, 0), "biased": np.array([0]), "biases": row(3e38)}),
    ("bad_logits", "logit_bias", new("logit_bias", biased=np.array([1, 0]), biases=row(-INF, -INF))),
    ("bad_logits", "ban", new("ban", banned=np.array([0, 1]))),
    ("bad_logits", "ban", {"logits": np.array([[1, 2], [1, -INF]], f32), "banned": np.array([0])}),
    ("bad_logits", "no_repeat_ngram", new("no_repeat_ngram", history=np.array([1, 0]), ngram_size=1)),
    ("bad_logits", "min_length", new("min_length", end_ids=np.array([0, 1]), length=2)),
    *(
        ("bad_count", op, new(op, **{name: x}))
        for op, name in (("no_repeat_ngram", "ngram_size"), ("min_length", "length"))
        for x in (0, -1, 1.5, True, None, "2", INF, NAN)
    ),
    *(("bad_steps", "process", {"logits": row(1, 2), "steps": x}) for x in NO_STEPS),
    *(("bad_steps", "process", {"logits": row(1), "steps": [], "prompt_length": x}) for x in (-1, 1, 0.5, None, "0")),
    *((code, "process", steps(name, **arguments)) for code, name, arguments in OF_A_STEP),
    ("bad_shape", "process", {**steps("ban", banned=[0]), "history": np.zeros((1, 2), np.int64)}),
    ("bad_token_ids", "process", {**steps("ban", banned=[0]), "history": np.array([2])}),
    ("bad_bundle", "open_bundle", {"path": "no-such-folder"}),
]
GARBAGE = [
    "",
    "garbage",
    "{",
    "[]",
    "7",
    "null",
    '"op"',
    "{}",
    '{"op": "stop"}',
    "\x00",
    '{"seq": 1}\x00',
    "[" * 5000,
    '{"seq": 1, "op": "stop", "inputs": []',
    '{"seq": 1, "op": 2, "inputs": {}}',
    '{"seq": 1, "op": "stop", "inputs": 3}',
]
MALFORMED: list[dict[str, Any]] = [
    {},
    {"logits": 1},
    {"logits": {"dtype": "float32", "shape": [2], "data": [1]}},
    {"logits": {"dtype": "float32", "shape": [1], "data": ["one"]}},
    {"logits": {"dtype": "float32", "shape": [-1], "data": []}},
    {"logits": {"dtype": "float32", "shape": [1e300, 1e300], "data": []}},
    {"logits": {"dtype": "int7", "shape": [1], "data": [1]}},
    {"logits": {"dtype": "float32", "shape": [1], "data": [None]}},
    {"logits": {"shape": [1], "data": [1]}},
]


@spec("HEAD-5", "SOFTMAX-4", "TEMP-2", "TEMP-3", "TOPK-5", "TOPK-7", "DRAW-5", "DRAW-6", "CDF-3", "CDF-4", "LOGITS-4")
@spec("FILTER-11", "PENALTY-7", "PIPE-4", "LOGPROB-5", "STREAM-1")
@pytest.mark.parametrize(("code", "op", "inputs"), REFUSED)
def test_refusals(port: Port, code: str, op: str, inputs: dict[str, Any]) -> None:
    """Each with its code, and words that are more than the code."""
    if op not in port.hello()["operations"]:
        pytest.skip(f"{port.hello()['name']} has no {op}")
    reply = port.ask(op, **inputs)
    assert reply.keys() == {"refused"}, reply
    assert reply["refused"]["code"] == code
    assert len(reply["refused"]["message"]) > 20


def test_lines_that_are_not_requests(port: Port) -> None:
    """Each is answered with an error, and the next request as usual."""
    for line in GARBAGE:
        reply = port.line(line)
        assert reply.keys() == {"seq", "errored"}, (line, reply)
        assert reply["seq"] == (1 if line.startswith('{"seq": 1, "op"') and line.endswith("}") else None)
    for inputs in MALFORMED:
        reply = port.ask("softmax", **inputs)
        assert reply.keys() <= {"errored", "skipped"}, (inputs, reply)
    assert "skipped" in port.ask("beam_search")
    assert "skipped" in port.ask('a"\n\u2028b')
    assert port.result("softmax", logits=row(0))["probs"] == [1]


def test_no_bundle_open(command: Callable[[str], list[str]]) -> None:
    """A step without a bundle is an error, not a crash; the end of input stops a port as `stop` does."""
    for name in ("c-sanitized", "javascript"):
        with Port(*command(name)) as port:
            assert "errored" in port.ask("step", context=0, uniform=0.5, temperature=0.7, k=50)
            assert "errored" in port.ask("sequence", contexts=[[0]], temperature=0.7, k=50, seed="1")
            assert port.close() == 0, port.errors()


def test_under_valgrind(command: Callable[[str], list[str]], bundle: Path) -> None:
    """No error and no leak in a run through every operation, every refusal and lines that are not requests."""
    settings = ["--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"]
    with Port(tool("valgrind", "valgrind"), *settings, *command("c")) as port:
        offered = port.hello()["operations"]
        for _, op, inputs in REFUSED:
            assert ("refused" if op in offered else "skipped") in port.ask(op, **inputs)
        for line in GARBAGE:
            port.line(line)
        logits = np.random.default_rng(0).standard_normal((3, 2000)).astype(f32)
        port.result("top_k", logits=logits, k=9)
        port.result("keep_top_k", logits=logits, k=9, ties="lowest_id")
        probs = port.result("softmax", logits=logits)["probs"]
        port.result("multinomial", probs=probs, num_samples=3, seed="5")
        port.result("inverse_cdf", probs=probs, uniform=np.array([0, 0.5, 0.99]))
        for runtime in STREAMS:
            port.result("draw_as", probs=probs, runtime=runtime, seed="5")
        context, embedding = logits[:, :7], logits[:, 7:707].reshape(-1, 7)
        port.result("lm_head", context=context, embedding=embedding, temperature=0.7, k=50)
        for op in STAGES:
            if "logits" in OPERATIONS[op].arguments:
                port.result(op, logits=logits, **beside(op, logits))
        port.result("open_bundle", path=str(bundle))
        port.result("step", context=0, uniform=0.5, temperature=0.7, k=50)
        port.result("sequence", contexts=[[0, 1], [2, 0]], temperature=0.7, k=50, seed="3")
        assert port.ask("stop") == {"result": {}}
        assert port.close() == 0, port.errors()
        assert port.errors() == ""

"""Filters, penalties, pipelines and log-probabilities of the C and the JavaScript port, judged as any other head."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from parity_tests import strategies
from reference.operations import OPERATIONS, TIES

from .c_and_js import agrees, f32, row
from .wire import Port

spec = pytest.mark.spec
INF = np.inf
RULES = ("FILTER", "PENALTY", "PIPE", "LOGPROB")
NEW = [name for name, op in OPERATIONS.items() if op.on == "arrays" and op.rule.startswith(RULES)]
# What the vocabularies below are given beside the defaults.
OTHER: dict[str, Any] = {
    "biased": np.array([3, 0]),
    "biases": row(2.5, -INF),
    "banned": np.array([3, 0, 3]),
    "end_ids": np.array([3]),
    "length": 9,
    "ngram_size": 2,
    "steps": [
        ["repetition_penalty", {"penalty": 1.3, "counts": "output"}],
        ["logit_bias", {"biased": [3, 0], "biases": [2.5, -INF]}],
        ["no_repeat_ngram", {"ngram_size": 2}],
        ["apply_temperature", {"temperature": 0.7}],
        ["keep_top_k", {"k": 900, "ties": "any"}],
        ["keep_top_p", {"p": 0.95, "ties": "all"}],
        ["keep_xtc", {"threshold": 0.01, "probability": 0.5}],
    ],
    "prompt_length": 2,
}


@spec("FILTER-1", "FILTER-2", "FILTER-3", "FILTER-4", "FILTER-5", "FILTER-6", "FILTER-7", "FILTER-8", "FILTER-9")
@spec("FILTER-10", "PENALTY-1", "PENALTY-2", "PENALTY-3", "PENALTY-4", "PENALTY-5", "PENALTY-6", "PIPE-1", "PIPE-2")
@spec("LOGPROB-1", "LOGPROB-2", "LOGPROB-3", "LOGPROB-4", "HEAD-2", "HEAD-4")
@pytest.mark.parametrize("op", NEW)
def test_as_the_reference(port: Port, op: str) -> None:
    """On rows with ties, masks and exact sums, in every dtype, in any batch, or in none."""

    @settings(deadline=None)  # the machine may be busy
    @given(st.data())
    def judged(data: st.DataObject) -> None:
        inputs = data.draw(strategies.arguments(op))
        if "ties" in OPERATIONS[op].arguments:
            inputs["ties"] = data.draw(st.sampled_from(TIES))
        assume(op != "cross_entropy" or inputs["token_ids"].size)  # the mean of nothing is refused
        agrees(port, op, **OPERATIONS[op].defaults | inputs)

    judged()


@spec("FILTER-2", "FILTER-5", "FILTER-7", "PENALTY-3", "PIPE-1", "LOGPROB-2", "LOGPROB-3")
@pytest.mark.parametrize("op", NEW)
def test_of_a_vocabulary(port: Port, op: str) -> None:
    """Rising, falling, all equal, and 16-bit logits of 5,000 tokens, which tie often; a mask in each row."""
    rng = np.random.default_rng(0)
    noise = 2 * rng.standard_normal(5000)
    logits = np.stack([np.sort(noise), -np.sort(noise), np.zeros(5000), noise.astype(np.float16)]).astype(f32)
    logits[:, rng.integers(4, 5000, 500)] = -INF
    inputs: dict[str, Any] = {**OPERATIONS[op].defaults, **OPERATIONS[op].given(OTHER), "logits": logits}
    for name, value in {
        "history": rng.integers(0, 4, (4, 7)),
        "uniform": np.array([0, 0.6, 0.4, 0.2]),
        "token_ids": rng.integers(0, 4, 4),
    }.items():
        if name in OPERATIONS[op].arguments:
            inputs[name] = value
    agrees(port, op, **inputs)


@spec("HEAD-1")
@pytest.mark.parametrize("op", NEW)
def test_what_a_request_leaves_out(port: Port, op: str) -> None:
    """It has the default of the operation, which may be another than that of its namesake."""
    some: dict[str, Any] = {
        "logits": row(3, 2.5, 2, 2, 1, 0.5, 0, -1, -3, -9),
        "history": np.array([1, 1, 2, 1, 1]),
        "uniform": np.array(0.4),
        "biased": np.array([1]),
        "biases": row(3),
        "banned": np.array([1]),
        "end_ids": np.array([1]),
        "token_ids": np.array(3),
    }
    least = OPERATIONS[op].given(some)
    assert port.ask(op, **least) == port.ask(op, **least, **OPERATIONS[op].defaults)
    assert port.ask(op, **least).keys() == {"result"}


@spec("PENALTY-1", "PENALTY-3")
def test_other_tokens_keep_their_bits(port: Port) -> None:
    """Also -0, which `x - 0 * penalty` would lose, and a mask that loses more than float32 holds."""
    logits = row(-0.0, 1, -INF, 1e-45)
    found = port.result("frequency_penalty", logits=logits, history=np.array([1, 2, 2]), penalty=-3e38)["logits"]
    assert found.tobytes() == row(-0.0, 3e38, -INF, 1e-45).tobytes()
    found = port.result("repetition_penalty", logits=logits, history=np.array([0, 2, 2]), penalty=1e-38)["logits"]
    assert found.tobytes() == logits.tobytes()


@spec("FILTER-8")
def test_deviations_of_huge_logits(port: Port) -> None:
    """At least one token survives, whatever overflows on the way."""
    for dtype in {"float32", "float64"} & set(port.hello()["dtypes"]):
        top = float(np.finfo(dtype).max)
        logits = np.array([top, -top] * 20, dtype)
        kept = port.result("keep_top_n_sigma", logits=logits, n=1.0)["logits"]
        assert (kept[::2] == top).all()


@spec("PIPE-1", "PIPE-2", "PIPE-3", "PIPE-4")
def test_pipelines(port: Port) -> None:
    """No steps return the logits; an empty history, null for what is left out, any tied ones, numbers as words."""
    logits = row(1, 2, 2, -0.0, -INF)
    same = {"logits": logits, "steps": []}
    for more in ({}, {"history": None, "uniform": None}, {"history": np.zeros(0, np.int64)}, {"history": np.arange(4)}):
        assert port.result("process", **same, **more)["logits"].tobytes() == logits.tobytes()
    steps: list[Any] = [["keep_top_k", {"k": 1, "ties": "any"}], ["finish_logits", {"cap": INF, "bias": [0] * 5}]]
    assert port.result("process", logits=logits, steps=steps)["logits"].tolist() == [-INF, 2, -INF, -INF, -INF]
    assert (
        agrees(port, "process", logits=np.zeros((0, 3), f32), steps=[["ban", {"banned": [0, 1]}]], history=None) != {}
    )
    counted = [["min_length", {"length": 3, "end_ids": [1], "counts": counts}] for counts in ("all", "prompt", 2)]
    for step, falls in zip(counted, (False, True, True), strict=True):
        inputs = {"steps": [step], "history": np.arange(4), "prompt_length": 1}
        assert (port.result("process", logits=logits, **inputs)["logits"][1] == -INF) == falls

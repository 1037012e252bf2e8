"""Each stage of the C and the JavaScript port, over their pipes, judged as any other head."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reference
from parity_tests import strategies
from parity_tests.strategies import FixedNoise
from parity_tests.verdict import Word, compare
from ports.checker.errors import RefusedError
from ports.checker.judge import Call, judge
from ports.vectors import FILES, Case, load
from reference.operations import OPERATIONS

from .c_and_js import PORTS, agrees, answer, f32, row
from .wire import Port

spec = pytest.mark.spec
relaxed = settings(deadline=None)  # the machine may be busy; how many examples, the profile says
INF = np.inf
DTYPES = {"C": ["float32", "float16", "bfloat16"], "JavaScript": ["float16", "bfloat16", "float32", "float64"]}


def test_hello(port: Port) -> None:
    """A port says what it has, by the names and in the order of PROTOCOL.md. None of them has lost an operation."""
    hello = port.hello()
    table = (PORTS / "PROTOCOL.md").read_text("utf-8").partition("## Operations")[2].partition("## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert hello["operations"] == [op for op in named if op in hello["operations"]]
    assert len(hello["operations"]) >= 12
    assert hello["dtypes"] == DTYPES[hello["language"]]
    assert (hello["protocol"], hello["ties"]) == (1, ["lowest_id", "all"])
    about = {"protocol", "name", "version", "language"}
    assert hello.keys() == about | {"dtypes", "ties", "bundle_versions", "operations"}
    assert "errored" in port.ask("hello", protocol=2)


@spec("LOGITS-1", "LOGITS-2", "HEAD-2", "HEAD-4")
@relaxed
@given(strategies.factors())
def test_logits(port: Port, head: tuple[np.ndarray, np.ndarray]) -> None:
    """Within the derived bound."""
    agrees(port, "compute_logits", context=head[0], embedding=head[1])


@spec("LOGITS-2", "SOFTMAX-1", "HEAD-1")
@relaxed
@given(strategies.factors(("float32",)), st.integers(1, 41))
def test_fused_sums(fused: Port, head: tuple[np.ndarray, np.ndarray], k: int) -> None:
    """Within the derived bounds as well."""
    context, embedding = head
    logits = agrees(fused, "compute_logits", context=context, embedding=embedding)["logits"]
    assert agrees(fused, "softmax", logits=logits)
    assert agrees(fused, "lm_head", context=context, embedding=embedding, temperature=0.7, k=k)


@spec("TEMP-1", "TEMP-3", "HEAD-2", "HEAD-4")
@relaxed
@given(strategies.logits(), strategies.temperatures)
@example(row(-3e-44, 1), 0.7)
def test_temperature(port: Port, logits: np.ndarray, temperature: float) -> None:
    """The correctly rounded quotient, bit for bit."""
    agrees(port, "apply_temperature", logits=logits, temperature=temperature)


@spec("TOPK-1", "TOPK-2", "TOPK-3", "TOPK-4", "HEAD-4")
@relaxed
@given(strategies.logits(), st.data())
def test_top_k(port: Port, logits: np.ndarray, data: st.DataObject) -> None:
    """Values, ids and their order, exactly."""
    agrees(port, "top_k", logits=logits, k=data.draw(strategies.ks(logits.shape[-1])))


@spec("TOPK-2", "TOPK-4", "TOPK-6", "TOPK-7")
@relaxed
@given(strategies.logits(), st.data(), st.sampled_from(["lowest_id", "all"]))
def test_keep_top_k(port: Port, logits: np.ndarray, data: st.DataObject, ties: str) -> None:
    """Both contracts for ties."""
    agrees(port, "keep_top_k", logits=logits, k=data.draw(strategies.ks(logits.shape[-1])), ties=ties)


@spec("TOPK-1", "TOPK-2")
@pytest.mark.parametrize("k", [1, 50, 2000])
def test_top_k_of_a_vocabulary(port: Port, k: int) -> None:
    """Rising, falling, all equal, and 16-bit logits of 5,000 tokens, which tie often."""
    noise = np.random.default_rng(0).standard_normal(5000)
    rows = np.stack([np.sort(noise), -np.sort(noise), np.zeros(5000), noise.astype(np.float16)]).astype(f32)
    assert agrees(port, "top_k", logits=rows, k=k)


@spec("SOFTMAX-1", "SOFTMAX-2", "SOFTMAX-3")
@relaxed
@given(strategies.logits())
@example(row(-104, -104, -104))
@example(row(0, 89, 0))
@example(row(3e38, -3e38))
def test_softmax(port: Port, logits: np.ndarray) -> None:
    """Within the derived bound for every finite row."""
    agrees(port, "softmax", logits=logits)


@spec("DRAW-1", "DRAW-2", "DRAW-3", "DRAW-4", "HEAD-4")
@relaxed
@given(strategies.probabilities(), st.integers(0, 2**32), st.integers(1, 3), st.lists(st.integers(0, 39), max_size=9))
def test_the_race(port: Port, probs: np.ndarray, seed: int, num_samples: int, zeros: list[int]) -> None:
    """On given noise, some of it 0 and -0."""
    num_samples = min([num_samples, probs.shape[-1], *np.count_nonzero(probs, axis=-1).ravel().tolist()])
    noise = reference.TorchGenerator(seed).standard_exponential(probs.shape, strategies.compute_dtype(probs))
    for i in zeros:
        noise[..., i % probs.shape[-1]] = -0.0 if i % 2 else 0.0
    found = answer(port, "multinomial", probs=probs, num_samples=num_samples, noise=noise)
    if found:
        ours = reference.multinomial(probs, num_samples, rng=FixedNoise(noise))
        if zeros:  # the judge takes no infinite race values; here every comparison is exact
            np.testing.assert_array_equal(found["token_ids"], ours)
        else:
            compare("multinomial", ours, found["token_ids"], probs=probs, noise=noise).require()


@spec("DRAW-1", "RNG-1", "RNG-3")
@relaxed
@given(strategies.probabilities(), st.integers(-(2**63), 2**64 - 1))
def test_the_race_from_a_seed(port: Port, probs: np.ndarray, seed: int) -> None:
    """On PyTorch's stream, one number for each element in C order."""
    noise = reference.TorchGenerator(seed).standard_exponential(probs.shape, strategies.compute_dtype(probs))
    if probs.dtype == np.float64:  # float64 exponentials: the C port has no float64, JavaScript not these
        assert port.ask("multinomial", probs=probs, num_samples=1, seed=str(seed)).keys() == {"skipped"}
        return
    found = port.result("multinomial", probs=probs, num_samples=1, seed=str(seed))
    ours = reference.multinomial(probs, rng=FixedNoise(noise))
    compare("multinomial", ours, found["token_ids"], probs=probs, noise=noise).require()


@spec("CDF-1", "CDF-2", "CDF-3", "HEAD-4")
@relaxed
@given(strategies.probabilities(), st.data())
@example(np.array([1 / 12] * 12 + [0], f32), None)
def test_the_walk(port: Port, probs: np.ndarray, data: st.DataObject | None) -> None:
    """The same token from the same uniform."""
    shape = probs.shape[:-1]
    uniform = data.draw(strategies.uniforms(shape)) if data else np.full(shape, 1 - 2.0**-53)
    agrees(port, "inverse_cdf", probs=probs, uniform=uniform)


@spec("CDF-4")
def test_a_sum_that_overflows(port: Port) -> None:
    """Only float64 can: float32 probabilities are added in float64."""
    probs = np.array([1e308, 1e308])
    if "float64" in port.hello()["dtypes"]:
        with pytest.raises(RefusedError, match="overflow"):
            port.result("inverse_cdf", probs=probs, uniform=np.array(0.5))
    assert port.result("inverse_cdf", probs=row(3e38, 3e38), uniform=np.array(0.5))["token_ids"] == 1


# Where a product is exact, all that is left is the error of exp, which V8 makes alike in every row: unusual, and right.
@pytest.mark.filterwarnings("default::parity_tests.judges.words.UnusualWarning")
@spec("HEAD-1", "HEAD-2", "HEAD-4")
@relaxed
@given(strategies.factors(), strategies.temperatures, st.integers(1, 41))
def test_the_whole_head(port: Port, head: tuple[np.ndarray, np.ndarray], temperature: float, k: int) -> None:
    """All four stages in one operation."""
    agrees(port, "lm_head", context=head[0], embedding=head[1], temperature=temperature, k=k)


@spec("HEAD-2")
@pytest.mark.parametrize("stage", FILES)
def test_vectors(port: Port, stage: str) -> None:
    """Every vector conforms, except those in a dtype that the port has said it does not have."""

    def as_written(case: Case) -> Call:
        return lambda op, _: port.result(op, **case.inputs)

    cases = load(stage).cases
    if cases[0].op not in port.hello()["operations"]:
        pytest.skip(f"{port.hello()['name']} has no {cases[0].op}")
    outcomes = [judge(case, as_written(case)) for case in cases]
    for case, outcome in zip(cases, outcomes, strict=True):
        if outcome.word == Word.NOT_CHECKED:
            assert "float64" in json.dumps(case.inputs), outcome
        else:
            assert outcome.conforms, str(outcome)
    assert 2 * sum(outcome.conforms for outcome in outcomes) > len(cases) > 0


@spec("HEAD-1")
def test_defaults(port: Port) -> None:
    """What a request leaves out: temperature 0.7, k 50, ties to the lowest id, one sample, no scale and no cap."""
    logits = np.arange(60, dtype=f32) // 2
    for op, operation in OPERATIONS.items():
        if "logits" in operation.arguments:
            assert port.ask(op, logits=logits) == port.ask(op, logits=logits, **operation.defaults)
    hidden, weight = row(1e-3, 2e-3), row(1, 2)
    for op in ("layer_norm", "rms_norm"):  # whose epsilons differ
        given: dict[str, Any] = {"hidden": hidden, "weight": weight}
        assert port.ask(op, **given) == port.ask(op, **given, **OPERATIONS[op].defaults)
        assert port.ask(op, **given) != port.ask(op, **given, epsilon=3e-6)
    assert port.result("multinomial", probs=row(0, 1), seed="1")["token_ids"].tolist() == [1]
    assert "errored" in port.ask("inverse_cdf", probs=row(0, 1))


@spec("HEAD-4")
def test_no_rows_at_all(port: Port) -> None:
    """Leading axes of length 0 give empty results of the right shape."""
    none = np.zeros((2, 0, 3), f32)
    assert port.result("top_k", logits=none, k=2)["values"].shape == (2, 0, 2)
    assert port.result("softmax", logits=none)["probs"].shape == (2, 0, 3)
    assert port.result("multinomial", probs=none, num_samples=1, seed="1")["token_ids"].shape == (2, 0, 1)
    assert port.result("inverse_cdf", probs=none, uniform=np.zeros((2, 0)))["token_ids"].shape == (2, 0)


def test_numbers_at_the_edges_of_float32(port: Port) -> None:
    """What JSON or a library for it may lose: subnormal numbers, -0, the last bits."""
    values = row(-0.0, 1e-45, 1.1754942e-38, 3.4028235e38, 0.1, -INF, 16777217, 1 / 3)
    found = port.result("keep_top_k", logits=values, k=8, ties="all")["logits"]
    assert found.tobytes() == values.tobytes()
    reply = port.ask("keep_top_k", logits=values, k=8, ties="all")["result"]["logits"]["data"]
    assert reply == ["-0", *values[1:5].tolist(), "-inf", *values[6:].tolist()]

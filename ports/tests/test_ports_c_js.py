"""The C and the JavaScript port, over their pipes, judged as any other head; and how their harnesses behave."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reference
from parity_tests import strategies
from parity_tests.generation import judge_draw
from parity_tests.random_stream import GOLDEN
from parity_tests.strategies import FixedNoise
from parity_tests.verdict import compare
from ports.judge import RefusedError, Word, judge
from ports.vectors import STAGES, load

from .wire import Port

spec = pytest.mark.spec
relaxed = settings(deadline=None)  # the machine may be busy; how many examples, the profile says
PORTS = Path(__file__).parents[1]
CI = os.environ.get("CI", "") not in ("", "0", "false")
NAN, INF = np.nan, np.inf
f32 = np.float32

# Each a line of `make`.
BUILDS = {
    "c": ["all"],
    "c-sanitized": ["sanitize"],
    "c-fused": ["all", "CFLAGS=-O3 -march=native -ffp-contract=fast"],
}
DTYPES = {"C": ["float32", "float16", "bfloat16"], "JavaScript": ["float16", "bfloat16", "float32", "float64"]}


def unavailable(reason: str) -> None:
    """Skip, but fail on CI, where everything is to be installed."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name: str, package: str) -> str:
    """The path of a program."""
    path = shutil.which(name)
    if path is None:
        unavailable(f"this machine has no {name}: install {package} (make setup-ports)")
    return str(path)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Name of a harness -> its command line; C is compiled outside the source tree, once."""

    def of(name: str) -> list[str]:
        if name == "javascript":
            return [tool("node", "nodejs"), str(PORTS / "javascript" / "harness.mjs")]
        folder = tmp_path_factory.getbasetemp() / name
        if not folder.exists():
            compile_harness(folder, *BUILDS[name])
        return [str(next(folder.iterdir()))]

    return of


def compile_harness(folder: Path, *arguments: str) -> None:
    """`make` into a folder; warnings are errors there."""
    compiler, make = tool("gcc", "gcc"), tool("make", "make")
    include = [compiler, "-fsyntax-only", "-include", "cjson/cJSON.h", "-xc", os.devnull]
    if subprocess.run(include, capture_output=True).returncode:
        unavailable("this machine has no cjson/cJSON.h: install libcjson-dev (make setup-ports)")
    run = subprocess.run(
        [make, "-C", str(PORTS / "c"), f"OUT={folder}", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[Port]:
    """A port; when all is done it must end well and have said nothing on standard error."""
    with Port(*command) as port:
        yield port
        assert port.ask("stop") == {"result": {}}
        assert port.close() == 0, port.errors()
        assert port.errors() == ""


@pytest.fixture(scope="session", params=["c", "c-sanitized", "javascript"])
def port(request: pytest.FixtureRequest, command: Callable[[str], list[str]]) -> Iterator[Port]:
    """Each port in turn."""
    with running(command(request.param)) as port:
        yield port


@pytest.fixture(scope="session")
def fused(command: Callable[[str], list[str]]) -> Iterator[Port]:
    """C with fused multiply-adds and wide vectors, which change the last bits of sums."""
    with running(command("c-fused")) as port:
        yield port


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the embedded tiny GPT-2."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    export = [sys.executable, "-m", "weights_export", "tiny", "-o", str(folder)]
    subprocess.run(export, check=True, capture_output=True, cwd=PORTS.parent)
    return folder


@pytest.fixture(scope="session")
def weights(bundle: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is in it: contexts (N, d) and the embedding (V, d)."""
    context = safetensors.numpy.load_file(bundle / "contexts.safetensors")["context"]
    return context, safetensors.numpy.load_file(bundle / "head.safetensors")["embedding"]


def answer(port: Port, op: str, **inputs: Any) -> dict[str, Any] | None:
    """The result; None for a tensor in a dtype that the port does not have, which it must then have skipped."""
    tensors = [value for name, value in inputs.items() if isinstance(value, np.ndarray) and name != "uniform"]
    if {tensor.dtype.name for tensor in tensors} <= set(port.hello()["dtypes"]):
        return port.result(op, **inputs)
    assert port.ask(op, **inputs).keys() == {"skipped"}
    return None


def row(*values: float) -> np.ndarray:
    """One row in float32."""
    return np.array(values, f32)


def test_hello(port: Port) -> None:
    """A port says what it has: here all the table of PROTOCOL.md."""
    hello = port.hello()
    table = (PORTS / "PROTOCOL.md").read_text("utf-8").partition("## Operations")[2].partition("## ")[0]
    assert hello["operations"] == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) != []
    assert hello["dtypes"] == DTYPES[hello["language"]]
    assert (hello["protocol"], hello["ties"]) == (1, ["lowest_id", "all"])
    assert hello.keys() == {"protocol", "name", "version", "language", "dtypes", "ties", "operations"}
    assert "errored" in port.ask("hello", protocol=2)


@spec("LOGITS-1", "LOGITS-2", "HEAD-2", "HEAD-4")
@relaxed
@given(strategies.heads())
def test_logits(port: Port, head: tuple[np.ndarray, np.ndarray]) -> None:
    """Within the derived bound."""
    context, embedding = head
    found = answer(port, "compute_logits", context=context, embedding=embedding)
    if found:
        ours = reference.compute_logits(context, embedding)
        compare("compute_logits", ours, found["logits"], context=context, embedding=embedding).require()


@spec("LOGITS-2", "SOFTMAX-1", "HEAD-1")
@relaxed
@given(strategies.heads(("float32",)), st.integers(1, 41))
def test_fused_sums(fused: Port, head: tuple[np.ndarray, np.ndarray], k: int) -> None:
    """Within the derived bounds as well."""
    context, embedding = head
    inputs = {"context": context, "embedding": embedding}
    logits = fused.result("compute_logits", **inputs)["logits"]
    compare("compute_logits", reference.compute_logits(**inputs), logits, **inputs).require()
    probs = fused.result("softmax", logits=logits)["probs"]
    compare("softmax", reference.softmax(logits), probs, logits=logits).require()
    inputs |= {"temperature": 0.7, "k": k}
    compare("lm_head", reference.lm_head(**inputs), fused.result("lm_head", **inputs)["probs"], **inputs).require()


@spec("TEMP-1", "TEMP-3", "HEAD-2", "HEAD-4")
@relaxed
@given(strategies.logits(), strategies.temperatures)
@example(row(-3e-44, 1), 0.7)
def test_temperature(port: Port, logits: np.ndarray, temperature: float) -> None:
    """The correctly rounded quotient, bit for bit."""
    found = answer(port, "apply_temperature", logits=logits, temperature=temperature)
    if found:
        ours = reference.apply_temperature(logits, temperature)
        compare("apply_temperature", ours, found["logits"], logits=logits, temperature=temperature).require()


@spec("TOPK-1", "TOPK-2", "TOPK-3", "TOPK-4", "HEAD-4")
@relaxed
@given(strategies.logits(), st.data())
def test_top_k(port: Port, logits: np.ndarray, data: st.DataObject) -> None:
    """Values, ids and their order, exactly."""
    k = data.draw(strategies.ks(logits.shape[-1]))
    found = answer(port, "top_k", logits=logits, k=k)
    if found:
        ours = reference.top_k(logits, k)
        compare("top_k", ours, (found["values"], found["token_ids"]), logits=logits, k=k).require()


@spec("TOPK-2", "TOPK-4", "TOPK-6", "TOPK-7")
@relaxed
@given(strategies.logits(), st.data(), st.sampled_from(["lowest_id", "all"]))
def test_keep_top_k(port: Port, logits: np.ndarray, data: st.DataObject, ties: str) -> None:
    """Both contracts for ties."""
    k = data.draw(strategies.ks(logits.shape[-1]))
    found = answer(port, "keep_top_k", logits=logits, k=k, ties=ties)
    if found:
        ours = reference.keep_top_k(logits, k, ties=ties)
        compare("keep_top_k", ours, found["logits"], logits=logits, k=k, ties=ties).require()


@spec("TOPK-1", "TOPK-2")
@pytest.mark.parametrize("k", [1, 50, 2000])
def test_top_k_of_a_vocabulary(port: Port, k: int) -> None:
    """Rising, falling, all equal, and 16-bit logits of 5,000 tokens, which tie often."""
    noise = np.random.default_rng(0).standard_normal(5000)
    rows = np.stack([np.sort(noise), -np.sort(noise), np.zeros(5000), noise.astype(np.float16)]).astype(f32)
    found = port.result("top_k", logits=rows, k=k)
    compare("top_k", reference.top_k(rows, k), (found["values"], found["token_ids"]), logits=rows, k=k).require()


@spec("SOFTMAX-1", "SOFTMAX-2", "SOFTMAX-3")
@relaxed
@given(strategies.logits())
@example(row(-104, -104, -104))
@example(row(0, 89, 0))
@example(row(3e38, -3e38))
def test_softmax(port: Port, logits: np.ndarray) -> None:
    """Within the derived bound for every finite row."""
    found = answer(port, "softmax", logits=logits)
    if found:
        compare("softmax", reference.softmax(logits), found["probs"], logits=logits).require()


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
    found = answer(port, "inverse_cdf", probs=probs, uniform=uniform)
    if found:
        ours = reference.inverse_cdf(probs, uniform)
        compare("inverse_cdf", ours, found["token_ids"], probs=probs, uniform=uniform).require()


@spec("HEAD-1", "HEAD-2", "HEAD-4")
@relaxed
@given(strategies.heads(), strategies.temperatures, st.integers(1, 41))
def test_the_whole_head(port: Port, head: tuple[np.ndarray, np.ndarray], temperature: float, k: int) -> None:
    """All four stages in one operation."""
    context, embedding = head
    inputs = {"context": context, "embedding": embedding, "temperature": temperature, "k": k}
    found = answer(port, "lm_head", **inputs)
    if found:
        compare("lm_head", reference.lm_head(**inputs), found["probs"], **inputs).require()


def draws(port: Port, seed: int, *calls: tuple[str, str, int]) -> list[np.ndarray]:
    """The numbers of some calls on one stream."""
    named = [{"draw": draw, "dtype": dtype, "size": size} for draw, dtype, size in calls]
    return port.result("torch_rng", seed=str(seed), calls=named)["numbers"]


@spec("RNG-1", "RNG-3", "RNG-4")
def test_golden_values(port: Port) -> None:
    """Values that PyTorch printed."""
    assert tuple(draws(port, 7, ("exponential", "float32", 4))[0].tolist()) == GOLDEN
    assert draws(port, 0, ("uniform", "float32", 2))[0].tolist() == [0.49625658988952637, 0.7682217955589294]
    assert draws(port, -1, ("uniform", "float32", 2))[0].tolist() == [0.9937993884086609, 0.5713063478469849]


@spec("RNG-1", "RNG-2", "RNG-3", "RNG-4")
@relaxed
@given(
    st.integers(-(2**63), 2**64 - 1),
    st.lists(
        st.tuples(
            st.sampled_from(["exponential", "uniform"]), st.sampled_from(["float32", "float64"]), st.integers(0, 700)
        ),
        max_size=5,
    ),
)
@example(2**32, [("exponential", "float32", 3)])
@example(-(2**63), [("uniform", "float64", 3)])
def test_any_sequence_of_calls(port: Port, seed: int, calls: list[tuple[str, str, int]]) -> None:
    """The state carries over, whatever was drawn."""
    if port.hello()["language"] == "JavaScript" and ("exponential", "float64") in [call[:2] for call in calls]:
        named = [{"draw": draw, "dtype": dtype, "size": size} for draw, dtype, size in calls]
        assert "log1p" in port.ask("torch_rng", seed=str(seed), calls=named)["skipped"]
        calls = [call for call in calls if call[:2] != ("exponential", "float64")]
    rng = reference.TorchGenerator(seed)
    for (draw, dtype, size), found in zip(calls, draws(port, seed, *calls), strict=True):
        expected = (rng.uniform if draw == "uniform" else rng.standard_exponential)(size, dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


@spec("RNG-3", "RNG-4")
def test_ten_thousand_numbers(port: Port) -> None:
    """Bit for bit, of each kind that the port has."""
    kinds = [("exponential", "float32"), ("uniform", "float32"), ("uniform", "float64"), ("exponential", "float64")]
    kinds = kinds[: 3 if port.hello()["language"] == "JavaScript" else 4]
    rng = reference.TorchGenerator(11)
    for (draw, dtype), found in zip(kinds, draws(port, 11, *((*kind, 10_000) for kind in kinds)), strict=True):
        expected = (rng.uniform if draw == "uniform" else rng.standard_exponential)(10_000, dtype)
        np.testing.assert_array_equal(found, expected)


@spec("RNG-3")
def test_five_million_exponentials_in_javascript() -> None:
    """The engine's own log1p may differ from the C library's in the last bit of float64: no float32 shows it."""
    script = f"""
        import {{ TorchGenerator }} from {json.dumps((PORTS / "javascript" / "lm_head.mjs").as_uri())};
        process.stdout.write(new Uint8Array(new TorchGenerator(12).exponentials(5_000_000).buffer));
    """
    node = [tool("node", "nodejs"), "--input-type=module", "--eval", script]
    found = np.frombuffer(subprocess.run(node, check=True, capture_output=True).stdout, f32)
    expected = reference.TorchGenerator(12).standard_exponential(5_000_000, f32)
    np.testing.assert_array_equal(found, expected)


REFUSED = [
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
        ("bad_logits", op, {"logits": logits, **arguments})
        for op, arguments in {
            "softmax": {},
            "top_k": {"k": 1},
            "keep_top_k": {"k": 1, "ties": "all"},
            "apply_temperature": {"temperature": 1.0},
        }.items()
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
        for op, arguments in {
            "multinomial": {"num_samples": 1, "seed": "1"},
            "inverse_cdf": {"uniform": np.array(0.5)},
        }.items()
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
    ("bad_bundle", "open_bundle", {"path": "no-such-folder"}),
]


@spec("HEAD-5", "SOFTMAX-4", "TEMP-2", "TEMP-3", "TOPK-5", "TOPK-7", "DRAW-5", "DRAW-6", "CDF-3", "CDF-4", "LOGITS-4")
@pytest.mark.parametrize(("code", "op", "inputs"), REFUSED)
def test_refusals(port: Port, code: str, op: str, inputs: dict[str, Any]) -> None:
    """Each with its code, and words that are more than the code."""
    reply = port.ask(op, **inputs)
    assert reply.keys() == {"refused"}, reply
    assert reply["refused"]["code"] == code
    assert len(reply["refused"]["message"]) > 20


@spec("HEAD-2")
@pytest.mark.parametrize("stage", STAGES)
def test_vectors(port: Port, stage: str) -> None:
    """Every vector conforms, but for those in a dtype that the port has said it does not have."""
    cases = load(stage).cases
    outcomes = [judge(case, lambda op, _, case=case: port.result(op, **case.inputs)) for case in cases]
    for outcome in outcomes:
        if outcome.word == Word.SKIPPED:
            assert "float64" in json.dumps(outcome.case.inputs), outcome
        else:
            assert outcome.conforms, str(outcome)
    assert 2 * sum(outcome.conforms for outcome in outcomes) > len(cases) > 0


@spec("CDF-4")
def test_a_sum_that_overflows(port: Port) -> None:
    """Only float64 can: float32 probabilities are added in float64."""
    probs = np.array([1e308, 1e308])
    if "float64" in port.hello()["dtypes"]:
        with pytest.raises(RefusedError, match="overflow"):
            port.result("inverse_cdf", probs=probs, uniform=np.array(0.5))
    assert port.result("inverse_cdf", probs=row(3e38, 3e38), uniform=np.array(0.5))["token_ids"] == 1


@spec("HEAD-1")
def test_defaults(port: Port) -> None:
    """What a request leaves out: temperature 0.7, k 50, ties to the lowest id, one sample."""
    logits = np.arange(60, dtype=f32) // 2
    every = {"temperature": 0.7, "k": 50, "ties": "lowest_id"}
    for op, names in {"apply_temperature": ["temperature"], "top_k": ["k"], "keep_top_k": ["k", "ties"]}.items():
        assert port.ask(op, logits=logits) == port.ask(op, logits=logits, **{name: every[name] for name in names})
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


@spec("HEAD-1", "CDF-1")
def test_steps_on_a_bundle(port: Port, bundle: Path, weights: tuple[np.ndarray, np.ndarray]) -> None:
    """Every context of the bundle, at full vocabulary."""
    context, embedding = weights
    shape = {"vocab_size": len(embedding), "hidden_size": embedding.shape[1], "contexts": len(context)}
    assert port.result("open_bundle", path=str(bundle)) == shape
    for i, uniform in enumerate(np.linspace(0, 1, len(context), endpoint=False).tolist()):
        settings = {"temperature": [0.7, 1.3][i % 2], "k": [50, 1, 10**6][i % 3]}
        found = port.result("step", context=i, uniform=uniform, **settings)
        inputs = {"context": context[i], "embedding": embedding, **settings}
        compare("lm_head", reference.lm_head(**inputs), found["probs"], **inputs).require()
        token = reference.inverse_cdf(found["probs"], np.array(uniform))
        given = {"probs": found["probs"], "uniform": np.array(uniform)}
        compare("inverse_cdf", token, np.array(found["token_id"]), **given).require()
    for bad in ({"uniform": 1.0}, {"uniform": NAN}, {"temperature": 0.0}, {"k": 0}):
        with pytest.raises(RefusedError, match=f"bad_{next(iter(bad))}"):
            port.result("step", **{"context": 0, "uniform": 0.5, "temperature": 0.7, "k": 50, **bad})
    for which in (-1, len(context), 0.5, "0"):
        assert "errored" in port.ask("step", context=which, uniform=0.5, temperature=0.7, k=50)


@spec("RNG-2", "RNG-5", "DRAW-1", "HEAD-1")
@pytest.mark.parametrize("batch", [1, 3])
def test_seeded_sequences(port: Port, bundle: Path, weights: tuple[np.ndarray, np.ndarray], batch: int) -> None:
    """The tokens that the reference draws from one stream; where one differs it must be rounding's coin flip."""
    context, embedding = weights
    port.result("open_bundle", path=str(bundle))
    for seed in (0, -1, 2**64 - 3):
        steps = np.random.default_rng(seed % 1000).integers(0, len(context), (12, batch))
        settings = {"temperature": 0.9, "k": 40}
        found = port.result("sequence", contexts=steps.tolist(), seed=str(seed), **settings)["token_ids"]
        assert np.shape(found) == steps.shape
        rng = reference.TorchGenerator(seed)
        for which, tokens in zip(steps, found, strict=True):
            noise = rng.standard_exponential((batch, len(embedding)), f32)
            probs = reference.lm_head(context[which], embedding, **settings)
            ours = reference.multinomial(probs, rng=FixedNoise(noise))[:, 0]
            for b in np.flatnonzero(ours != tokens):
                assert judge_draw(context[which[b]], embedding, noise[b], tokens[b], **settings) <= 1


def test_sequences_of_no_steps_and_of_bad_ones(port: Port, bundle: Path) -> None:
    """Empty lists come back empty."""
    port.result("open_bundle", path=str(bundle))
    settings = {"temperature": 0.9, "k": 40, "seed": "1"}
    assert port.result("sequence", contexts=[], **settings) == {"token_ids": []}
    assert port.result("sequence", contexts=[[], [0]], **settings)["token_ids"][0] == []
    with pytest.raises(RefusedError, match="bad_seed"):
        port.result("sequence", contexts=[], **{**settings, "seed": "x"})
    assert "errored" in port.ask("sequence", contexts=[[10**9]], **settings)


def damage(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A change to one file of a bundle."""

    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def folder_for_a_file(folder: Path) -> None:
    """A folder of the name of a file."""
    (folder / "head.safetensors").unlink()
    (folder / "head.safetensors").mkdir()


DAMAGED = {
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest is no JSON": damage("manifest.json", lambda b: b[:-20]),
    "manifest is a list": damage("manifest.json", lambda _: b"[]"),
    "manifest is empty": damage("manifest.json", lambda _: b""),
    "another format": damage("manifest.json", lambda b: b.replace(b"lm-head-bundle", b"lm-head-bungle")),
    "another version": damage("manifest.json", lambda b: re.sub(rb'"version": \d+', b'"version": 99', b)),
    "a number changed": damage("manifest.json", lambda b: re.sub(rb'"hidden_size": \d+', b'"hidden_size": 96', b)),
    "no embedding": lambda folder: (folder / "head.safetensors").unlink(),
    "a folder for a file": folder_for_a_file,
    "a bit flipped": damage("head.safetensors", lambda b: b[:5000] + bytes([b[5000] ^ 1]) + b[5001:]),
    "cut": damage("contexts.safetensors", lambda b: b[:-4]),
    "longer": damage("contexts.safetensors", lambda b: b + b"\0"),
    "prompts changed": damage("prompts.json", lambda b: b.replace(b"e", b"a", 1)),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_bundles(port: Port, bundle: Path, tmp_path: Path, what: str) -> None:
    """All refused, and the bundle that was open before stays open."""
    port.result("open_bundle", path=str(bundle))
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    DAMAGED[what](folder)
    with pytest.raises(RefusedError, match="bad_bundle"):
        port.result("open_bundle", path=str(folder))
    assert "result" in port.ask("step", context=0, uniform=0.5, temperature=0.7, k=50)


def sealed(folder: Path, **changes: Any) -> None:
    """Change keys of a manifest and seal it again, so that what is wrong with it is not the seal."""
    path = folder / "manifest.json"
    manifest = {**json.loads(path.read_text("utf-8")), **changes, "sha256": "0" * 64}
    for name in manifest["files"]:
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    zeros = json.dumps(manifest)
    path.write_text(zeros.replace("0" * 64, hashlib.sha256(zeros.encode()).hexdigest()), "utf-8")


WRONG = [
    {"version": 99},
    {"version": 2.5},
    {"format": "lm-head"},
    {"tensors": {}},
    {"hidden_size": 96},
    {"vocab_size": 0},
    {"prompts": None},
    {"files": {}},
    {"embedding": {"offset": 1777 + 2**20}},
    {"embedding": {"offset": -8}},
    {"embedding": {"offset": None}},
    {"embedding": {"offset": 2**62}},
    {"embedding": {"shape": [192, 2048]}},
    {"embedding": {"shape": [2048 * 192]}},
    {"embedding": {"shape": [2.0**40, 2.0**40]}},
    {"embedding": {"dtype": "int8"}},
    {"embedding": {"file": "../head.safetensors"}},
    {"embedding": {"file": None}},
    {"context": {"offset": 12449}},
    {"context": {"shape": [15, 192]}},
]


@pytest.mark.parametrize("changes", WRONG)
def test_sealed_bundles_that_contradict_themselves(
    port: Port, bundle: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Nothing is read outside its file, and nothing of another shape."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    sealed(folder)
    assert "result" in port.ask("open_bundle", path=str(folder))
    tensors = json.loads((folder / "manifest.json").read_text("utf-8"))["tensors"]
    for name in changes.keys() & tensors.keys():
        changes = {"tensors": {**tensors, name: {**tensors[name], **changes[name]}}}
    sealed(folder, **changes)
    with pytest.raises(RefusedError, match="bad_bundle"):
        port.result("open_bundle", path=str(folder))


@spec("HEAD-2")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_bundles_in_any_dtype_and_container(
    port: Port, bundle: Path, weights: tuple[np.ndarray, np.ndarray], tmp_path: Path, dtype: str
) -> None:
    """16 bits are widened; a tensor may begin at any byte of its file; a bundle may hold the head alone."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    context, embedding = weights
    stored = embedding.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    stored[0, :2] = 2.0**-24, -(2.0**-15)  # float16 has both as subnormal numbers
    (folder / "weights.bin").write_bytes(b"!" + stored.tobytes())
    tensors = json.loads((folder / "manifest.json").read_text("utf-8"))["tensors"]
    tensors["embedding"] |= {"file": "weights.bin", "dtype": dtype, "offset": 1}
    files = dict.fromkeys(["weights.bin", "contexts.safetensors"])
    sealed(folder, tensors=tensors, files=files)
    port.result("open_bundle", path=str(folder))
    found = port.result("step", context=1, uniform=0.5, temperature=0.7, k=2048)["probs"]
    inputs = {"context": context[1], "embedding": stored.astype(f32), "temperature": 0.7, "k": 2048}
    compare("lm_head", reference.lm_head(**inputs), found, **inputs).require()
    sealed(folder, tensors={"embedding": tensors["embedding"]}, files={"weights.bin": None}, prompts=0)
    assert port.result("open_bundle", path=str(folder))["contexts"] == 0


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
MALFORMED = [
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


def test_lines_that_are_no_request(port: Port) -> None:
    """Answered by an error, and the next request is answered as ever."""
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
    """A step without a bundle is an error, no crash; the end of input is an end like stop."""
    for name in ("c-sanitized", "javascript"):
        with Port(*command(name)) as port:
            assert "errored" in port.ask("step", context=0, uniform=0.5, temperature=0.7, k=50)
            assert "errored" in port.ask("sequence", contexts=[[0]], temperature=0.7, k=50, seed="1")
            assert port.close() == 0, port.errors()


def test_numbers_at_the_edges_of_float32(port: Port) -> None:
    """What JSON or a library for it may lose: subnormal numbers, -0, the last bits."""
    values = row(-0.0, 1e-45, 1.1754942e-38, 3.4028235e38, 0.1, -INF, 16777217, 1 / 3)
    found = port.result("keep_top_k", logits=values, k=8, ties="all")["logits"]
    assert found.tobytes() == values.tobytes()
    reply = port.ask("keep_top_k", logits=values, k=8, ties="all")["result"]["logits"]["data"]
    assert reply == ["-0", *values[1:5].tolist(), "-inf", *values[6:].tolist()]


def test_fast_math_does_not_compile() -> None:
    """It would lose inf, nan, true division and subnormal numbers."""
    for flag in ("-ffast-math", "-ffinite-math-only", "-Ofast"):
        compiler = [tool("gcc", "gcc"), "-std=c99", flag, "-fsyntax-only", str(PORTS / "c" / "lm_head.c")]
        run = subprocess.run(compiler, capture_output=True, text=True, check=False)
        assert run.returncode != 0
        assert "-ffast-math" in run.stderr


def test_under_valgrind(command: Callable[[str], list[str]], bundle: Path) -> None:
    """No error and no leak in a run through every operation, every refusal and lines that are no request."""
    settings = ["--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"]
    with Port(tool("valgrind", "valgrind"), *settings, *command("c")) as port:
        port.hello()
        for _, op, inputs in REFUSED:
            assert "refused" in port.ask(op, **inputs)
        for line in GARBAGE:
            port.line(line)
        logits = np.random.default_rng(0).standard_normal((3, 2000)).astype(f32)
        port.result("top_k", logits=logits, k=9)
        port.result("keep_top_k", logits=logits, k=9, ties="lowest_id")
        probs = port.result("softmax", logits=logits)["probs"]
        port.result("multinomial", probs=probs, num_samples=3, seed="5")
        port.result("inverse_cdf", probs=probs, uniform=np.array([0, 0.5, 0.99]))
        context, embedding = logits[:, :7], logits[:, 7:707].reshape(-1, 7)
        port.result("lm_head", context=context, embedding=embedding, temperature=0.7, k=50)
        port.result("open_bundle", path=str(bundle))
        port.result("step", context=0, uniform=0.5, temperature=0.7, k=50)
        port.result("sequence", contexts=[[0, 1], [2, 0]], temperature=0.7, k=50, seed="3")
        assert port.ask("stop") == {"result": {}}
        assert port.close() == 0, port.errors()
        assert port.errors() == ""


BARE = """
import { readFile } from "node:fs/promises";
import vm from "node:vm";
const context = vm.createContext({ TextDecoder, crypto: globalThis.crypto });
const evaluate = async (file) => {
  const module = new vm.SourceTextModule(await readFile(new URL(file, %s), "utf8"), { context });
  await module.link((name) => { throw new Error(`imports ${name}`); });
  await module.evaluate();
  return module.namespace;
};
const { lmHead, TorchGenerator, multinomial } = await evaluate("lm_head.mjs");
const { openBundle } = await evaluate("bundle.mjs");
const floats = (...numbers) => vm.runInContext(`Float32Array.of(${numbers})`, context);
const probs = lmHead(floats(2, 1), floats(1, 0, 0.8, 0.6, 0, 1, -1, 0), { temperature: 0.7, k: 2 });
console.log(multinomial(probs, new TorchGenerator(0).exponentials(4))[0], typeof openBundle);
"""


def test_the_modules_need_nothing_of_node() -> None:
    """In a context with the language's own objects, TextDecoder and crypto alone, as every browser has them."""
    folder = (PORTS / "javascript").as_uri() + "/"
    node = [tool("node", "nodejs"), "--no-warnings", "--experimental-vm-modules", "--input-type=module", "--eval"]
    run = subprocess.run([*node, BARE % json.dumps(folder)], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("1 function\n", "")


def code_block(folder: str, language: str) -> tuple[str, str]:
    """The example in a README and the output that it shows."""
    text = (PORTS / folder / "README.md").read_text("utf-8")
    found = re.search(rf"```{language}\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1], found[2]


def test_the_example_in_javascript() -> None:
    """It runs as printed."""
    code, output = code_block("javascript", "js")
    node = [tool("node", "nodejs"), "--input-type=module", "--eval", code]
    run = subprocess.run(node, capture_output=True, text=True, check=False, cwd=PORTS / "javascript")
    assert (run.stdout, run.stderr) == (output, "")


def test_the_example_in_c(tmp_path: Path) -> None:
    """It compiles without cJSON, and runs as printed."""
    code, output = code_block("c", "c")
    (tmp_path / "example.c").write_text(code, "utf-8")
    source, program = PORTS / "c", tmp_path / "example"
    compiler = [
        tool("gcc", "gcc"),
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        f"-I{source}",
        "-o",
        program,
    ]
    subprocess.run([*compiler, tmp_path / "example.c", source / "lm_head.c", "-lm"], check=True)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == output

"""Bundles read by the C and the JavaScript port: steps and sequences on them, and those that must be refused."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import reference
from parity_tests.judges.draws import judge_draw
from parity_tests.strategies import FixedNoise
from parity_tests.verdict import compare
from ports.checker.errors import RefusedError
from weights_export.__main__ import main as export

from .c_and_js import f32
from .wire import Port

spec = pytest.mark.spec
NAN = np.nan


@spec("HEAD-1", "CDF-1")
def test_steps_on_a_bundle(port: Port, bundle: Path, weights: tuple[np.ndarray, np.ndarray]) -> None:
    """Every context of the bundle, at full vocabulary."""
    context, embedding = weights
    shape = {"vocab_size": len(embedding), "hidden_size": embedding.shape[1], "contexts": len(context)}
    assert port.result("open_bundle", path=str(bundle)) == shape
    for i, uniform in enumerate(np.linspace(0, 1, len(context), endpoint=False).tolist()):
        settings: dict[str, Any] = {"temperature": [0.7, 1.3][i % 2], "k": [50, 1, 10**6][i % 3]}
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
        settings: dict[str, Any] = {"temperature": 0.9, "k": 40}
        found = port.result("sequence", contexts=steps.tolist(), seed=str(seed), **settings)["token_ids"]
        assert np.shape(found) == steps.shape
        rng = reference.TorchGenerator(seed)
        for which, tokens in zip(steps, found, strict=True):
            noise = rng.standard_exponential((batch, len(embedding)), f32)
            probs = reference.lm_head(context[which], embedding, **settings)
            ours = reference.multinomial(probs, rng=FixedNoise(noise))[:, 0]
            for b in np.flatnonzero(ours != tokens):
                assert judge_draw(context[which[b]], embedding, noise[b], tokens[b], **settings) <= 1


def test_what_is_exported_now(port: Port, bundle: Path, tmp_path: Path) -> None:
    """The exporter of this checkout writes what the ports read."""
    assert export(["tiny", "-o", str(tmp_path / "head"), "--head-only"]) == 0
    shape = {"vocab_size": 2048, "hidden_size": 192, "contexts": 0}
    assert port.result("open_bundle", path=str(tmp_path / "head")) == shape
    for name in ("head.safetensors", "tokens.json"):
        assert (tmp_path / "head" / name).read_bytes() == (bundle / name).read_bytes()


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
    """A folder with the name of a file."""
    (folder / "head.safetensors").unlink()
    (folder / "head.safetensors").mkdir()


DAMAGED = {
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest is not JSON": damage("manifest.json", lambda b: b[:-20]),
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


def test_a_sealed_bundle_opens(port: Port, bundle: Path, tmp_path: Path) -> None:
    """Sealing alone makes nothing wrong."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    sealed(folder)
    assert "result" in port.ask("open_bundle", path=str(folder))


@pytest.mark.parametrize("changes", WRONG)
def test_sealed_bundles_that_contradict_themselves(
    port: Port, bundle: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Nothing is read outside its file, and nothing of another shape."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
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

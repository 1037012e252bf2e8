"""The exported bundle of the embedded model: what is in it is right, and the heads agree on it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import reference
from reference import bounds
from weights_export.bundle import open_bundle, token_bytes, write
from weights_export.checkpoint import PROMPTS, load

from .heads import Head
from .verdict import compare

spec = pytest.mark.spec


@spec("HEAD-1", "LOGITS-2")
def test_heads_agree_on_the_bundle(head: Head, bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    inputs = {"context": bundle.context, "embedding": bundle.embedding}
    logits = head.compute_logits(**inputs)
    compare("compute_logits", reference.compute_logits(**inputs), logits, **inputs).require()
    for temperature in (0.5, 0.7, 1.0, 2.0):
        for k in (1, 50, 2048):
            settings = {**inputs, "temperature": temperature, "k": k}
            compare("lm_head", reference.lm_head(**settings), head.lm_head(**settings), **settings).require()


@spec("LOGITS-2", "LOGITS-5")
def test_expected_logits(bundle_folder: Path, checkpoint: Any) -> None:
    """Exact logits against mpmath on a sample, PyTorch's within the bound of them; the embedding is the tied one."""
    import mpmath

    bundle = open_bundle(bundle_folder)
    mpmath.mp.dps = 60
    rng = np.random.default_rng(0)
    for n, v in zip(rng.integers(0, len(PROMPTS), 40), rng.integers(0, 2048, 40), strict=True):
        exact = mpmath.fdot(map(float, bundle.context[n]), map(float, bundle.embedding[v]))
        assert bundle.logits_exact[n, v] == float(exact)
    bound = bounds.logits(bundle.context, bundle.embedding, "float32")
    assert (np.abs(bundle.logits - bundle.logits_exact) <= bound).all()
    assert bundle.manifest["tied"] is True
    np.testing.assert_array_equal(bundle.embedding, checkpoint.model.transformer.wte.weight.detach().numpy())


@spec("LOGITS-3")
def test_context_is_the_norm_of_the_block_output(bundle_folder: Path) -> None:
    """Recomputed in float64 from the exported parts; layer norm in float32 errs by a few units in the last place."""
    bundle = open_bundle(bundle_folder)
    head = safetensors.numpy.load_file(bundle_folder / "head.safetensors")
    x = bundle.block_output.astype(np.float64)
    d = x.shape[1]
    mean = x.mean(axis=1, keepdims=True)
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + bundle.manifest["layer_norm_epsilon"])
    normed = (x - mean) / deviation * head["final_norm.weight"] + head["final_norm.bias"]
    # gamma_d for the mean, twice that for the variance, and the five operations around them.
    scale = (np.abs(x) + np.abs(x).mean(axis=1, keepdims=True)) / deviation * np.abs(head["final_norm.weight"])
    bound = bounds.gamma(3 * d + 8, "float32") * (scale + np.abs(normed) + np.abs(head["final_norm.bias"]))
    assert (np.abs(bundle.context - normed) <= bound).all()


def test_token_bytes_decode_as_the_tokenizer_does(checkpoint: Any, bundle_folder: Path) -> None:
    tokenizer = checkpoint.tokenizer
    bundle = open_bundle(bundle_folder)
    assert bundle.token_bytes == token_bytes(tokenizer, 2048)
    for i, raw in enumerate(bundle.token_bytes):
        assert raw.decode("utf-8", errors="replace") == tokenizer.decode([i])
    for record in bundle.prompts:
        assert b"".join(bundle.token_bytes[i] for i in record["token_ids"]).decode() in record["text"] + "\n"


def test_same_bytes_again(tmp_path: Path, checkpoint: Any, bundle_folder: Path) -> None:
    write(checkpoint, PROMPTS, tmp_path / "again")
    for path in bundle_folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_an_existing_folder_is_not_touched(tmp_path: Path, checkpoint: Any) -> None:
    with pytest.raises(FileExistsError, match=r"exists: name a new folder"):
        write(checkpoint, PROMPTS[:1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_nothing(tmp_path: Path, checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("weights_export.bundle._dump", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write(checkpoint, PROMPTS[:1], tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found(tmp_path: Path, bundle_folder: Path) -> None:
    for name in ("head.safetensors", "contexts.safetensors", "expected.safetensors", "prompts.json", "tokens.json"):
        broken = tmp_path / name
        shutil.copytree(bundle_folder, broken)
        content = bytearray((broken / name).read_bytes())
        content[-2] ^= 1
        (broken / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} does not match the size and sha256"):
            open_bundle(broken)
    shutil.copytree(bundle_folder, tmp_path / "newer")
    manifest = json.loads((tmp_path / "newer" / "manifest.json").read_text())
    (tmp_path / "newer" / "manifest.json").write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(ValueError, match="version 99 is not lm-head-bundle 1"):
        open_bundle(tmp_path / "newer")


def test_the_embedded_checkpoint_is_plain_transformers() -> None:
    """It loads offline with nothing but Transformers, tied, in float32, and fits its size."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    from weights_export.checkpoint import TINY

    model = GPT2LMHeadModel.from_pretrained(TINY)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert str(model.dtype) == "torch.float32"
    assert (
        AutoTokenizer.from_pretrained(TINY).decode(AutoTokenizer.from_pretrained(TINY).encode("hear me")) == "hear me"
    )
    assert (TINY / "model.safetensors").stat().st_size <= 6_000_000


def test_a_missing_checkpoint() -> None:
    with pytest.raises(FileNotFoundError, match=r"model 'no/such': .*config.json; pass 'tiny' or a checkpoint folder"):
        load("no/such")

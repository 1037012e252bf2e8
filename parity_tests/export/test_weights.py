"""The exported bundle of the embedded model: what is in it is right, and the heads agree on it."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2LMHeadModel

import reference
from reference import bounds
from weights_export import BundleError, manifest, mask_padding, open_bundle, tokens
from weights_export.checkpoint import PROMPTS, TINY, load
from weights_export.exact import exact_logits, rounded_sum
from weights_export.export import Options, export
from weights_export.forward import one_thread
from weights_export.source import local

spec = pytest.mark.spec


@spec("LOGITS-2", "LOGITS-5")
def test_expected_logits(bundle_folder: Path, checkpoint: Any) -> None:
    """Exact logits against mpmath on a sample, PyTorch's within the bound of them; the embedding is the tied one."""
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


@spec("LOGITS-2", "LOGITS-3")
def test_contexts_are_those_of_the_whole_model(bundle_folder: Path, checkpoint: Any) -> None:
    """The same bits, and the model's own logits within the bound."""
    bundle = open_bundle(bundle_folder)
    with one_thread(), torch.no_grad():
        for n, prompt in enumerate(bundle.prompts):
            ids = torch.tensor([prompt["token_ids"]])
            hidden = checkpoint.model.transformer(ids).last_hidden_state[0, -1].numpy()
            np.testing.assert_array_equal(bundle.context[n], hidden)
            logits = checkpoint.model(ids).logits[0, -1].numpy()
            bound = bounds.logits(bundle.context[n], bundle.embedding, "float32")
            assert (np.abs(logits - bundle.logits_exact[n]) <= bound).all()


def test_prompts_cover_what_they_should(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    lengths = [len(prompt["token_ids"]) for prompt in bundle.prompts]
    assert len(lengths) == len(PROMPTS) >= 16
    assert min(lengths) == 1
    assert max(lengths) == json.loads((TINY / "config.json").read_text())["n_positions"]


def test_token_bytes_decode_as_the_tokenizer_does(checkpoint: Any, bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    assert bundle.token_bytes == tokens.read_tokens(Tokenizer.from_file(str(TINY / "tokenizer.json")), 2048).tokens
    assert bundle.special == set(checkpoint.tokenizer.all_special_ids) == {0}
    for i, raw in enumerate(bundle.token_bytes):
        assert raw.decode("utf-8", errors="replace") == checkpoint.tokenizer.decode([i])
    for record in bundle.prompts:
        assert record["token_ids"] == checkpoint.tokenizer.encode(record["text"])[-256:]
        assert b"".join(bundle.token_bytes[i] for i in record["token_ids"]).decode() in record["text"]


def test_same_bytes_again(tmp_path: Path, checkpoint: Any, bundle_folder: Path) -> None:
    export(checkpoint.source, Options(tmp_path / "again", PROMPTS))
    for path in bundle_folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_opening_makes_no_copy(bundle_folder: Path) -> None:
    """Arrays are read-only views of the file, at the place that the manifest gives."""
    bundle = open_bundle(bundle_folder)
    content = (bundle_folder / "head.safetensors").read_bytes()
    place = bundle.manifest["tensors"]["embedding"]
    assert bundle.embedding.tobytes() == content[place["offset"] :]
    for name in ("embedding", "final_norm_weight", "final_norm_bias", "block_output", "context", "logits"):
        array = getattr(bundle, name)
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_opening_needs_neither_torch_nor_transformers(bundle_folder: Path) -> None:
    program = (
        "import sys, numpy, reference; before = set(sys.modules)\n"
        f"from weights_export.bundle import open_bundle; bundle = open_bundle({str(bundle_folder)!r})\n"
        "bundle.verify(); bundle.reproduce(); bundle.embedding\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "assert new <= {'weights_export', 'reference'}, new"
    )
    root = Path(reference.__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("container", ["safetensors", "npz", "bin"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_container_and_dtype(tmp_path: Path, container: str, dtype: str) -> None:
    """Each holds the rounded embedding, verifies, reproduces, and is read by the format's own library."""
    settings = Options(tmp_path / "bundle", PROMPTS[:2], container=container, dtype=dtype)
    export(local("tiny", TINY), settings)
    bundle = open_bundle(settings.output)
    bundle.verify()
    bundle.reproduce()
    exact = safetensors.numpy.load_file(TINY / "model.safetensors")["transformer.wte.weight"].astype(np.float32)
    rounded = exact.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    np.testing.assert_array_equal(bundle.embedding, rounded)
    assert bundle.embedding.dtype == rounded.dtype
    bits = rounded.view(np.uint16) if dtype == "bfloat16" else rounded
    if container == "npz":
        np.testing.assert_array_equal(np.load(settings.output / "head.npz")["embedding"], bits)
    elif container == "safetensors":
        theirs = load_file(settings.output / "head.safetensors")["embedding"]
        assert str(theirs.dtype) == f"torch.{dtype}"
        np.testing.assert_array_equal(theirs.to(torch.float32).numpy(), rounded.astype(np.float32))


def test_exact_logits_are_rounded_once() -> None:
    """Against fractions, for numbers of very different size, that cancel, and zero."""
    rng = np.random.default_rng(3)
    h = (rng.standard_normal((4, 33)) * np.exp(rng.standard_normal((4, 33)) * 12)).astype(np.float32)
    w = (rng.standard_normal((9, 33)) * np.exp(rng.standard_normal((9, 33)) * 12)).astype(np.float32)
    w[1], h[1, 20:], w[2, :-1] = 0, np.float32(1e-45), np.float32(3e38)
    w[3, 0], w[3, 1], h[2, 0], h[2, 1] = 1e30, -1e30, 1e8, 1e8
    for n, row in enumerate(np.concatenate(list(exact_logits(h, [w[:4], w[4:]])), axis=1)):
        for v, logit in enumerate(row):
            pairs = zip(map(float, h[n]), map(float, w[v]), strict=True)
            assert logit == float(sum(Fraction(a) * Fraction(b) for a, b in pairs))


def test_sums_are_rounded_once() -> None:
    """Against `math.fsum`: numbers of very different size, ties at the middle, sums that cancel or are zero."""
    rng = np.random.default_rng(4)
    for n in range(1, 13):
        shape = (n, 2_000)
        spread = rng.standard_normal(shape) * 2.0 ** rng.integers(-60, 60, shape)
        ties = np.rint(rng.standard_normal(shape) * 4) * 2.0 ** rng.integers(-54, 1, shape)
        cancelling = np.concatenate([spread, -spread[::-1], np.full((1, shape[1]), 2.0**-70)])
        for terms in (spread, ties, cancelling, np.concatenate([spread, -spread])):
            np.testing.assert_array_equal(rounded_sum(terms), [math.fsum(column) for column in terms.T.tolist()])


@spec("DRAW-2", "LOGITS-1")
def test_masked_padding_is_never_drawn() -> None:
    logits = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    logits[:, 60:] = 50
    probs = reference.softmax(mask_padding(logits, 60))
    assert (reference.multinomial(probs, 60, rng=np.random.default_rng(1)) < 60).all()
    with pytest.raises(ValueError, match=r"vocab_size is 65: it must be from 1 to 64"):
        mask_padding(logits, 65)


def test_an_existing_folder_is_not_touched(tmp_path: Path, checkpoint: Any) -> None:
    with pytest.raises(FileExistsError, match=r"exists: name a new folder"):
        export(checkpoint.source, Options(tmp_path, PROMPTS[:1]))
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found(tmp_path: Path, bundle_folder: Path) -> None:
    for name in ("head.safetensors", "contexts.safetensors", "expected.safetensors", "prompts.json", "tokens.json"):
        broken = tmp_path / name
        shutil.copytree(bundle_folder, broken)
        content = bytearray((broken / name).read_bytes())
        content[-2] ^= 1
        (broken / name).write_bytes(content)
        with pytest.raises(BundleError, match=rf"{name} does not match its sha256"):
            open_bundle(broken).verify()
    shutil.copytree(bundle_folder, tmp_path / "newer")
    content = json.loads((tmp_path / "newer" / "manifest.json").read_text())
    (tmp_path / "newer" / "manifest.json").write_bytes(manifest.seal({**content, "version": 99}))
    with pytest.raises(BundleError, match="version 99 is not lm-head-bundle 2, 3 or 4"):
        open_bundle(tmp_path / "newer")


@pytest.mark.parametrize(
    ("tensor", "start", "named"), [("logits", 2048 * 3 + 7, r"logits\[3, 7\]"), ("block_output", 5, r"context\[0, 5\]")]
)
def test_answers_that_do_not_belong_to_the_contexts_are_found(
    tmp_path: Path, bundle_folder: Path, tensor: str, start: int, named: str
) -> None:
    """A bundle with every hash right and one number off by 1e-3."""
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    content = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    file = content["tensors"][tensor]["file"]
    path = tmp_path / "bundle" / file
    raw = bytearray(path.read_bytes())
    start = content["tensors"][tensor]["offset"] + 4 * start
    raw[start : start + 4] = (np.frombuffer(raw[start : start + 4], "<f4") + np.float32(1e-3)).tobytes()
    path.write_bytes(raw)
    content["files"][file]["sha256"] = hashlib.sha256(raw).hexdigest()
    del content["sha256"]
    (tmp_path / "bundle" / "manifest.json").write_bytes(manifest.seal(content))
    bundle = open_bundle(tmp_path / "bundle")
    bundle.verify()
    with pytest.raises(BundleError, match=rf"{named} is .*: contexts, embedding and answers do not belong"):
        bundle.reproduce()


def test_the_embedded_checkpoint_is_plain_transformers() -> None:
    """It loads offline with nothing but Transformers, tied, in float32, and fits its size."""
    model = GPT2LMHeadModel.from_pretrained(TINY)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert str(model.dtype) == "torch.float32"
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    assert tokenizer.decode(tokenizer.encode("hear me")) == "hear me"
    assert (TINY / "model.safetensors").stat().st_size <= 6_000_000


def test_a_missing_checkpoint() -> None:
    with pytest.raises(
        FileNotFoundError,
        match=r"model 'no/such/folder': there is no folder no/such/folder; pass 'tiny', a checkpoint folder",
    ):
        load("no/such/folder")

"""Checkpoints as they exist: prefixes, heads tied or not, 16 bits, padded tables, shards, other layouts, pickles."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import GPT2Config, GPT2LMHeadModel

import reference
from reference import bounds
from weights_export import Bundle, BundleError, mask_padding, open_bundle
from weights_export import __main__ as command
from weights_export.checkpoint import load
from weights_export.export import Options, export
from weights_export.forward import one_thread
from weights_export.source import local

from .checkpoints import SMALL, make

spec = pytest.mark.spec
PROMPTS = ("Hello", "a", "こんにちは", "x = 1\n" * 40)


def exported(folder: Path, output: Path, **options: Any) -> Bundle:
    export(local(str(folder), folder), Options(output, PROMPTS, **options))
    bundle = open_bundle(output)
    bundle.verify()
    return bundle


def refused(tmp_path: Path, message: str, **options: Any) -> None:
    with pytest.raises(BundleError, match=message):
        exported(tmp_path / "model", tmp_path / "bundle", **options)


def transformers_model(tensors: dict[str, np.ndarray], tied: bool = True) -> GPT2LMHeadModel:
    """The same parameters in Transformers' own model, float32."""
    settings: dict[str, Any] = {"vocab_size": len(tensors["wte.weight"]), "tie_word_embeddings": tied, **SMALL}
    settings |= {"bos_token_id": 0, "eos_token_id": 0}
    model: GPT2LMHeadModel = GPT2LMHeadModel(GPT2Config(**settings)).eval()
    state = {name if name.startswith("lm_head") else f"transformer.{name}": a for name, a in tensors.items()}
    state.setdefault("lm_head.weight", tensors["wte.weight"])
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return model


def check(bundle: Bundle, tensors: dict[str, np.ndarray], head: str = "wte.weight", tied: bool = True) -> None:
    """Embedding and contexts are those of the model, to the bit, and its logits are within the bound."""
    v = bundle.manifest["vocab_size"]
    np.testing.assert_array_equal(bundle.embedding, tensors[head][:v])
    assert bundle.manifest["tied"] is tied
    model = transformers_model(tensors, tied)
    with torch.no_grad(), one_thread():
        for n, prompt in enumerate(bundle.prompts):
            ids = torch.tensor([prompt["token_ids"]])
            np.testing.assert_array_equal(bundle.context[n], model.transformer(ids).last_hidden_state[0, -1].numpy())
            logits = model(ids).logits[0, -1, :v].numpy()
            bound = bounds.logits(bundle.context[n], bundle.embedding, "float32")
            assert (np.abs(logits - bundle.logits_exact[n]) <= bound).all()
    bundle.reproduce()


@spec("LOGITS-3", "LOGITS-5")
@pytest.mark.parametrize(
    "kind",
    [
        {"prefix": "transformer."},
        {"prefix": ""},
        {"prefix": "_orig_mod.transformer."},
        {"lm_head": "tied"},
        {"dtype": "float16"},
        {"dtype": "bfloat16"},
        {"shards": 3},
        {"shards": 2, "dtype": "bfloat16", "lm_head": "tied", "prefix": ""},
        {"legacy_tokenizer": True},
        {"buffers": True, "prefix": ""},
    ],
    ids=str,
)
def test_tied(tmp_path: Path, kind: dict[str, Any]) -> None:
    tensors = make(tmp_path / "model", **kind)
    bundle = exported(tmp_path / "model", tmp_path / "bundle")
    check(bundle, tensors)
    assert bundle.manifest["model"] == "model", "a folder's name, not its path"
    assert str(tmp_path) not in (tmp_path / "bundle" / "manifest.json").read_text()
    assert bundle.special == {299}
    assert bundle.token_bytes[299] == b"<|endoftext|>"


@spec("LOGITS-5")
@pytest.mark.parametrize("lm_head", ["own", "tied"])
def test_untied(tmp_path: Path, lm_head: str) -> None:
    """Exported as what it is, even where the two tables happen to be equal."""
    tensors = make(tmp_path / "model", lm_head=lm_head, tied=False)
    check(exported(tmp_path / "model", tmp_path / "bundle"), tensors, "lm_head.weight", tied=False)


@spec("LOGITS-5")
def test_config_says_tied_and_the_tensors_differ(tmp_path: Path) -> None:
    tensors = make(tmp_path / "model", lm_head="tied")
    changed = dict(tensors, **{"lm_head.weight": tensors["lm_head.weight"].copy()})
    changed["lm_head.weight"][7, 3] += 1
    save_file(changed, tmp_path / "model" / "model.safetensors")
    refused(tmp_path, r"differs .* in 1 of 4,800 numbers, by up to 1; pass --tied .* or --untied")
    assert not (tmp_path / "bundle").exists()
    check(
        exported(tmp_path / "model", tmp_path / "tied", tied=True), {**tensors, "lm_head.weight": tensors["wte.weight"]}
    )
    check(exported(tmp_path / "model", tmp_path / "untied", tied=False), changed, "lm_head.weight", tied=False)


@spec("LOGITS-5")
def test_config_says_untied_and_there_is_no_head(tmp_path: Path) -> None:
    tensors = make(tmp_path / "model", tied=False)
    refused(tmp_path, r"not tied, but there is no lm_head.weight; pass --tied")
    refused(tmp_path, r"no lm_head.weight: without it only --tied is possible", tied=False)
    check(exported(tmp_path / "model", tmp_path / "bundle", tied=True), tensors)


@spec("LOGITS-5")
def test_a_bias_is_refused(tmp_path: Path) -> None:
    tensors = make(tmp_path / "model")
    save_file({**tensors, "lm_head.bias": np.zeros(300, np.float32)}, tmp_path / "model" / "model.safetensors")
    refused(tmp_path, r"has a bias of the output layer, lm_head\.bias: a gpt2 has none")
    refused(tmp_path, r"has a bias of the output layer, lm_head\.bias: a gpt2 has none", head_only=True)


@spec("LOGITS-1", "DRAW-2", "CDF-2")
@pytest.mark.parametrize("nanogpt", [False, True])
@pytest.mark.parametrize("rows", ["all", "vocab"])
def test_padded_tables(tmp_path: Path, rows: str, nanogpt: bool) -> None:
    """347 rows for 300 tokens: no row of padding can be drawn."""
    tensors = make(tmp_path / "model", rows=347, nanogpt=nanogpt)
    bundle = exported(tmp_path / "model", tmp_path / "bundle", rows=rows)
    assert bundle.manifest["vocab_size"] == len(bundle.token_bytes) == len(bundle.embedding) == 300
    assert bundle.manifest["embedding_rows"] == (347 if rows == "all" else 300)
    assert bundle.logits.shape == (len(PROMPTS), 300)
    if rows == "all":
        np.testing.assert_array_equal(np.concatenate([bundle.embedding, bundle.padding]), tensors["wte.weight"])
    else:
        with pytest.raises(BundleError, match="holds no padding"):
            _ = bundle.padding
    if nanogpt:  # to GPT-2's layout: products transposed, biases zero
        tensors = as_gpt2(tensors)
    check(bundle, tensors)
    # So hot that every token is nearly as probable as any other.
    probs = reference.lm_head(bundle.context, bundle.embedding, temperature=1e6, k=10_000)
    drawn = reference.multinomial(probs, 300, rng=np.random.default_rng(0))
    assert set(drawn.ravel().tolist()) == set(range(300))
    padded = bundle.context @ tensors["wte.weight"].T
    probs = reference.softmax(reference.apply_temperature(mask_padding(padded, 300), 1e6))
    assert set(reference.multinomial(probs, 300, rng=np.random.default_rng(0)).ravel().tolist()) == set(range(300))
    largest = np.full(len(PROMPTS), 1 - 2.0**-53)
    assert (reference.inverse_cdf(probs, largest) < 300).all()


def as_gpt2(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint of nanoGPT in GPT-2's layout."""
    result = {}
    for name, array in tensors.items():
        product = re.search(r"\.(c_attn|c_proj|c_fc)\.weight$", name)
        result[name] = np.ascontiguousarray(array.T) if product else array
        if product or ".ln_" in f".{name}":
            bias = name.removesuffix("weight") + "bias"
            result[bias] = np.zeros(result[name].shape[-1], dtype=np.float32)
    return result


@pytest.mark.parametrize("name", ["pytorch_model.bin", "ckpt.pt", "model.pth"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path: Path, name: str) -> None:
    make(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / name)
    for export_it in (lambda: exported(tmp_path / "model", tmp_path / "bundle"), lambda: load(str(tmp_path / "model"))):
        with pytest.raises(
            BundleError, match=rf"only as a pickle \({name}\).*: python -c \"import shutil; from transformers"
        ):
            export_it()


def test_the_project_loads_no_pickle() -> None:
    """Neither of the two ways to load one appears in the code, apart from this file's own search."""
    root = Path(reference.__file__).parents[1]
    words = re.compile("torch" + r"\.load\b|^\s*(import|from) " + "pickle", re.MULTILINE)
    files = [f for d in ("reference", "torch_impl", "weights_export", "parity_tests") for f in (root / d).rglob("*.py")]
    assert len(files) > 40
    assert [str(f) for f in files if words.search(f.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, r"has no tensor 'embed_tokens.weight', .*; its first ones are transformer\.h\.0"),
        ({"n_embd": 32}, r"has shape \(300, 16\), config.json says n_embd = 32"),
        (
            {"n_layer": 3},
            r"lacks transformer.h.2.attn.c_attn.bias, .* and 9 more tensors, which Transformers would fill",
        ),
        (
            {"n_layer": 1},
            r"has transformer.h.1.attn.c_attn.weight, .* and 8 more tensors, for which config.json has no place",
        ),
        ({"n_positions": 64}, r"wpe.weight of shape \(32, 16\) in place of \(64, 16\), which config.json says"),
        ({"vocab_size": 299}, r"has shape \(300, 16\), config.json says vocab_size = 299"),
        ({"n_layer": 0}, r"n_layer is '0': it must be an integer >= 1"),
        ({"vocab_size": "many"}, r"vocab_size is 'many': it must be an integer >= 1"),
    ],
)
def test_a_config_of_something_else(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    make(tmp_path / "model", **{key: value for key, value in change.items() if key == "model_type"})
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, **change}))
    refused(tmp_path, message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_numbers_that_cannot_be_exported(tmp_path: Path) -> None:
    tensors = make(tmp_path / "model")
    tensors["wte.weight"][5, 2] = 70_000
    save_file(tensors, tmp_path / "model" / "model.safetensors")
    refused(tmp_path, r"GPT2LMHeadModel, as float16 \(pass --dtype float32\),\[5, 2\] is inf", dtype="float16")
    tensors["wte.weight"][5, 2] = np.nan
    save_file(tensors, tmp_path / "model" / "model.safetensors")
    refused(tmp_path, r"wte.weight\[5, 2\] is nan")


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/outside.safetensors", "sub/x.safetensors", "x.bin"])
def test_an_index_that_leaves_the_folder(tmp_path: Path, name: str) -> None:
    make(tmp_path / "model", shards=2)
    index = {"weight_map": {"wte.weight": name}}
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(tmp_path, r"shards must be safetensors files beside the index")


def test_a_missing_shard_and_a_truncated_file(tmp_path: Path) -> None:
    make(tmp_path / "model", shards=2)
    (tmp_path / "model" / "model-00002-of-00002.safetensors").unlink()
    refused(tmp_path, r"model-00002-of-00002.safetensors is missing")
    make(tmp_path / "short")
    path = tmp_path / "short" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"the tensors end at byte \d+, the file has \d+; truncated"):
        exported(tmp_path / "short", tmp_path / "bundle")


def test_a_token_without_a_row(tmp_path: Path) -> None:
    """More ids than rows are refused, for a head alone too."""
    make(tmp_path / "model", rows=280)
    refused(tmp_path, r"its tokenizer has ids up to 299, its embedding rows up to 279 only: resize the embedding")
    refused(tmp_path, r"its tokenizer has ids up to 299, its embedding rows up to 279 only", head_only=True)


def test_head_only_needs_no_tokenizer(tmp_path: Path) -> None:
    tensors = make(tmp_path / "model", rows=347)
    (tmp_path / "model" / "tokenizer.json").unlink()
    refused(tmp_path, r"has no tokenizer .* or export it with --head-only")
    bundle = exported(tmp_path / "model", tmp_path / "bundle", head_only=True)
    np.testing.assert_array_equal(bundle.embedding, tensors["wte.weight"])
    np.testing.assert_array_equal(bundle.final_norm_weight, tensors["ln_f.weight"])
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == ["head.safetensors", "manifest.json"]
    for part in ("context", "logits", "prompts", "token_bytes"):
        with pytest.raises(BundleError, match=r"--head-only"):
            getattr(bundle, part)


def test_prompts_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "model")
    (tmp_path / "lines.txt").write_text("One\n\nZwei\n")
    (tmp_path / "list.json").write_text(json.dumps(["One\ntwo"]))
    for name, texts in (("lines.txt", ["One", "Zwei"]), ("list.json", ["One\ntwo"])):
        arguments = [str(tmp_path / "model"), "-o", str(tmp_path / f"b-{name}"), "--prompts", str(tmp_path / name)]
        assert command.main(arguments) == 0
        assert [prompt["text"] for prompt in open_bundle(tmp_path / f"b-{name}").prompts] == texts
    for name, content, message in (
        ("empty.txt", b"\n", "holds no prompts"),
        ("latin.txt", b"\xe9", "is not UTF-8"),
        ("object.json", b"{}", "must be a JSON list of strings"),
    ):
        (tmp_path / name).write_bytes(content)
        arguments = [str(tmp_path / "model"), "-o", str(tmp_path / "no"), "--prompts", str(tmp_path / name)]
        assert command.main(arguments) == 1
        assert message in capsys.readouterr().err

"""What Transformers would load, or nothing: folders as they are met, each with its cause in one sentence."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from weights_export import BundleError, open_bundle, proof
from weights_export import __main__ as command
from weights_export.checkpoint import load
from weights_export.export import Options, export
from weights_export.families import WRAPPERS, known_family, text_config
from weights_export.forward import run
from weights_export.source import local

from ..__main__ import main as parity_tests
from .checkpoints import byte_tokenizer, make
from .families import make_folder, make_model

PROMPTS = ("Hello", "a b")


def change(path: Path, **settings: Any) -> None:
    """Change a JSON file; a value of None removes the key."""
    content = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def rename(folder: Path, new: Callable[[str], str | None]) -> None:
    """Save the tensors of a checkpoint under new names; those without one are left out."""
    path = folder / "model.safetensors"
    tensors = {new(name): tensor for name, tensor in load_file(path).items()}
    save_file({name: tensor for name, tensor in tensors.items() if name is not None}, path)


def lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n")


def adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def only_a_gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.gguf")


def float64(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({name: tensor.double() for name, tensor in load_file(path).items()}, path)


def encoder_decoder(folder: Path) -> None:
    sizes: dict[str, Any] = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 300}
    T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(folder)


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


def empty_tokenizer(folder: Path) -> None:
    no_tokenizer(folder)
    (folder / "vocab.txt").write_text("[UNK]\nhello\nworld\n")


def two_of_a_kind(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "module.model.norm.weight": tensors["model.norm.weight"].clone()}, path)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a missing layer": (
        lambda f: change(f / "config.json", num_hidden_layers=3),
        r"lacks model.layers.2.* with random",
    ),
    "a layer too many": (lambda f: change(f / "config.json", num_hidden_layers=1), r"has model.layers.1.*no place"),
    "another shape": (lambda f: change(f / "config.json", intermediate_size=48), r"of shape \(32, 40\) in place of"),
    "another vocabulary": (lambda f: change(f / "config.json", vocab_size=299), r"config.json says vocab_size = 299"),
    "a missing norm": (
        lambda f: rename(f, lambda n: None if n == "model.norm.weight" else n),
        r"no tensor 'norm.weight'",
    ),
    "an encoder-decoder": (encoder_decoder, r"t5 is an encoder-decoder"),
    "no tokenizer": (
        no_tokenizer,
        r"has no tokenizer \(.*\): add the files of its tokenizer, or export it with --head-only",
    ),
    "an empty tokenizer": (empty_tokenizer, r"Transformers does not load its tokenizer"),
    "a small embedding": (
        lambda f: change(f / "tokenizer.json", added_tokens=[_added(i) for i in range(299, 320)]),
        r"its tokenizer has ids up to 3\d\d, its embedding rows up to 306 only: resize the embedding",
    ),
    "a git-lfs pointer": (
        lambda f: lfs(f / "model.safetensors"),
        r"model.safetensors is a git-lfs pointer.*git lfs pull",
    ),
    "a configuration that is a pointer": (lambda f: lfs(f / "config.json"), r"config.json is a git-lfs pointer"),
    "an adapter": (adapter, r"is an adapter, not a model: merge it"),
    "only a GGUF": (only_a_gguf, r"pass its GGUF file itself, model.gguf"),
    "no model_type": (lambda f: change(f / "config.json", model_type=None), r"has no model_type.*: add it"),
    "an unknown model_type": (
        lambda f: change(f / "config.json", model_type="nonesuch"),
        r"Transformers does not load",
    ),
    "quantised weights": (
        lambda f: change(f / "config.json", quantization_config={"quant_method": "gptq"}),
        r"its weights are quantised \(gptq\).*: export the model that it was made from",
    ),
    "two names for one tensor": (two_of_a_kind, r"are both 'norm.weight'"),
    "weights that lie elsewhere": (
        lambda f: change(f / "config.json", transformers_weights="../x.safetensors"),
        r"names the weights '../x.safetensors': not a safetensors file beside it",
    ),
}


def _added(i: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": i, "content": f"<more{i}>", "special": False, **flags}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the exporter and by side-by-side; nothing is written."""
    damage, message = REFUSED[name]
    make_folder(tmp_path / "model", "llama")
    damage(tmp_path / "model")
    assert command.main([str(tmp_path / "model"), "-o", str(tmp_path / "bundle")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, error), error
    assert "Traceback" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert parity_tests(["side-by-side", "Hello", "--model", str(tmp_path / "model")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("side-by-side: ")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""


def test_float64_is_no_dtype_of_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way out is named; side-by-side takes it by itself, as Transformers rounds such a model to float32."""
    make_folder(tmp_path / "model", "llama")
    float64(tmp_path / "model")
    assert command.main([str(tmp_path / "model"), "-o", str(tmp_path / "bundle")]) == 1
    assert re.search(r"is float64, .* model.float\(\).save_pretrained", capsys.readouterr().err)
    assert parity_tests(["side-by-side", "Hello", "--model", str(tmp_path / "model")]) == 0


def exported(folder: Path, output: Path, **options: Any) -> Any:
    export(local(str(folder), folder), Options(output, PROMPTS, **options))
    return open_bundle(output)


@pytest.mark.parametrize("head_only", [False, True])
def test_a_single_file_comes_before_an_index(tmp_path: Path, head_only: bool) -> None:
    """Old shards lie beside the new model."""
    folder = tmp_path / "model"
    make(folder, shards=3)
    for path in folder.glob("model-*"):
        path.rename(path.with_suffix(".old"))
    tensors = make(folder, prefix="transformer.", seed=1)
    for path in folder.glob("*.old"):
        path.rename(path.with_suffix(".safetensors"))
    bundle = exported(folder, tmp_path / "bundle", head_only=head_only)
    np.testing.assert_array_equal(bundle.embedding, tensors["wte.weight"])
    assert [*bundle.manifest["checkpoint"]] == ["model.safetensors"]


@pytest.mark.parametrize("head_only", [False, True])
def test_a_tensor_in_two_shards(tmp_path: Path, head_only: bool) -> None:
    """Transformers reads every tensor of every shard, in order of their names: the last one counts."""
    folder = tmp_path / "model"
    make(folder, shards=2)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    first, last = (folder / f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    name = "transformer.wte.weight"
    shards = {path: load_file(path) for path in (first, last)}
    for i, (path, tensors) in enumerate(shards.items()):
        save_file({**tensors, name: torch.full((300, 16), 0.25 * (i + 1))}, path)
    for says in (first.name, last.name):
        index["weight_map"][name] = says
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        theirs = GPT2LMHeadModel.from_pretrained(folder).transformer.wte.weight.detach().numpy()
        bundle = exported(folder, tmp_path / says, head_only=head_only)
        np.testing.assert_array_equal(bundle.embedding, theirs)


@pytest.mark.parametrize("head_only", [False, True])
def test_tied_and_only_lm_head_is_kept(tmp_path: Path, head_only: bool) -> None:
    """What safetensors' `save_model` leaves of a tied GPT-2."""
    folder = tmp_path / "model"
    tensors = make(folder)
    model = GPT2LMHeadModel.from_pretrained(folder)
    save_model(model, str(folder / "model.safetensors"))
    assert "transformer.wte.weight" not in load_file(folder / "model.safetensors")
    bundle = exported(folder, tmp_path / "bundle", head_only=head_only)
    assert bundle.manifest["tied"] is True
    np.testing.assert_array_equal(bundle.embedding, tensors["wte.weight"])


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "_fsdp_wrapped_module.", "base_model.model.", "_orig_mod."])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_names_with_the_wrappers_of_training_tools(tmp_path: Path, family: str, prefix: str) -> None:
    """Also in the middle of a name, as FSDP puts them."""
    folder = tmp_path / "model"
    model = make_folder(folder, family, tied=False)
    rename(folder, lambda name: prefix + name.replace("layers.", "layers._fsdp_wrapped_module."))
    bundle = exported(folder, tmp_path / "bundle")
    np.testing.assert_array_equal(bundle.embedding, model.get_output_embeddings().weight.detach()[:300])
    alone = exported(folder, tmp_path / "head", head_only=True)
    np.testing.assert_array_equal(alone.embedding, bundle.embedding)


@pytest.mark.parametrize("head_only", [False, True])
def test_three_tokens_are_added_beside_the_vocabulary(tmp_path: Path, head_only: bool) -> None:
    """vocab.json, merges.txt and added_tokens.json: trained rows are tokens, not padding."""
    folder = tmp_path / "model"
    make(folder, rows=303, legacy_tokenizer=True)
    (folder / "added_tokens.json").write_text(json.dumps({"<a>": 300, "<b>": 301, "<c>": 302}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    bundle = exported(folder, tmp_path / "bundle", head_only=head_only)
    assert bundle.manifest["vocab_size"] == 303
    assert bundle.token_bytes[300:] == [b"<a>", b"<b>", b"<c>"]


def test_the_flags_of_the_tokenizer_count(tmp_path: Path) -> None:
    """add_prefix_space gives other ids: those of Transformers."""
    folder = tmp_path / "model"
    make(folder, legacy_tokenizer=True)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True})
    )
    bundle = exported(folder, tmp_path / "bundle")
    theirs = AutoTokenizer.from_pretrained(folder)
    assert [prompt["token_ids"] for prompt in bundle.prompts] == [theirs(text)["input_ids"] for text in PROMPTS]
    assert bundle.token_bytes[bundle.prompts[0]["token_ids"][0]].startswith(b" ")


def test_the_window_under_its_other_name(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make(folder)
    change(folder / "config.json", n_positions=None, max_position_embeddings=32)
    export(local("m", folder), Options(tmp_path / "bundle", ("a b " * 40,)))
    assert len(open_bundle(tmp_path / "bundle").prompts[0]["token_ids"]) == 32


def test_prompts_as_people_mean_them(tmp_path: Path) -> None:
    """A byte order mark is no text; a line separator of Unicode ends no prompt, and neither does a form feed."""
    make(tmp_path / "model")
    (tmp_path / "prompts.txt").write_bytes(b"\xef\xbb\xbfOne\r\n" + "two\u2028three\ffour\n".encode())
    (tmp_path / "prompts.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(["One"]).encode())
    for name, texts in (("prompts.txt", ["One", "two\u2028three\ffour"]), ("prompts.json", ["One"])):
        arguments = [str(tmp_path / "model"), "-o", str(tmp_path / name[-3:]), "--prompts", str(tmp_path / name)]
        assert command.main(arguments) == 0
        assert [prompt["text"] for prompt in open_bundle(tmp_path / name[-3:]).prompts] == texts


def sentence_pieces(leading: str) -> Tokenizer:
    """A BPE tokenizer as Llama's or Gemma's: `▁` for a space, bytes for what has no piece."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abHelo", "▁a", "el", "lo", "▁H"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    merges = [("▁", "a"), ("e", "l"), ("l", "o"), ("▁", "H")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    if leading == "metaspace":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        return tokenizer
    replace = normalizers.Replace(" ", "▁")
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if leading == "dropped":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])
        parts.append(decoders.Strip(" ", 1, 0))
    else:
        tokenizer.normalizer = replace
    tokenizer.decoder = decoders.Sequence(parts)
    return tokenizer


@pytest.mark.parametrize("leading", ["kept", "dropped"])
@pytest.mark.parametrize("head_only", [False, True])
def test_tokens_of_sentencepiece(tmp_path: Path, leading: str, head_only: bool) -> None:
    """Joined bytes are what the tokenizer decodes, but for the space at the start, which the bundle tells."""
    folder = tmp_path / "model"
    make_folder(folder, "llama")
    no_tokenizer(folder)
    tokenizer = sentence_pieces(leading)
    tokenizer.save(str(folder / "tokenizer.json"))
    bundle = exported(folder, tmp_path / "bundle", head_only=head_only)
    tokens = json.loads((tmp_path / "bundle" / "tokens.json").read_text())
    assert tokens["leading_space"] == leading
    assert bundle.token_bytes[1 + 0x0A] == b"\n"
    for text in ("Hello a", "a\nb", "こんにちは", " a  b"):
        ids = tokenizer.encode(text).ids
        joined = b"".join(bundle.token_bytes[i] for i in ids).decode()
        assert joined.removeprefix(" " if leading == "dropped" else "") == tokenizer.decode(ids) == text


def word_pieces() -> Tokenizer:
    vocabulary = {piece: i for i, piece in enumerate(["[UNK]", "hello", "a", "b", "##lo", "hel"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


@pytest.mark.parametrize("head_only", [False, True])
def test_no_tokens_where_joined_bytes_are_not_the_text(
    tmp_path: Path, head_only: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """WordPiece writes spaces of its own: contexts and answers without tokens.json, and the command says why."""
    folder = tmp_path / "model"
    make_folder(folder, "llama")
    no_tokenizer(folder)
    word_pieces().save(str(folder / "tokenizer.json"))
    (tmp_path / "prompts.txt").write_text("hello a\n")
    arguments = [str(folder), "-o", str(tmp_path / "bundle"), "--prompts", str(tmp_path / "prompts.txt")]
    assert command.main([*arguments, *(["--head-only"] if head_only else [])]) == 0
    assert "no tokens.json, because not a byte-level tokenizer" in capsys.readouterr().out
    bundle = open_bundle(tmp_path / "bundle")
    assert "tokens.json" not in bundle.manifest["files"]
    assert head_only or bundle.prompts[0]["token_ids"] == [1, 2]
    with pytest.raises(BundleError, match=r"holds no tokens.json"):
        _ = bundle.token_bytes


def test_the_command_for_a_pickle_keeps_the_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPT-2 with BERT's tokenizer, as Chinese ones have: the printed command is run, and its folder exported."""
    folder = tmp_path / "model"
    tensors = make(folder, tokenizer_class="BertTokenizer")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "a", "b"]))
    model = GPT2LMHeadModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(BundleError, match=r"only as a pickle") as refusal:
        load(str(folder))
    code = re.findall(r'python -c "(.*)"$', str(refusal.value))
    monkeypatch.chdir(tmp_path)
    exec(code[0], {})
    bundle = exported(Path("converted"), tmp_path / "bundle")
    np.testing.assert_array_equal(bundle.embedding, tensors["wte.weight"][: len(bundle.embedding)])
    assert bundle.prompts[0]["token_ids"] == [2, 5, 3]


def test_settings_of_generation_are_applied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A generation_config.json with filters and penalties: by all three, and what is not is named."""
    make_folder(tmp_path, "llama")
    change(tmp_path / "generation_config.json", top_p=0.5, repetition_penalty=1.3, min_length=3)
    assert parity_tests(["side-by-side", "Hello", "--model", str(tmp_path), "--tokens", "8"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "from generation_config.json: repetition_penalty = 1.3, top_p = 0.5" in said
    assert "not applied, though generation_config.json sets it: min_length = 3" in said
    assert "IDENTICAL" in said


def test_a_folder_is_not_changed(tmp_path: Path) -> None:
    make_folder(tmp_path / "model", "gemma2")
    shutil.copytree(tmp_path / "model", tmp_path / "before")
    exported(tmp_path / "model", tmp_path / "bundle")
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "model" / path.name).read_bytes()
    assert len([*(tmp_path / "before").iterdir()]) == len([*(tmp_path / "model").iterdir()])
    assert byte_tokenizer(300).get_vocab_size() == 300


@pytest.mark.parametrize("head_only", [False, True])
def test_keys_that_a_family_ignores(tmp_path: Path, head_only: bool) -> None:
    """A Llama does nothing with a scale or a cap, whatever its configuration names."""
    folder = tmp_path / "model"
    make_folder(folder, "llama")
    change(folder / "config.json", logit_scale=0.3, logits_scaling=7.0, final_logit_softcapping=3.0)
    assert exported(folder, tmp_path / "bundle", head_only=head_only).output_layer.plain


@pytest.mark.parametrize(
    ("family", "settings", "expected"),
    [
        ("recurrent_gemma", {"logits_soft_cap": 3.3, "num_hidden_layers": 3}, {"cap": 3.3}),
        ("hyperclovax", {"logits_scaling": 0.3}, {"multiplier": 0.3}),
        ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 1, "logit_scale": "inv_sqrt_d_model"}, {}),
    ],
)
def test_a_family_that_is_proved_by_its_keys(
    tmp_path: Path, family: str, settings: dict[str, Any], expected: dict[str, float]
) -> None:
    """Not in the table: what each key does is what fits the model's own logits; and the lesson's head agrees."""
    model = make_folder(tmp_path / "model", family, **settings)
    layer = exported(tmp_path / "model", tmp_path / "bundle").output_layer
    assert {name: getattr(layer, name) for name in expected} == expected
    assert layer.plain is not bool(expected)
    assert parity_tests(["side-by-side", "Hello", "--model", str(tmp_path / "model")]) == 0
    assert model.config.model_type == family


def test_the_outer_configuration_says_whether_the_head_is_tied() -> None:
    """And its class, where it is silent: as Transformers 5 does for models that also see."""
    for name, (nested, tied) in WRAPPERS.items():
        config = AutoConfig.for_model(name)
        assert (config.get_text_config().model_type, config.tie_word_embeddings) == (nested, tied)
        assert text_config({"model_type": name, "text_config": {}})["tie_word_embeddings"] is tied
        inner = {"model_type": nested, "tie_word_embeddings": True}
        outer = {"model_type": name, "text_config": inner, "tie_word_embeddings": False}
        assert text_config(outer)["tie_word_embeddings"] is False
    assert known_family({"model_type": "aya_vision", "text_config": {"model_type": "cohere"}}) is None


def test_configurations_that_transformers_reads(tmp_path: Path) -> None:
    """Infinity, as older releases wrote it; a key of another family; buffers of older releases."""
    folder = tmp_path / "model"
    make_folder(folder, "llama")
    change(folder / "config.json", time_step_limit=[0.0, float("inf")], n_embd=99, n_positions=0)
    tensors = load_file(folder / "model.safetensors")
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file({**tensors, **buffer}, folder / "model.safetensors")
    for to, head_only in (("bundle", False), ("head", True)):
        assert exported(folder, tmp_path / to, head_only=head_only).manifest["hidden_size"] == 32


def test_the_special_tokens_of_the_tokenizer_count_for_a_head_alone(tmp_path: Path) -> None:
    """A token that tokenizer_config.json alone names gets an id from Transformers, and is no padding."""
    folder = tmp_path / "model"
    make_folder(folder, "llama")
    change(folder / "tokenizer_config.json", pad_token="[PAD]")
    whole, alone = (exported(folder, tmp_path / str(only), head_only=only) for only in (False, True))
    assert whole.manifest["vocab_size"] == alone.manifest["vocab_size"] == 301
    assert (whole.token_bytes, whole.special) == (alone.token_bytes, alone.special)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_pointers_among_the_files_of_the_tokenizer(tmp_path: Path, name: str) -> None:
    make_folder(tmp_path / "model", "llama")
    lfs(tmp_path / "model" / name)
    with pytest.raises(BundleError, match=rf"{name} is a git-lfs pointer"):
        exported(tmp_path / "model", tmp_path / "bundle")


def test_a_forward_that_fails_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(tmp_path / "model", "cohere")
    change(tmp_path / "model" / "config.json", logit_scale="0.3")
    assert command.main([str(tmp_path / "model"), "-o", str(tmp_path / "bundle")]) == 1
    assert "Traceback" not in capsys.readouterr().err
    make_folder(tmp_path / "tiny", "llama")
    assert parity_tests(["side-by-side", "Hello", "--model", str(tmp_path / "tiny"), "--temperature", "1e-45"]) == 2
    assert "generate() fails, at temperature 1e-45" in capsys.readouterr().err


def test_a_gguf_whose_cap_the_loader_leaves_out() -> None:
    """The head that the file describes must be the one that Transformers makes of it."""
    model = make_model("gemma2")
    found = run(model, [[5, 6], [7]])
    head = proof.from_model(model, found)
    assert proof.proved(head, [head.layer], found) == head
    other = replace(head, layer=replace(head.layer, cap=30.0))
    with pytest.raises(BundleError, match=r"'cap': 30.0.* the model gives .* and the description"):
        proof.proved(other, [other.layer], found)

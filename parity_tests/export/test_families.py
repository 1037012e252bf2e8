"""Any decoder's head: exported, proved, and token for token with `generate()`; what is no such head is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

import reference
from reference import bounds
from torch_impl import huggingface
from weights_export import BundleError, open_bundle, proof
from weights_export.checkpoint import load
from weights_export.export import Options, export
from weights_export.families import FAMILIES, output_layer, text_config
from weights_export.forward import run
from weights_export.output_layer import finished
from weights_export.source import local
from weights_export.weights import short

from ..demo.side_by_side import side_by_side
from ..local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from ..meta.test_vocab_parallel import demonstrated, drawn_by_one
from ..verdict import Word, compare
from . import families
from .families import make_folder, make_model
from .test_format import VALIDATOR

spec = pytest.mark.spec
PROMPTS = ("Hello", "a", "x = 1\n" * 40)
SMALL = [(family, tied) for family in families.FAMILIES for tied in (True, False)]


@spec("LOGITS-3", "LOGITS-5", "OUT-1", "OUT-2", "OUT-5", "OUT-6")
@pytest.mark.parametrize(("family", "tied"), SMALL)
def test_export(tmp_path: Path, family: str, tied: bool) -> None:
    """The model's own table, contexts and logits; the head alone, read without Transformers, is the same head."""
    model = make_folder(tmp_path / "model", family, tied)
    source = local("m", tmp_path / "model")
    export(source, Options(tmp_path / "bundle", PROMPTS))
    bundle = open_bundle(tmp_path / "bundle")
    m = bundle.manifest
    assert (m["version"], m["tied"], m["vocab_size"], m["embedding_rows"]) == (
        2 if family == "gpt2" else 3,
        tied,
        300,
        307,
    )
    np.testing.assert_array_equal(bundle.embedding, model.get_output_embeddings().weight.detach()[:300])
    VALIDATOR.validate(m)
    bundle.verify()
    bundle.reproduce()
    logits = torch.stack([_logits(model, prompt["token_ids"]) for prompt in bundle.prompts])[:, :300].numpy()
    _, bound = finished(bundle.context, bundle.embedding, bundle.finish)
    assert (np.abs(logits - bundle.logits_exact) <= bound).all()
    export(source, Options(tmp_path / "head", head_only=True))
    alone = open_bundle(tmp_path / "head")
    assert (tmp_path / "head" / "head.safetensors").read_bytes() == (
        tmp_path / "bundle" / "head.safetensors"
    ).read_bytes()
    assert (alone.output_layer, alone.manifest["tied"]) == (bundle.output_layer, tied)
    assert (alone.token_bytes, alone.special) == (bundle.token_bytes, bundle.special)


@torch.no_grad()
def _logits(model: Any, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = model(torch.tensor([ids])).logits[0, -1]
    return logits


@spec("HEAD-1", "RNG-5", "DRAW-1", "OUT-5", "OUT-6")
@pytest.mark.skipif(not local_stream_is_mt19937(), reason=OTHER_STREAM)
@pytest.mark.parametrize(("family", "tied"), SMALL)
def test_side_by_side(tmp_path: Path, family: str, tied: bool) -> None:
    """Probabilities and tokens of NumPy, PyTorch and `generate()`."""
    make_folder(tmp_path, family, tied)
    for seed in (0, 1):
        result = side_by_side(load(str(tmp_path)), "Hello", temperature=0.9, k=40, seed=seed, tokens=12)
        assert not result.diverged
        assert [verdict.word for verdict in result.generation] == [Word.IDENTICAL] * 12
        assert result.draw.numpy == result.draw.transformers


@spec("OUT-5", "OUT-6", "LOGITS-5")
@pytest.mark.parametrize(("family", "tied"), SMALL)
def test_the_lessons_head(family: str, tied: bool) -> None:
    """`huggingface.lm_head` applies what the configuration names: the softmax of the model's own logits."""
    model = make_model(family, tied)
    found = run(model, [[5, 6, 7], [8]])
    logits = found.logits
    for head in (huggingface.lm_head, huggingface.processed_lm_head):
        probs = head(model, torch.from_numpy(found.context), temperature=1.0, k=len(logits[0])).numpy()
        compare("softmax", reference.softmax(logits), probs, logits=logits).require()


@spec("OUT-5", "OUT-6")
@pytest.mark.parametrize("family", ["phi", "gemma2"])
def test_the_split_vocabulary(tmp_path: Path, family: str) -> None:
    """A bias of which each rank has a part, and a soft cap."""
    make_folder(tmp_path / "model", family, tied=False)
    export(local("m", tmp_path / "model"), Options(tmp_path / "bundle", PROMPTS))
    assert demonstrated(tmp_path / "bundle")[0] == drawn_by_one(tmp_path / "bundle")


def test_the_lessons_head_refuses_what_it_does_not_know() -> None:
    model = make_model("llama", logit_scale=0.3)
    with pytest.raises(ValueError, match=r"LlamaForCausalLM whose configuration has logit_scale = 0.3: what it does"):
        huggingface.lm_head(model, torch.zeros(32))


class Multiplied(LlamaForCausalLM):
    """Multiplies its logits by a number that no configuration names."""

    factor = 1.01

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * self.factor
        return output


def test_a_forward_that_does_something_else_is_refused() -> None:
    model = make_model("llama")
    model.__class__ = Multiplied
    with pytest.raises(
        BundleError, match=r"prompt 0, token \d+ the model gives .* and the description .* times the bound"
    ):
        proof.from_model(model, run(model, [[5, 6]]))


@pytest.mark.parametrize("family", ["gemma2", "llama", "phi"])
def test_a_small_factor_is_refused_at_a_real_models_width(family: str) -> None:
    """At d = 4,096 the worst-case bound has room for 0.3%: the errors as a whole have not. The model itself passes."""
    wide = {"hidden_size": 4_096, "num_hidden_layers": 1, "intermediate_size": 8}
    model = make_model(family, tied=False, **wide)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(0.02)
    found = run(model, [[5, 6, 7], [8], [9, 10]])
    proof.from_model(model, found)
    with pytest.raises(BundleError, match=r"(times the bound|times further off than float32's roundings)"):
        proof.from_model(model, replace(found, logits=found.logits * np.float32(1.003)))


def test_hidden_states_that_change_again_are_refused() -> None:
    """MiniCPM divides its context by a number before the product."""
    model = make_model("minicpm3", hidden_size=64, dim_model_base=16)
    with pytest.raises(BundleError, match=r"MiniCPM3ForCausalLM changes its hidden states between .* by up to"):
        run(model, [[5, 6]])
    with pytest.raises(ValueError, match=r"logits_scaling = 4"):
        huggingface.lm_head(model, torch.zeros(64))


def test_a_norm_of_no_known_kind_is_refused() -> None:
    model = make_model("llama")
    norm = model.get_decoder().norm
    norm.forward = lambda hidden: type(norm).forward(norm, hidden) + 0.01
    with pytest.raises(BundleError, match=r"its final norm, a LlamaRMSNorm, .*: the nearest is rms_norm .* 0.01 away"):
        proof.from_model(model, run(model, [[5, 6]]))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_table_says_what_transformers_does(family: str) -> None:
    """Defaults of a configuration that leaves everything out, and the names of the tensors."""
    known, config = FAMILIES[family], AutoConfig.for_model(family)
    said = text_config(config.to_dict())
    layer = output_layer({"model_type": family}, known, "")
    assert layer == output_layer(said, known, "")
    assert layer.norm is not None
    assert said.get("tie_word_embeddings", False) is known.tied
    small = {"num_hidden_layers": 1, "n_layer": 1, "num_key_value_heads": 2, "pad_token_id": 0}
    given = {key: value for key, value in small.items() if hasattr(config, key) and family != "gpt_neo"}
    config = AutoConfig.for_model(family, **given)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    output, names = model.get_output_embeddings(), {short(name) for name in model.state_dict()}
    assert (output.bias is not None) is known.bias
    assert {f"{known.names.embedding[-1]}.weight", f"{known.names.head[-1]}.weight"} <= names
    assert (f"{known.names.norm[-1]}.weight" in names) is known.weight


def test_a_family_that_is_not_known_needs_contexts(tmp_path: Path) -> None:
    """OPT is not in the table: with contexts it is proved, without it is refused."""
    make_folder(tmp_path / "model", "opt", hidden_size=32, ffn_dim=40, word_embed_proj_dim=32)
    with pytest.raises(BundleError, match=r"the head of a 'opt' is not known without running the model"):
        export(local("m", tmp_path / "model"), Options(tmp_path / "bundle", head_only=True))
    export(local("m", tmp_path / "model"), Options(tmp_path / "bundle", PROMPTS))
    norm = open_bundle(tmp_path / "bundle").output_layer.norm
    assert norm is not None
    assert (norm.kind, norm.epsilon) == ("layer_norm", 1e-5)


def test_exact_logits_with_scale_and_cap(tmp_path: Path) -> None:
    """`logits_exact` against mpmath, and PyTorch's within the bound of it."""
    import mpmath

    make_folder(tmp_path / "model", "gemma2")
    export(local("m", tmp_path / "model"), Options(tmp_path / "bundle", PROMPTS[:1]))
    bundle = open_bundle(tmp_path / "bundle")
    cap = float(np.float32(3.3))
    with mpmath.workdps(50):
        for v in range(0, 300, 7):
            product = mpmath.fdot(map(float, bundle.context[0]), map(float, bundle.embedding[v]))
            exact = cap * mpmath.tanh(product / cap)
            allowed = bounds.finish_logits(
                float(product), None, 1.0, 1.0, cap, "float64", abs(product) * mpmath.mpf(2) ** -53
            )
            assert abs(bundle.logits_exact[0, v] - exact) <= float(allowed)


@pytest.mark.parametrize("version", [2, 3])
def test_the_version_can_be_chosen(tmp_path: Path, version: int) -> None:
    """A GPT-2 as version 3 for readers without float64; another family cannot be version 2."""
    make_folder(tmp_path / "gpt2", "gpt2")
    export(local("m", tmp_path / "gpt2"), Options(tmp_path / "bundle", PROMPTS[:1], version=version))
    bundle = open_bundle(tmp_path / "bundle")
    assert ("exact.safetensors" in bundle.manifest["files"]) is (version == 3)
    bundle.verify()
    bundle.reproduce()
    make_folder(tmp_path / "gemma2", "gemma2")
    if version == 2:
        with pytest.raises(
            BundleError, match=r"version 2 cannot hold this head, because its output layer has more than"
        ):
            export(local("m", tmp_path / "gemma2"), Options(tmp_path / "no", PROMPTS[:1], version=2))

"""The output layers of the families of Transformers, read off a configuration without running anything.

A family says which norm comes last, under which key its epsilon stands, whether the head is tied where config.json says
nothing, and what its tensors are called. Scale and soft cap have the same keys in all families. Where the model can be
run, its own logits prove what is read here (`model.py`); `--head-only` must know the family.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .errors import BundleError
from .output_layer import Norm, OutputLayer


@dataclass(frozen=True)
class Names:
    """The modules of a checkpoint: token embedding, output embedding, final norm. The last name is today's."""

    embedding: tuple[str, ...] = ("embed_tokens",)
    head: tuple[str, ...] = ("lm_head",)
    norm: tuple[str, ...] = ("norm",)


@dataclass(frozen=True)
class Family:
    """What config.json need not say: the kind of norm, its epsilon's key and default, and so on."""

    kind: Literal["layer_norm", "rms_norm"]
    epsilon_key: str | None  # None: the epsilon is fixed
    epsilon: float
    weight_offset: float = 0.0
    tied: bool = False
    bias: bool = False  # whether the output layer has one
    names: Names = Names()
    defaults: tuple[tuple[str, float], ...] = ()  # of the keys below, where config.json leaves them out


_LAYER = Family("layer_norm", "layer_norm_epsilon", 1e-5)
_LAYER_EPS = replace(_LAYER, epsilon_key="layer_norm_eps")
_RMS, _RMS5 = Family("rms_norm", "rms_norm_eps", 1e-6), Family("rms_norm", "rms_norm_eps", 1e-5)
_GEMMA = replace(_RMS, weight_offset=1.0, tied=True)
_COHERE = replace(_LAYER_EPS, tied=True, defaults=(("logit_scale", 0.0625),))
_GPT2 = replace(_LAYER, tied=True, names=Names(("wte",), ("lm_head",), ("ln_f",)))
_WORDS = replace(_LAYER, tied=True, names=Names(("word_embeddings",), ("lm_head",), ("ln_f",)))
_FINAL = Names(norm=("final_layernorm",))

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("gpt2", "gpt_neo", "gpt_bigcode"), _GPT2),
    **dict.fromkeys(("gptj", "codegen"), replace(_GPT2, tied=False, bias=True)),
    **dict.fromkeys(("bloom", "falcon"), _WORDS),
    "gpt_neox": replace(_LAYER_EPS, names=Names(("embed_in",), ("embed_out", "lm_head"), ("final_layer_norm",))),
    "phi": replace(_LAYER_EPS, bias=True, names=_FINAL),
    "stablelm": _LAYER_EPS,
    "starcoder2": replace(_LAYER, epsilon_key="norm_epsilon", tied=True),
    "nemotron": replace(_LAYER, epsilon_key="norm_eps", weight_offset=1.0),
    "olmo": replace(_LAYER, epsilon_key=None),
    **dict.fromkeys(("cohere", "cohere2"), _COHERE),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss"), _RMS),
    **dict.fromkeys(("granite", "granitemoe", "deepseek_v2", "deepseek_v3"), _RMS),
    **dict.fromkeys(("mixtral", "ministral3", "phi3", "olmo2", "olmo3", "olmoe", "gpt_oss", "exaone4"), _RMS5),
    **dict.fromkeys(("glm4_moe", "arcee", "apertus"), _RMS5),
    **dict.fromkeys(("glm", "glm4"), replace(_RMS, epsilon=1.5625e-07)),
    "helium": replace(_RMS, epsilon=1e-8),
    "smollm3": replace(_RMS, tied=True),
    "ernie4_5": replace(_RMS5, tied=True),
    **dict.fromkeys(("gemma", "gemma3_text"), _GEMMA),
    "gemma2": replace(_GEMMA, defaults=(("final_logit_softcapping", 30.0),)),
    "qwen3_next": replace(_RMS, weight_offset=1.0),
    "falcon_h1": replace(_RMS5, names=_FINAL),
}


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the language model: of a model that also sees or hears, the one nested in it."""
    nested = config.get("text_config")
    if not isinstance(nested, dict):
        return dict(config)
    outer = {key: config[key] for key in ("tie_word_embeddings",) if key in config}
    return {**outer, **nested}


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The family of a configuration. Raises: BundleError for one that is not known without running the model."""
    found = FAMILIES.get(str(config.get("model_type")))
    if found is None:
        raise BundleError(
            f"{where}: the head of a {str(config.get('model_type'))[:80]!r} is not known without running the model: "
            "export it with contexts, without --head-only"
        )
    return found


def output_layer(config: Mapping[str, Any], family: Family, where: str) -> OutputLayer:
    """The output layer of a configuration. Raises: BundleError for values of another kind, which are named."""

    def number(key: str, default: float | None) -> float | None:
        value = config.get(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BundleError(f"{where}: {key} is {str(value)[:80]!r}: it must be a number")
        return None if value is None else float(value)

    defaults = dict(family.defaults)
    epsilon = number(family.epsilon_key, family.epsilon) if family.epsilon_key else family.epsilon
    scale = [number(key, defaults.get(key)) for key in ("logit_scale", "lm_head_multiplier", "logits_scaling")]
    cohere, falcon, granite = (1.0 if value is None else value for value in scale)
    try:
        return OutputLayer(
            Norm(family.kind, family.epsilon if epsilon is None else epsilon, family.weight_offset),
            multiplier=cohere * falcon,
            divisor=granite,
            cap=number("final_logit_softcapping", defaults.get("final_logit_softcapping")),
        )
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from None

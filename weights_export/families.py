"""The output layers of the families of Transformers, read off a configuration without running anything.

A family says which norm comes last, under which key its epsilon stands, whether the head is tied where config.json says
nothing, what its tensors are called, and what it does to its logits. Where the model can be run, its own logits prove
what is read here (`proof.py`); `--head-only` must know the family.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
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
    """What config.json need not say: the kind of norm, its epsilon's key and default, and so on.

    `finishes` are arguments of `finish_logits`, each with its key and the value where config.json leaves it out. Other
    families have these keys too, and do nothing with them.
    """

    kind: Literal["layer_norm", "rms_norm"]
    epsilon_key: str | None  # None: the epsilon is fixed
    epsilon: float
    weight_offset: float = 0.0
    weight: bool = True  # whether the norm has one
    tied: bool = False
    bias: bool = False  # whether the output layer has one
    names: Names = Names()
    finishes: tuple[tuple[str, str, float | None], ...] = ()


_LAYER = Family("layer_norm", "layer_norm_epsilon", 1e-5)
_LAYER_EPS = replace(_LAYER, epsilon_key="layer_norm_eps")
_RMS, _RMS5 = Family("rms_norm", "rms_norm_eps", 1e-6), Family("rms_norm", "rms_norm_eps", 1e-5)
_GEMMA = replace(_RMS, weight_offset=1.0, tied=True)
_COHERE = replace(_LAYER_EPS, tied=True, finishes=(("multiplier", "logit_scale", 0.0625),))
_GRANITE = replace(_RMS, finishes=(("divisor", "logits_scaling", 1.0),))
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
    "olmo": replace(_LAYER, epsilon_key=None, weight=False),
    **dict.fromkeys(("cohere", "cohere2"), _COHERE),
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "deepseek_v2", "deepseek_v3"), _RMS
    ),
    **dict.fromkeys(("granite", "granitemoe"), _GRANITE),
    **dict.fromkeys(("mixtral", "ministral3", "phi3", "olmo2", "olmo3", "olmoe", "gpt_oss", "exaone4"), _RMS5),
    **dict.fromkeys(("glm4_moe", "arcee", "apertus"), _RMS5),
    **dict.fromkeys(("glm", "glm4"), replace(_RMS, epsilon=1.5625e-07)),
    "helium": replace(_RMS, epsilon=1e-8),
    "smollm3": replace(_RMS, tied=True),
    "ernie4_5": replace(_RMS5, tied=True),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, finishes=(("cap", "final_logit_softcapping", 30.0),)),
    "gemma3_text": replace(_GEMMA, finishes=(("cap", "final_logit_softcapping", None),)),
    "qwen3_next": replace(_RMS, weight_offset=1.0),
    "falcon_h1": replace(_RMS5, names=_FINAL, finishes=(("multiplier", "lm_head_multiplier", 1.0),)),
}


# Models that also see: the family of the language model nested in them, and whether they are tied by default.
WRAPPERS: Mapping[str, tuple[str, bool]] = {"gemma3": ("gemma3_text", True), "mistral3": ("mistral", True)}

# What any family may do to its logits: where the model can be run, it shows whether this one does.
_FINISHES = (
    *(("multiplier", "logit_scale"), ("multiplier", "lm_head_multiplier"), ("divisor", "logits_scaling")),
    *(("multiplier", "logits_scaling"), ("cap", "final_logit_softcapping"), ("cap", "logits_soft_cap")),
    ("cap", "output_logit_soft_cap"),
)


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the language model: of a model that also sees or hears, the one nested in it.

    Whether the head is tied is the outer one's to say.
    """
    nested = config.get("text_config")
    if not isinstance(nested, dict):
        return dict(config)
    family, tied = WRAPPERS.get(str(config.get("model_type")), (None, None))
    outer = config.get("tie_word_embeddings", tied)
    said = {"model_type": family, **nested}
    return {**said, "tie_word_embeddings": outer} if outer is not None else said


def known_family(config: Mapping[str, Any]) -> Family | None:
    """The family of a `config.json`, if it is one whose head is known without running the model."""
    if isinstance(config.get("text_config"), dict) and config.get("model_type") not in WRAPPERS:
        return None
    return FAMILIES.get(str(text_config(config).get("model_type")))


def family_of(config: Mapping[str, Any], where: str) -> Family:
    """The same. Raises: BundleError for a family that is not known."""
    found = known_family(config)
    if found is None:
        raise BundleError(
            f"{where}: the head of a {str(config.get('model_type'))[:80]!r} is not known without running the model: "
            "export it with contexts, without --head-only"
        )
    return found


def output_layer(config: Mapping[str, Any], family: Family, where: str) -> OutputLayer:
    """The output layer of a known family. Raises: BundleError for values of another kind, which are named."""

    def number(key: str, default: float | None) -> float | None:
        value = config.get(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise BundleError(f"{where}: {key} is {str(value)[:80]!r}: it must be a number")
        return None if value is None else float(value)

    epsilon = number(family.epsilon_key, family.epsilon) if family.epsilon_key else family.epsilon
    norm = Norm(family.kind, family.epsilon if epsilon is None else epsilon, family.weight_offset)
    given = {argument: number(key, default) for argument, key, default in family.finishes}
    try:
        return OutputLayer(norm, **{argument: value for argument, value in given.items() if value is not None})
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from None


def possible_finishes(config: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    """What a model of an unknown family may do to its logits, by the keys of its configuration; nothing comes last."""
    ways: dict[str, list[tuple[str, float] | None]] = {}
    for argument, key in _FINISHES:
        value = config.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            ways.setdefault(key, []).append((argument, float(value)))
    for chosen in product(*([*way, None] for way in ways.values())):
        yield dict(way for way in chosen if way is not None)

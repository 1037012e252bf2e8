"""What a GGUF file's architecture says of the head: which final norm, and what happens to the logits after the product.

All of it as llama.cpp computes it (https://github.com/ggml-org/llama.cpp, src/models/*.cpp): the last `build_norm` of
each graph is `LLM_NORM` or `LLM_NORM_RMS`, and what follows `model.output` are `ggml_scale` and `ggml_tanh`. Where
Transformers adds 1 to the norm's weight (Gemma), llama.cpp's converter has already done so: the offset is always 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .errors import BundleError
from .output_layer import Norm, OutputLayer

LAYER_NORM: Literal["layer_norm"] = "layer_norm"
RMS_NORM: Literal["rms_norm"] = "rms_norm"
EPSILON = {LAYER_NORM: "attention.layer_norm_epsilon", RMS_NORM: "attention.layer_norm_rms_epsilon"}
SCALE, CAP = "logit_scale", "final_logit_softcapping"


@dataclass(frozen=True)
class _Family:
    """`scale` is whether `logit_scale` multiplies, divides or is not used; `cap` what a missing soft cap means."""

    norm: Literal["layer_norm", "rms_norm"]
    scale: str = ""
    scale_required: bool = False
    cap: float | None = None  # None: this architecture has no soft cap
    weightless: bool = False


_MULTIPLIES, _DIVIDES = "multiplies", "divides"
_FAMILIES = {
    **dict.fromkeys(
        ("arcee", "apertus", "chatglm", "deepseek", "deepseek2", "ernie4_5", "exaone", "exaone4", "gemma", "glm4")
        + ("glm4moe", "gpt-oss", "internlm2", "llama", "llama4", "mamba", "mistral3", "olmo2", "olmoe", "phi3")
        + ("qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl")
        + ("seed_oss", "smollm3", "xverse"),
        _Family(RMS_NORM),
    ),
    **dict.fromkeys(
        ("bloom", "codeshell", "dbrx", "falcon", "gpt2", "gptneox", "mpt", "nemotron", "orion", "phi2", "stablelm")
        + ("starcoder", "starcoder2"),
        _Family(LAYER_NORM),
    ),
    "olmo": _Family(LAYER_NORM, weightless=True),
    "command-r": _Family(LAYER_NORM, _MULTIPLIES),
    "cohere2": _Family(LAYER_NORM, _MULTIPLIES, scale_required=True),
    "granitehybrid": _Family(RMS_NORM, _DIVIDES),
    **dict.fromkeys(("granite", "granitemoe", "minicpm"), _Family(RMS_NORM, _DIVIDES, scale_required=True)),
    **dict.fromkeys(("gemma2", "gemma4"), _Family(RMS_NORM, cap=30.0)),  # llama.cpp's value where the key is missing
    "gemma3": _Family(RMS_NORM, cap=math.inf),
}


def has_norm_weight(architecture: str) -> bool:
    """Whether the final norm has a weight: OLMo 1's has none, and all other known ones have one."""
    return not _FAMILIES[architecture].weightless


def describe(architecture: str, number: Callable[[str], float | None], where: str) -> OutputLayer:
    """The head of a file of this architecture; `number(key)` gives the metadata value `{architecture}.{key}`, if any.

    A scale of 0 and a cap of 0 mean that there is none, as in llama.cpp.
    Raises: BundleError for an unknown architecture, a missing or impossible value, and for a scale or a soft cap that
    this architecture does not have: llama.cpp ignores them, other engines may not.
    """
    family = _FAMILIES.get(architecture)
    if family is None:
        known = "the known ones are " + ", ".join(sorted(_FAMILIES))
        raise BundleError(
            f"{where}: what the architecture {architecture!r} does after its last block is unknown; {known}"
        )

    def positive(key: str) -> float | None:
        found = number(key)
        if found is not None and not 0 <= found < math.inf:
            raise BundleError(f"{where}: {architecture}.{key} is {found}: it must be a finite number > 0, or absent")
        return found or None

    epsilon, scale, cap = positive(EPSILON[family.norm]), positive(SCALE), positive(CAP)
    if epsilon is None or epsilon >= 1:
        key = f"{architecture}.{EPSILON[family.norm]}"
        raise BundleError(f"{where}: {key} is {epsilon}: the final norm needs it, between 0 and 1; convert it again")
    for key, found, used in ((SCALE, scale, family.scale), (CAP, cap, family.cap)):
        if found is not None and not used and (key, found) != (SCALE, 1.0):
            ignored = f"llama.cpp ignores it for {architecture!r}; remove it with gguf_new_metadata, or convert again"
            raise BundleError(f"{where}: {architecture}.{key} is {found}, but {ignored}")
    if scale is None and family.scale_required:
        raise BundleError(f"{where} has no {architecture}.{SCALE}, which its logits need; convert the model again")
    if number(CAP) is None:
        cap = family.cap
    return OutputLayer(
        Norm(family.norm, epsilon),
        multiplier=scale or 1.0 if family.scale == _MULTIPLIES else 1.0,
        divisor=scale or 1.0 if family.scale == _DIVIDES else 1.0,
        cap=None if cap in (None, math.inf) else cap,
    )

"""Wrong finishes of the logits: bias, scale and cap."""

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import finish_logits, validation

from ..judges.roundings import rounded
from .registry import FOLK, mutant

INF = np.inf
VLLM = (
    "https://github.com/vllm-project/vllm/blob/00db1f124590c3a5655a1781c857334d4a3ce83b/"
    "vllm/model_executor/layers/logits_processor.py"
)
SGLANG = (
    "https://github.com/sgl-project/sglang/blob/009db01a7c0d5460611d543516401eb497641918/"
    "python/sglang/srt/layers/logits_processor.py"
)
LLAMA_CPP = "https://github.com/ggml-org/llama.cpp/blob/02eabed85b960204ec0ebf113797b62ae5b6219b/src/models/granite.cpp"
NEMO = "https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/4645"
PHI = "https://github.com/huggingface/transformers/issues/35625"
SCALE_LEFT_OUT = "https://github.com/vllm-project/vllm/pull/52158"
GRANITE = "https://github.com/unslothai/unsloth/pull/1218"


# Logits, the bias or 0, multiplier, divisor, cap, all in the compute dtype.
Recipe = Callable[[np.ndarray, Any, np.floating, np.floating, np.floating], np.ndarray]


def _mistake(rule: str, looks_like: str, source: str = FOLK) -> Callable[[Recipe], Recipe]:
    """Register a recipe, called with the arguments of `finish_logits`; what must be refused is refused."""

    def register(recipe: Recipe) -> Recipe:
        def finish(
            logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
        ) -> np.ndarray:
            finish_logits(logits, bias, multiplier, divisor, cap)
            z, b, *numbers = validation.check_finish(logits, bias, multiplier, divisor, cap)
            with np.errstate(all="ignore"):
                return recipe(z, z.dtype.type(0) if b is None else b, *numbers)

        finish.__name__ = recipe.__name__
        mutant("finish_logits", rule, looks_like, source)(finish)
        return recipe

    return register


def _capped(z: np.ndarray, cap: np.floating) -> np.ndarray:
    return z if cap == INF else np.where(z == -INF, z, cap * np.tanh(z / cap))


@_mistake("OUT-5", "the bias forgotten", PHI)
def bias_forgotten(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped(z * m / d, c)
    return result


@_mistake("OUT-5", "the bias added after the scale")
def bias_after_the_scale(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped(z * m / d + b, c)
    return result


@_mistake("OUT-6", "the bias added after the cap")
def bias_after_the_cap(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped(z * m / d, c) + b * m / d
    return result


@_mistake("OUT-5", "multiplied where the model divides, or the other way round", GRANITE)
def scale_inverted(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped((z + b) / m * d, c)
    return result


@_mistake("OUT-5", "the scale forgotten", SCALE_LEFT_OUT)
def scale_forgotten(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped(z + b, c)
    return result


@_mistake("OUT-5", "only one of multiplier and divisor applied")
def one_scale_of_two(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped((z + b) * m if m != 1 else (z + b) / d, c)
    return result


@_mistake("OUT-5", "multiplied by the reciprocal of the divisor", LLAMA_CPP)
def reciprocal(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped((z + b) * m * (z.dtype.type(1) / d), c)
    return result


@_mistake("OUT-5", "multiplier and divisor made one number first")
def one_factor(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped((z + b) * (m / d), c)
    return result


@_mistake("OUT-5", "the bias added in 16 bits")
def bias_in_16_bits(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped(rounded(z + b, "bfloat16").astype(z.dtype) * m / d, c)
    return result


@_mistake("OUT-6", "capped before the scale", VLLM)
def cap_before_the_scale(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    """No harm where a model has only one of the two, as nearly all do."""
    result: np.ndarray = _capped(z + b, c) * m / d
    return result


@_mistake("OUT-6", "cut off at the cap, not bent")
def cap_by_clipping(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = np.where(z == -INF, z, ((z + b) * m / d).clip(-c, c))
    return result


@_mistake("OUT-6", "the cap forgotten", NEMO)
def cap_forgotten(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = (z + b) * m / d
    return result


@_mistake("OUT-6", "capped twice", NEMO)
def cap_twice(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped(_capped((z + b) * m / d, c), c)
    return result


@_mistake("OUT-6", "a cap of 30, whatever the model's is", "https://github.com/ggml-org/llama.cpp/pull/21390")
def cap_of_30(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped((z + b) * m / d, c if c == INF else z.dtype.type(30))
    return result


@_mistake("OUT-6", "tanh(z / cap) without the product by the cap")
def tanh_without_the_product(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = _capped((z + b) * m / d, c) / (1 if c == INF else c)
    return result


@_mistake("OUT-6", "z * tanh(z / cap)", "https://github.com/unslothai/unsloth-zoo/pull/593")
def times_tanh(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    scaled = (z + b) * m / d
    return scaled if c == INF else np.where(z == -INF, z, scaled * np.tanh(scaled / c))


@_mistake("OUT-6", "tanh as (exp(2x) - 1) / (exp(2x) + 1): nan for large logits", SGLANG)
def tanh_by_exp(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    scaled = (z + b) * m / d
    power = np.exp(2 * scaled / c)
    return scaled if c == INF else np.where(z == -INF, z, (power - 1) / (power + 1) * c)


@_mistake("OUT-6", "a masked token capped: -cap, not -inf")
def mask_is_capped(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = (z + b) * m / d if c == INF else c * np.tanh((z + b) * m / d / c)
    return result


@_mistake("OUT-6", "a cap of inf multiplies: inf * tanh(0) is nan")
def infinite_cap_multiplies(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = np.where(z == -INF, z, c * np.tanh((z + b) * m / d / c))
    return result


@_mistake("OUT-6", "the result rounded to float16 and cast back")
def float16_result(z: np.ndarray, b: Any, m: Any, d: Any, c: Any) -> np.ndarray:
    result: np.ndarray = rounded(_capped((z + b) * m / d, c), "float16").astype(z.dtype)
    return result


@mutant("finish_logits", "OUT-5", "multiplied by the float64 number, not by that of the dtype")
def float64_multiplier(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    finish_logits(logits, bias, multiplier, divisor, cap)
    z, b, _, d, c = validation.check_finish(logits, bias, multiplier, divisor, cap)
    with np.errstate(all="ignore"):
        added = z if b is None else z + b
        return _capped((added * np.float64(multiplier)).astype(z.dtype) / d, c)


@mutant("finish_logits", "HEAD-2", "16-bit logits give 16-bit logits")
def keeps_16_bits(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    return finish_logits(logits, bias, multiplier, divisor, cap).astype(np.asarray(logits).dtype)


@mutant("finish_logits", "HEAD-3", "the caller's logits overwritten", SGLANG)
def in_place(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    finished = finish_logits(logits, bias, multiplier, divisor, cap)
    if isinstance(logits, np.ndarray) and logits.flags.writeable and logits.dtype == finished.dtype:
        logits[...] = finished
    return finished


@mutant("finish_logits", "OUT-7", "a bias of one number broadcast")
def broadcasts_the_bias(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    if bias is not None and np.shape(bias) == (1,) and np.ndim(logits):
        bias = np.broadcast_to(bias, np.shape(logits)[-1:])
    return finish_logits(logits, bias, multiplier, divisor, cap)


@mutant("finish_logits", "OUT-7", "a scale or a cap of 0 means none")
def zero_means_none(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    numbers = (multiplier, divisor, cap)
    none = (1.0, 1.0, INF)
    chosen = [b if type(a) in (int, float) and a == 0 else a for a, b in zip(numbers, none, strict=True)]
    return finish_logits(logits, bias, *chosen)


@mutant("finish_logits", "OUT-7", "negative scales accepted")
def accepts_negative(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    if type(multiplier) in (int, float) and multiplier < 0:
        return -finish_logits(logits, bias, -multiplier, divisor, cap)
    return finish_logits(logits, bias, multiplier, divisor, cap)


@mutant("finish_logits", "OUT-7", "a logit that overflows goes on")
def overflow_goes_on(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = INF
) -> np.ndarray:
    z, b, m, d, c = validation.check_finish(logits, bias, multiplier, divisor, cap)
    with np.errstate(all="ignore"):
        return _capped((z if b is None else z + b) * m / d, c)

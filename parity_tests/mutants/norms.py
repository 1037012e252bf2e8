"""Wrong layer norms and RMS norms. Most mistakes are made in both: a recipe with two ways to be called."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

import reference
from reference import validation
from reference.operations import OPERATIONS

from ..judges.roundings import rounded
from .registry import FOLK, mutant

SPECULATORS = "https://github.com/vllm-project/speculators/pull/313"
EXECUTORCH = "https://github.com/pytorch/executorch/pull/19901"

# The hidden states, the same centred if the norm centres, the weight with its offset, the bias or 0, epsilon.
Recipe = Callable[[np.ndarray, np.ndarray, np.ndarray, Any, np.floating], np.ndarray]


def _called_as(name: str, recipe: Recipe) -> Callable[..., np.ndarray]:
    """The recipe as a function with the arguments of a norm, which refuses what the norm refuses."""

    def layer_norm(
        hidden: Any, weight: Any, bias: Any = None, epsilon: float = 1e-5, weight_offset: float = 0.0
    ) -> np.ndarray:
        reference.layer_norm(hidden, weight, bias, epsilon, weight_offset)
        h, g, b, eps = validation.check_norm(hidden, weight, bias, epsilon, weight_offset)
        with np.errstate(all="ignore"):
            return recipe(h, h - h.mean(axis=-1, keepdims=True), g, h.dtype.type(0) if b is None else b, eps)

    def rms_norm(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
        reference.rms_norm(hidden, weight, epsilon, weight_offset)
        h, g, _, eps = validation.check_norm(hidden, weight, None, epsilon, weight_offset)
        with np.errstate(all="ignore"):
            return recipe(h, h, g, h.dtype.type(0), eps)

    function: Callable[..., np.ndarray] = layer_norm if name == "layer_norm" else rms_norm
    function.__name__ = recipe.__name__
    return function


def _mistake(
    looks_like: str, source: str = FOLK, rule: str = "", norms: tuple[str, ...] = ("layer_norm", "rms_norm")
) -> Callable[[Recipe], Recipe]:
    """Register a recipe as a mutant of one norm or both; the rule is by default the one that defines the norm."""

    def register(recipe: Recipe) -> Recipe:
        for name in norms:
            mutant(name, rule or OPERATIONS[name].rule, looks_like, source)(_called_as(name, recipe))
        return recipe

    return register


def _mean_square(c: np.ndarray) -> np.ndarray:
    square: np.ndarray = np.square(c).mean(axis=-1, keepdims=True)
    return square


@_mistake("no norm: the hidden states as they are", SPECULATORS)
def missing(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return np.array(h)


@_mistake("the norm applied twice", SPECULATORS)
def applied_twice(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    once = c / np.sqrt(_mean_square(c) + eps) * g + b
    again = once if c is h else once - once.mean(axis=-1, keepdims=True)
    return again / np.sqrt(_mean_square(again) + eps) * g + b


@_mistake("an RMS norm: not centred", norms=("layer_norm",))
def rms_for_layer_norm(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return h / np.sqrt(_mean_square(h) + eps) * g + b


@_mistake("a layer norm: centred", norms=("rms_norm",))
def layer_norm_for_rms(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    centred = h - h.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(_mean_square(centred) + eps) * g


@_mistake("divided by the root of the variance, but not centred", norms=("layer_norm",))
def divided_but_not_centred(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return h / np.sqrt(_mean_square(c) + eps) * g + b


@_mistake("epsilon added outside of the root", "https://github.com/allenai/OLMo/issues/281")
def epsilon_outside_the_root(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / (np.sqrt(_mean_square(c)) + eps) * g + b


@_mistake("epsilon forgotten")
def epsilon_forgotten(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(_mean_square(c)) * g + b


@_mistake("an epsilon of 1e-6, whatever the checkpoint says", "https://github.com/apache/tvm/pull/15856")
def epsilon_of_1e_6(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(_mean_square(c) + h.dtype.type(1e-6)) * g + b


@_mistake("an epsilon of 1e-5, whatever the checkpoint says", "https://github.com/OpenNMT/OpenNMT-py/pull/2446")
def epsilon_of_1e_5(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(_mean_square(c) + h.dtype.type(1e-5)) * g + b


@_mistake(
    "epsilon added after the row was divided by its largest number", "https://github.com/apple/coremltools/pull/2822"
)
def epsilon_of_the_rescaled_row(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    largest = np.abs(c).max(axis=-1, keepdims=True)
    small = c / np.where(largest > 0, largest, 1)
    return small / np.sqrt(_mean_square(small) + eps) * g + b


@_mistake(
    "divided by the variance itself, not by its root",
    "https://github.com/131250208/TPlinker-joint-extraction/issues/37",
)
def without_the_root(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / (_mean_square(c) + eps) * g + b


@_mistake("divided by the root of the sum of the squares, not of their mean")
def sum_for_mean(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(np.square(c).sum(axis=-1, keepdims=True) + eps) * g + b


@_mistake(
    "the variance divided by d - 1, as torch.var does",
    "https://github.com/LBANN/lbann/pull/2024",
    norms=("layer_norm",),
)
def unbiased_variance(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    d = h.shape[-1]
    return c / np.sqrt(_mean_square(c) * h.dtype.type(d / max(1, d - 1)) + eps) * g + b


@_mistake(
    "the variance as mean(h**2) - mean**2",
    "https://github.com/microsoft/onnxruntime/pull/31973",
    rule="OUT-3",
    norms=("layer_norm",),
)
def one_pass_variance(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """It cancels where the mean is large. A negative variance counts as 0, as in most kernels."""
    variance = np.maximum(_mean_square(h) - np.square(h.mean(axis=-1, keepdims=True)), 0)
    return c / np.sqrt(variance + eps) * g + b


@_mistake("the bias forgotten", norms=("layer_norm",))
def bias_forgotten(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(_mean_square(c) + eps) * g


@_mistake("the weight forgotten")
def weight_forgotten(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(_mean_square(c) + eps) + b


@_mistake("1 + weight, whatever the offset is")
def one_plus_weight(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(_mean_square(c) + eps) * (1 + g) + b


@_mistake("normalised over the whole array, not over each row")
def over_the_batch(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return c / np.sqrt(np.square(c).mean() + eps if c.size else eps) * g + b


@_mistake("sums in float16", "https://github.com/pytorch/pytorch/issues/189581", rule="OUT-3")
def sums_in_float16(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    square = rounded(_mean_square(c), "float16").astype(h.dtype)
    return c / np.sqrt(square + eps) * g + b


@_mistake(
    "rounded to bfloat16 before the weight", "https://github.com/huggingface/transformers/issues/33133", rule="OUT-3"
)
def bfloat16_before_the_weight(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return rounded(c / np.sqrt(_mean_square(c) + eps), "bfloat16").astype(h.dtype) * g + b


@_mistake("a float16 result, cast back", rule="OUT-3")
def float16_result(h: np.ndarray, c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return rounded(c / np.sqrt(_mean_square(c) + eps) * g + b, "float16").astype(h.dtype)


@mutant("rms_norm", "OUT-2", "the weight in place of offset + weight", EXECUTORCH)
def offset_forgotten(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    reference.rms_norm(hidden, weight, epsilon, weight_offset)
    return reference.rms_norm(hidden, weight, epsilon)


@mutant("layer_norm", "OUT-1", "the weight in place of offset + weight", EXECUTORCH)
def weight_without_offset(
    hidden: Any, weight: Any, bias: Any = None, epsilon: float = 1e-5, weight_offset: float = 0.0
) -> np.ndarray:
    reference.layer_norm(hidden, weight, bias, epsilon, weight_offset)
    return reference.layer_norm(hidden, weight, bias, epsilon)


@mutant("rms_norm", "OUT-2", "1 + weight added in 16 bits", "https://github.com/vllm-project/vllm/pull/29810")
def offset_in_16_bits(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    """Stored in bfloat16, the weight 15.8125 becomes 16.75 where 16.8125 is right."""
    reference.rms_norm(hidden, weight, epsilon, weight_offset)
    if np.asarray(weight).dtype in (np.float16, ml_dtypes.bfloat16):
        added = np.asarray(weight) + np.asarray(weight).dtype.type(weight_offset)
        return reference.rms_norm(hidden, added, epsilon)
    return reference.rms_norm(hidden, weight, epsilon, weight_offset)


@mutant("rms_norm", "HEAD-2", "16-bit hidden states give a 16-bit context")
def keeps_16_bits(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    return reference.rms_norm(hidden, weight, epsilon, weight_offset).astype(np.result_type(hidden, weight))


@mutant("layer_norm", "HEAD-3", "the caller's hidden states overwritten")
def in_place(
    hidden: Any, weight: Any, bias: Any = None, epsilon: float = 1e-5, weight_offset: float = 0.0
) -> np.ndarray:
    normed = reference.layer_norm(hidden, weight, bias, epsilon, weight_offset)
    if isinstance(hidden, np.ndarray) and hidden.flags.writeable and hidden.dtype == normed.dtype:
        hidden[...] = normed
    return normed


@mutant("rms_norm", "OUT-4", "a weight of one number broadcast")
def broadcasts_the_weight(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    if np.shape(weight) == (1,):
        weight = np.broadcast_to(weight, np.shape(hidden)[-1:])
    return reference.rms_norm(hidden, weight, epsilon, weight_offset)


@mutant("rms_norm", "OUT-4", "an epsilon of 0 or below accepted")
def any_epsilon(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    if type(epsilon) is float and epsilon <= 0:
        h, g = (np.asarray(array) for array in (hidden, weight))
        with np.errstate(all="ignore"):
            return h / np.sqrt(_mean_square(h) + h.dtype.type(epsilon)) * (g + h.dtype.type(weight_offset))
    return reference.rms_norm(hidden, weight, epsilon, weight_offset)


@mutant("layer_norm", "OUT-4", "nan and infinity go through")
def not_finite_goes_through(
    hidden: Any, weight: Any, bias: Any = None, epsilon: float = 1e-5, weight_offset: float = 0.0
) -> np.ndarray:
    h = np.asarray(hidden)
    if h.dtype.kind == "f" and not np.isfinite(h).all():
        return np.full_like(h, np.nan)
    return reference.layer_norm(hidden, weight, bias, epsilon, weight_offset)


@mutant("rms_norm", "OUT-4", "squares that overflow make the whole row 0")
def overflow_makes_zeros(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    try:
        return reference.rms_norm(hidden, weight, epsilon, weight_offset)
    except ValueError as error:
        if "overflows" in str(error):
            return np.zeros_like(hidden)
        raise

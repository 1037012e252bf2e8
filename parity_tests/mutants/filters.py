"""What filters of every kind get wrong; wrong XTC; and wrong greedy choices."""

from collections.abc import Callable
from typing import Any

import numpy as np

import reference
from reference import greedy, keep_xtc
from reference.operations import OPERATIONS, STEPS

from ..judges.roundings import rounded
from .registry import FOLK, mutant
from .rows import INF, Recipe, batch_mistake, mistake, ranked, softmax

ESM = "https://github.com/Biohub/esm/pull/360"
LLAMA_CPP = "https://github.com/ggml-org/llama.cpp/pull/9742"
MLX_LM = "https://github.com/ml-explore/mlx-lm/pull/1575"
XTC_OF_ALL = "https://github.com/ml-explore/mlx-lm/issues/1036"
RMLX = "https://github.com/Pushkinist/rMLX/issues/373"
SGLANG = "https://github.com/sgl-project/sglang/issues/33627"
PADDED_ROWS = "https://github.com/mirage-project/mirage/issues/751"
FILTERS = tuple(name for name in STEPS if OPERATIONS[name].family == "filters")


def _of_every_filter(rule: str, looks_like: str, source: str = FOLK) -> Callable[[Recipe], Recipe]:
    """Register a recipe of the whole batch as a mutant of each filter."""

    def register(recipe: Recipe) -> Recipe:
        for name in FILTERS:
            batch_mistake(name, rule, looks_like, source)(recipe)
        return recipe

    return register


@_of_every_filter("FILTER-1", "masked with the smallest finite number, not -inf", ESM)
def masks_with_finfo_min(right: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == -INF, np.finfo(right.dtype).min, right)


@_of_every_filter("FILTER-1", "the mask added to the logits, so that -0 becomes 0")
def adds_the_mask(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return logits + np.where(right == -INF, right, 0)


def _in_place(name: str) -> None:
    """Register a filter that masks the caller's logits."""

    def in_place(logits: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        kept: np.ndarray = getattr(reference, name)(logits, *args, **kwargs)
        if isinstance(logits, np.ndarray) and logits.dtype == kept.dtype and logits.flags.writeable:
            logits[...] = kept
        return kept

    mutant(name, "HEAD-3", "the caller's logits masked in place")(in_place)


for _name in FILTERS:
    _in_place(_name)


def _reached(z: np.ndarray, threshold: float) -> np.ndarray:
    """Which tokens reach the threshold."""
    return softmax(z) >= threshold


@mistake("keep_xtc", "FILTER-9", "the best token stays, in place of the least that reaches the threshold")
def keeps_the_best(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    falls = _reached(z, threshold) & (z < z.max())
    return ~falls if uniform < probability else z > -INF


@mistake("keep_xtc", "FILTER-9", "the threshold taken for a cut: all that reach it fall")
def the_least_falls_too(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    falls = _reached(z, threshold)
    return ~falls if uniform < probability and not falls[z > -INF].all() else z > -INF


@mistake("keep_xtc", "FILTER-9", "what does not reach the threshold falls: a min-p")
def the_tail_falls(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    stays = _reached(z, threshold)
    return stays if uniform < probability and stays.any() else z > -INF


@mistake("keep_xtc", "FILTER-9", "applied to a single token that reaches the threshold")
def a_single_one_falls(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    found = _reached(z, threshold)
    least = z[found].min(initial=INF)
    falls = (found & (z > least)) if found.sum() > 1 else found
    return ~falls if uniform < probability and not falls[z > -INF].all() else z > -INF


@mistake(
    "keep_xtc", "FILTER-9", "every token above the least probable of all falls: the threshold has no effect", XTC_OF_ALL
)
def threshold_of_0(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    return z == z[z > -INF].min() if uniform < probability else z > -INF


@mistake("keep_xtc", "FILTER-9", "the threshold relative to the largest probability")
def threshold_of_the_largest(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    least = z[np.exp(z - z.max()) >= threshold].min()
    return z <= least if uniform < probability else z > -INF


@mistake("keep_xtc", "FILTER-9", "of those tied at the least one, a single one stays", LLAMA_CPP)
def one_of_the_tied(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    """The last of the sorted tokens that reach the threshold, and all behind it."""
    ids, stays = ranked(z), z > -INF
    if uniform < probability:
        stays[ids[: max(0, int(_reached(z, threshold).sum()) - 1)]] = False
    return stays


@mistake("keep_xtc", "FILTER-9", "applied, too, where the uniform equals the probability", LLAMA_CPP)
def uniform_may_equal(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    return keep_xtc(z, threshold, 1.0, np.array(0.0)) > -INF if uniform <= probability else z > -INF


@mistake("keep_xtc", "FILTER-9", "applied where the uniform is above the probability, not below")
def inverted(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    return keep_xtc(z, threshold, 1.0, np.array(0.0)) > -INF if uniform >= probability else z > -INF


@mistake("keep_xtc", "FILTER-9", "applied at every step, whatever the probability")
def always(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    return keep_xtc(z, threshold, 1.0, np.array(0.0)) > -INF


@batch_mistake("keep_xtc", "FILTER-9", "one uniform, that of the first row, for the whole batch")
def one_uniform(
    right: np.ndarray, logits: np.ndarray, threshold: float, probability: float, uniform: Any
) -> np.ndarray:
    first = np.asarray(uniform).reshape(-1)[:1]
    return keep_xtc(logits, threshold, probability, np.resize(first, logits.shape[:-1])) if first.size else right


@batch_mistake("keep_xtc", "HEAD-4", "the least that reaches the threshold taken over the whole batch", MLX_LM)
def least_of_the_batch(
    right: np.ndarray, logits: np.ndarray, threshold: float, probability: float, uniform: Any
) -> np.ndarray:
    q = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    q /= q.sum(axis=-1, keepdims=True)
    falls = (q > np.where(q >= threshold, q, INF).min(initial=INF)) & (np.asarray(uniform) < probability)[..., None]
    return np.where(falls, -INF, logits)


@mutant("keep_xtc", "FILTER-11", "a threshold above 1 silently means off")
def threshold_above_1_is_off(logits: Any, threshold: float, probability: float, uniform: Any) -> np.ndarray:
    return keep_xtc(logits, 1.0 if isinstance(threshold, float) and threshold > 1 else threshold, probability, uniform)


@mistake("greedy", "FILTER-10", "of equal logits the highest id", RMLX)
def last_maximum(z: np.ndarray) -> Any:
    """The maximum of an iterator is the last one of equal elements."""
    return len(z) - 1 - np.argmax(z[::-1])


@mistake("greedy", "FILTER-10", "the largest absolute value")
def by_magnitude(z: np.ndarray) -> Any:
    return np.argmax(np.where(z == -INF, -1, np.abs(z)))


@mistake("greedy", "FILTER-10", "the smallest logit that is not masked")
def smallest(z: np.ndarray) -> Any:
    return np.argmin(np.where(z == -INF, INF, z))


@mistake("greedy", "FILTER-10", "the search starts from 0: id 0 where all logits are negative")
def starts_from_zero(z: np.ndarray) -> Any:
    """`best = 0, best_id = 0`, and then `if (z[i] > best)`."""
    return np.argmax(np.maximum(z, 0))


@mistake("greedy", "FILTER-10", "masked tokens taken for logits of 0", PADDED_ROWS)
def masked_as_zero(z: np.ndarray) -> Any:
    return np.argmax(np.where(z == -INF, 0, z))


@mistake("greedy", "FILTER-10", "logits compared in bfloat16", SGLANG)
def in_bfloat16(z: np.ndarray) -> Any:
    return np.argmax(rounded(z, "bfloat16"))


@mistake("greedy", "FILTER-10", "-0.0 below 0.0")
def total_order(z: np.ndarray) -> Any:
    """A comparison of bit patterns distinguishes the two zeros."""
    return np.lexsort((np.arange(len(z)), np.signbit(z), -z))[0]


@mistake("greedy", "FILTER-10", "of probabilities, which round: near ties count as ties")
def of_probabilities(z: np.ndarray) -> Any:
    return np.argmax(softmax(z).astype(np.float32))


@mistake("greedy", "FILTER-10", "ids in 16 bits")
def ids_in_16_bits(z: np.ndarray) -> Any:
    return np.uint16(np.argmax(z) % 65_536)


@batch_mistake(
    "greedy",
    "HEAD-4",
    "the id of the first row for the whole batch",
    "https://github.com/vllm-project/tpu-inference/pull/125",
)
def of_the_first_row(right: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.resize(right.reshape(-1)[:1], right.shape) if right.size else right


@batch_mistake("greedy", "HEAD-4", "the place of the maximum in the flattened batch")
def flattened(right: np.ndarray, logits: np.ndarray) -> np.ndarray:
    rows = np.arange(right.size).reshape(right.shape)
    return right + rows * logits.shape[-1]


@mutant("greedy", "SOFTMAX-4", "nan taken for the largest and its id returned")
def accepts_nan(logits: Any) -> np.ndarray:
    array = np.asarray(logits)
    nan = array.dtype.kind == "f" and np.isnan(array).any()
    return np.asarray(array.argmax(axis=-1)) if nan else greedy(logits)

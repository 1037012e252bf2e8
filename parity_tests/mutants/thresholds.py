"""Wrong thresholds: min-p, epsilon, eta and top-n-sigma."""

from typing import Any

import numpy as np

from reference import keep_epsilon, keep_eta, keep_min_p, keep_top_n_sigma

from .registry import mutant
from .rows import INF, batch_mistake, entropy, mistake, softmax

LLAMA_CPP_GPU = "https://github.com/ggml-org/llama.cpp"
SGLANG_JAX = "https://github.com/sgl-project/sglang-jax/pull/1563"
MLX_LM = "https://github.com/ml-explore/mlx-lm"
TRANSFORMERS = "https://github.com/huggingface/transformers"
TRL = "https://github.com/huggingface/trl/pull/7263"


def _weights(z: np.ndarray) -> np.ndarray:
    """1 for the largest, in float64."""
    weights: np.ndarray = np.exp(z.astype(np.float64) - z.max())
    return weights


@mistake("keep_min_p", "FILTER-4", "probabilities compared with p itself, not with p times the largest")
def of_p_itself(z: np.ndarray, p: float) -> np.ndarray:
    return (softmax(z) >= p) | (z == z.max())


@mistake("keep_min_p", "FILTER-4", "above the threshold, not at it: p = 1 keeps nothing", LLAMA_CPP_GPU)
def strict(z: np.ndarray, p: float) -> np.ndarray:
    """`ggml_step(logit - threshold)`."""
    return _weights(z) > p if p > 0 else z > -INF


@mistake("keep_min_p", "FILTER-4", "the logarithm of p to base 10")
def log_10(z: np.ndarray, p: float) -> np.ndarray:
    return z >= z.max() + np.log10(p)


@mistake("keep_min_p", "FILTER-4", "the logarithm of p to base 2")
def log_2(z: np.ndarray, p: float) -> np.ndarray:
    return z >= z.max() + np.log2(p)


@mistake("keep_min_p", "FILTER-4", "logits compared with p times the largest logit", SGLANG_JAX)
def of_logits(z: np.ndarray, p: float) -> np.ndarray:
    return (z >= p * z.max()) | (z == z.max())


@batch_mistake("keep_min_p", "FILTER-1", "what falls becomes 0, which beats every negative logit", SGLANG_JAX)
def masks_with_zero(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where((right == -INF) & (logits > -INF), 0, right)


@batch_mistake(
    "keep_min_p", "HEAD-4", "the largest logit of the whole batch", "https://github.com/ml-explore/mlx-lm/pull/1575"
)
def largest_of_the_batch(right: np.ndarray, logits: np.ndarray, p: float) -> np.ndarray:
    stays = logits >= logits.max(initial=-INF) + np.log(p)
    return np.where(stays | (logits == logits.max(axis=-1, keepdims=True)), logits, -INF)


@mistake("keep_min_p", "FILTER-1", "masked tokens taken for logits of 0, which may be the largest")
def masked_as_zero(z: np.ndarray, p: float) -> np.ndarray:
    return (z >= max(z.max(), np.where(z == -INF, 0, z).max()) + np.log(p)) | (z == z.max())


@mistake("keep_min_p", "FILTER-4", "at the default temperature, 0.7, not of the logits as they are")
def at_another_temperature(z: np.ndarray, p: float) -> np.ndarray:
    return (_weights(z) ** (1 / 0.7) >= p) | (z == z.max())


@mistake("keep_min_p", "FILTER-4", "weights compared in float16")
def in_float16(z: np.ndarray, p: float) -> np.ndarray:
    return (_weights(z).astype(np.float16) >= np.float16(p)) if p > 0 else z > -INF


@mistake("keep_min_p", "SOFTMAX-2", "the maximum not subtracted: exp overflows, or is 0 throughout")
def without_the_maximum(z: np.ndarray, p: float) -> np.ndarray:
    weights = np.exp(z)
    return (weights >= z.dtype.type(p) * weights.max()) & (z > -INF)


@mutant("keep_min_p", "FILTER-4", "p = 0 refused: its logarithm is -inf", MLX_LM)
def p_of_0_refused(logits: Any, p: float) -> np.ndarray:
    if p == 0 and isinstance(p, float):
        raise ValueError("math domain error")
    return keep_min_p(logits, p)


@mutant("keep_min_p", "FILTER-11", "a p above 1 silently means 1", LLAMA_CPP_GPU)
def p_above_1_means_1(logits: Any, p: float) -> np.ndarray:
    return keep_min_p(logits, 1.0 if isinstance(p, float) and p > 1 else p)


@mistake("keep_epsilon", "FILTER-1", "the largest falls, too: no token is left")
def without_the_largest(z: np.ndarray, cutoff: float) -> np.ndarray:
    return softmax(z) >= cutoff


@mistake("keep_epsilon", "FILTER-6", "the cutoff relative to the largest probability: a min-p")
def of_the_largest(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _weights(z) >= cutoff


@mistake("keep_epsilon", "FILTER-6", "of several largest only the first is sure to stay")
def first_of_the_largest(z: np.ndarray, cutoff: float) -> np.ndarray:
    """`argmax` in place of a comparison with the maximum."""
    return (softmax(z) >= cutoff) | (np.arange(len(z)) == np.argmax(z))


@mistake("keep_epsilon", "FILTER-1", "masked tokens counted as logits of 0")
def masked_tokens_weigh(z: np.ndarray, cutoff: float) -> np.ndarray:
    return ((softmax(np.where(z == -INF, 0, z)) >= cutoff) & (z > -INF)) | (z == z.max())


@mistake("keep_epsilon", "FILTER-6", "the cutoff taken for a share of the mass: what adds up to it from below falls")
def sum_of_the_tail(z: np.ndarray, cutoff: float) -> np.ndarray:
    q = softmax(z)
    return (np.array([q[q <= one].sum() for one in q]) >= cutoff) & (z > -INF)


@mistake("keep_epsilon", "FILTER-6", "divided by the size of the vocabulary: cutoff / V")
def of_uniform(z: np.ndarray, cutoff: float) -> np.ndarray:
    return (softmax(z) >= cutoff / len(z)) & (z > -INF)


@mutant("keep_epsilon", "FILTER-11", "a cutoff outside (0, 1) silently means off", TRANSFORMERS)
def bad_cutoff_is_off(logits: Any, cutoff: float) -> np.ndarray:
    bad = isinstance(cutoff, float) and not 0 < cutoff < 1
    return keep_epsilon(logits, 1e-300) if bad else keep_epsilon(logits, cutoff)


def _eta(z: np.ndarray, least: float) -> np.ndarray:
    stays: np.ndarray = (softmax(z) >= least) | (z == z.max())
    return stays


@mistake("keep_eta", "FILTER-6", "sqrt(cutoff exp(-H)), the formula of the docstring", TRANSFORMERS)
def docstring(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, min(cutoff, np.sqrt(cutoff * np.exp(-entropy(softmax(z))))))


@mistake("keep_eta", "FILTER-6", "the larger of the two numbers, not the smaller")
def larger_of_the_two(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, max(cutoff, np.sqrt(cutoff) * np.exp(-entropy(softmax(z)))))


@mistake("keep_eta", "FILTER-6", "the cutoff itself: the entropy has no effect")
def entropy_forgotten(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, cutoff)


@mistake("keep_eta", "FILTER-6", "sqrt(cutoff) exp(-H) alone, even above the cutoff")
def cutoff_forgotten(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, np.sqrt(cutoff) * np.exp(-entropy(softmax(z))))


@mistake("keep_eta", "FILTER-6", "cutoff exp(-H): without the root")
def without_the_root(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, cutoff * np.exp(-entropy(softmax(z))))


@mistake("keep_eta", "FILTER-6", "the entropy in bits")
def in_bits(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, min(cutoff, np.sqrt(cutoff) * np.exp(-entropy(softmax(z)) / np.log(2))))


@mistake("keep_eta", "FILTER-6", "2 ** -H in place of exp(-H)")
def power_of_2(z: np.ndarray, cutoff: float) -> np.ndarray:
    return _eta(z, min(cutoff, np.sqrt(cutoff) * 2 ** -entropy(softmax(z))))


@mistake("keep_eta", "FILTER-1", "the entropy nan where a probability is 0: the largest alone stays", TRL)
def nan_of_masked(z: np.ndarray, cutoff: float) -> np.ndarray:
    """`-(q * log(q)).sum()`: 0 times -inf."""
    q = softmax(z)
    return _eta(z, float(np.minimum(cutoff, np.sqrt(cutoff) * np.exp(np.sum(q * np.log(q))))))


@batch_mistake("keep_eta", "HEAD-4", "the entropy of the first row for the whole batch")
def entropy_of_the_first_row(right: np.ndarray, logits: np.ndarray, cutoff: float) -> np.ndarray:
    if not logits.size:
        return right
    rows = logits.reshape(-1, logits.shape[-1])
    least = min(cutoff, np.sqrt(cutoff) * np.exp(-entropy(softmax(rows[0]))))
    return np.where(np.reshape([_eta(row, least) for row in rows], logits.shape), logits, -INF)


@mutant("keep_eta", "FILTER-11", "a cutoff outside (0, 1) silently means off", TRANSFORMERS)
def bad_cutoff_is_off_(logits: Any, cutoff: float) -> np.ndarray:
    bad = isinstance(cutoff, float) and not 0 < cutoff < 1
    return keep_eta(logits, 1e-300) if bad else keep_eta(logits, cutoff)


def _sigma(z: np.ndarray) -> float:
    """The standard deviation of the unmasked, which is divided by their number."""
    return float(np.std(z[z > -INF].astype(np.float64)))


@mistake("keep_top_n_sigma", "FILTER-8", "the sum of squares divided by one less than their number")
def one_less(z: np.ndarray, n: float) -> np.ndarray:
    """`torch.std`, by default."""
    count = int((z > -INF).sum())
    return z >= z.max() - n * _sigma(z) * np.sqrt(count / max(1, count - 1))


@mistake("keep_top_n_sigma", "FILTER-8", "the masked tokens count as zeros")
def masked_as_zero_(z: np.ndarray, n: float) -> np.ndarray:
    deviation = np.std(np.where(z == -INF, 0, z.astype(np.float64)))
    return (z >= z.max() - n * deviation) & (z > -INF)


@mistake("keep_top_n_sigma", "FILTER-8", "the masked tokens count as -1e4")
def masked_as_a_number(z: np.ndarray, n: float) -> np.ndarray:
    return (z >= z.max() - n * np.std(np.where(z == -INF, -1e4, z.astype(np.float64)))) & (z > -INF)


@mistake("keep_top_n_sigma", "FILTER-8", "the deviation nan where a token is masked: the largest alone stays")
def nan_of_masked_(z: np.ndarray, n: float) -> np.ndarray:
    return (z >= z.max() - n * np.std(z.astype(np.float64))) | (z == z.max())


@mistake("keep_top_n_sigma", "FILTER-8", "divided by V, not by the number of the unmasked")
def divided_by_all(z: np.ndarray, n: float) -> np.ndarray:
    return z >= z.max() - n * _sigma(z) * np.sqrt((z > -INF).mean())


@mistake("keep_top_n_sigma", "FILTER-8", "n deviations from the mean, not from the largest")
def from_the_mean(z: np.ndarray, n: float) -> np.ndarray:
    return (z >= z[z > -INF].astype(np.float64).mean() - n * _sigma(z)) | (z == z.max())


@mistake("keep_top_n_sigma", "FILTER-8", "of probabilities, not of logits")
def of_probabilities(z: np.ndarray, n: float) -> np.ndarray:
    q = softmax(z)
    return (q >= q.max() - n * np.std(q[z > -INF])) & (z > -INF)


@mistake("keep_top_n_sigma", "FILTER-8", "n times the variance: without the root")
def variance(z: np.ndarray, n: float) -> np.ndarray:
    return z >= z.max() - n * _sigma(z) ** 2


@mistake("keep_top_n_sigma", "FILTER-8", "the mean absolute deviation")
def mean_absolute_deviation(z: np.ndarray, n: float) -> np.ndarray:
    alive = z[z > -INF].astype(np.float64)
    return z >= z.max() - n * np.abs(alive - alive.mean()).mean()


@mistake("keep_top_n_sigma", "FILTER-1", "above the threshold, not at it: equal logits all fall")
def none_of_equal_ones(z: np.ndarray, n: float) -> np.ndarray:
    return z > z.max() - n * _sigma(z)


@mistake("keep_top_n_sigma", "FILTER-8", "E[z^2] - E[z]^2 in float32, which cancels far from 0")
def in_one_pass(z: np.ndarray, n: float) -> np.ndarray:
    alive = z[z > -INF].astype(np.float32)
    deviation = np.sqrt(np.maximum(np.square(alive).mean() - alive.mean() ** 2, 0))
    return z >= z.max() - n * deviation


@batch_mistake("keep_top_n_sigma", "HEAD-4", "the deviation of the whole batch")
def deviation_of_the_batch(right: np.ndarray, logits: np.ndarray, n: float) -> np.ndarray:
    if not logits.size:
        return right
    return np.where(logits >= logits.max(axis=-1, keepdims=True) - n * _sigma(logits), logits, -INF)


@mutant("keep_top_n_sigma", "FILTER-11", "an n of 0 or below silently means off", LLAMA_CPP_GPU)
def n_of_0_is_off(logits: Any, n: float) -> np.ndarray:
    return keep_top_n_sigma(logits, 1e30 if isinstance(n, float) and n <= 0 else n)

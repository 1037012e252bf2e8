"""Wrong log-probabilities, ranks and losses."""

from typing import Any

import numpy as np

from reference import cross_entropy, log_probs, rank, top_log_probs

from .registry import mutant
from .rows import INF, batch_mistake, log_softmax, mistake, ranked, softmax

WITHOUT_MAX = "https://github.com/abetlen/llama-cpp-python/issues/990"
AFTER_SORTING = "https://github.com/abetlen/llama-cpp-python/pull/453"
NO_LOG = "https://github.com/ray-project/ray/pull/24278"
FINITE_MASK = "https://github.com/sgl-project/sglang/issues/5761"
ALWAYS_FIRST = "https://github.com/NVIDIA/TensorRT-LLM/pull/7296"
MLX_LM = "https://github.com/ml-explore/mlx-lm"
VLLM = "https://github.com/vllm-project/vllm"
PADDING_COUNTS = "https://github.com/tracel-ai/burn/issues/5568"
MEAN_OF_MEANS = "https://github.com/meta-pytorch/torchtune/pull/1875"
MINUS_100 = "https://github.com/flagos-ai/FlagGems/pull/73"


@mistake("log_probs", "LOGPROB-1", "in bits: the logarithm to base 2")
def in_bits(z: np.ndarray) -> np.ndarray:
    return log_softmax(z) / np.log(2)


@mistake("log_probs", "LOGPROB-1", "the logarithm of a softmax: -inf where a probability underflows")
def log_of_softmax(z: np.ndarray) -> np.ndarray:
    weights = np.exp(z - z.max())
    return np.log(weights / weights.sum())


@mistake("log_probs", "LOGPROB-1", "1e-10 added to the probabilities: no smaller one shows")
def plus_1e_10(z: np.ndarray) -> np.ndarray:
    return np.where(z == -INF, -INF, np.log(softmax(z) + 1e-10))


@mistake("log_probs", "LOGPROB-1", "probabilities cut off at 1e-8 from below")
def cut_off(z: np.ndarray) -> np.ndarray:
    return np.where(z == -INF, -INF, np.log(np.maximum(softmax(z), 1e-8)))


@mistake("log_probs", "LOGPROB-1", "the maximum not subtracted: exp overflows, or is 0 throughout", WITHOUT_MAX)
def without_the_maximum(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum())


@mistake("log_probs", "LOGPROB-1", "the maximum subtracted, and nothing else")
def not_normalised(z: np.ndarray) -> np.ndarray:
    return z - z.max()


@mistake("log_probs", "LOGPROB-1", "z - logsumexp(z): the maximum added again, so that it cancels far from 0", MLX_LM)
def maximum_added_again(z: np.ndarray) -> np.ndarray:
    return z - (z.max() + np.log(np.exp(z - z.max()).sum()))


@mistake("log_probs", "LOGPROB-1", "probabilities in place of their logarithms", NO_LOG)
def probabilities(z: np.ndarray) -> np.ndarray:
    return softmax(z)


@mistake("log_probs", "LOGPROB-1", "minus the log-probabilities")
def negated(z: np.ndarray) -> np.ndarray:
    return -log_softmax(z)


@mistake("log_probs", "LOGPROB-1", "rounded to float16")
def in_float16(z: np.ndarray) -> np.ndarray:
    return log_softmax(z).astype(np.float16)


@mistake("log_probs", "LOGPROB-1", "the sum of the weights in float16")
def sum_in_float16(z: np.ndarray) -> np.ndarray:
    x = z - z.max()
    return x - np.log(np.float64(np.cumsum(np.exp(x).astype(np.float16), dtype=np.float16)[-1]))


@mistake("log_probs", "LOGPROB-1", "masked tokens get the smallest finite number, not -inf", FINITE_MASK)
def finite_mask(z: np.ndarray) -> np.ndarray:
    return np.where(z == -INF, np.finfo(z.dtype).min, log_softmax(z))


@mistake("log_probs", "LOGPROB-1", "masked tokens counted as logits of 0")
def masked_tokens_weigh(z: np.ndarray) -> np.ndarray:
    return np.where(z == -INF, -INF, log_softmax(np.where(z == -INF, 0, z)))


@mistake("log_probs", "LOGPROB-1", "at the default temperature, 0.7, not of the logits as they are")
def at_another_temperature(z: np.ndarray) -> np.ndarray:
    return log_softmax(z / 0.7)


@batch_mistake("log_probs", "HEAD-4", "normalised over the batch, not over the vocabulary")
def over_the_batch(right: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return right if logits.ndim == 1 or not logits.size else log_softmax(logits.swapaxes(0, -1)).swapaxes(0, -1)


@batch_mistake("top_log_probs", "LOGPROB-2", "normalised over the k best alone")
def over_the_k_best(right: Any, logits: np.ndarray, k: int) -> Any:
    return (log_softmax(right[0]).astype(right[0].dtype) if right[0].size else right[0]), right[1]


@batch_mistake("top_log_probs", "LOGPROB-2", "probabilities in place of their logarithms", NO_LOG)
def probabilities_(right: Any, logits: np.ndarray, k: int) -> Any:
    return np.exp(right[0]), right[1]


@batch_mistake("top_log_probs", "LOGPROB-2", "the logits in place of log-probabilities")
def logits_(right: Any, logits: np.ndarray, k: int) -> Any:
    return np.take_along_axis(logits, right[1], axis=-1), right[1]


@batch_mistake(
    "top_log_probs", "LOGPROB-2", "the log-probabilities of the first ids beside the best ids", AFTER_SORTING
)
def indexed_after_sorting(right: Any, logits: np.ndarray, k: int) -> Any:
    return log_probs(logits)[..., :k], right[1]


@batch_mistake("top_log_probs", "LOGPROB-2", "ordered by log-probabilities, which round: near ties count as ties")
def by_log_probs(right: Any, logits: np.ndarray, k: int) -> Any:
    scores = log_probs(logits)
    ids = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(scores, ids, axis=-1), ids


@batch_mistake("top_log_probs", "LOGPROB-2", "of equal logits the highest id first")
def highest_id(right: Any, logits: np.ndarray, k: int) -> Any:
    ids = logits.shape[-1] - 1 - np.argsort(-logits[..., ::-1], axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(log_probs(logits), ids, axis=-1), ids


@batch_mistake("top_log_probs", "LOGPROB-2", "the least of the k first")
def ascending(right: Any, logits: np.ndarray, k: int) -> Any:
    return right[0][..., ::-1], right[1][..., ::-1]


@batch_mistake("top_log_probs", "LOGPROB-2", "ranks in place of token ids")
def ranks(right: Any, logits: np.ndarray, k: int) -> Any:
    return right[0], np.broadcast_to(np.arange(right[1].shape[-1]), right[1].shape)


@mutant("top_log_probs", "LOGPROB-2", "k + 1 of them", VLLM)
def one_too_many(logits: Any, k: int) -> Any:
    """The sampled token may be an additional one; here it is not asked for."""
    top_log_probs(logits, k)
    return top_log_probs(logits, k + 1)


@mutant(
    "top_log_probs",
    "LOGPROB-2",
    "no more than 20 of them",
    "https://platform.openai.com/docs/api-reference/chat/create",
)
def at_most_20(logits: Any, k: int) -> Any:
    return top_log_probs(logits, min(k, 20) if isinstance(k, int) and not isinstance(k, bool) else k)


@batch_mistake("top_log_probs", "TOPK-4", "padded to k places where V is below k")
def padded(right: Any, logits: np.ndarray, k: int) -> Any:
    more = [(0, 0)] * (logits.ndim - 1) + [(0, max(0, min(k, 999) - logits.shape[-1]))]
    return np.pad(right[0], more, constant_values=-INF), np.pad(right[1], more)


@batch_mistake("rank", "LOGPROB-3", "ranks from 1", VLLM)
def from_1(right: np.ndarray, **_: Any) -> np.ndarray:
    return np.asarray(right + 1)


@mutant("rank", "LOGPROB-3", 'ties="all" ignored')
def ties_ignored(logits: Any, token_ids: Any, ties: Any = "lowest_id") -> np.ndarray:
    rank(logits, token_ids, ties)
    return rank(logits, token_ids)


@mutant("rank", "LOGPROB-3", "whatever ties counts as before it", VLLM)
def all_ties_count(logits: Any, token_ids: Any, ties: Any = "lowest_id") -> np.ndarray:
    rank(logits, token_ids, ties)
    return rank(logits, token_ids, ties="all")


@mistake("rank", "LOGPROB-3", "only larger logits count, of the tied none")
def only_larger_ones(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    return np.count_nonzero(z > z[token_ids])


@mistake("rank", "LOGPROB-3", "of the tied those with a higher id count")
def higher_ids_count(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    tied = (z == z[token_ids]) & (np.arange(len(z)) > token_ids)
    return np.count_nonzero((z > z[token_ids]) | tied) if ties != "all" else rank(z, token_ids, ties)


@mistake("rank", "LOGPROB-3", "the token counts as tied with itself")
def itself_counts(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    return np.count_nonzero(z >= z[token_ids]) if ties == "all" else rank(z, token_ids)


@mistake("rank", "LOGPROB-3", "from the least probable")
def from_the_bottom(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    return rank(np.where(z == -INF, np.finfo(z.dtype).max, -z), token_ids, ties)


@mistake("rank", "LOGPROB-3", "0 for every token", ALWAYS_FIRST)
def always_first(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    return 0


@mistake("rank", "LOGPROB-3", "by log-probabilities, which round: near ties count as ties")
def by_log_probs_(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    return rank(log_softmax(z).astype(np.float32), token_ids, ties)


@mistake("rank", "LOGPROB-3", "the token at this place of the ranking, not the place of the token")
def token_of_the_rank(z: np.ndarray, token_ids: Any, ties: Any) -> Any:
    return ranked(z)[token_ids]


@batch_mistake("rank", "HEAD-4", "compared with the token of the first row")
def of_the_first_row(right: np.ndarray, logits: np.ndarray, token_ids: Any, ties: Any) -> np.ndarray:
    if not right.size:
        return right
    return rank(logits, np.broadcast_to(np.asarray(token_ids).reshape(-1)[0], right.shape), ties)


def _losses(logits: np.ndarray, token_ids: Any, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Minus the log-probability at each position, and which positions count."""
    counted = np.asarray(token_ids) != ignore_index
    ids = np.where(counted, token_ids, 0).astype(np.int64)
    return -np.take_along_axis(log_softmax(logits), ids[..., None], axis=-1)[..., 0], counted


def _as(right: np.ndarray, loss: Any) -> np.ndarray:
    return np.asarray(loss, right.dtype)


@batch_mistake("cross_entropy", "LOGPROB-4", "the sum, not the mean")
def summed(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    losses, counted = _losses(logits, token_ids, ignore_index)
    return _as(right, losses[counted].sum())


@batch_mistake("cross_entropy", "LOGPROB-4", "divided by all positions, the ignored ones among them", PADDING_COUNTS)
def mean_over_all(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    losses, counted = _losses(logits, token_ids, ignore_index)
    return _as(right, losses[counted].sum() / counted.size)


@batch_mistake("cross_entropy", "LOGPROB-4", "ignored positions scored as id 0")
def ignored_as_id_0(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    return _as(right, _losses(logits, token_ids, ignore_index)[0].mean())


@batch_mistake("cross_entropy", "LOGPROB-4", "the mean of the means of each row", MEAN_OF_MEANS)
def mean_of_means(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    losses, counted = _losses(logits, token_ids, ignore_index)
    if losses.ndim < 2:
        return right
    numbers = counted.sum(axis=-1)
    return _as(right, (np.where(counted, losses, 0).sum(axis=-1)[numbers > 0] / numbers[numbers > 0]).mean())


@batch_mistake("cross_entropy", "LOGPROB-4", "shifted by one position: each scored with the id of the next")
def shifted(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    ids = np.asarray(token_ids)
    if not ids.ndim or ids.shape[-1] < 2 or (ids[..., 1:] == ignore_index).all():
        return right
    return cross_entropy(logits[..., :-1, :], ids[..., 1:], ignore_index)


@batch_mistake("cross_entropy", "LOGPROB-4", "in bits")
def in_bits_(right: np.ndarray, **_: Any) -> np.ndarray:
    return _as(right, right / np.log(2))


@batch_mistake("cross_entropy", "LOGPROB-4", "the perplexity, exp of the loss")
def perplexity(right: np.ndarray, **_: Any) -> np.ndarray:
    return _as(right, np.exp(right))


@batch_mistake("cross_entropy", "LOGPROB-4", "the mean log-probability, without the minus")
def without_the_minus(right: np.ndarray, **_: Any) -> np.ndarray:
    return _as(right, -right)


@batch_mistake("cross_entropy", "LOGPROB-4", "log-probabilities of a softmax that underflows: infinite")
def log_of_softmax_(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    counted = np.asarray(token_ids) != ignore_index
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = np.log(weights / weights.sum(axis=-1, keepdims=True))
    ids = np.where(counted, token_ids, 0).astype(np.int64)
    return _as(right, -np.take_along_axis(scores, ids[..., None], axis=-1)[..., 0][counted].mean())


@batch_mistake("cross_entropy", "LOGPROB-4", "1e-10 added to the probabilities")
def plus_1e_10_(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    losses, counted = _losses(logits, token_ids, ignore_index)
    return _as(right, -np.log(np.exp(-losses[counted]) + 1e-10).mean())


@batch_mistake("cross_entropy", "LOGPROB-4", "rounded to float16")
def in_float16_(right: np.ndarray, **_: Any) -> np.ndarray:
    return _as(right, right.astype(np.float16))


@batch_mistake("cross_entropy", "LOGPROB-4", "the losses summed in float16")
def summed_in_float16(right: np.ndarray, logits: np.ndarray, token_ids: Any, ignore_index: int) -> np.ndarray:
    losses, counted = _losses(logits, token_ids, ignore_index)
    total = np.cumsum(losses[counted].astype(np.float16), dtype=np.float16)[-1]
    return _as(right, float(total) / counted.sum())


@mutant("cross_entropy", "LOGPROB-4", "-100 ignored, whatever the ignore_index", MINUS_100)
def always_minus_100(logits: Any, token_ids: Any, ignore_index: int = -100) -> np.ndarray:
    right = cross_entropy(logits, token_ids, ignore_index)
    inside = 0 <= ignore_index < np.shape(logits)[-1]
    return cross_entropy(logits, token_ids) if inside else right


@mutant("cross_entropy", "LOGPROB-5", "0, or nan, where every position is ignored", PADDING_COUNTS)
def mean_of_nothing(logits: Any, token_ids: Any, ignore_index: int = -100) -> np.ndarray:
    try:
        return cross_entropy(logits, token_ids, ignore_index)
    except ValueError as error:
        if "no position that counts" not in str(error):
            raise
        return np.asarray(0.0, np.asarray(logits).dtype)

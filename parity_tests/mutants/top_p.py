"""Wrong nuclei: where the running sum ends, what is summed, and in which order."""

from typing import Any

import ml_dtypes
import numpy as np

from reference import keep_top_p

from .registry import mutant
from .rows import INF, batch_mistake, mistake, only, ranked, softmax

TRANSFORMERS = "https://github.com/huggingface/transformers/issues/18976"
ESM = "https://github.com/Biohub/esm/pull/360"
ONE_MORE = "https://github.com/BlinkDL/ChatRWKV/pull/170"
LLAMA2_C = "https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c"
MLX_LM = "https://github.com/ml-explore/mlx-lm"
NONE_LEFT = "https://github.com/ml-explore/mlx-lm/pull/1912"
GENAI = "https://github.com/microsoft/onnxruntime-genai"
GLUON = "https://github.com/dmlc/gluon-nlp/issues/1481"
OPENAI_GPT2 = "https://github.com/openai/gpt-2/blob/0e42a5718340639698147bf11e64e9f3a53881a6/src/sample.py"
FLASHINFER = "https://github.com/flashinfer-ai/flashinfer"
LLAMA_CPP = "https://github.com/ggml-org/llama.cpp"
VLLM = "https://github.com/vllm-project/vllm"


def _up_to(
    z: np.ndarray, ids: np.ndarray, running: np.ndarray, enough: Any, until: str, ties: str, more: int = 0
) -> np.ndarray:
    """Which tokens stay: the first of `ids` up to where the sum is enough, and what ties with the last of them."""
    short = running[:-1] <= enough if until == "exceeded" else running[:-1] < enough
    stays = only(ids[: 1 + int(np.count_nonzero(short)) + more], z)
    return stays | (z >= z[stays].min()) if ties == "all" else stays


def _nucleus(z: np.ndarray, p: float, until: str, ties: str, ids: Any = None, q: Any = None) -> np.ndarray:
    """Which tokens stay, by these ids and probabilities."""
    ids, q = ranked(z) if ids is None else ids, softmax(z) if q is None else q
    running = np.cumsum(q[ids])
    return z > -INF if p == 1 else _up_to(z, ids, running, p * running[-1], until, ties)


@mutant("keep_top_p", "FILTER-2", "a sum of exactly p is not enough: one token too many", TRANSFORMERS)
def exactly_p_is_too_little(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    """`cumsum > p`, with the mask moved one place to the right."""
    keep_top_p(logits, p, until, ties)
    return keep_top_p(logits, p, until="exceeded", ties=ties)


@mistake("keep_top_p", "FILTER-2", "the token with which the sum reaches p falls, unless it is the first", ESM)
def the_crossing_falls(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """`cumsum <= p` stays."""
    ids, running = ranked(z), np.cumsum(softmax(z)[ranked(z)])
    if p == 1:
        return z > -INF
    enough = running < p if until == "exceeded" else running <= p
    stays = only(ids[: max(1, int(enough.sum()))], z)
    return stays | (z >= z[stays].min()) if ties == "all" else stays


@mistake("keep_top_p", "FILTER-2", "one token more than reaches p", ONE_MORE)
def one_too_many(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    ids = ranked(z)
    return z > -INF if p == 1 else _up_to(z, ids, np.cumsum(softmax(z)[ids]), p, until, ties, more=1)


@mistake("keep_top_p", "FILTER-1", "a small p leaves no token: nothing exceeds 1 - p", NONE_LEFT)
def none_left(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    stays = _nucleus(z, p, until, ties)
    return stays & (np.float32(1 - p) < 1)


@mistake("keep_top_p", "FILTER-2", "a p below 1 / V leaves no token, through a filter before the sort", LLAMA2_C)
def prefilter(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    q = softmax(z)
    return _nucleus(z, p, until, ties) & (q >= (1 - p) / max(1, len(z) - 1))


@mistake("keep_top_p", "FILTER-1", "probabilities summed in bfloat16", MLX_LM)
def sums_in_bfloat16(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """A sum stops growing at 256 times what is added to it."""
    running = np.cumsum(softmax(z)[ranked(z)].astype(ml_dtypes.bfloat16)).astype(np.float64)
    return z > -INF if p == 1 else _up_to(z, ranked(z), running, p, until, ties)


@mistake("keep_top_p", "FILTER-1", "probabilities summed in float16", MLX_LM)
def sums_in_float16(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    running = np.cumsum(softmax(z)[ranked(z)].astype(np.float16), dtype=np.float16).astype(np.float64)
    return z > -INF if p == 1 else _up_to(z, ranked(z), running, p, until, ties)


@mistake("keep_top_p", "FILTER-2", "stopped by an upper bound of the sum, too late", GENAI)
def upper_bound(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """What is left counts as if it were all as probable as the token at hand, so that no sum is needed."""
    ids = ranked(z)
    weights = np.exp(z.astype(np.float64) - z.max())[ids]
    running, left = np.cumsum(weights), len(z) - 1 - np.arange(len(z))
    return z > -INF if p == 1 else _up_to(z, ids, running, (p * (running + left * weights))[:-1], until, ties)


@mistake("keep_top_p", "FILTER-1", "masked tokens counted as logits of 0")
def masked_tokens_weigh(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """A buffer of zeros that was filled up only where a token is allowed."""
    ids, filled = ranked(z), np.where(z == -INF, 0, z)
    return z > -INF if p == 1 else _up_to(z, ids, np.cumsum(softmax(filled)[ids]), p, until, ties)


@mistake("keep_top_p", "FILTER-2", "exp(z - max) summed up and compared with p, not divided by their sum")
def weights_for_probabilities(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    running = np.cumsum(np.exp(z.astype(np.float64) - z.max())[ranked(z)])
    return z > -INF if p == 1 else _up_to(z, ranked(z), running, p, until, ties)


@mistake("keep_top_p", "FILTER-2", "summed ascending from the least probable", GLUON)
def from_the_least_probable(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    ids = ranked(z)[::-1]
    return _nucleus(z, p, until, ties, ids[np.argsort(z[ids] == -INF, kind="stable")])


@mistake("keep_top_p", "FILTER-2", "summed in the order of ids: never sorted", GLUON)
def never_sorted(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    return _nucleus(z, p, until, ties, np.arange(len(z)))


@mistake("keep_top_p", "FILTER-2", "the mask of the sorted row laid over the row itself")
def mask_not_scattered_back(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    return np.arange(len(z)) < _nucleus(z, p, until, ties).sum()


@mutant("keep_top_p", "FILTER-3", 'until="exceeded" ignored')
def until_ignored(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    keep_top_p(logits, p, until, ties)
    return keep_top_p(logits, p, ties=ties)


@mutant("keep_top_p", "FILTER-3", 'ties="all" ignored')
def ties_ignored(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    keep_top_p(logits, p, until, ties)
    return keep_top_p(logits, p, until)


@mutant("keep_top_p", "FILTER-2", "whatever ties with the last one stays, too", FLASHINFER)
def all_ties_stay(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    """A threshold by value, as in mlx-lm."""
    keep_top_p(logits, p, until, ties)
    return keep_top_p(logits, p, until, ties="all")


@mistake("keep_top_p", "FILTER-2", "of the tied at the end, the highest ids stay", VLLM)
def highest_id(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """The last ones of a sort in ascending order."""
    return _nucleus(z, p, until, ties, np.argsort(z, kind="stable")[::-1])


@mistake("keep_top_p", "FILTER-2", "ties left to a sort that is not stable", LLAMA_CPP)
def unstable_sort(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """NumPy's own, too, keeps the order of a few tokens, not that of hundreds."""
    return _nucleus(z, p, until, ties, np.argsort(-z, kind="quicksort"))


@batch_mistake("keep_top_p", "HEAD-4", "the threshold of the first row for the whole batch")
def threshold_of_the_first_row(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    if logits.ndim == 1 or not logits.size:
        return right
    first = right.reshape(-1, logits.shape[-1])[0]
    return np.where(logits >= first[first > -INF].min(), logits, -INF)


@batch_mistake("keep_top_p", "HEAD-4", "the softmax over the batch, not over the vocabulary")
def softmax_over_the_batch(right: np.ndarray, logits: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """`softmax(dim=0)`, which is right for a row alone."""
    if logits.ndim == 1 or not logits.size:
        return right
    rows = logits.reshape(-1, logits.shape[-1])
    weights = np.exp(rows - rows.max(axis=-1, keepdims=True))
    q = weights / weights.sum(axis=0)
    stays = [_nucleus(row, p, until, ties, q=of_row) for row, of_row in zip(rows, np.nan_to_num(q), strict=True)]
    return np.where(np.reshape(stays, logits.shape), logits, -INF)


@mistake("keep_top_p", "SOFTMAX-2", "the maximum not subtracted: exp overflows, or is 0 throughout")
def without_the_maximum(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    weights = np.exp(z)
    return _nucleus(z, p, until, ties, q=weights / weights.sum())


@mistake("keep_top_p", "FILTER-2", "p = 1 drops the tail after which the float32 sum is 1")
def p_of_1_drops_the_tail(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    running = np.cumsum(softmax(z)[ranked(z)].astype(np.float32))
    return _nucleus(z, p, until, ties) if p < 1 else _up_to(z, ranked(z), running, 1, "reached", ties)


@mistake("keep_top_p", "FILTER-2", "only the 256 largest sorted, and nothing after them", LLAMA_CPP)
def of_the_256_largest(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """Right wherever the nucleus is that small; the search has to go on where it is not."""
    return _nucleus(z, p, until, ties) & only(ranked(z)[:256], z) if p < 1 else z > -INF


@mistake("keep_top_p", "FILTER-2", "two tokens stay in any case")
def two_at_least(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """`min_tokens_to_keep=2`, as beam search needs it."""
    return _nucleus(z, p, until, ties) | only(ranked(z)[:2], z)


@mistake("keep_top_p", "FILTER-2", "the nucleus at the default temperature, 0.7, not of the logits as they are")
def at_another_temperature(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    return _nucleus(z, p, until, ties, q=softmax(z / 0.7))


@batch_mistake("keep_top_p", "FILTER-1", "masked with -1e10, not -inf", OPENAI_GPT2)
def masks_with_a_number(right: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == -INF, right.dtype.type(-1e10), right)


@batch_mistake("keep_top_p", "FILTER-1", "log-probabilities of the survivors in place of their logits", MLX_LM)
def log_probs_of_survivors(right: np.ndarray, **_: Any) -> np.ndarray:
    x = right - right.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@mutant("keep_top_p", "FILTER-11", "a p of 0 silently means one token", TRANSFORMERS)
def p_of_0_means_one_token(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    return keep_top_p(logits, 1e-9 if p == 0 and not isinstance(p, bool) else p, until, ties)


@mutant("keep_top_p", "FILTER-11", "a p above 1 silently means all", TRANSFORMERS)
def p_above_1_means_all(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    return keep_top_p(logits, 1.0 if isinstance(p, float) and p > 1 else p, until, ties)


@mutant("keep_top_p", "FILTER-11", "an unknown word silently means the usual rule")
def unknown_words_ignored(logits: Any, p: float, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
    return keep_top_p(logits, p, until if until == "exceeded" else "reached", ties if ties == "all" else "lowest_id")

"""Correct but different filters, penalties and log-probabilities: `variants.py` lists them with the others.

They compute in the dtype of the logits, where the reference takes float64; they sum in another order, or go another
way. Bad input is refused by calling the reference first.
"""

from typing import Any

import numpy as np
import torch
from scipy import special

import reference
from reference import validation

from .by_row import by_operation, by_row


def _probs(z: np.ndarray) -> np.ndarray:
    """The softmax in the dtype of the logits, summed from the last token to the first."""
    weights = np.exp(z - z.max())
    probs: np.ndarray = weights / np.cumsum(weights[::-1])[-1]
    return probs


def _surprise(z: np.ndarray) -> tuple[np.ndarray, float]:
    """`-ln q` and the entropy in the dtype of the logits."""
    surprise = -special.log_softmax(z)
    with np.errstate(invalid="ignore"):
        return surprise, np.nansum((_probs(z) * surprise)[::-1])


@by_row("keep_top_p")
def ascending(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """From the least probable token on: what is at most 1 - p falls, as Transformers and vLLM do it."""
    order = np.lexsort((-np.arange(len(z)), z))  # of equal logits the highest id falls first
    below = np.cumsum(_probs(z)[order])
    falls = below <= 1 - p if until == "reached" else below < 1 - p
    falls[-1] = False
    stays = np.ones(len(z), bool)
    stays[order[falls]] = p == 1
    return stays if ties == "lowest_id" else z >= z[stays].min()


@by_row("keep_top_p")
def before_it(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """The sum before a token is compared, in float32 descending, as CTranslate2 does it."""
    order = np.argsort(-z, kind="stable")
    q = _probs(z)[order]
    before = np.cumsum(q) - q
    before[0] = 0
    full = before >= p if until == "reached" else before > p
    count = int(full.argmax()) if full.any() and p < 1 else len(z)
    stays = np.zeros(len(z), bool)
    stays[order[: max(1, count)]] = True
    return stays if ties == "lowest_id" else z >= z[stays].min()


@by_row("keep_min_p")
def by_logarithms(z: np.ndarray, p: float) -> np.ndarray:
    """`z >= max + ln p`, as llama.cpp and mlx-lm do it."""
    with np.errstate(divide="ignore"):
        stays: np.ndarray = z >= z.max() + np.log(z.dtype.type(p))
    return stays | (z == z.max())


@by_row("keep_min_p")
def by_probabilities(z: np.ndarray, p: float) -> np.ndarray:
    """`q >= p max q`, as Transformers does it."""
    q = _probs(z)
    stays: np.ndarray = q >= z.dtype.type(p) * q.max()
    return stays


@by_row("keep_typical")
def typical(z: np.ndarray, mass: float) -> np.ndarray:
    """In the dtype of the logits."""
    surprise, entropy = _surprise(z)
    far = np.abs(surprise - entropy)
    order = np.argsort(far, kind="stable")
    short = np.cumsum(_probs(z)[order]) <= mass  # as llama.cpp: `<` differs where rounding decides alone
    stays: np.ndarray = far <= far[order[min(int(short.sum()), len(z) - 1)]]
    return stays


@by_row("keep_epsilon")
def epsilon(z: np.ndarray, cutoff: float) -> np.ndarray:
    """In the dtype of the logits."""
    return (_probs(z) >= z.dtype.type(cutoff)) | (z == z.max())


@by_row("keep_eta")
def eta(z: np.ndarray, cutoff: float) -> np.ndarray:
    """In the dtype of the logits."""
    entropy = _surprise(z)[1]
    least = min(z.dtype.type(cutoff), np.sqrt(z.dtype.type(cutoff)) * np.exp(-entropy))
    return (_probs(z) >= least) | (z == z.max())


@by_row("keep_top_h")
def top_h(z: np.ndarray, h: float) -> np.ndarray:
    """In the dtype of the logits."""
    order = np.argsort(-z, kind="stable")[:100]
    best = z[order]
    with np.errstate(invalid="ignore"):
        terms = np.nan_to_num(_probs(best) * _surprise(best)[0], nan=0.0)
    running = np.cumsum(terms)
    stays = np.zeros(len(z), bool)
    stays[order[running <= h * np.sum(terms)]] = True
    stays[order[0]] = True
    return stays


@by_row("keep_top_n_sigma")
def n_sigma(z: np.ndarray, n: float) -> np.ndarray:
    """Two sums in the dtype of the logits, one number after the other, as llama.cpp does it."""
    alive = z[z > -np.inf]
    size = np.abs(alive).max(initial=1)  # of numbers up to 1 no square overflows
    alive = alive / size
    mean = np.cumsum(alive)[-1] / z.dtype.type(len(alive))
    with np.errstate(over="ignore", under="ignore"):
        deviation = size * np.sqrt(np.cumsum((alive - mean) ** 2)[-1] / z.dtype.type(len(alive)))
    stays: np.ndarray = z >= z.max() - z.dtype.type(n) * deviation
    return stays


@by_row("keep_xtc")
def xtc(z: np.ndarray, threshold: float, probability: float, uniform: Any) -> np.ndarray:
    """Along the sorted tokens, in the dtype of the logits."""
    reach = z[_probs(z) >= z.dtype.type(threshold)]
    if not uniform < probability or not len(reach):
        return np.ones(len(z), bool)
    stays: np.ndarray = z <= reach.min()
    return stays


def sorted_greedy(logits: Any) -> np.ndarray:
    """The first of a stable sort."""
    return np.argsort(-validation.check_logits(logits), axis=-1, kind="stable")[..., 0]


def _counted(logits: Any, history: Any) -> np.ndarray:
    """Counts by comparing each id with each token."""
    ids, rows = np.asarray(history), validation.check_logits(logits)
    counts = np.zeros(rows.shape, np.int64)
    for row in np.ndindex(rows.shape[:-1]):
        for token in np.unique(ids[row]).astype(int):
            counts[row][token] = np.count_nonzero(ids[row] == token)
    return counts


def masked_repetition(logits: Any, history: Any, penalty: float) -> np.ndarray:
    """Gathered, penalised and scattered back, as Transformers does it."""
    changed = np.array(validation.check_logits(logits))
    reference.repetition_penalty(logits, history, penalty)
    seen, r = _counted(logits, history) > 0, changed.dtype.type(penalty)
    low, high = seen & (changed < 0), seen & (changed >= 0)
    changed[low] *= r
    changed[high] /= r
    return changed


def added_up(logits: Any, history: Any, penalty: float) -> np.ndarray:
    """The penalty is added up for each occurrence and taken away once, as sglang does it."""
    reference.frequency_penalty(logits, history, penalty)
    rows, counts = validation.check_logits(logits), _counted(logits, history)
    total = np.zeros_like(rows)
    for i in range(counts.max(initial=0)):
        total = np.where(i < counts, total + rows.dtype.type(penalty), total)
    return np.where(counts > 0, rows - total, rows)


def one_hot_presence(logits: Any, history: Any, penalty: float) -> np.ndarray:
    """A mask of 0 and 1 times the penalty."""
    reference.presence_penalty(logits, history, penalty)
    rows = validation.check_logits(logits)
    present = np.minimum(_counted(logits, history), 1)
    return np.where(present, rows - present.astype(rows.dtype) * rows.dtype.type(penalty), rows)


def bias_one_by_one(logits: Any, biased: Any, biases: Any) -> np.ndarray:
    """A dictionary, as interfaces take it."""
    changed = np.array(validation.check_logits(logits))
    reference.logit_bias(logits, biased, biases)
    for token, bias in zip(np.asarray(biased).tolist(), np.asarray(biases), strict=True):
        changed[..., token] = changed[..., token] + changed.dtype.type(bias)
    return changed


def ban_by_where(logits: Any, banned: Any) -> np.ndarray:
    """A mask of the whole vocabulary."""
    reference.ban(logits, banned)
    rows = validation.check_logits(logits)
    return np.where(np.isin(np.arange(rows.shape[-1]), np.asarray(banned)), -np.inf, rows).astype(rows.dtype)


def ngrams_in_a_dictionary(logits: Any, history: Any, ngram_size: int) -> np.ndarray:
    """From the first n - 1 ids of each run to those that follow, as Transformers does it."""
    kept, n = np.array(validation.check_logits(logits)), ngram_size
    reference.no_repeat_ngram(logits, history, ngram_size)
    ids = np.asarray(history)
    for row in np.ndindex(kept.shape[:-1]):
        said, follow = ids[row].tolist(), dict[tuple[int, ...], set[int]]()
        for i in range(len(said) - n + 1):
            follow.setdefault(tuple(said[i : i + n - 1]), set()).add(said[i + n - 1])
        if len(said) >= n - 1:
            kept[row][list(follow.get(tuple(said[len(said) - n + 1 :]), ()))] = -np.inf
    return kept


def length_by_mask(logits: Any, history: Any, length: int, end_ids: Any) -> np.ndarray:
    """A ban, or nothing."""
    kept = np.array(reference.min_length(logits, history, length, end_ids))
    rows = validation.check_logits(logits)
    short = np.asarray(history).shape[-1] < length
    return ban_by_where(rows, end_ids) if short and rows.size else kept


def torch_log_probs(logits: Any) -> np.ndarray:
    """PyTorch's `log_softmax`."""
    rows = validation.check_logits(logits)
    return torch.log_softmax(torch.from_numpy(np.array(rows)), dim=-1).numpy()


def scipy_log_probs(logits: Any) -> np.ndarray:
    """SciPy's `log_softmax`."""
    scores: np.ndarray = special.log_softmax(validation.check_logits(logits), axis=-1)
    return scores


def top_of_all(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every log-probability, then a full stable sort of the logits."""
    rows, k = validation.check_logits(logits), validation.check_count("k", k)
    token_ids = np.argsort(-rows, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(torch_log_probs(rows), token_ids, axis=-1), token_ids


def rank_by_sorting(logits: Any, token_ids: Any, ties: Any = "lowest_id") -> np.ndarray:
    """The place in a stable sort, or in one that puts the token behind its equals."""
    due = reference.rank(logits, token_ids, ties)
    rows, ids = validation.check_logits(logits), np.asarray(token_ids)
    found = np.zeros(due.shape, np.int64)
    for row in np.ndindex(due.shape):
        z, token = rows[row], int(ids[row])
        last = np.arange(len(z)) == token if ties == "all" else np.arange(len(z))
        found[row] = np.lexsort((last, -z)).tolist().index(token)
    return found


def torch_cross_entropy(logits: Any, token_ids: Any, ignore_index: int = -100) -> np.ndarray:
    """PyTorch's `cross_entropy`."""
    reference.cross_entropy(logits, token_ids, ignore_index)
    rows = validation.check_logits(logits)
    flat = torch.from_numpy(np.array(rows.reshape(-1, rows.shape[-1])))
    ids = torch.from_numpy(np.array(token_ids).reshape(-1).astype(np.int64))
    return torch.nn.functional.cross_entropy(flat, ids, ignore_index=ignore_index).numpy()


IN_THEIR_DTYPE = by_operation(ascending, by_logarithms, typical, epsilon, eta, top_h, n_sigma, xtc)

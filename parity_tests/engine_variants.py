"""More filters and penalties as engines have them, Transformers' own classes among them: see `filter_variants.py`."""

import heapq
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers.generation import logits_process as transformers

import reference

from .by_row import INF, by_row, log_softmax, only, ranked, softmax, whole
from .heads import to_torch


def _up_to(z: np.ndarray, running: np.ndarray, enough: Any, until: str, ties: str) -> np.ndarray:
    """Which tokens stay: the first of the ranking up to where the sum is enough."""
    short = running[:-1] <= enough if until == "exceeded" else running[:-1] < enough
    # a sum that never gets there: every token that is not masked
    stays = only(ranked(z)[: 1 + int(np.argmin(np.append(short, False)))], z) & (z > -INF)
    return stays | (z >= z[stays].min()) if ties == "all" else stays


@by_row("keep_top_p")
def top_p_descending(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """Probabilities, summed from the largest on, in the dtype of the logits (llama.cpp)."""
    if p == 1:
        return z > -INF
    return _up_to(z, np.cumsum(softmax(z)[ranked(z)]), z.dtype.type(p), until, ties)


@by_row("keep_top_p")
def top_p_of_weights(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """Weights against p times their sum, without a division."""
    weights = np.exp(z - z.max())
    enough = z.dtype.type(p) * weights.sum()
    return z > -INF if p == 1 else _up_to(z, np.cumsum(weights[ranked(z)]), enough, until, ties)


@by_row("keep_top_p")
def top_p_by_heap(z: np.ndarray, p: float, until: str, ties: str) -> np.ndarray:
    """The largest popped from a heap until their weights, added up in float64, are enough."""
    weights = np.exp(z.astype(np.float64) - z.max()).tolist()
    heap, kept, part = [(-float(x), token) for token, x in enumerate(z) if x > -INF], [], 0.0
    enough = p * math.fsum(weights)
    heapq.heapify(heap)
    while heap:
        kept.append(heapq.heappop(heap)[1])
        part += weights[kept[-1]]
        if p < 1 and (part > enough if until == "exceeded" else part >= enough):
            break
    stays = only(np.array(kept), z)
    return z >= z[stays].min() if ties == "all" else stays


@by_row("keep_typical")
def typical_of_weights(z: np.ndarray, mass: float) -> np.ndarray:
    """The entropy as `ln S - sum w x / S`, the distance without the logarithm of S, one token after the other."""
    weights = np.exp(z - z.max())
    x = np.where(weights > 0, z - z.max(), np.finfo(z.dtype).min)
    total = weights.sum()
    distance = np.where(z > -INF, np.abs(np.sum(weights * x, where=weights > 0) / total - x), INF)
    kept, last = weights.dtype.type(0), INF
    for token in sorted(np.flatnonzero(z > -INF), key=lambda token: distance[token]):
        last, kept = distance[token], kept + weights[token]
        enough = z.dtype.type(mass) * total
        if kept >= enough:
            break
    return distance <= last


@by_row("keep_epsilon")
def epsilon_of_weights(z: np.ndarray, cutoff: float) -> np.ndarray:
    """Weights against the cutoff times their sum."""
    weights = np.exp(z - z.max())
    return (weights >= z.dtype.type(cutoff) * weights.sum()) | (z == z.max())


@by_row("keep_epsilon")
def epsilon_of_log_probs(z: np.ndarray, cutoff: float) -> np.ndarray:
    """`ln q >= ln cutoff`."""
    return (log_softmax(z) >= np.log(z.dtype.type(cutoff))) | (z == z.max())


@by_row("keep_eta")
def eta_of_log_probs(z: np.ndarray, cutoff: float) -> np.ndarray:
    """`ln q >= min(ln cutoff, ln(cutoff) / 2 - H)`."""
    scores = log_softmax(z)
    entropy = -np.sum(np.exp(scores) * scores, where=np.exp(scores) > 0)
    least = np.log(z.dtype.type(cutoff))
    return (scores >= min(least, least / 2 - entropy)) | (z == z.max())


@by_row("keep_top_h")
def top_h_one_by_one(z: np.ndarray, h: float) -> np.ndarray:
    """A loop over the 100 largest that stops beyond the limit."""
    ids = ranked(z)[:100]
    r = softmax(z[ids])
    parts = -r * np.log(np.where(r > 0, r, 1))
    limit, spent, kept = z.dtype.type(h) * parts.sum(), z.dtype.type(0), [ids[0]]
    for place, part in enumerate(parts):
        spent += part
        if spent > limit:
            break
        kept += [ids[place]]
    return only(np.array(kept), z) & (z > -INF)


@by_row("keep_top_n_sigma")
def n_sigma_by_welford(z: np.ndarray, n: float) -> np.ndarray:
    """Welford's updates, of numbers up to 1, whose squares do not overflow."""
    size = np.abs(z[z > -INF]).max(initial=1)
    mean, squares, count = z.dtype.type(0), z.dtype.type(0), 0
    for x in z[z > -INF] / size:
        count += 1
        delta = x - mean
        mean += delta / z.dtype.type(count)
        squares += delta * (x - mean)
    return z >= z.max() - z.dtype.type(n) * (size * np.sqrt(squares / z.dtype.type(count)))


@by_row("keep_xtc")
def xtc_sorted(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    """A walk down the sorted row, as long as the next token reaches the threshold; then back over the tied."""
    if not uniform < probability:
        return z > -INF
    q, ids = softmax(z), ranked(z)
    last = max(0, int(np.count_nonzero(q >= z.dtype.type(threshold))) - 1)
    while last and z[ids[last - 1]] == z[ids[last]]:
        last -= 1
    return only(ids[last:], z) & (z > -INF)


@by_row("keep_xtc")
def xtc_of_weights(z: np.ndarray, threshold: float, probability: float, uniform: float) -> np.ndarray:
    """Weights against the threshold times their sum; then everything above the least of these (mlx-lm)."""
    weights = np.exp(z - z.max())
    reached = weights >= z.dtype.type(threshold) * weights.sum()
    least = np.min(z, where=reached, initial=INF)
    return ~((z > least) & (uniform < probability)) & (z > -INF)


@by_row("greedy")
def greedy_in_a_loop(z: np.ndarray) -> Any:
    """The first that is larger than all before it."""
    best = 0
    for token, x in enumerate(z.tolist()):
        best = token if x > z[best] else best
    return best


@whole("greedy")
def greedy_by_top_k(logits: np.ndarray) -> Any:
    """The only one of the best one."""
    return reference.top_k(logits, 1)[1][..., 0]


@by_row("repetition_penalty")
def repetition_in_place(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    """A loop over the set of ids; `x <= 0` is multiplied (llama.cpp), which for 0 is the same."""
    changed, r = z.copy(), z.dtype.type(penalty)
    for token in set(history.tolist()):
        changed[token] = changed[token] * r if changed[token] <= 0 else changed[token] / r
    return changed


@by_row("repetition_penalty")
def repetition_by_torch(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    """`torch.where` on what is gathered, then a scatter: ids that stand twice write the same."""
    scores, ids = torch.tensor(z.copy()), _ids(history)
    found, r = scores[ids], torch.tensor(penalty, dtype=scores.dtype)
    changed: np.ndarray = scores.scatter(0, ids, torch.where(found < 0, found * r, found / r)).numpy()
    return changed


@by_row("frequency_penalty")
def frequency_one_by_one(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    """Subtracted from the logit once for each id."""
    changed = z.copy()
    for token in history.tolist():
        changed[token] -= z.dtype.type(penalty)
    return changed


@by_row("frequency_penalty")
def frequency_fused(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    """In float64, rounded once: in float32 that is a fused multiplication and addition."""
    changed, each = z.copy(), float(z.dtype.type(penalty))
    for token, count in Counter(history.tolist()).items():
        changed[token] = float(z[token]) - count * each
    return changed


@by_row("presence_penalty")
def presence_by_set(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    """A loop over the set of ids."""
    changed = z.copy()
    for token in set(history.tolist()):
        changed[token] += -z.dtype.type(penalty)
    return changed


@whole("logit_bias")
def bias_over_v(logits: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    """A dense bias with -0 for all others, which changes no bit."""
    dense = np.full(logits.shape[-1], -0.0, logits.dtype)
    dense[np.asarray(biased, np.int64)] = biases
    return logits + dense


@whole("min_length")
def min_length_by_bias(logits: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    """-inf added, or 0 to nothing."""
    short, changed = np.shape(history)[-1] < length, logits.copy()
    changed[..., np.asarray(end_ids, np.int64)] += -INF if short else -0.0
    return changed


@by_row("process")
def process_row_by_row(z: np.ndarray, steps: Any, history: Any, prompt_length: int, uniform: Any) -> np.ndarray:
    """Each row by itself, one step a call."""
    for step in steps:
        z = reference.process(z, [step], history, prompt_length, uniform)
    return z


def _on_rows(of_rows: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of a tensor `(rows, V)` as one of arrays in any shape."""

    def on_arrays(logits: np.ndarray) -> np.ndarray:
        rows = to_torch(np.ascontiguousarray(logits).reshape(-1, logits.shape[-1]).copy())
        return of_rows(rows).numpy().reshape(logits.shape) if len(rows) else logits.copy()

    return on_arrays


def _transformers(operation: str, make: Callable[..., Any]) -> Callable[..., Any]:
    """A class of Transformers, on a batch in any shape."""

    @whole(operation)
    def processed(logits: np.ndarray, history: Any = None, **given: Any) -> np.ndarray:
        said = _ids(() if history is None else history)
        ids = said.reshape(int(np.prod(logits.shape[:-1])), -1 if said.numel() else 0)
        step = make(given)
        return _on_rows(lambda rows: step(ids, rows))(logits)

    return processed


def _ids(values: Any) -> torch.Tensor:
    return torch.tensor(np.array(values, np.int64, order="C"))


# Which class of Transformers computes an operation, made from the operation's arguments. `generate` leaves top-p out
# where p = 1: the class would drop the tokens whose probability underflows.
CLASSES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "keep_top_p": lambda a: transformers.TopPLogitsWarper(a["p"]) if a["p"] < 1 else lambda _, logits: logits,
    "keep_min_p": lambda a: transformers.MinPLogitsWarper(a["p"]),
    "keep_typical": lambda a: transformers.TypicalLogitsWarper(a["mass"]),
    "keep_epsilon": lambda a: transformers.EpsilonLogitsWarper(a["cutoff"]),
    "keep_eta": lambda a: transformers.EtaLogitsWarper(a["cutoff"]),
    "keep_top_h": lambda a: transformers.TopHLogitsWarper(a["h"]),
    "repetition_penalty": lambda a: transformers.RepetitionPenaltyLogitsProcessor(float(a["penalty"])),
    "no_repeat_ngram": lambda a: transformers.NoRepeatNGramLogitsProcessor(a["ngram_size"]),
    "min_length": lambda a: transformers.MinLengthLogitsProcessor(a["length"], _ids(a["end_ids"])),
    "ban": lambda a: transformers.SuppressTokensLogitsProcessor(_ids(a["banned"]).tolist()),
}
SORTED = ("keep_top_p", "keep_top_h")  # by `torch.sort` and `torch.topk`, which take tied tokens in any order
TRANSFORMERS = {
    operation: _transformers(operation, made) for operation, made in CLASSES.items() if operation not in SORTED
}


@whole("cross_entropy")
def one_by_one_cross_entropy(logits: np.ndarray, token_ids: Any, ignore_index: int) -> Any:
    """Added up in the dtype of the logits, from the last position to the first."""
    loss, count = logits.dtype.type(0), 0
    for row in reversed(list(np.ndindex(logits.shape[:-1]))):
        token = int(np.asarray(token_ids)[row])
        if token != ignore_index:
            loss, count = loss - log_softmax(logits[row])[token], count + 1
    return np.asarray(loss / logits.dtype.type(count))

"""Wrong filters by entropy: typical and top-h."""

from typing import Any

import numpy as np

from reference import keep_top_h, keep_typical

from .registry import mutant
from .rows import INF, batch_mistake, entropy, mistake, only, ranked, softmax

LLAMA_CPP = "https://github.com/ggml-org/llama.cpp"
TRANSFORMERS = "https://github.com/huggingface/transformers"
TRL = "https://github.com/huggingface/trl/pull/7263"
MIN_KEEP = "https://github.com/huggingface/transformers/pull/47262"


def _distance(q: np.ndarray, h: float) -> np.ndarray:
    """How far the surprise of each token is from an entropy; inf where masked."""
    distance: np.ndarray = np.where(q > 0, np.abs(-np.log(q) - h), INF)
    return distance


def _nearest(distance: np.ndarray, running_of: np.ndarray, mass: float) -> np.ndarray:
    """Which tokens stay: the nearest until the sum of `running_of` is enough, and what is as near as the last."""
    ids = np.argsort(distance, kind="stable")
    running = np.cumsum(running_of[ids])
    enough = running >= mass
    enough[-1] = True
    return (distance <= distance[ids[np.argmax(enough)]]) & (running_of > 0)


def _typical(z: np.ndarray, distance: np.ndarray, mass: float) -> np.ndarray:
    return _nearest(distance, softmax(z), mass)


@mistake("keep_typical", "FILTER-5", "the signed distance: the most probable first")
def signed(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    return _typical(z, np.where(q > 0, -np.log(q) - entropy(q), INF), mass)


@mistake("keep_typical", "FILTER-5", "the farthest from the entropy first")
def farthest_first(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    distance = _distance(q, entropy(q))
    return _typical(z, np.where(q > 0, -distance, INF), mass)


@mistake("keep_typical", "FILTER-5", "entropy in bits, surprise in nats")
def entropy_in_bits(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    return _typical(z, _distance(q, entropy(q) / np.log(2)), mass)


@mistake("keep_typical", "FILTER-5", "the distances summed up to the mass, not the probabilities")
def distances_summed(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    distance = _distance(q, entropy(q))
    ids = np.argsort(distance, kind="stable")
    running = np.cumsum(distance[ids])
    enough = running >= mass
    enough[-1] = True
    return (distance <= distance[ids[np.argmax(enough)]]) & (q > 0)


@mistake("keep_typical", "FILTER-5", "of equally distant tokens only as many as needed stay", LLAMA_CPP)
def ties_cut(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    ids = np.argsort(_distance(q, entropy(q)), kind="stable")
    running = np.cumsum(q[ids])[:-1]
    return only(ids[: 1 + int(np.count_nonzero(running < mass))], z)


@mistake("keep_typical", "FILTER-5", "the token with which the sum reaches the mass falls, unless it is the first")
def the_crossing_falls(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    distance = _distance(q, entropy(q))
    ids = np.argsort(distance, kind="stable")
    count = int(np.count_nonzero(np.cumsum(q[ids]) < mass))
    return (distance <= distance[ids[max(0, count - 1)]]) & (q > 0)


@mistake("keep_typical", "FILTER-1", "the entropy nan where a probability is 0: a top-p in its place", LLAMA_CPP)
def nan_of_masked(z: np.ndarray, mass: float) -> np.ndarray:
    """0 times -inf; a sort by nan leaves the order as it was, which is that of the probabilities."""
    q = softmax(z)
    if (q > 0).all():
        return keep_typical(z, mass) > -INF
    return _typical(z, np.where(q > 0, -q, INF), mass)


@mistake("keep_typical", "FILTER-5", "the most probable token stays in any case")
def largest_always_stays(z: np.ndarray, mass: float) -> np.ndarray:
    return (keep_typical(z, mass) > -INF) | (z == z.max())


@mistake("keep_typical", "FILTER-5", "probabilities compared with exp(-H), not surprises with H")
def distance_of_probabilities(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(z)
    return _typical(z, np.where(q > 0, np.abs(q - np.exp(-entropy(q))), INF), mass)


@mistake("keep_typical", "FILTER-5", "the surprise not normalised: max - z in place of -ln q")
def surprise_of_weights(z: np.ndarray, mass: float) -> np.ndarray:
    return _typical(z, np.where(z > -INF, np.abs(z.max() - z - entropy(softmax(z))), INF), mass)


@mistake("keep_typical", "FILTER-1", "masked tokens counted as logits of 0")
def masked_tokens_weigh(z: np.ndarray, mass: float) -> np.ndarray:
    q = softmax(np.where(z == -INF, 0, z))
    stays = _nearest(np.where(z > -INF, _distance(q, entropy(q)), INF), np.where(z > -INF, q, 0), mass)
    return stays if stays.any() else z == z.max()


@batch_mistake("keep_typical", "HEAD-4", "the entropy of the first row for the whole batch")
def entropy_of_the_first_row(right: np.ndarray, logits: np.ndarray, mass: float) -> np.ndarray:
    if not logits.size:
        return right
    rows = logits.reshape(-1, logits.shape[-1])
    h = entropy(softmax(rows[0]))
    stays = [_typical(row, _distance(softmax(row), h), mass) for row in rows]
    return np.where(np.reshape(stays, logits.shape), logits, -INF)


@mutant("keep_typical", "FILTER-11", "a mass of 1 or more silently means off", TRANSFORMERS)
def mass_of_1_is_off(logits: Any, mass: float) -> np.ndarray:
    return keep_typical(logits, 1 - 1e-16 if isinstance(mass, float) and mass >= 1 else mass)


def _parts(r: np.ndarray) -> np.ndarray:
    """`-r ln r`, 0 for a masked token."""
    parts: np.ndarray = np.where(r > 0, -r * np.log(r), 0)
    return parts


def _first_of(ids: np.ndarray, stays: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which tokens stay, the first of a ranking in any case."""
    return only(np.concatenate([ids[:1], ids[1:][stays[1:]]]), z)


@mistake("keep_top_h", "FILTER-7", "over the whole vocabulary, not the 100 largest")
def of_all(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)
    running = np.cumsum(_parts(softmax(z)[ids]))
    return _first_of(ids, running <= h * running[-1], z)


@mistake("keep_top_h", "FILTER-7", "the 100 largest by their probabilities among all tokens: not normalised again")
def not_normalised_again(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    running = np.cumsum(_parts(softmax(z)[ids]))
    return _first_of(ids, running <= h * running[-1], z)


@mistake("keep_top_h", "FILTER-7", "the limit is h times the entropy of the whole vocabulary")
def limit_of_all(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    return _first_of(ids, np.cumsum(_parts(softmax(z[ids]))) <= h * entropy(softmax(z)), z)


@mistake("keep_top_h", "FILTER-7", "the limit is h times the largest possible entropy, ln n")
def limit_of_uniform(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    return _first_of(ids, np.cumsum(_parts(softmax(z[ids]))) <= h * np.log(len(ids)), z)


@mistake("keep_top_h", "FILTER-7", "the limit in bits, the sum in nats")
def limit_in_bits(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    running = np.cumsum(_parts(softmax(z[ids])))
    return _first_of(ids, running <= h * running[-1] / np.log(2), z)


@mistake("keep_top_h", "FILTER-1", "the first falls if its part alone is above the limit: no token is left")
def the_first_falls(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    running = np.cumsum(_parts(softmax(z[ids])))
    return only(ids[running <= h * running[-1]], z)


@mistake("keep_top_h", "FILTER-7", "the token that crosses the limit stays, as in a top-p")
def the_crossing_stays(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    running = np.cumsum(_parts(softmax(z[ids])))
    return only(ids[: 1 + int(np.count_nonzero(running[:-1] < h * running[-1]))], z)


@mistake("keep_top_h", "FILTER-7", "probabilities summed up to h: a top-p of the 100 largest")
def of_probabilities(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    return _first_of(ids, np.cumsum(softmax(z[ids])) <= h, z)


@mistake("keep_top_h", "FILTER-7", "the largest parts of the entropy first, not the most probable tokens")
def largest_parts_first(z: np.ndarray, h: float) -> np.ndarray:
    best = ranked(z)[:100]
    parts = _parts(softmax(z[best]))
    order = np.argsort(-parts, kind="stable")
    running = np.cumsum(parts[order])
    return _first_of(best[order], running <= h * running[-1], z)


@mistake("keep_top_h", "FILTER-7", "of tied tokens the highest ids stay")
def highest_id(z: np.ndarray, h: float) -> np.ndarray:
    ids = np.argsort(z, kind="stable")[::-1][:100]
    running = np.cumsum(_parts(softmax(z[ids])))
    return _first_of(ids, running <= h * running[-1], z)


@mistake("keep_top_h", "FILTER-1", "the entropy nan where a probability is 0: the first alone stays", TRL)
def nan_of_masked_(z: np.ndarray, h: float) -> np.ndarray:
    ids = ranked(z)[:100]
    running = np.cumsum(-softmax(z[ids]) * np.log(softmax(z[ids])))
    return _first_of(ids, running <= h * running[-1], z)


@mistake("keep_top_h", "FILTER-7", "two tokens stay in any case", MIN_KEEP)
def two_at_least(z: np.ndarray, h: float) -> np.ndarray:
    return (keep_top_h(z, h) > -INF) | only(ranked(z)[:2], z)


@mutant("keep_top_h", "FILTER-11", "an h above 1 silently means 1")
def h_above_1_means_1(logits: Any, h: float) -> np.ndarray:
    return keep_top_h(logits, 1.0 if isinstance(h, float) and h > 1 else h)

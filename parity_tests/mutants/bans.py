"""Wrong biases and bans: logit_bias, ban, no_repeat_ngram and min_length."""

from typing import Any

import numpy as np

from reference import ban, logit_bias, min_length, no_repeat_ngram

from ..judges.roundings import rounded
from .registry import mutant
from .rows import INF, batch_mistake, mistake

VLLM = "https://github.com/vllm-project/vllm/blob/00388f65/vllm/sampling_params.py"
EOS_FORGOTTEN = "https://github.com/vllm-project/vllm/pull/32163"
NOT_AS_FAR = "https://github.com/ikawrakow/ik_llama.cpp/issues/1109"
CTRANSLATE2 = "https://github.com/OpenNMT/CTranslate2"
GENAI = "https://github.com/microsoft/onnxruntime-genai"


def _biased(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    moved: np.ndarray = logit_bias(z, biased, biases)
    return moved


@mistake("logit_bias", "PENALTY-5", "the bias in place of the logit, not added to it")
def replaces(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    moved = z.copy()
    moved[np.asarray(biased, np.int64)] = biases
    return moved


@mistake("logit_bias", "PENALTY-5", "added twice")
def twice(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    return z + 2 * (_biased(np.zeros_like(z), biased, biases))


@mistake("logit_bias", "PENALTY-5", "the biases laid over the first tokens, not over their ids")
def by_position(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    return _biased(z, np.arange(len(biases)), biases)


@mistake("logit_bias", "PENALTY-5", "only the first bias applied")
def the_first_alone(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    return _biased(z, biased[:1], biases[:1])


@mistake("logit_bias", "PENALTY-5", "added to every token")
def to_every_token(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    return z + np.sum(np.asarray(biases)[np.isfinite(biases)], dtype=z.dtype) + _biased(z * 0, biased, biases)


@mistake("logit_bias", "PENALTY-5", "multiplied by exp(bias)")
def multiplies(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    """Right for a probability."""
    return z * np.exp(_biased(np.zeros_like(z), biased, biases))


@mistake("logit_bias", "PENALTY-5", "biases cut to the range from -100 to 100", VLLM)
def clamped(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    numbers = np.asarray(biases)
    return _biased(z, biased, np.where(numbers == -INF, numbers, np.clip(numbers, -100, 100)))


@mistake("logit_bias", "PENALTY-5", "biases rounded to bfloat16")
def in_bfloat16(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    return _biased(z, biased, rounded(np.asarray(biases, z.dtype), "bfloat16").astype(z.dtype))


@mistake("logit_bias", "PENALTY-5", "the sum rounded to bfloat16")
def sum_in_bfloat16(z: np.ndarray, biased: Any, biases: Any) -> np.ndarray:
    moved = _biased(z, biased, biases)
    return np.where(moved == z, z, rounded(moved, "bfloat16").astype(z.dtype))


@batch_mistake("logit_bias", "HEAD-4", "the first row alone biased")
def first_row_alone(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    first = np.arange(right[..., :1].size).reshape(right[..., :1].shape) == 0
    return np.where(first, right, logits)


@mutant("logit_bias", "PENALTY-7", "of an id that stands twice, the last bias counts")
def the_last_of_two(logits: Any, biased: Any, biases: Any) -> np.ndarray:
    """As a dictionary would have it."""
    ids, numbers = np.asarray(biased), np.asarray(biases)
    if ids.ndim == 1 and ids.shape == numbers.shape and ids.size:
        last = {int(token): i for i, token in enumerate(ids)} if ids.dtype.kind == "i" else {}
        return (
            logit_bias(logits, ids[list(last.values())], numbers[list(last.values())])
            if last
            else logit_bias(logits, biased, biases)
        )
    return logit_bias(logits, biased, biases)


@batch_mistake("ban", "PENALTY-6", "masked with -1e4, not -inf", NOT_AS_FAR)
def masks_with_a_number(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == logits, right, right.dtype.type(-1e4))


@batch_mistake("ban", "PENALTY-6", "a bias of -100, not -inf", NOT_AS_FAR)
def bias_of_100(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == logits, right, logits - 100)


@batch_mistake("ban", "PENALTY-6", "masked with 0, not -inf")
def masks_with_zero(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == logits, right, 0)


@batch_mistake("ban", "PENALTY-6", "masked with the smallest finite number, not -inf", CTRANSLATE2)
def masks_with_finfo_min(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == logits, right, np.finfo(right.dtype).min)


@mistake("ban", "PENALTY-6", "only the first id banned")
def the_first_alone_(z: np.ndarray, banned: Any) -> np.ndarray:
    return ban(z, banned[:1])


@mistake("ban", "PENALTY-6", "all but these banned: a list of allowed ids")
def allows(z: np.ndarray, banned: Any) -> np.ndarray:
    return np.isin(np.arange(len(z)), banned) & (z > -INF)


@mistake("ban", "PENALTY-6", "an id that stands twice is not banned")
def twice_is_none(z: np.ndarray, banned: Any) -> np.ndarray:
    """A bit for each id, flipped."""
    times = np.bincount(np.asarray(banned, np.int64), minlength=len(z))
    return (times % 2 == 0) & (z > -INF)


@mistake("ban", "PENALTY-6", "the ids after the banned ones banned, too: a range")
def a_range(z: np.ndarray, banned: Any) -> np.ndarray:
    ids = np.asarray(banned, np.int64)
    between = (np.arange(len(z)) >= ids.min(initial=len(z))) & (np.arange(len(z)) <= ids.max(initial=-1))
    return ~between & (z > -INF)


@batch_mistake("ban", "HEAD-4", "banned in the first row alone")
def first_row_alone_(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    first = np.arange(right[..., :1].size).reshape(right[..., :1].shape) == 0
    return np.where(first, right, logits)


@mutant("ban", "PENALTY-7", "a ban of every token is accepted")
def bans_everything(logits: Any, banned: Any) -> np.ndarray:
    try:
        return ban(logits, banned)
    except ValueError as error:
        if "after the ban" not in str(error):
            raise
        return np.full_like(np.asarray(logits), -INF)


def _followers(said: list[int], size: int) -> list[tuple[int, int]]:
    """The places at which the last `size - 1` ids occur, and the ids that follow there."""
    begun = said[len(said) - size + 1 :]
    return [(i, said[i + size - 1]) for i in range(len(said) - size + 1) if said[i : i + size - 1] == begun]


def _without(z: np.ndarray, banned: Any) -> np.ndarray:
    stays: np.ndarray = ~np.isin(np.arange(len(z)), list(banned)) & (z > -INF)
    return stays


@mistake("no_repeat_ngram", "PENALTY-6", "runs of one token more: the shortest repetition is let through")
def one_longer(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    return no_repeat_ngram(z, history, ngram_size + 1)


@mistake("no_repeat_ngram", "PENALTY-6", "runs of one token less")
def one_shorter(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    said = list(history)
    return _without(z, [token for _, token in _followers(said, max(1, ngram_size - 1))])


@mistake("no_repeat_ngram", "PENALTY-6", "the token before the run banned, not the one after it")
def bans_the_first(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    said = list(history)
    return _without(z, [said[i] for i, _ in _followers(said, ngram_size)])


@mistake("no_repeat_ngram", "PENALTY-6", "runs that overlap with the end are not seen")
def without_overlap(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    said = list(history)
    found = _followers(said, ngram_size)
    return _without(z, [token for i, token in found if i + ngram_size - 1 <= len(said) - ngram_size + 1])


@mistake("no_repeat_ngram", "PENALTY-6", "the latest occurrence of the run alone counts")
def the_latest_alone(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    """A dictionary from the run to the one id that followed."""
    return _without(z, [token for _, token in _followers(list(history), ngram_size)[-1:]])


@mistake("no_repeat_ngram", "PENALTY-6", "the first occurrence of the run alone counts")
def the_first_occurrence(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    return _without(z, [token for _, token in _followers(list(history), ngram_size)[:1]])


@mistake("no_repeat_ngram", "PENALTY-6", "the order within a run has no effect")
def order_ignored(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    said, n = list(history), ngram_size
    begun = sorted(said[len(said) - n + 1 :])
    found = [said[i + n - 1] for i in range(len(said) - n + 1) if sorted(said[i : i + n - 1]) == begun]
    return _without(z, found)


@mistake("no_repeat_ngram", "PENALTY-6", "only the last id of the run compared")
def last_id_compared(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    return no_repeat_ngram(z, history, min(ngram_size, 2))


@mistake("no_repeat_ngram", "PENALTY-6", "a size of 1 means off")
def size_1_is_off(z: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    return z if ngram_size == 1 else no_repeat_ngram(z, history, ngram_size)


@batch_mistake("no_repeat_ngram", "PENALTY-1", "the history of the first row for the whole batch")
def of_the_first_row(right: np.ndarray, logits: np.ndarray, history: Any, ngram_size: int) -> np.ndarray:
    ids = np.asarray(history)
    if not right.size or not ids.size:
        return right
    first = ids.reshape(-1, ids.shape[-1])[0]
    banned = [token for _, token in _followers(first.tolist(), ngram_size)]
    return np.where(np.isin(np.arange(logits.shape[-1]), banned), -INF, logits)


@batch_mistake("no_repeat_ngram", "PENALTY-6", "masked with the smallest finite number, not -inf", GENAI)
def masks_with_finfo_min_(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == logits, right, np.finfo(right.dtype).min)


@mistake("min_length", "PENALTY-6", "one token longer: banned at exactly the length, too")
def one_longer_(z: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    return min_length(z, history, length + 1, end_ids)


@mistake("min_length", "PENALTY-6", "one token shorter: let through at one less than the length")
def one_shorter_(z: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    return min_length(z, history, length - 1, end_ids) if length > 1 else z


@mistake("min_length", "PENALTY-6", "only the first of the ids that end a text banned", EOS_FORGOTTEN)
def the_first_end_alone(z: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    return min_length(z, history, length, end_ids[:1])


@mistake("min_length", "PENALTY-6", "different ids counted, not all of them")
def different_ids(z: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    return min_length(z, np.unique(np.asarray(history, np.int64)), length, end_ids)


@mistake("min_length", "PENALTY-6", "banned once the length is reached, not before: a longest length")
def a_longest_length(z: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    return z if len(history) < length else ban(z, end_ids)


@mistake("min_length", "PENALTY-6", "everything but the ends banned while the text is too short")
def bans_the_others(z: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    stays = np.isin(np.arange(len(z)), end_ids) & (z > -INF)
    return stays if len(history) < length else z > -INF


@batch_mistake("min_length", "PENALTY-6", "the number of rows taken for the length of the history")
def rows_counted(right: np.ndarray, logits: np.ndarray, history: Any, length: int, end_ids: Any) -> np.ndarray:
    """`len(history)` of a batch."""
    return ban(logits, end_ids) if len(history) < length else logits.copy()


@batch_mistake("min_length", "PENALTY-6", "masked with the smallest finite number, not -inf", GENAI)
def masks_with_finfo_min__(right: np.ndarray, logits: np.ndarray, **_: Any) -> np.ndarray:
    return np.where(right == logits, right, np.finfo(right.dtype).min)

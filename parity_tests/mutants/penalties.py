"""Wrong penalties: what is counted, for whom, and what it does to a logit."""

from collections.abc import Callable
from typing import Any

import numpy as np

import reference
from reference import frequency_penalty, presence_penalty, repetition_penalty
from reference.filter_validation import check_history
from reference.operations import OPERATIONS, STAGES

from ..judges.roundings import rounded
from .registry import FOLK, mutant
from .rows import INF, Recipe, batch_mistake, log_softmax, mistake

NEGATIVE = "https://github.com/huggingface/transformers/issues/2302"
VLLM = "https://github.com/vllm-project/vllm"
LLAMA_CPP = "https://github.com/ggml-org/llama.cpp"
CTRANSLATE2 = "https://github.com/OpenNMT/CTranslate2"
MLX_LM = "https://github.com/ml-explore/mlx-lm"
NO_EFFECT = "https://github.com/raullenchai/Rapid-MLX/issues/470"
MIXED_UP = "https://github.com/mlc-ai/mlc-llm/pull/1693"
SIZED = tuple(name for name in STAGES if {"history", "penalty"} <= OPERATIONS[name].arguments.keys())


def counts(z: np.ndarray, history: Any) -> np.ndarray:
    """How often each token occurs in a row."""
    found: np.ndarray = np.bincount(np.asarray(history, np.int64), minlength=len(z))
    return found


def _in_history(z: np.ndarray, history: Any, changed: np.ndarray) -> np.ndarray:
    return np.where(counts(z, history) > 0, changed, z)


@mistake("repetition_penalty", "PENALTY-2", "divided throughout: a negative logit gains", NEGATIVE)
def divides_always(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, z / z.dtype.type(penalty))


@mistake("repetition_penalty", "PENALTY-2", "multiplied throughout: a positive logit gains")
def multiplies_always(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, z * z.dtype.type(penalty))


@mistake("repetition_penalty", "PENALTY-2", "multiplied from zero on and divided below: the other way round")
def the_other_way_round(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    r = z.dtype.type(penalty)
    return _in_history(z, history, np.where(z < 0, z / r, z * r))


@mistake("repetition_penalty", "PENALTY-2", "applied once for each time: the penalty becomes a power")
def once_for_each_time(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    r = z.dtype.type(penalty)
    changed = z.copy()
    for token in np.asarray(history, np.int64):
        changed[token] = changed[token] * r if changed[token] < 0 else changed[token] / r
    return changed


@mistake("repetition_penalty", "PENALTY-2", "multiplied by the reciprocal of the penalty", VLLM)
def reciprocal(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    r = z.dtype.type(penalty)
    return _in_history(z, history, np.where(z < 0, z * r, z * (1 / r)))


@mistake("repetition_penalty", "PENALTY-2", "by the float64 penalty, not by its float32")
def float64_penalty(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    wide = z.astype(np.float64)
    return _in_history(z, history, np.where(z < 0, wide * penalty, wide / penalty).astype(z.dtype))


@mistake("repetition_penalty", "PENALTY-2", "of log-probabilities, which are all negative, not of logits", CTRANSLATE2)
def of_log_probs(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    scores = log_softmax(z)
    return _in_history(scores, history, scores * penalty).astype(z.dtype)


@mistake("repetition_penalty", "PENALTY-2", "the penalty subtracted")
def subtracted(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, z - z.dtype.type(penalty))


@mistake("repetition_penalty", "PENALTY-1", "a masked token of the history becomes nan: -inf - -inf", LLAMA_CPP)
def masked_becomes_nan(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    """The difference is added to the logits."""
    changed = repetition_penalty(z, history, penalty)
    return np.where((z == -INF) & (counts(z, history) > 0), np.nan, changed)


@mistake("repetition_penalty", "PENALTY-1", "the first id of the history left out", CTRANSLATE2)
def first_id_left_out(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return repetition_penalty(z, history[1:], penalty)


@mutant("repetition_penalty", "PENALTY-7", "a penalty of 0 or below silently means off", MLX_LM)
def penalty_of_0_is_off(logits: Any, history: Any, penalty: float) -> np.ndarray:
    return repetition_penalty(logits, history, 1.0 if isinstance(penalty, float) and penalty <= 0 else penalty)


@mistake("frequency_penalty", "PENALTY-3", "once for each id, however often it occurs", MIXED_UP)
def once(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return presence_penalty(z, history, penalty)


@mistake("frequency_penalty", "PENALTY-3", "the first occurrence does not count")
def the_first_does_not_count(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return z - z.dtype.type(penalty) * np.maximum(counts(z, history) - 1, 0).astype(z.dtype)


@mistake("frequency_penalty", "PENALTY-3", "added, not subtracted")
def added(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return z + z.dtype.type(penalty) * counts(z, history).astype(z.dtype)


@mistake("frequency_penalty", "PENALTY-3", "no effect", NO_EFFECT)
def no_effect(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return z


@mistake("frequency_penalty", "PENALTY-3", "by the share of the history, not by the number of times")
def relative(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return z - z.dtype.type(penalty) * (counts(z, history) / max(1, len(history))).astype(z.dtype)


@mistake("frequency_penalty", "PENALTY-3", "counted in 8 bits: 256 times are none")
def counts_in_8_bits(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return z - z.dtype.type(penalty) * counts(z, history).astype(np.uint8).astype(z.dtype)


@mistake("frequency_penalty", "PENALTY-3", "counted in bfloat16: it stops at 256")
def counts_in_bfloat16(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return z - z.dtype.type(penalty) * np.minimum(counts(z, history), 256).astype(z.dtype)


@mistake("frequency_penalty", "PENALTY-3", "the penalised logit rounded to bfloat16")
def in_bfloat16(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    changed = z - z.dtype.type(penalty) * counts(z, history).astype(z.dtype)
    return _in_history(z, history, rounded(changed, "bfloat16").astype(z.dtype))


@mistake("presence_penalty", "PENALTY-4", "once for each time: a frequency penalty", MIXED_UP)
def for_each_time(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return frequency_penalty(z, history, penalty)


@mistake("presence_penalty", "PENALTY-4", "added, not subtracted")
def added_(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, z + z.dtype.type(penalty))


@mistake("presence_penalty", "PENALTY-4", "the tokens that have not occurred are penalised")
def of_the_others(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return np.where(counts(z, history) > 0, z, z - z.dtype.type(penalty))


@mistake("presence_penalty", "PENALTY-4", "divided by 1 + penalty, not subtracted")
def divided(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, z / z.dtype.type(1 + penalty))


@mistake("presence_penalty", "PENALTY-4", "by the float64 penalty, not by its float32")
def float64_penalty_(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, (z.astype(np.float64) - penalty).astype(z.dtype))


@mistake("presence_penalty", "PENALTY-4", "the penalised logit rounded to bfloat16")
def in_bfloat16_(z: np.ndarray, history: Any, penalty: float) -> np.ndarray:
    return _in_history(z, history, rounded(z - z.dtype.type(penalty), "bfloat16").astype(z.dtype))


@mutant("presence_penalty", "PENALTY-7", "a negative penalty silently means 0")
def negative_is_0(logits: Any, history: Any, penalty: float) -> np.ndarray:
    return presence_penalty(logits, history, 0.0 if isinstance(penalty, float) and -INF < penalty < 0 else penalty)


def _of_every_penalty(rule: str, looks_like: str, source: str = FOLK) -> Callable[[Recipe], Recipe]:
    """Register a recipe of the whole batch as a mutant of each penalty with a history; it gets it as `function`."""

    def register(recipe: Recipe) -> Recipe:
        def of(name: str) -> Recipe:
            function = getattr(reference, name)

            def wrong(right: np.ndarray, logits: np.ndarray, history: Any, penalty: float) -> Any:
                ids = check_history(history, logits.shape)
                return recipe(function, right, logits, ids, penalty)

            wrong.__name__ = recipe.__name__
            return wrong

        for name in SIZED:
            batch_mistake(name, rule, looks_like, source)(of(name))
        return recipe

    return register


@_of_every_penalty("PENALTY-1", "the history of the first row for the whole batch")
def history_of_the_first_row(function: Any, right: Any, logits: np.ndarray, ids: np.ndarray, penalty: Any) -> Any:
    if not right.size:
        return right
    first = ids.reshape(-1, ids.shape[-1])[0] if ids.size else ids
    return function(logits, np.broadcast_to(first, ids.shape), penalty)


@_of_every_penalty("PENALTY-1", "the last 64 ids of the history alone", LLAMA_CPP)
def the_last_64(function: Any, right: Any, logits: np.ndarray, ids: np.ndarray, penalty: Any) -> Any:
    return function(logits, ids[..., -64:], penalty)


@_of_every_penalty("PENALTY-1", "the last id of the history left out")
def last_id_left_out(function: Any, right: Any, logits: np.ndarray, ids: np.ndarray, penalty: Any) -> Any:
    return function(logits, ids[..., :-1], penalty)


@_of_every_penalty("PENALTY-1", "id 0 penalised, too, as the padding of the history")
def padded_with_0(function: Any, right: Any, logits: np.ndarray, ids: np.ndarray, penalty: Any) -> Any:
    return function(logits, np.concatenate([ids, np.zeros_like(ids, shape=(*ids.shape[:-1], 1))], axis=-1), penalty)


@_of_every_penalty("PENALTY-1", "every token penalised, whether it occurred or not")
def every_token(function: Any, right: Any, logits: np.ndarray, ids: np.ndarray, penalty: Any) -> Any:
    everything = np.broadcast_to(np.arange(logits.shape[-1]), logits.shape)
    return function(logits, np.concatenate([ids, everything], axis=-1), penalty)


def _in_place(name: str) -> None:
    """Register a penalty that changes the caller's logits."""

    def in_place(logits: Any, history: Any, penalty: float) -> np.ndarray:
        changed: np.ndarray = getattr(reference, name)(logits, history, penalty)
        if isinstance(logits, np.ndarray) and logits.dtype == changed.dtype and logits.flags.writeable:
            logits[...] = changed
        return changed

    mutant(name, "HEAD-3", "the caller's logits changed in place", MLX_LM)(in_place)


for _name in SIZED:
    _in_place(_name)

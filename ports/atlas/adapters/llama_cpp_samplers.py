"""llama.cpp's samplers on the CPU, through llama-cpp-python's low-level functions, which need no model.

Each sampler is applied to an array of all tokens. The chain is the default one of `common_sampler_init`, by
llama-server's names and without DRY: bias, penalties, top-n-sigma, top-k, typical, top-p, min-p, XTC, temperature; the
penalties see prompt and output, as they do there.
"""

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import llama_cpp
import numpy as np

from reference.profiles import PROFILES

TITLE, SHORT = "llama.cpp", "llama.cpp"
PACKAGES = ("llama-cpp-python",)
DTYPES = ("float32",)
POINTERS = True
TIES_OF = {"keep_top_p": "any"}
PROFILE = "llama.cpp"
OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0}  # its other filters are off by default


def _array(logits: Any) -> Any:
    """The logits as a `llama_token_data_array`, and its memory, which must outlive it."""
    data = (llama_cpp.llama_token_data * len(logits))(
        *[llama_cpp.llama_token_data(i, float(logit), 0.0) for i, logit in enumerate(logits)]
    )
    pointer = ctypes.cast(data, ctypes.POINTER(llama_cpp.llama_token_data))
    return data, llama_cpp.llama_token_data_array(pointer, len(logits), -1, False)


def _apply(samplers: list[Any], logits: Any, seen: Iterable[int] = ()) -> Any:
    """The array after the samplers, each of which has accepted the tokens that were seen; they are freed."""
    memory, array = _array(logits)
    for sampler in samplers:
        for token in seen:
            llama_cpp.llama_sampler_accept(sampler, int(token))
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
        llama_cpp.llama_sampler_free(sampler)
    return memory, array


def _row(samplers: list[Any], logits: Any, seen: Iterable[int] = ()) -> np.ndarray:
    """The logits after the samplers, by id: -inf for a token that is no longer in the array."""
    _memory, array = _apply(samplers, logits, seen)
    row = np.full(len(logits), -np.inf, np.float32)
    for place in range(array.size):
        row[array.data[place].id] = array.data[place].logit
    return row


def _rows(logits: Any, made: Callable[[], Any], history: Any = None) -> np.ndarray:
    """Row by row, each with its part of the history, through a sampler that is made for it."""
    rows = np.reshape(logits, (-1, np.shape(logits)[-1]))
    seen = [()] * len(rows) if history is None else np.reshape(history, (len(rows), np.shape(history)[-1]))
    left = [_row([made()], row, ids) for row, ids in zip(rows, seen, strict=True)]
    return np.array(left, np.float32).reshape(np.shape(logits))


def _biased(v: int, biases: dict[int, float]) -> Any:
    given = [llama_cpp.llama_logit_bias(token, bias) for token, bias in biases.items()]
    return llama_cpp.llama_sampler_init_logit_bias(v, len(given), (llama_cpp.llama_logit_bias * len(given))(*given))


def processed(logits: Any, settings: dict[str, Any], prompt: list[int], output: list[int]) -> np.ndarray:
    """The logits after the whole chain. The C interface has no defaults: these are llama-server's."""
    s = {**PROFILES[PROFILE].defaults, **settings}
    samplers = [_biased(len(logits), s["logit_bias"])] if s["logit_bias"] else []
    samplers += [
        llama_cpp.llama_sampler_init_penalties(
            len(logits), s["repeat_last_n"], s["repeat_penalty"], s["frequency_penalty"], s["presence_penalty"]
        ),
        llama_cpp.llama_sampler_init_top_n_sigma(s["top_n_sigma"]),
        llama_cpp.llama_sampler_init_top_k(s["top_k"]),
        llama_cpp.llama_sampler_init_typical(s["typical_p"], 0),
        llama_cpp.llama_sampler_init_top_p(s["top_p"], 0),
        llama_cpp.llama_sampler_init_min_p(s["min_p"], 0),
        llama_cpp.llama_sampler_init_xtc(s["xtc_probability"], s["xtc_threshold"], 0, 0),
        llama_cpp.llama_sampler_init_temp_ext(s["temperature"], 0.0, 1.0),
    ]
    return _row(samplers, logits, [*prompt, *output])


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`llama_sampler_init_temp`."""
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_temp(temperature))


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    """`llama_sampler_init_top_k`."""
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_top_k(k))


def keep_top_p(logits: Any, p: Any) -> np.ndarray:
    """`llama_sampler_init_top_p`."""
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_top_p(p, 0))


def keep_min_p(logits: Any, p: Any) -> np.ndarray:
    """`llama_sampler_init_min_p`."""
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_min_p(p, 0))


def keep_typical(logits: Any, mass: Any) -> np.ndarray:
    """`llama_sampler_init_typical`."""
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_typical(mass, 0))


def keep_top_n_sigma(logits: Any, n: Any) -> np.ndarray:
    """`llama_sampler_init_top_n_sigma`."""
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_top_n_sigma(n))


def _penalties(logits: Any, history: Any, *penalties: Any) -> np.ndarray:
    """`llama_sampler_init_penalties` on the last 1,000,000 ids, which are all."""
    v = np.shape(logits)[-1]
    return _rows(logits, lambda: llama_cpp.llama_sampler_init_penalties(v, 1_000_000, *penalties), history)


def repetition_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`llama_sampler_init_penalties` with this one alone."""
    return _penalties(logits, history, penalty, 0.0, 0.0)


def frequency_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`llama_sampler_init_penalties` with this one alone."""
    return _penalties(logits, history, 1.0, penalty, 0.0)


def presence_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`llama_sampler_init_penalties` with this one alone."""
    return _penalties(logits, history, 1.0, 0.0, penalty)


def logit_bias(logits: Any, biased: Any, biases: Any) -> np.ndarray:
    """`llama_sampler_init_logit_bias`."""
    given = dict(zip(np.asarray(biased).tolist(), np.asarray(biases).tolist(), strict=True))
    return _rows(logits, lambda: _biased(np.shape(logits)[-1], given))


def softmax(logits: Any) -> np.ndarray:
    """What `llama_sampler_init_dist` writes into the array before it draws."""
    rows = []
    for row in np.reshape(logits, (-1, np.shape(logits)[-1])):
        _memory, array = _apply([llama_cpp.llama_sampler_init_dist(0)], row)
        rows.append([array.data[place].p for place in range(array.size)])
    return np.array(rows, np.float32).reshape(np.shape(logits))


def greedy(logits: Any) -> np.ndarray:
    """`llama_sampler_init_greedy`."""
    taken = []
    for row in np.reshape(logits, (-1, np.shape(logits)[-1])):
        _memory, array = _apply([llama_cpp.llama_sampler_init_greedy()], row)
        taken.append(array.data[array.selected].id)
    return np.array(taken, np.int64).reshape(np.shape(logits)[:-1])


def draw(logits: Any) -> int:
    """`llama_sampler_init_dist` with seed 0."""
    _memory, array = _apply([llama_cpp.llama_sampler_init_dist(0)], logits)
    return int(array.data[array.selected].id)

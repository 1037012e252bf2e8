"""MLX on its CPU backend with mlx-lm's `sample_utils`: `mx.matmul`, `apply_top_k`, `mx.softmax`, `make_sampler`.

A chain is `make_logits_processors`, minus `logsumexp`, `make_sampler`, as in `generate_step`. What the sampler would
draw from is seen in place of its last step, and the `logsumexp` is added again to what is left.
"""

import inspect
from typing import Any
from unittest.mock import patch

import mlx.core as mx
import numpy as np
from mlx_lm import sample_utils
from mlx_lm.sample_utils import apply_top_k, make_logits_processors, make_sampler

from .. import Otherwise

TITLE, SHORT = "MLX and mlx-lm", "MLX"
PACKAGES = ("mlx", "mlx-lm")
DTYPES = ("float16", "float32", "float64")
TIES_OF = {"keep_top_p": "all"}
PROFILE = "mlx-lm"
OFF = {"temp": 1.0}
mx.set_default_device(mx.cpu)


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`context @ embedding.T`."""
    return np.array(mx.matmul(mx.array(context), mx.array(embedding).T))


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`logits * (1.0 / temp)`, as in the sampler that `make_sampler` returns; for temperature 0 it returns another."""
    if temperature == 0:
        raise Otherwise("takes the argmax")
    return np.array(mx.array(logits) * (1.0 / temperature))


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    """`apply_top_k`, which takes log-probabilities and logits alike."""
    return np.array(apply_top_k(mx.array(logits), k))


def softmax(logits: Any) -> np.ndarray:
    """`mx.softmax(axis=-1)`."""
    return np.array(mx.softmax(mx.array(logits), axis=-1))


def processed(logits: Any, settings: dict[str, Any], prompt: list[int], output: list[int]) -> np.ndarray:
    """The logits after the whole chain: each that is left as the processors made it, times `1.0 / temp`."""
    mx.random.seed(0)  # a refusal within a compiled filter leaves the random state unusable
    of_processors = set(inspect.signature(make_logits_processors).parameters)
    row = mx.array(logits)[None]
    for processor in make_logits_processors(**{k: v for k, v in settings.items() if k in of_processors}):
        row = processor(mx.array([*prompt, *output], dtype=mx.int32), row)
    seen: list[tuple[Any, float]] = []

    def drawn_from(left: Any, temp: float) -> Any:
        seen.append((left, temp))
        return mx.argmax(left, axis=-1)

    with patch.object(sample_utils, "categorical_sampling", drawn_from):
        sampler = make_sampler(**{k: v for k, v in settings.items() if k not in of_processors})
        token = sampler(row - mx.logsumexp(row, keepdims=True))
    if not seen:  # greedy
        return np.where(np.arange(len(logits)) == token.item(), np.array(row)[0], -np.inf)
    left, temp = seen[0]
    return np.array(mx.where(left == -mx.inf, -mx.inf, row * (1.0 / temp)))[0]


def _rows(logits: Any, history: Any = None, **settings: Any) -> np.ndarray:
    """Row by row, each with its part of the history.

    MLX checks no index: what one beyond the row does is undefined, and may end the process, so it is not tried.
    """
    rows = np.reshape(logits, (-1, np.shape(logits)[-1]))
    ids = [*np.ravel([] if history is None else history), *settings.get("logit_bias", {})]
    if any(not -rows.shape[-1] <= token < rows.shape[-1] for token in ids):
        raise Otherwise("is undefined, as MLX checks no index")
    seen = [[]] * len(rows) if history is None else np.reshape(history, (len(rows), np.shape(history)[-1])).tolist()
    left = [processed(row, {**OFF, **settings}, [], said) for row, said in zip(rows, seen, strict=True)]
    return np.array(left).reshape(np.shape(logits))


def keep_top_p(logits: Any, p: Any) -> np.ndarray:
    """`make_sampler(top_p)`."""
    return _rows(logits, top_p=p)


def keep_min_p(logits: Any, p: Any) -> np.ndarray:
    """`make_sampler(min_p)`."""
    return _rows(logits, min_p=p)


def repetition_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`make_logits_processors` with a context size of 0, which is the whole history."""
    return _rows(logits, history, repetition_penalty=penalty, repetition_context_size=0)


def frequency_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """As `repetition_penalty`."""
    return _rows(logits, history, frequency_penalty=penalty, frequency_context_size=0)


def presence_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """As `repetition_penalty`."""
    return _rows(logits, history, presence_penalty=penalty, presence_context_size=0)


def logit_bias(logits: Any, biased: Any, biases: Any) -> np.ndarray:
    """`make_logits_processors(logit_bias)`."""
    return _rows(logits, logit_bias=dict(zip(np.asarray(biased).tolist(), np.asarray(biases).tolist(), strict=True)))


def greedy(logits: Any) -> np.ndarray:
    """`make_sampler` with its defaults, which is `mx.argmax`."""
    return np.array(make_sampler()(mx.array(logits))).astype(np.int64)


def sample(logits: Any, temperature: float) -> int:
    """`make_sampler(temp)`, with seed 0."""
    mx.random.seed(0)
    return int(make_sampler(temp=temperature)(mx.array(logits)))


def draw(logits: Any) -> int:
    """One token at temperature 1."""
    return sample(logits, 1.0)

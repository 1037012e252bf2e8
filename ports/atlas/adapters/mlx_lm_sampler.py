"""MLX on its CPU backend with mlx-lm's `sample_utils`: `mx.matmul`, `apply_top_k`, `mx.softmax`, `make_sampler`."""

from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import apply_top_k, make_sampler

from .. import Otherwise

TITLE, SHORT = "MLX and mlx-lm", "MLX"
PACKAGES = ("mlx", "mlx-lm")
DTYPES = ("float16", "float32", "float64")
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


def sample(logits: Any, temperature: float) -> int:
    """`make_sampler(temp)`, with seed 0."""
    mx.random.seed(0)
    return int(make_sampler(temp=temperature)(mx.array(logits)))


def draw(logits: Any) -> int:
    """One token at temperature 1."""
    return sample(logits, 1.0)

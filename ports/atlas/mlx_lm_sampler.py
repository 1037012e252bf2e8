"""MLX on its CPU backend with mlx-lm's `sample_utils`: `apply_top_k`; `categorical_sampling` multiplies and draws."""

from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import apply_top_k, categorical_sampling

from . import Otherwise

TITLE, SHORT = "MLX and mlx-lm", "MLX"
PACKAGES = ("mlx", "mlx-lm")
DTYPES = ("float16", "float32", "float64")
mx.set_default_device(mx.cpu)


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`context @ embedding.T`."""
    return np.array(mx.matmul(mx.array(context), mx.array(embedding).T))


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`logits * (1.0 / temp)`, the expression inside `categorical_sampling`; `make_sampler` diverts 0."""
    if temperature == 0:
        raise Otherwise("takes the argmax")
    return np.array(mx.array(logits) * (1.0 / temperature))


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    """`apply_top_k`, which takes log-probabilities or logits alike."""
    return np.array(apply_top_k(mx.array(logits), k))


def softmax(logits: Any) -> np.ndarray:
    """`mx.softmax(axis=-1)`."""
    return np.array(mx.softmax(mx.array(logits), axis=-1))


def draw(logits: Any) -> int:
    """`categorical_sampling` at temperature 1, seed 0."""
    mx.random.seed(0)
    return int(categorical_sampling(mx.array(logits), 1.0))

"""JAX: `jnp.matmul`, `/`, `lax.top_k`, `jax.nn.softmax`; `jax.random.categorical` draws. Settings are the defaults."""

from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

TITLE, SHORT = "JAX", "JAX"
PACKAGES = ("jax", "jaxlib")


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`context @ embedding.T`."""
    return np.asarray(jnp.matmul(jnp.asarray(context), jnp.asarray(embedding).T))


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`logits / temperature`."""
    return np.asarray(jnp.asarray(logits) / temperature)


def top_k(logits: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """`lax.top_k`."""
    values, token_ids = lax.top_k(jnp.asarray(logits), k)
    return np.asarray(values), np.asarray(token_ids)


def softmax(logits: Any) -> np.ndarray:
    """`jax.nn.softmax`."""
    return np.asarray(jax.nn.softmax(jnp.asarray(logits)))


def draw(logits: Any) -> int:
    """`jax.random.categorical` with key 0."""
    return int(jax.random.categorical(jax.random.key(0), jnp.asarray(logits)))

"""NumPy, as it is typed without a second thought; re-enacted here.

`context @ embedding.T`, `/`, `argsort(...)[::-1][:k]`, a threshold, `exp(x) / exp(x).sum()`, `searchsorted(cumsum)`.
"""

from typing import Any

import numpy as np

TITLE, SHORT = "NumPy, naive", "NumPy"
PACKAGES = ("numpy",)
TIES = "all"


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`context @ embedding.T`."""
    return context @ embedding.T


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`logits / temperature`."""
    return logits / temperature


def top_k(logits: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sorts the whole row, reverses it and cuts. The sort is stable: the default one depends on the processor."""
    token_ids = np.argsort(logits, axis=-1, kind="stable")[..., ::-1][..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    """Everything below the k-th value becomes -inf."""
    kth = np.sort(logits, axis=-1)[..., -k, None]
    return np.where(logits < kth, -np.inf, logits).astype(logits.dtype)


def softmax(logits: Any) -> np.ndarray:
    """`exp(x) / exp(x).sum()`."""
    weights = np.exp(logits)
    return weights / weights.sum(axis=-1, keepdims=True)


def inverse_cdf(probs: Any, uniform: Any) -> np.ndarray:
    """`searchsorted` in the running sum, row by row."""
    rows = zip(probs.reshape(-1, probs.shape[-1]), uniform.flat, strict=False)
    return np.array([np.searchsorted(np.cumsum(row), u) for row, u in rows], np.int64).reshape(probs.shape[:-1])


def draw(logits: Any) -> int:
    """`Generator.choice` with seed 0."""
    return int(np.random.default_rng(0).choice(len(logits), p=softmax(logits)))

"""llama2.c's head, of `run.c`: matmul, division, softmax and `sample_mult`, re-enacted in NumPy's float32.

The product and all sums are taken one after the other in float; the walk compares with the uniform itself, not with a
part of the total, and where no running sum exceeds, the last id is drawn. There is no top-k. The program divides and
exponentiates in place, in a buffer of its own; here the results are arrays of their own.
"""

from typing import Any

import numpy as np

from .. import Otherwise

TITLE, SHORT = "llama2.c, re-enacted", "llama2.c"
PACKAGES = ("numpy",)
DTYPES = ("float32",)
POINTERS = True


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`val += w[i] * x[i]`."""
    logits = np.zeros((*context.shape[:-1], len(embedding)), np.float32)  # [..., V]
    for i in range(embedding.shape[1]):
        logits += context[..., i, None] * embedding[:, i]
    return logits


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`logits[q] /= temperature`, if that is not 0."""
    divisor = np.float32(temperature)
    if divisor == 0:
        raise Otherwise("takes the argmax")
    return logits / divisor


def softmax(logits: Any) -> np.ndarray:
    """Subtracts the maximum, takes `expf`, divides by the sum."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / np.cumsum(weights, axis=-1)[..., -1:]


def inverse_cdf(probs: Any, uniform: Any) -> np.ndarray:
    """`sample_mult`: the first id whose running sum, in float, exceeds the uniform."""
    exceeds = np.asarray(uniform, np.float32)[..., None] < np.cumsum(probs, axis=-1)
    return np.where(exceeds.any(axis=-1), exceeds.argmax(axis=-1), probs.shape[-1] - 1)


def draw(logits: Any, uniform: float = 0.5) -> int:
    """Softmax, then the walk."""
    return int(inverse_cdf(softmax(np.asarray(logits, np.float32)), uniform))

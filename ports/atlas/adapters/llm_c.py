"""llm.c's sampler, `sample_softmax` of `llmc/sampler.h`, re-enacted in NumPy's float32 and float64.

It draws from logits with one number in [0, 1): the weights are expf(logit), their total is a double, the running sum a
float, and where no running sum exceeds, the last id is drawn. `softmax` is the distribution that it draws from.
"""

from typing import Any

import numpy as np

TITLE, SHORT = "llm.c's sampler, re-enacted", "llm.c"
PACKAGES = ("numpy",)
DTYPES = ("float32",)
POINTERS = True


def softmax(logits: Any) -> np.ndarray:
    """`expf(logit)` divided by their total in double."""
    weights = np.exp(logits)
    return (weights / weights.sum(axis=-1, keepdims=True, dtype=np.float64)).astype(np.float32)


def draw(logits: Any, uniform: float = 0.5) -> int:
    """The walk, from the logits themselves."""
    weights = np.exp(np.asarray(logits, np.float32))
    target = np.float32(np.float32(uniform) * weights.sum(dtype=np.float64))
    exceeds = target < np.cumsum(weights)  # added one after the other, in float32
    return int(exceeds.argmax()) if exceeds.any() else len(weights) - 1

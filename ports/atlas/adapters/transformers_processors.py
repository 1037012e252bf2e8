"""Transformers: `TemperatureLogitsWarper` and `TopKLogitsWarper`, then `softmax` and `multinomial`, as `generate()`.

`lm_head` takes the logits to float32 first, as `generate()` does, whatever the dtype of the model.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

from parity_tests.heads import to_torch, torch_generator

from .pytorch import array, draw, multinomial, softmax

__all__ = ["draw", "multinomial", "softmax"]
TITLE, SHORT = "Transformers", "Transf."
PACKAGES = ("transformers", "torch")
TIES = "all"
generator, takes_noise = torch_generator, False


def _processed(logits: torch.Tensor, *processors: Any) -> torch.Tensor:
    for processor in processors:
        logits = processor(torch.empty(0, dtype=torch.long), logits)  # input ids, which both processors ignore
    return logits


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`TemperatureLogitsWarper`."""
    return array(_processed(to_torch(logits), TemperatureLogitsWarper(temperature)))


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    """`TopKLogitsWarper`."""
    return array(_processed(to_torch(logits), TopKLogitsWarper(k)))


def lm_head(context: Any, embedding: Any, temperature: Any = 0.7, k: Any = 50) -> np.ndarray:
    """Logits in float32, both processors, then softmax."""
    logits = functional.linear(to_torch(context), to_torch(embedding)).to(torch.float32)
    scores = _processed(logits, TemperatureLogitsWarper(temperature), TopKLogitsWarper(k))
    return array(functional.softmax(scores, dim=-1))

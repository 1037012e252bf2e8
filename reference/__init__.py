"""The reference language-model head, in NumPy alone: read `head.py`."""

from .head import apply_temperature, compute_logits, inverse_cdf, keep_top_k, lm_head, multinomial, softmax, top_k
from .torch_rng import TorchGenerator

__all__ = [
    "TorchGenerator",
    "apply_temperature",
    "compute_logits",
    "inverse_cdf",
    "keep_top_k",
    "lm_head",
    "multinomial",
    "softmax",
    "top_k",
]

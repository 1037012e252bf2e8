"""The language-model head in PyTorch, the mirror of `reference`; the Hugging Face path is `torch_impl.huggingface`."""

from .head import apply_temperature, compute_logits, inverse_cdf, keep_top_k, lm_head, multinomial, softmax, top_k
from .output_layer import finish_logits, layer_norm, rms_norm

__all__ = [
    "apply_temperature",
    "compute_logits",
    "finish_logits",
    "inverse_cdf",
    "keep_top_k",
    "layer_norm",
    "lm_head",
    "multinomial",
    "rms_norm",
    "softmax",
    "top_k",
]

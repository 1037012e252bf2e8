"""The language-model head in PyTorch, the mirror of `reference`; the Hugging Face path is `torch_impl.huggingface`."""

from .head import apply_temperature, compute_logits, inverse_cdf, keep_top_k, lm_head, multinomial, softmax, top_k

__all__ = [
    "apply_temperature",
    "compute_logits",
    "inverse_cdf",
    "keep_top_k",
    "lm_head",
    "multinomial",
    "softmax",
    "top_k",
]

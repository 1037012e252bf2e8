"""The reference language-model head, in NumPy alone: read `head.py`."""

from .filters import (
    greedy,
    keep_epsilon,
    keep_eta,
    keep_min_p,
    keep_top_h,
    keep_top_n_sigma,
    keep_top_p,
    keep_typical,
    keep_xtc,
)
from .head import apply_temperature, compute_logits, inverse_cdf, keep_top_k, lm_head, multinomial, softmax, top_k
from .log_probabilities import cross_entropy, log_probs, rank, top_log_probs
from .output_layer import finish_logits, layer_norm, rms_norm
from .penalties import (
    ban,
    frequency_penalty,
    logit_bias,
    min_length,
    no_repeat_ngram,
    presence_penalty,
    repetition_penalty,
)
from .pipeline import process
from .profiles import apply_settings
from .streams import draw_as
from .torch_rng import TorchGenerator

__all__ = [
    "TorchGenerator",
    "apply_settings",
    "apply_temperature",
    "ban",
    "compute_logits",
    "cross_entropy",
    "draw_as",
    "finish_logits",
    "frequency_penalty",
    "greedy",
    "inverse_cdf",
    "keep_epsilon",
    "keep_eta",
    "keep_min_p",
    "keep_top_h",
    "keep_top_k",
    "keep_top_n_sigma",
    "keep_top_p",
    "keep_typical",
    "keep_xtc",
    "layer_norm",
    "lm_head",
    "log_probs",
    "logit_bias",
    "min_length",
    "multinomial",
    "no_repeat_ngram",
    "presence_penalty",
    "process",
    "rank",
    "repetition_penalty",
    "rms_norm",
    "softmax",
    "top_k",
    "top_log_probs",
]

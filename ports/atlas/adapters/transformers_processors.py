"""Transformers: `TemperatureLogitsWarper` and `TopKLogitsWarper`, then `softmax` and `multinomial`, as `generate()`.

`lm_head` takes the logits to float32 first, as `generate()` does, whatever the dtype of the model. A chain of settings
is that of `generate(do_sample=True)` itself, on a GPT-2 of one layer that has the given logits after any prompt; prompt
and output are its input.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel, TemperatureLogitsWarper, TopKLogitsWarper

from parity_tests.heads import to_torch, torch_generator

from .pytorch import array, draw, multinomial, softmax

__all__ = ["draw", "multinomial", "softmax"]
TITLE, SHORT = "Transformers", "Transf."
PACKAGES = ("transformers", "torch")
TIES = "all"
PROFILE = "transformers"
OFF = {"top_k": 0}
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


def processed(logits: Any, settings: dict[str, Any], prompt: list[int], output: list[int]) -> np.ndarray:
    """The `scores` of the next token in `generate`."""
    config = GPT2Config(
        vocab_size=len(logits),
        n_embd=1,
        n_head=1,
        n_layer=1,
        n_positions=128,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight.copy_(to_torch(logits)[:, None])
    ids = torch.tensor([[*prompt, *output] or [0]])
    with torch.random.fork_rng(devices=[]):
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            max_new_tokens=1,
            output_scores=True,
            return_dict_in_generate=True,
            **settings,
        )
    return array(found.scores[0][0])

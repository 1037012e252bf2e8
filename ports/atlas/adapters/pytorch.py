"""PyTorch, composed as the lesson does: linear, `/`, `topk`, `full_like`, `scatter_`, `softmax`, `multinomial`.

The lesson's `lm_head(model, last_token_context_vector, temperature=0.7, k=50)`, its output layer without a bias being
`torch.nn.functional.linear`. It is written for one context vector: `scatter_` runs along axis 0.
"""

from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.nn import functional

from parity_tests.heads import to_torch, torch_generator

TITLE, SHORT = "PyTorch, the lesson", "PyTorch"
PACKAGES = ("torch",)
generator, takes_noise = torch_generator, False


def array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array. bfloat16, which NumPy lacks, is converted by its bits."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`model.get_output_embeddings()(context)`."""
    return array(functional.linear(to_torch(context), to_torch(embedding)))


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """`logits / temperature`."""
    return array(to_torch(logits) / temperature)


def top_k(logits: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """`torch.topk`."""
    values, token_ids = torch.topk(to_torch(logits), k)
    return array(values), array(token_ids)


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    """`full_like(-inf)`, then `scatter_` along axis 0, as the lesson does."""
    tensor = to_torch(logits)
    values, token_ids = torch.topk(tensor, k)
    kept = torch.full_like(tensor, -float("Inf"))
    return array(kept.scatter_(0, token_ids, values))


def softmax(logits: Any) -> np.ndarray:
    """`F.softmax(dim=-1)`."""
    return array(functional.softmax(to_torch(logits), dim=-1))


def multinomial(probs: Any, num_samples: Any = 1, *, rng: torch.Generator) -> np.ndarray:
    """`torch.multinomial`, with the generator as an argument."""
    return array(torch.multinomial(to_torch(probs), num_samples, generator=rng))


def lm_head(context: Any, embedding: Any, temperature: Any = 0.7, k: Any = 50) -> np.ndarray:
    """The lesson's function."""
    logits = functional.linear(to_torch(context), to_torch(embedding))
    values, token_ids = torch.topk(logits / temperature, k)
    kept = torch.full_like(logits, -float("Inf"))
    return array(functional.softmax(kept.scatter_(0, token_ids, values), dim=-1))


def draw(logits: Any) -> int:
    """One token from logits: softmax and `multinomial`."""
    return int(torch.multinomial(functional.softmax(to_torch(logits), dim=-1), 1, generator=generator(0))[0])

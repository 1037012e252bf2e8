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
from transformers.generation import logits_process as classes

from parity_tests.heads import to_torch, torch_generator

from .. import Otherwise
from .pytorch import array, draw, multinomial, softmax

__all__ = ["draw", "multinomial", "softmax"]

TITLE, SHORT = "Transformers", "Transf."
PACKAGES = ("transformers", "torch")
TIES = "all"
TIES_OF = {"keep_top_p": "any", "keep_top_h": "any"}
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


def _rows(logits: Any, processor: Any, history: Any = None) -> np.ndarray:
    """A processor on logits `(B, V)` and ids `(B, n)`, the shapes that it takes."""
    tensor = to_torch(logits)
    rows = tensor.reshape(-1, tensor.shape[-1])
    ids = torch.empty((len(rows), 0), dtype=torch.long)
    if history is not None:
        ids = torch.tensor(history).reshape(len(rows), np.shape(history)[-1])
    return array(processor(ids, rows).reshape(tensor.shape))


def keep_top_p(logits: Any, p: Any) -> np.ndarray:
    """`TopPLogitsWarper`, which `generate()` leaves out from p = 1 on."""
    return _rows(logits, classes.TopPLogitsWarper(p) if p < 1 else lambda _, rows: rows)


def keep_min_p(logits: Any, p: Any) -> np.ndarray:
    """`MinPLogitsWarper`."""
    return _rows(logits, classes.MinPLogitsWarper(p))


def keep_typical(logits: Any, mass: Any) -> np.ndarray:
    """`TypicalLogitsWarper`."""
    return _rows(logits, classes.TypicalLogitsWarper(mass))


def keep_epsilon(logits: Any, cutoff: Any) -> np.ndarray:
    """`EpsilonLogitsWarper`."""
    return _rows(logits, classes.EpsilonLogitsWarper(cutoff))


def keep_eta(logits: Any, cutoff: Any) -> np.ndarray:
    """`EtaLogitsWarper`."""
    return _rows(logits, classes.EtaLogitsWarper(cutoff))


def keep_top_h(logits: Any, h: Any) -> np.ndarray:
    """`TopHLogitsWarper`."""
    return _rows(logits, classes.TopHLogitsWarper(h))


def repetition_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`RepetitionPenaltyLogitsProcessor`."""
    return _rows(logits, classes.RepetitionPenaltyLogitsProcessor(penalty), history)


def no_repeat_ngram(logits: Any, history: Any, ngram_size: Any) -> np.ndarray:
    """`NoRepeatNGramLogitsProcessor`."""
    return _rows(logits, classes.NoRepeatNGramLogitsProcessor(ngram_size), history)


def ban(logits: Any, banned: Any) -> np.ndarray:
    """`SuppressTokensLogitsProcessor`."""
    return _rows(logits, classes.SuppressTokensLogitsProcessor(np.asarray(banned).tolist()))


def min_length(logits: Any, history: Any, length: Any, end_ids: Any) -> np.ndarray:
    """`MinLengthLogitsProcessor`."""
    return _rows(logits, classes.MinLengthLogitsProcessor(length, torch.tensor(end_ids)), history)


def lm_head(context: Any, embedding: Any, temperature: Any = 0.7, k: Any = 50) -> np.ndarray:
    """Logits in float32, both processors, then softmax."""
    logits = functional.linear(to_torch(context), to_torch(embedding)).to(torch.float32)
    scores = _processed(logits, TemperatureLogitsWarper(temperature), TopKLogitsWarper(k))
    return array(functional.softmax(scores, dim=-1))


class _Given(torch.nn.Module):
    """An output layer that gives these logits at every position."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(*hidden.shape[:-1], -1)


def processed(logits: Any, settings: dict[str, Any], prompt: list[int], output: list[int]) -> np.ndarray:
    """The `scores` of the next token in `generate`, to which all ids so far are the prompt."""
    if output and settings.get("min_new_tokens"):
        raise Otherwise("counts new tokens from where it begins")
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
    model.lm_head = _Given(to_torch(logits))
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

"""Context vectors by Transformers, in float32, with one block of the model in memory at a time.

The model's skeleton has no storage (torch's `meta` device). Just before a block runs, its weights are read from the
checkpoint, and right after it they are let go: a model of any size needs the memory of one block.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2Model

from . import rows
from .progress import Report, silent
from .source import Weights
from .strict_json import BundleError

# The four products of a block. nanoGPT and others store them as torch.nn.Linear does, (out, in); GPT-2 as (in, out).
PRODUCTS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the order of its sums, and so every bit, is then the same on each run of a machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def skeleton(config: dict[str, Any], weights: Weights) -> GPT2Model:
    """The model without storage, for a token embedding with as many rows as the checkpoint's."""
    # Special tokens are of no use here, and Transformers warns of ids beyond the vocabulary.
    no_special = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    settings = {**config, **no_special, "vocab_size": weights.shape("wte.weight")[0]}
    with torch.device("meta"):
        model = GPT2Model(GPT2Config.from_dict(settings)).eval()
    if buffers := [name for name, _ in model.named_buffers()]:
        raise BundleError(f"this Transformers keeps buffers in GPT2Model ({buffers}): install the pinned version")
    return model


def _transposed(weights: Weights, d: int) -> bool:
    """Whether the products of the blocks are stored as torch.nn.Linear stores them."""
    return "h.0.attn.c_attn.weight" in weights and weights.shape("h.0.attn.c_attn.weight") == (3 * d, d)


def _fill(module: torch.nn.Module, prefix: str, weights: Weights, transposed: bool) -> None:
    """Give a module its parameters; a bias that the checkpoint does not have is zero."""
    for name, parameter in list(module.named_parameters()):
        full = f"{prefix}{name}"
        if name.endswith("bias") and full not in weights:
            values = np.zeros(parameter.shape, dtype=np.float32)
        else:
            values = np.array(weights.read(full), order="C")
            if transposed and name.removesuffix(".weight") in PRODUCTS:
                values = np.ascontiguousarray(values.T)
        if values.shape != tuple(parameter.shape):
            raise BundleError(f"{weights.folder}: {full} has shape {values.shape}, expected {tuple(parameter.shape)}")
        owner, _, leaf = name.rpartition(".")
        new = torch.nn.Parameter(_aligned(values), requires_grad=False)
        module.get_submodule(owner).register_parameter(leaf, new)


def _aligned(values: np.ndarray) -> torch.Tensor:
    """A copy in PyTorch's own memory, always aligned alike: the last bits of a product may depend on alignment."""
    return torch.from_numpy(values).clone()


def _empty(module: torch.nn.Module) -> None:
    module.to("meta")


@torch.no_grad()
def contexts(
    config: dict[str, Any], weights: Weights, prompts: Sequence[list[int]], report: Report = silent
) -> tuple[np.ndarray, np.ndarray]:
    """What enters and leaves the final layer norm at each prompt's last position: two arrays `(N, d)`  [LOGITS-3].

    Raises: BundleError for tensors that are missing or of the wrong shape.
    """
    model = skeleton(config, weights)
    d = model.config.hidden_size
    transposed = _transposed(weights, d)
    for name in ("wpe", "ln_f"):
        _fill(model.get_submodule(name), f"{name}.", weights, transposed)
    # Of the token embedding only the rows of the prompts are needed: an embedding of those, and ids to match.
    used = sorted({token for prompt in prompts for token in prompt})
    model.wte = torch.nn.Embedding.from_pretrained(_aligned(_rows_of(weights, used, d)))
    for i, block in enumerate(model.h):
        prefix = f"h.{i}."
        block.register_forward_pre_hook(lambda m, _args, p=prefix: _fill(m, p, weights, transposed))
        block.register_forward_hook(lambda m, _args, _output: _empty(m))
    before: list[torch.Tensor] = []
    model.ln_f.register_forward_hook(lambda _m, inputs, _output: before.append(inputs[0][0, -1].clone()))
    after = []
    with one_thread():
        for n, prompt in enumerate(prompts):
            ids = torch.tensor([[used.index(token) for token in prompt]])
            after.append(model(ids, use_cache=False).last_hidden_state[0, -1].clone())
            report("contexts of the prompts", n + 1, len(prompts))
    return torch.stack(before).numpy(), torch.stack(after).numpy()


def _rows_of(weights: Weights, ids: list[int], d: int) -> np.ndarray:
    table, start = np.empty((len(ids), d), dtype=np.float32), 0
    at = np.array(ids)
    for block in weights.blocks("wte.weight"):
        inside = (at >= start) & (at < start + len(block))
        table[inside] = block[at[inside] - start]
        start += len(block)
    return table


@torch.no_grad()
def logits(context: np.ndarray, embedding: np.ndarray, dtype: str, report: Report = silent) -> np.ndarray:
    """PyTorch's logits in float32 on one thread, `(N, d), (V, d) -> (N, V)`; the embedding as stored in `dtype`."""
    result = np.empty((len(context), len(embedding)), dtype=np.float32)
    h = _aligned(context)
    with one_thread():
        for start, stop in rows.ranges(embedding.shape):
            block = _aligned(np.array(rows.widen(embedding[start:stop], dtype)))
            result[:, start:stop] = torch.nn.functional.linear(h, block).numpy()
            report("PyTorch's logits", stop, len(embedding))
    return result

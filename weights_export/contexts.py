"""Context vectors by Transformers, in float32, with one block of the model in memory at a time.

The model is made without storage, on torch's `meta` device. All blocks then share the memory of one, and just before a
block runs, its weights are read into it from the checkpoint. So a model of any depth needs the memory of one block.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2Model

from .errors import BundleError
from .progress import Report, silent
from .source import Weights

# The four products of a block. nanoGPT and others store them as torch.nn.Linear does, (out, in); GPT-2 as (in, out).
PRODUCTS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the order of its sums, and so every bit, is then the same in every run on a machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def skeleton(config: dict[str, Any], weights: Weights) -> GPT2Model:
    """The model without storage, for a token embedding with as many rows as the checkpoint's."""
    # Special tokens have no use here, and Transformers warns of ids beyond the vocabulary.
    no_special = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    settings = {**config, **no_special, "vocab_size": weights.shape("wte.weight")[0]}
    with torch.device("meta"):
        model: GPT2Model = GPT2Model(GPT2Config.from_dict(settings)).eval().requires_grad_(False)
    if buffers := [name for name, _ in model.named_buffers()]:
        raise BundleError(f"this Transformers keeps buffers in GPT2Model ({buffers}): install the pinned version")
    return model


def _fill(module: torch.nn.Module, prefix: str, weights: Weights, transposed: bool) -> None:
    """Read a module's parameters into its memory; a bias that the checkpoint lacks is zero."""
    for name, parameter in module.named_parameters():
        values = parameter.numpy()  # the same memory
        if name.endswith("bias") and f"{prefix}{name}" not in weights:
            values[...] = 0
        else:
            turned = transposed and name.removesuffix(".weight") in PRODUCTS
            weights.read_into(f"{prefix}{name}", values.T if turned else values)


@torch.no_grad()
def contexts(
    config: dict[str, Any], weights: Weights, prompts: Sequence[list[int]], report: Report = silent
) -> tuple[np.ndarray, np.ndarray]:
    """What enters and leaves the final layer norm at each prompt's last position: two arrays `(N, d)`  [LOGITS-3].

    Raises: BundleError for a tensor that is missing or of the wrong shape.
    """
    model = skeleton(config, weights)
    d = model.config.hidden_size
    first = "h.0.attn.c_attn.weight"
    transposed = first in weights and weights.shape(first) == (3 * d, d)
    for name in ("wpe", "ln_f"):
        _fill(model.get_submodule(name).to_empty(device="cpu"), f"{name}.", weights, transposed)
    # The prompts use few rows of the token embedding: keep those only, and number the ids to match.
    used = sorted({token for prompt in prompts for token in prompt})
    model.wte = torch.nn.Embedding.from_pretrained(_rows_of(weights, used, d))
    _share_memory(model.h)
    for i, block in enumerate(model.h):
        block.register_forward_pre_hook(lambda m, _args, p=f"h.{i}.": _fill(m, p, weights, transposed))
    before, after = (np.empty((len(prompts), d), dtype=np.float32) for _ in range(2))
    final_norm = model.ln_f
    model.register_module("ln_f", torch.nn.Identity())  # the model then returns what enters the norm
    with one_thread():
        # The longest first: the others then fit into the memory that it has freed.
        for done, n in enumerate(sorted(range(len(prompts)), key=lambda n: -len(prompts[n])), 1):
            ids = torch.tensor([[used.index(token) for token in prompts[n]]])
            hidden = model(ids, use_cache=False).last_hidden_state
            before[n], after[n] = hidden[0, -1].numpy(), final_norm(hidden)[0, -1].numpy()
            report("contexts of the prompts", done, len(prompts))
    return before, after


def _share_memory(blocks: torch.nn.ModuleList) -> None:
    """Give the first block memory and make its parameters those of all others too.

    Blocks run one after the other and have the same shapes, so the weights of one may overwrite those of the last.
    """
    first = blocks[0].to_empty(device="cpu")
    for block in blocks[1:]:
        for name, parameter in first.named_parameters():
            owner, _, leaf = name.rpartition(".")
            block.get_submodule(owner).register_parameter(leaf, parameter)


def _rows_of(weights: Weights, ids: list[int], d: int) -> torch.Tensor:
    table, at = torch.empty((len(ids), d)), np.array(ids)
    for start, block in weights.blocks("wte.weight"):
        inside = (at >= start) & (at < start + len(block))
        table.numpy()[inside] = block[at[inside] - start]
    return table


@torch.no_grad()
def logits(context: np.ndarray, embedding: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """PyTorch's logits in float32 on one thread: `(N, d)`, blocks `(rows, d)` -> blocks `(N, rows)`."""
    with one_thread():
        h = _aligned(context)
        for block in embedding:
            yield torch.nn.functional.linear(h, _aligned(block)).numpy()


def _aligned(values: np.ndarray) -> torch.Tensor:
    """A copy in PyTorch's own memory, always aligned alike: a product's last bits may depend on the alignment."""
    copy = torch.empty(values.shape)
    copy.numpy()[...] = values
    return copy

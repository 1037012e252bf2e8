"""A model's forward pass on some prompts, and what leaves each part of its head, whatever the family."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .errors import BundleError
from .progress import Report, silent

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the order of its sums, and so every bit, is then the same in every run on a machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def window(model: "PreTrainedModel") -> int | None:
    """The length of the context window, whatever its configuration calls it; None if it has no end."""
    config = model.config.get_text_config()
    names = ("max_position_embeddings", "max_target_positions", "max_seq_len", "n_positions", "n_ctx")
    lengths = (getattr(config, name, None) for name in names)
    return next((length for length in lengths if isinstance(length, int) and length > 0), None)


@dataclass(frozen=True)
class Run:
    """What each part of the head gives at the last position of N prompts, in float32."""

    block_output: np.ndarray  # (N, d), what enters the final norm
    context: np.ndarray  # (N, d), what leaves it
    logits: np.ndarray  # (N, rows), the model's own
    norm: torch.nn.Module | None  # the final norm; None if what the last block gives is the context
    previous: np.ndarray  # (N, d), the context one position earlier; the same after a prompt of one token
    input_embedding: np.ndarray | None  # (rows, d), of a model whose head has a table of its own


@torch.no_grad()
def run(model: "PreTrainedModel", prompts: Sequence[list[int]], report: Report = silent) -> Run:
    """Run the model on each prompt by itself, on one thread  [LOGITS-3].

    Raises: BundleError for a model that changes its hidden states once more before the output embedding.
    """
    seen: dict[str, Any] = {}
    handles = [
        model.get_decoder().register_forward_hook(lambda _m, _a, out: _leaves(seen, out)),
        model.get_output_embeddings().register_forward_pre_hook(lambda _m, args: _last_position(seen, args)),
    ]
    for module in model.get_decoder().modules():
        if "norm" in type(module).__name__.lower():
            handles.append(module.register_forward_hook(lambda m, args, out: seen.update(norm=(m, args, out))))
    rows: list[Any] = [None] * len(prompts)
    norm = None
    try:
        with one_thread():
            # The longest first: the others then fit into the memory that it has freed.
            for done, n in enumerate(sorted(range(len(prompts)), key=lambda n: -len(prompts[n])), 1):
                logits = _logits(model, prompts[n])
                context, entered = seen.get("last", seen["entered"][None, None])[0, -1], seen["entered"]
                if context.shape != entered.shape or not torch.equal(context, entered):
                    same = context.shape == entered.shape
                    away = f"by up to {float((context - entered).abs().max()):.3g}" if same else "in their shape"
                    raise BundleError(
                        f"{type(model).__name__} changes its hidden states between the final norm and the output "
                        f"embedding, {away}: a bundle has no place for that"
                    )
                norm, before = _final_norm(seen)
                rows[n] = tuple(
                    part.numpy().copy() for part in (before[0, -1], context, logits[0, -1], seen["previous"])
                )
                report("contexts of the prompts", done, len(prompts))
    finally:
        for handle in handles:
            handle.remove()
    outputs, contexts, own, previous = (np.stack(parts) for parts in zip(*rows, strict=True))
    return Run(outputs, contexts, own, norm, previous, _input_embedding(model))


def _input_embedding(model: "PreTrainedModel") -> np.ndarray | None:
    """The token embedding, if the head has a table of its own that could be mistaken for it."""
    table, head = (getattr(f(), "weight", None) for f in (model.get_input_embeddings, model.get_output_embeddings))
    if table is None or head is None or table is head or table.shape != head.shape:
        return None
    found: np.ndarray = table.detach().numpy()
    return found


def _leaves(seen: dict[str, Any], output: Any) -> None:
    """Keep what the decoder returns: hidden states, perhaps the first of several things."""
    hidden = output if isinstance(output, torch.Tensor) else output[0]
    if hidden.dim() == 3:
        seen["last"] = hidden


def _logits(model: "PreTrainedModel", prompt: list[int]) -> torch.Tensor:
    try:
        logits: torch.Tensor = model(input_ids=torch.tensor([prompt]), use_cache=False).logits
        return logits
    except Exception as error:  # of whatever kind a family's forward raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise BundleError(
            f"{type(model).__name__} does not run on a prompt of {len(prompt)} tokens: {reason}; correct config.json"
        ) from error


def _last_position(seen: dict[str, Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep what enters the output embedding, and let only the last position through: logits of the others are big."""
    last = args[0][:, -1:]
    seen["entered"] = last[0, -1]
    seen["previous"] = args[0][0, -2] if args[0].shape[1] > 1 else last[0, -1]
    return (last, *args[1:])


def _final_norm(seen: dict[str, Any]) -> tuple[torch.nn.Module | None, torch.Tensor]:
    """The last norm that ran, if its output is that of the whole model, and what entered it."""
    last = seen.get("last", seen["entered"][None, None])
    if "norm" in seen and "last" in seen:
        module, args, out = seen["norm"]
        if isinstance(out, torch.Tensor) and out.shape[-1:] == last.shape[-1:] and out.data_ptr() == last.data_ptr():
            return module, args[0]
    return None, last

"""PyTorch's logits in float32: one right answer of many, to lie beside the exact one."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

import torch_impl

from .forward import one_thread


@torch.no_grad()
def logits(
    context: np.ndarray, embedding: Iterable[np.ndarray], bias: np.ndarray | None = None, **finish: Any
) -> Iterator[np.ndarray]:
    """The product and what follows it, on one thread: `(N, d)`, blocks `(rows, d)` -> blocks `(N, rows)`."""
    with one_thread():
        h, start = _aligned(context), 0
        for block in embedding:
            z = torch.nn.functional.linear(h, _aligned(block))
            part = None if bias is None else torch.tensor(bias[start : start + len(block)])
            if finish:
                z = torch_impl.finish_logits(z, part, **finish)
            start += len(block)
            yield z.numpy()


def _aligned(values: np.ndarray) -> torch.Tensor:
    """A copy in PyTorch's own memory, always aligned alike: a product's last bits may depend on the alignment."""
    copy = torch.empty(values.shape)
    copy.numpy()[...] = values
    return copy

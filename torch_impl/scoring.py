"""How probable given tokens are, in bounded memory, in PyTorch: the same names and refusals as `reference/scoring.py`.

The rows of the embedding are taken in blocks, which give `(N, block)` logits at a time for a running maximum and a
running sum of exponentials. All stays on the device of the context. For measuring, not training: no gradients flow.
`finish` holds arguments of `finish_logits` by name, for a head that has that between product and temperature.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from . import head, output_layer, validation

BLOCK = 1024  # rows of the embedding at a time


class _Blocks:
    """The scaled logits of N positions, `(N, width)` at a time, ids ascending; each block overwrites the one before."""

    def __init__(
        self, context: Any, embedding: Any, temperature: float, block: int, finish: Mapping[str, Any] | None
    ) -> None:
        # Checked as a tensor without memory, so that a conversion copies nothing: blocks are converted one by one.
        checked = embedding.to("meta") if isinstance(embedding, Tensor) and embedding.dim() else embedding
        context, _ = validation.check_factors(context, checked)
        self._embedding, self._rows = embedding, context.reshape(math.prod(context.shape[:-1]), context.shape[-1])
        self.shape, self.dtype, self.vocab_size = context.shape[:-1], context.dtype, len(embedding)
        self._finish = output_layer.Finish(finish, self.vocab_size, context) if finish else None
        if self._finish:  # the wider dtype is that of all that follows
            self.dtype = self._finish.dtype
        self._divisor = validation.check_temperature(temperature, context.new_empty((), dtype=self.dtype))
        self.name = "logits" if self._divisor == 1 else validation.QUOTIENT.format(temperature)
        self._block = min(validation.check_count("block", block), self.vocab_size)

    def full(self, value: float, dtype: torch.dtype | None = None) -> Tensor:
        """One number for each position, `(N,)`."""
        return torch.full((len(self._rows),), value, dtype=dtype or self.dtype, device=self._rows.device)

    def __iter__(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The first id of each block, its logits `(N, width)`, and the largest of each row `(N,)`."""
        count = len(self._rows)
        memory = torch.empty(count * self._block, dtype=self._rows.dtype, device=self._rows.device)
        for start in range(0, self.vocab_size, self._block):
            part = self._embedding[start : start + self._block].to(self._rows.dtype)
            logits = memory[: count * len(part)].view(count, len(part))
            with head.exact_products(self._rows.device.type):
                torch.mm(self._rows, part.T, out=logits)
            validation.check_block(logits, start, self.shape)
            if self._finish:
                logits = self._finish(logits, start, self.shape)
            if self._divisor != 1:  # a division by 1 changes no bit
                logits /= self._divisor
                validation.check_block(logits, start, self.shape, self.name)
            yield start, logits, logits.amax(dim=1)

    def check(self, largest: Tensor) -> None:
        """Refuses positions without a finite logit; `largest` `(N,)` is taken over all of the vocabulary."""
        validation.check_some_unmasked((largest > -math.inf).reshape(self.shape), self.name)

    def token_ids(self, values: Any) -> Tensor:
        """The given ids as `(N,)`."""
        return validation.check_token_ids(values, self.shape, self.vocab_size).to(self._rows.device).reshape(-1)


def given(token_ids: Tensor, start: int, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Which positions have their token in this block, whose first id is `start`, and its logit there."""
    here = ((token_ids >= start) & (token_ids < start + logits.shape[1])).nonzero()[:, 0]
    return here, logits[here, token_ids[here] - start]


@torch.no_grad()
def log_probs(
    context: Tensor,
    embedding: Tensor,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> Tensor:
    """The log-probability of one given token for each position: `(..., d), (V, d), (...) -> (...)`.

    What `-F.cross_entropy(logits / temperature, token_ids, reduction="none")` gives, within the bounds of both.
    Raises: as the stages of the head; ValueError for ids outside [0, V), for a shape that is not the context's and for
    `block` < 1; TypeError for ids that are not integers.

    >>> log_probs(torch.ones(2, 1), torch.tensor([[1.0], [2.0], [5.0]]).log(), torch.tensor([0, 1]))
    tensor([-2.0794, -1.3863])
    """
    blocks = _Blocks(context, embedding, temperature, block, finish)
    token_ids = blocks.token_ids(token_ids)
    maximum, total, chosen = blocks.full(-math.inf), blocks.full(0), blocks.full(0)
    lowest = torch.finfo(blocks.dtype).min  # stands in for a maximum of -inf, so that no -inf is subtracted from itself
    shift = blocks.full(lowest)
    for start, logits, largest in blocks:
        here, chosen[here] = given(token_ids, start, logits)
        maximum = torch.maximum(maximum, largest)
        before, shift = shift, maximum.clamp(min=lowest)
        total = total * (before - shift).exp() + logits.sub_(shift[:, None]).exp_().sum(dim=1)
    blocks.check(maximum)
    return ((chosen - maximum) - total.log()).reshape(blocks.shape)


def cross_entropy(
    context: Tensor,
    embedding: Tensor,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> float:
    """Minus the mean of `log_probs` over all positions, in nats: `F.cross_entropy`, and the loss of Transformers.

    Raises: as `log_probs`; ValueError if there are no positions, which have no mean.

    >>> round(cross_entropy(torch.ones(2, 1), torch.tensor([[1.0], [3.0]]).log(), torch.tensor([0, 1])), 4)
    0.837
    """
    scores = log_probs(context, embedding, token_ids, temperature, block, finish=finish)
    if scores.numel() == 0:
        raise ValueError(f"token_ids has shape {tuple(scores.shape)}: the mean needs at least one position")
    return -scores.mean(dtype=torch.float64).item()


def perplexity(
    context: Tensor,
    embedding: Tensor,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> float:
    """`exp(cross_entropy)`; inf where it overflows.

    Raises: as `cross_entropy`.

    >>> round(perplexity(torch.ones(1, 1), torch.zeros(8, 1), torch.tensor([3])), 4)
    8.0
    """
    mean = torch.tensor(
        cross_entropy(context, embedding, token_ids, temperature, block, finish=finish), dtype=torch.float64
    )
    return mean.exp().item()


@torch.no_grad()
def rank(
    context: Tensor,
    embedding: Tensor,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> Tensor:
    """How many tokens come before the given one in the order of `top_k`: `(..., d), (V, d), (...) -> (...)`.

    The product is computed twice: the given logit must come from the same block, bit for bit.
    Raises: as `log_probs`.

    >>> rank(torch.ones(1), torch.tensor([[1.0], [3.0], [3.0], [2.0]]), torch.tensor(2))
    tensor(1)
    """
    blocks = _Blocks(context, embedding, temperature, block, finish)
    token_ids = blocks.token_ids(token_ids)
    chosen, maximum = blocks.full(0), blocks.full(-math.inf)
    for start, logits, largest in blocks:
        here, chosen[here] = given(token_ids, start, logits)
        maximum = torch.maximum(maximum, largest)
    blocks.check(maximum)
    before = blocks.full(0, torch.long)
    for start, logits, _ in blocks:
        earlier = start + torch.arange(logits.shape[1], device=logits.device) < token_ids[:, None]
        before += ((logits > chosen[:, None]) | ((logits == chosen[:, None]) & earlier)).sum(dim=1)
    return before.reshape(blocks.shape)


@torch.no_grad()
def top_k(
    context: Tensor,
    embedding: Tensor,
    k: int,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> tuple[Tensor, Tensor]:
    """The k largest scaled logits of each position and their ids, ties to the lowest id: `-> (..., min(k, V))` twice.

    Raises: as `log_probs`; ValueError for `k` < 1.

    >>> top_k(torch.ones(1), torch.tensor([[1.0], [3.0], [3.0], [2.0]]), 2, block=1)
    (tensor([3., 3.]), tensor([1, 2]))
    """
    blocks, k = _Blocks(context, embedding, temperature, block, finish), validation.check_count("k", k)
    values, ids = blocks.full(0)[:, None][:, :0], blocks.full(0, torch.long)[:, None][:, :0]
    for start, logits, _ in blocks:
        new = torch.arange(start, start + logits.shape[1], device=logits.device).expand(logits.shape)
        values, ids = torch.cat([values, logits], dim=1), torch.cat([ids, new], dim=1)
        # The best so far come first, and equals in order of their ids: so the first place is the lowest id.
        values, places = head.largest(values, min(k, values.shape[1]))
        ids = ids.gather(1, places)
    blocks.check(values[:, 0])
    shape = (*blocks.shape, min(k, blocks.vocab_size))
    return values.reshape(shape), ids.reshape(shape)

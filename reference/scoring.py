"""How probable given tokens are, for many positions at once, in bounded memory: the N x V logits never exist at once.

The vocabulary is processed in blocks of rows of the embedding. Each block gives `(N, block)` logits. They update a
running maximum and a running sum of exponentials (the online log-sum-exp of Milakov & Gimelshein 2018,
https://arxiv.org/abs/1805.02867) and are then overwritten.

Beyond the inputs, memory holds one block of logits, another one of that size for `top_k`, the block's rows of the
embedding if they must be converted, and a few numbers for each position. That is O(N block), whatever V is.

Logits and temperature are those of `head.py` [LOGITS-1, LOGITS-2, TEMP-1 to TEMP-3]. There is no top-k cut. `finish`
holds arguments of `finish_logits` by name, for a head that has that in between; its bias is cut into blocks too. `...`
stands for any number of batch axes, N positions in all. Bad input is refused as in `head.py` [HEAD-5, SOFTMAX-4].
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import head, output_layer, validation

BLOCK = 1024  # how many rows of the embedding are multiplied at a time


class _Blocks:
    """The scaled logits of N positions, `(N, width)` at a time, in order of id. Each block overwrites the last one."""

    def __init__(
        self, context: Any, embedding: Any, temperature: float, block: int, finish: Mapping[str, Any] | None
    ) -> None:
        # The factors as they are stored: the embedding is converted block by block.
        context, self._embedding, self.dtype = validation.check_stored_factors(context, embedding)
        self.shape, self.vocab_size = context.shape[:-1], len(self._embedding)
        rows = context.astype(self.dtype, copy=False)
        self._rows = rows.reshape(math.prod(self.shape), context.shape[-1])  # [..., d] -> [N, d]
        self._finish = output_layer.Finish(finish, self.vocab_size, self.dtype) if finish else None
        if self._finish:  # the wider dtype is that of all that follows
            self.dtype = self._finish.dtype
        self._divisor = validation.check_temperature(temperature, self.dtype)
        self.name = "logits" if self._divisor == 1 else f"(logits / temperature={temperature})"
        self._block = min(validation.check_count("block", block), self.vocab_size)

    def __len__(self) -> int:
        """The number of positions."""
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """For each block: its first token id, its logits `(N, width)`, and the largest logit of each row `(N,)`."""
        memory = np.empty(len(self) * self._block, self._rows.dtype)
        for start in range(0, self.vocab_size, self._block):
            part = self._embedding[start : start + self._block].astype(self._rows.dtype, copy=False)
            logits = memory[: len(self) * len(part)].reshape(len(self), len(part))
            with np.errstate(all="ignore"):  # refused in the next lines
                np.matmul(self._rows, part.T, out=logits)
            largest = logits.max(axis=1)
            validation.check_block(logits, largest, start, self.shape, "logits")
            if self._finish:
                logits = self._finish(logits, start, self.shape)
                largest = logits.max(axis=1)
            if self._divisor != 1:  # a division by 1 changes no bit
                with np.errstate(all="ignore"):
                    np.divide(logits, self._divisor, out=logits)
                    largest /= self._divisor  # division keeps the order, so the largest logit is still the largest
                validation.check_block(logits, largest, start, self.shape, self.name)
            yield start, logits, largest

    def token_ids(self, token_ids: Any) -> np.ndarray:
        """The given token ids, checked, as `(N,)`."""
        return validation.check_token_ids(token_ids, self.shape, self.vocab_size).reshape(-1)

    def check(self, largest: np.ndarray) -> None:
        """Refuse positions without a finite logit. `largest` `(N,)` is taken over the whole vocabulary."""
        validation.check_some_finite(largest > -np.inf, self.shape, self.name)


def _given(token_ids: np.ndarray, start: int, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions whose given token is in this block, and the logits of these tokens."""
    here = np.flatnonzero((token_ids >= start) & (token_ids < start + logits.shape[1]))
    return here, logits[here, token_ids[here] - start]


def log_probs(
    context: Any,
    embedding: Any,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """The log-probability of one given token for each position: `(..., d), (V, d), (...) -> (...)`.

    `x_t - log sum_j exp(x_j)` with `x = logits / temperature - maximum`. Another `block` means another order of
    summation, so the result may differ in its last bits, within `bounds.log_probs`. A token whose logit is -inf
    gives -inf.
    Raises: as `compute_logits`, `apply_temperature` and `softmax`; ValueError for ids outside [0, V), for ids whose
    shape is not that of the batch, and for `block` < 1; TypeError for ids that are not integers.

    >>> log_probs(np.ones((2, 1)), np.log([[1.0], [2.0], [5.0]]), np.array([0, 1])).round(4)  # log(1/8), log(2/8)
    array([-2.0794, -1.3863])
    """
    blocks = _Blocks(context, embedding, temperature, block, finish)
    token_ids = blocks.token_ids(token_ids)
    maximum = np.full(len(blocks), -np.inf, blocks.dtype)
    lowest = np.finfo(blocks.dtype).min  # replaces a maximum of -inf, since -inf minus -inf would be nan
    shift, total, given = np.full_like(maximum, lowest), np.zeros_like(maximum), np.empty_like(maximum)
    with np.errstate(all="ignore"):
        for start, logits, largest in blocks:
            here, values = _given(token_ids, start, logits)
            given[here] = values
            np.maximum(maximum, largest, out=maximum)
            before, shift = shift, np.maximum(maximum, lowest)
            total *= np.exp(before - shift)
            logits -= shift[:, None]
            total += np.exp(logits, out=logits).sum(axis=1)
        blocks.check(maximum)
        result: np.ndarray = (given - maximum) - np.log(total)
    return result.reshape(blocks.shape)


def cross_entropy(
    context: Any,
    embedding: Any,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> float:
    """Minus the mean of `log_probs` over all positions, in nats: the loss that a language model is trained on.

    Raises: as `log_probs`; ValueError if there are no positions, which have no mean.

    >>> round(cross_entropy(np.ones((2, 1)), np.log([[1.0], [3.0]]), np.array([0, 1])), 4)  # -(log 1/4 + log 3/4) / 2
    0.837
    """
    scores = log_probs(context, embedding, token_ids, temperature, block, finish=finish)
    if scores.size == 0:
        raise ValueError(f"token_ids has shape {scores.shape}: the mean needs at least one position")
    return -float(scores.mean(dtype=np.float64))


def perplexity(
    context: Any,
    embedding: Any,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> float:
    """`exp(cross_entropy)`: the model is as uncertain as among that many equally probable tokens; inf if it overflows.

    Raises: as `cross_entropy`.

    >>> round(perplexity(np.ones((1, 1)), np.zeros((8, 1)), np.array([3])), 4)
    8.0
    """
    with np.errstate(all="ignore"):
        return float(np.exp(cross_entropy(context, embedding, token_ids, temperature, block, finish=finish)))


def rank(
    context: Any,
    embedding: Any,
    token_ids: Any,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """How many tokens come before the given one, `(..., d), (V, d), (...) -> (...)`: 0 for the most probable.

    The order is that of `top_k`: by logit descending, then by id ascending [TOPK-3]. So `top_k(...)[1][rank]` is the
    token. The product is computed twice. The first pass finds the logit of the given token, the second one counts the
    tokens before it. Both use the same blocks: other blocks could give other bits, and then the token would not equal
    itself.
    Raises: as `log_probs`.

    >>> rank(np.ones(1), np.array([[1.0], [3.0], [3.0], [2.0]]), np.array(2))
    array(1)
    """
    blocks = _Blocks(context, embedding, temperature, block, finish)
    token_ids = blocks.token_ids(token_ids)
    given, maximum = np.empty(len(blocks), blocks.dtype), np.full(len(blocks), -np.inf, blocks.dtype)
    for start, logits, largest in blocks:
        here, values = _given(token_ids, start, logits)
        given[here] = values
        np.maximum(maximum, largest, out=maximum)
    blocks.check(maximum)
    before = np.zeros(len(blocks), np.int64)
    for start, logits, _ in blocks:
        before += np.count_nonzero(logits > given[:, None], axis=1)
        earlier = start + np.arange(logits.shape[1]) < token_ids[:, None]
        before += np.count_nonzero((logits == given[:, None]) & earlier, axis=1)
    return before.reshape(blocks.shape)


def top_k(
    context: Any,
    embedding: Any,
    k: int,
    temperature: float = 1.0,
    block: int = BLOCK,
    *,
    finish: Mapping[str, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k largest scaled logits of each position and their ids: `(..., d), (V, d) -> (..., min(k, V))` twice.

    Equal to `head.top_k(head.apply_temperature(head.compute_logits(context, embedding), temperature), k)`, ties
    included, except that the product may be rounded differently [TOPK-1 to TOPK-5]. The best tokens so far are placed
    before the logits of each block. Their ids are lower, so at a tie the lowest ids win here too.
    Raises: as `log_probs`; ValueError for `k` < 1.

    >>> top_k(np.ones(1), np.array([[1.0], [3.0], [3.0], [2.0]]), 2, block=1)
    (array([3., 3.]), array([1, 2]))
    """
    blocks, k = _Blocks(context, embedding, temperature, block, finish), validation.check_count("k", k)
    values, token_ids = np.empty((len(blocks), 0), blocks.dtype), np.empty((len(blocks), 0), np.int64)
    for start, logits, _ in blocks:
        ids = np.broadcast_to(start + np.arange(logits.shape[1]), logits.shape)
        values, token_ids = np.concatenate([values, logits], axis=1), np.concatenate([token_ids, ids], axis=1)
        best = head._largest(values, min(k, values.shape[1]))
        values, token_ids = np.take_along_axis(values, best, axis=1), np.take_along_axis(token_ids, best, axis=1)
    blocks.check(values[:, 0])
    shape = (*blocks.shape, min(k, blocks.vocab_size))
    return values.reshape(shape), token_ids.reshape(shape)

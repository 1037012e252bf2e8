"""One rank's part of the head with a split vocabulary: its rows, and what the ranks work out between them."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .. import fast, head, scoring, validation
from ..output_layer import Finish
from .handshake import Ranks

CONVERTED = 4096  # rows at a time


def share(vocab_size: int, world: int, rank: int) -> tuple[int, int]:
    """The rows of one rank, `start` and `stop`: as `torch.chunk` and DTensor's `Shard(0)` split them.

    The last ranks may hold fewer rows than the others, or none.

    >>> [share(10, 4, rank) for rank in range(4)]
    [(0, 3), (3, 6), (6, 9), (9, 10)]
    """
    rows = -(-vocab_size // world)
    return min(rank * rows, vocab_size), min((rank + 1) * rows, vocab_size)


class VocabParallelHead:
    """This rank's part of the head. All ranks make one and call the same methods in the same order.

    `embedding` holds this rank's rows `(n, d)`, n >= 0, `first` is the token id of its first row, `vocab_size` is V.
    Rows from id V on are padding and yield no logit [LOGITS-1]. A DTensor `(V, d)` sharded along its first axis
    brings `first` and the group with it, and V if `vocab_size` is left out. `revision` names the weights, in any words.
    `finish` holds arguments of `finish_logits` by name, for a head that has that between product and temperature. Its
    bias is the whole one, `(V,)`; each rank takes its part.
    Raises, on every rank: ValueError if the ranks' rows do not follow one another from 0 to V or if they differ in
    V, d, dtype, revision or finish; RuntimeError if a rank is not there within the process group's timeout.
    """

    def __init__(
        self,
        embedding: Tensor,
        first: int = 0,
        vocab_size: int | None = None,
        *,
        group: dist.ProcessGroup | None = None,
        revision: str = "",
        finish: Mapping[str, Any] | None = None,
    ) -> None:
        if hasattr(embedding, "device_mesh"):
            embedding, first, vocab_size, group = _from_dtensor(embedding, vocab_size)
        self.ranks = Ranks(group, getattr(embedding, "device", "cpu"))
        with self.ranks.together():
            if vocab_size is None:
                raise ValueError("vocab_size is missing: the rows of one rank do not say how many there are in all")
            if getattr(embedding, "dtype", None) not in validation.COMPUTE_DTYPE or embedding.dim() != 2:
                raise ValueError("embedding must be a floating-point tensor (n, d), the rows of this rank")
            rows = embedding[: max(0, min(len(embedding), vocab_size - first))]  # without padding
        self._embedding, self._first, self._vocab_size = rows, first, vocab_size
        same = {"vocab_size": vocab_size, "d": rows.shape[1], "dtype": rows.dtype, "revision of the weights": revision}
        expected = 0
        for rank, (start, stop) in enumerate(self.ranks.begin(same, own=(first, first + len(rows)))):
            if start == stop:  # no rows, or nothing but padding
                continue
            if start != expected:
                raise ValueError(
                    f"rank {rank} holds rows {start} to {stop} but row {expected} is next: "
                    "split the vocabulary in order of the ranks, without gaps (see share)"
                )
            expected = stop
        if expected != vocab_size:
            raise ValueError(f"the ranks hold {expected} rows but vocab_size is {vocab_size}: every row needs a rank")
        self._finish, self._finishes = finish, dict[torch.dtype, Finish]()
        with self.ranks.together():
            same_finish = bytes(self._finish_in(rows.new_empty((), dtype=torch.float64))) if finish else b""
        self.ranks.begin({"finish of the logits": same_finish})

    def top_k(self, context: Tensor, k: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """The k largest scaled logits over all ranks and their ids, `(..., d) -> (..., min(k, V))` twice.

        In the order of `head.top_k`, ties across the seams included [TOPK-1 to TOPK-5]. The same on every rank.
        Raises, on every rank: as the stages do, even if only one rank has the bad number; ValueError if k, the
        temperature, a context vector or their number differs between ranks.
        """
        return self._top_k(context, k, temperature)

    def survivors(self, context: Tensor, temperature: float = 0.7, k: int = 50) -> tuple[Tensor, Tensor]:
        """The k survivors as probabilities and ids, ids ascending: `(..., d) -> (..., min(k, V))` twice  [HEAD-1]."""
        return self._survivors(context, temperature, k)

    def next_token(self, context: Tensor, temperature: float = 0.7, k: int = 50, *, rng: torch.Generator) -> Tensor:
        """One token for each context vector, `(..., d) -> (...)`, the same on every rank  [DRAW-1, DRAW-2, RNG-5].

        `rng` must be in the same state on every rank; it ends as if `torch.multinomial` had drawn from `(..., V)`.
        Raises, on every rank: as `top_k`; ValueError if the generators differ.
        """
        with self.ranks.together():
            state = validation.check_generator(rng).get_state()
        probs, token_ids = self._survivors(context, temperature, k, state.numpy().tobytes())
        race = head.race(probs, fast.noise(rng, token_ids, self._vocab_size, probs.dtype))
        places = race.argmax(dim=-1, keepdim=True)  # ids ascend: at ties the first is the lowest
        return token_ids.gather(-1, places)[..., 0]

    def log_probs(self, context: Tensor, token_ids: Any, temperature: float = 1.0) -> Tensor:
        """The log-probability of a given token for each context vector, `(..., d), (...) -> (...)`, over all of V.

        Each rank sends its maximum, its sum of exponentials and the token's logit, if it holds the token: three
        numbers for each position. The rest is `scoring.log_probs` with one block for each rank.
        Raises, on every rank: as `top_k`; ValueError for ids outside [0, V).
        """
        with self.ranks.together():
            scaled = self._scaled(context, temperature)
            ids = validation.check_token_ids(token_ids, context.shape[:-1], self._vocab_size)
            ids = ids.to(context.device).reshape(-1)
        self._begin(context, scaled, 0, temperature, ids.cpu().numpy().tobytes())
        lowest = scaled.new_full((len(scaled),), torch.finfo(scaled.dtype).min)
        shift = scaled.amax(dim=1).clamp(min=lowest) if scaled.shape[1] else lowest
        given = torch.full_like(shift, -torch.inf)
        here, given[here] = scoring.given(ids, self._first, scaled)
        total = (scaled - shift[:, None]).exp().sum(dim=1)
        gathered = self.ranks.gather(torch.stack([shift, total, given]))
        shifts, totals, givens = torch.stack(gathered, dim=1)  # [world, N] each
        maximum = shifts.amax(dim=0)
        total = (totals * (shifts - maximum).exp()).sum(dim=0)
        validation.check_some_unmasked((total > 0).reshape(context.shape[:-1]))
        scores: Tensor = (givens.amax(dim=0) - maximum) - total.log()
        return scores.reshape(context.shape[:-1])

    def _scaled(self, context: Tensor, temperature: float) -> Tensor:
        """This rank's scaled logits `(N, n)`, checked; what is refused is named by its place in all of V."""
        d = self._embedding.shape[1]
        whole = torch.empty(self._vocab_size, d, dtype=self._embedding.dtype, device="meta")
        context, _ = validation.check_factors(context, whole)  # the context must fit the whole embedding
        rows = context.reshape(math.prod(context.shape[:-1]), d)
        # Rows stored in another dtype are converted some at a time, so that no second copy of them is held.
        converted = self._embedding.dtype != rows.dtype
        parts = self._embedding.split(CONVERTED if converted else max(1, len(self._embedding)))
        logits = torch.cat([head.product(rows, part.to(rows.dtype)) for part in parts], dim=1)
        validation.check_block(logits, self._first, context.shape[:-1])
        if self._finish:
            logits = self._finish_in(logits)(logits, self._first, context.shape[:-1])
        logits /= validation.check_temperature(temperature, logits)
        validation.check_block(logits, self._first, context.shape[:-1], validation.QUOTIENT.format(temperature))
        return logits

    def _finish_in(self, like: Tensor) -> Finish:
        """The finish for logits of this dtype, which is that of the contexts if they are wider than the embedding."""
        if like.dtype not in self._finishes:
            self._finishes[like.dtype] = Finish(self._finish or {}, self._vocab_size, like)
        return self._finishes[like.dtype]

    def _begin(self, context: Tensor, scaled: Tensor, k: int, temperature: float, state: bytes) -> None:
        same = {"number of context vectors": len(scaled), "dtype": scaled.dtype, "k": k}
        same |= {"temperature": float(temperature), "random state or tokens to score": state}
        same |= {"a context vector": context.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()}
        self.ranks.begin(same)

    def _top_k(self, context: Tensor, k: int, temperature: float, state: bytes = b"") -> tuple[Tensor, Tensor]:
        with self.ranks.together():
            k = min(validation.check_count("k", k), self._vocab_size)
            scaled = self._scaled(context, temperature)
        self._begin(context, scaled, k, temperature, state)
        values, ids = head.largest(scaled, min(k, scaled.shape[1]))
        # Ranks with fewer rows than k fill up with -inf, and with an id that comes after all others.
        missing = k - values.shape[1]
        values = torch.nn.functional.pad(values, (0, missing), value=-math.inf)
        ids = torch.nn.functional.pad(ids + self._first, (0, missing), value=self._vocab_size)
        # Both travel as bytes in one gather. Ids, of 8 bytes each, come first: so the values after them begin at a
        # multiple of their own size, 4 or 8, which a view in another dtype must.
        packed = torch.cat([ids.reshape(-1).view(torch.uint8), values.reshape(-1).view(torch.uint8)])
        parts, seam = self.ranks.gather(packed), ids.nbytes
        ids = torch.cat([part[:seam].view(torch.int64).reshape(ids.shape) for part in parts], dim=1)
        values = torch.cat([part[seam:].view(values.dtype).reshape(values.shape) for part in parts], dim=1)
        ids, order = ids.sort(dim=1, stable=True)  # so that the first of equal values has the lowest id
        values, places = head.largest(values.gather(1, order), k)
        validation.check_some_unmasked((values[:, 0] > -math.inf).reshape(context.shape[:-1]))
        shape = (*context.shape[:-1], k)
        return values.reshape(shape), ids.gather(1, places).reshape(shape)

    def _survivors(self, context: Tensor, temperature: float, k: int, state: bytes = b"") -> tuple[Tensor, Tensor]:
        values, token_ids = self._top_k(context, k, temperature, state)
        token_ids, order = token_ids.sort(dim=-1)
        return head.softmax(values.gather(-1, order)), token_ids


def _from_dtensor(embedding: Any, vocab_size: int | None) -> tuple[Tensor, int, int, dist.ProcessGroup]:
    """This rank's rows of a DTensor `(V, d)` on a mesh of one axis, the id of the first, V, and the group."""
    mesh, placements = embedding.device_mesh, embedding.placements
    if mesh.ndim != 1 or not placements[0].is_shard(0):
        raise ValueError(f"embedding is placed as {tuple(placements)} on a {mesh.ndim}-d mesh: it must be (Shard(0),)")
    first, _ = share(len(embedding), mesh.size(), mesh.get_local_rank())
    return embedding.to_local(), first, len(embedding) if vocab_size is None else vocab_size, mesh.get_group()

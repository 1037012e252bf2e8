"""The head with its vocabulary split over processes and machines: each rank holds some rows of the embedding.

    context [..., d]          the same on every rank
        |   local logits      the product with this rank's rows, divided by the temperature
        |   local top-k       its k best and their token ids; one gather brings them together
    values, ids [..., k]      from here on every rank computes the same
        |   softmax, race     noise for all of V from the generator that every rank holds, read at the k survivors
    token ids [...]

What crosses the network for a token does not depend on V: `HEADER` bytes and k candidates of each row from each rank.
The noise does not depend on the number of ranks, so a seed gives the tokens that `torch_impl.head` gives in one
process: the sums of the product may be taken in another order on fewer rows, and nothing else differs.

Start the ranks with `torchrun`, on one machine or many; `SCALING.md` says what to expect.

    torchrun --nproc-per-node 2 -m torch_impl.vocab_parallel BUNDLE
"""

import argparse
import hashlib
import json
import math
import resource
import struct
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from . import head, scoring, validation

HEADER = 512  # bytes with which each rank opens a step: what it is about to do, or why it cannot
CONVERTED = 4096  # rows at a time
_WORDS = struct.Struct("<6q")
_NO_DRAW = object()
_DTYPES = {torch.float32: 1, torch.float64: 2, torch.float16: 3, torch.bfloat16: 4}


def share(vocab_size: int, world: int, rank: int) -> tuple[int, int]:
    """The rows of one rank, `start` and `stop`: as `torch.chunk` and DTensor's `Shard(0)` split them.

    The last ranks may hold fewer rows than the others, or none.

    >>> [share(10, 4, rank) for rank in range(4)]
    [(0, 3), (3, 6), (6, 9), (9, 10)]
    """
    rows = -(-vocab_size // world)
    return min(rank * rows, vocab_size), min((rank + 1) * rows, vocab_size)


def _digest(*parts: bytes) -> int:
    """A signed 64-bit number of some bytes: to compare what two ranks hold without sending it."""
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little", signed=True)


class VocabParallelHead:
    """This rank's part of the head. All ranks make one and call the same methods in the same order.

    `embedding` holds this rank's rows `(n, d)`, n >= 0, `first` is the token id of its first row, `vocab_size` is V.
    Rows from id V on are padding and yield no logit [LOGITS-1]. A DTensor `(V, d)` sharded along its first axis
    brings `first` and the group with it, and V unless told. `revision` names the weights, in any words.
    Raises, on every rank: ValueError if the ranks' rows do not follow one another from 0 to V or if they disagree
    about V, d, dtype or revision; RuntimeError if a rank is not there within the process group's timeout.
    """

    def __init__(
        self,
        embedding: Tensor,
        first: int = 0,
        vocab_size: int | None = None,
        *,
        group: dist.ProcessGroup | None = None,
        revision: str = "",
    ) -> None:
        if hasattr(embedding, "device_mesh"):
            embedding, first, vocab_size, group = _from_dtensor(embedding, vocab_size)
        self.group, self.rank, self.world = group, dist.get_rank(group), dist.get_world_size(group)
        self.bytes_sent = 0  # by this rank, since it began
        refusal, rows = "", embedding
        if vocab_size is None:
            refusal = "vocab_size is missing: the rows of one rank do not tell V"
        elif not isinstance(embedding, Tensor) or embedding.dtype not in _DTYPES or embedding.dim() != 2:
            refusal = "embedding must be a floating-point tensor (n, d), the rows of this rank"
        else:
            rows = embedding[: max(0, min(len(embedding), vocab_size - first))]  # without padding
        about = (first, first + len(rows), vocab_size or 0, rows.shape[-1] if rows.dim() else 0)
        agreed = (about[2], about[3], _DTYPES.get(embedding.dtype, 0), _digest(revision.encode()))
        self._embedding, self._first, self._vocab_size = rows, first, vocab_size or 0
        headers = self._open(refusal, about[0], about[1], *agreed)
        for name, place in (("vocab_size", 2), ("d", 3), ("dtype", 4), ("revision of the weights", 5)):
            self._agree(name, [words[place] for words in headers])
        expected = 0
        for rank, (start, stop, *_) in enumerate(headers):
            if start == stop:  # no rows, or padding alone
                continue
            if start != expected:
                raise ValueError(
                    f"rank {rank} holds rows {start} to {stop} but row {expected} is next: "
                    "split the vocabulary in order of the ranks, without gaps (see share)"
                )
            expected = stop
        if expected != vocab_size:
            raise ValueError(f"the ranks hold {expected} rows but vocab_size is {vocab_size}: every row needs a rank")

    def top_k(self, context: Tensor, k: int, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """The k largest scaled logits over all ranks and their ids, `(..., d) -> (..., min(k, V))` twice.

        In the order of `head.top_k`, ties across the seams included [TOPK-1 to TOPK-5]. The same on every rank.
        Raises, on every rank: as the stages do, also where only one rank meets the bad number; ValueError if the
        ranks bring different k, temperatures or numbers of rows.
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
        probs, token_ids = self._survivors(context, temperature, k, rng)
        race = probs / self._noise(token_ids, probs, rng)
        race = race.clamp(max=torch.finfo(race.dtype).max).masked_fill(probs == 0, -1)  # values that overflow are equal
        return token_ids.gather(-1, race.argmax(dim=-1, keepdim=True))[..., 0]  # the first: ids ascend

    def log_probs(self, context: Tensor, token_ids: Any, temperature: float = 1.0) -> Tensor:
        """The log-probability of a given token for each context vector, `(..., d), (...) -> (...)`, over all of V.

        Each rank sends its maximum, its sum of exponentials and the token's logit, if it holds the token: three
        numbers for each position. The rest is `scoring.log_probs` with one block for each rank.
        Raises, on every rank: as `top_k`; ValueError for ids outside [0, V).
        """
        rows, scaled, ids, refusal = None, None, None, ""
        try:
            rows, scaled = self._scaled(context, temperature)
            ids = scoring.token_ids(token_ids, context.shape[:-1], self._vocab_size).to(context.device).reshape(-1)
        except (TypeError, ValueError) as error:
            refusal = f"{type(error).__name__}: {error}"
        self._begin(refusal, rows, 0, temperature, 0 if ids is None else _digest(ids.cpu().numpy().tobytes()))
        if rows is None or scaled is None or ids is None:
            raise RuntimeError(refusal)  # not reached: the refusal was raised on every rank
        shift = torch.full_like(scaled[:, :0].sum(dim=1), torch.finfo(scaled.dtype).min)
        if scaled.shape[1]:
            shift = scaled.amax(dim=1).clamp(min=torch.finfo(scaled.dtype).min)
        here = ((ids >= self._first) & (ids < self._first + scaled.shape[1])).nonzero()[:, 0]
        given = torch.full_like(shift, -torch.inf)
        given[here] = scaled[here, ids[here] - self._first]
        total = (scaled - shift[:, None]).exp().sum(dim=1)
        shifts, totals, givens = torch.stack(self._gather(torch.stack([shift, total, given])), dim=1)  # [world, N] each
        maximum = shifts.amax(dim=0)
        total = (totals * (shifts - maximum).exp()).sum(dim=0)
        self._some_finite(total > 0, context.shape[:-1])
        return ((givens.amax(dim=0) - maximum) - total.log()).reshape(context.shape[:-1])

    def _scaled(self, context: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """The rows of context `(N, d)` and this rank's scaled logits `(N, n)`, checked, places named as in V."""
        d = self._embedding.shape[1]
        whole = torch.empty(self._vocab_size, d, dtype=self._embedding.dtype, device="meta")
        context, _ = validation.product(context, whole)  # what must fit is the whole embedding
        divisor = validation.temperature(temperature, context)
        rows = context.reshape(math.prod(context.shape[:-1]), d)
        # Rows stored in another dtype are converted some at a time, so that no second copy of them is held.
        parts = self._embedding.split(
            CONVERTED if self._embedding.dtype != rows.dtype else max(1, len(self._embedding))
        )
        logits = torch.cat([torch.nn.functional.linear(rows, part.to(rows.dtype)) for part in parts], dim=1)
        for name, values in (("logits", logits), (f"(logits / temperature={temperature})", logits / divisor)):
            bad = ~(values < math.inf)
            if bad.any():
                row, column = validation._first(bad)
                place = torch.unravel_index(torch.tensor(row), context.shape[:-1])
                index = (*(int(i) for i in place), self._first + column)
                raise ValueError(
                    f"{validation._place(name, index)} is {values[row, column].item()}: it must be finite, or -inf for "
                    "a masked token; look for nan, inf or an overflow in the context, the embedding or the mask, "
                    "or for a tiny temperature"
                )
        return rows, logits / divisor

    def _top_k(self, context: Tensor, k: int, temperature: float, rng: Any = _NO_DRAW) -> tuple[Tensor, Tensor]:
        rows, scaled, refusal, state = None, None, "", 0
        try:
            if rng is not _NO_DRAW:
                state = _digest(validation.generator(rng).get_state().cpu().numpy().tobytes())
            k = min(validation.count("k", k), self._vocab_size)
            rows, scaled = self._scaled(context, temperature)
        except (TypeError, ValueError) as error:
            refusal = f"{type(error).__name__}: {error}"
        self._begin(refusal, rows, k, temperature, state)
        if scaled is None:
            raise RuntimeError(refusal)  # not reached: the refusal was raised on every rank
        values, ids = _largest(scaled, min(k, scaled.shape[1]))
        # Ranks with fewer rows than k send -inf, with an id that comes after all others.
        missing = k - values.shape[1]
        values = torch.nn.functional.pad(values, (0, missing), value=-math.inf)
        ids = torch.nn.functional.pad(ids + self._first, (0, missing), value=self._vocab_size)
        # Ids first: a view in another dtype must begin at a multiple of its size.
        packed = torch.cat([ids.reshape(-1).view(torch.uint8), values.reshape(-1).view(torch.uint8)])
        parts, seam = self._gather(packed), ids.nbytes
        ids = torch.cat([part[:seam].view(torch.int64).reshape(ids.shape) for part in parts], dim=1)
        values = torch.cat([part[seam:].view(values.dtype).reshape(values.shape) for part in parts], dim=1)
        ids, order = ids.sort(dim=1, stable=True)  # by id, and then by value, which keeps that order at ties
        values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
        values, ids = values[:, :k], ids.gather(1, order[:, :k])
        self._some_finite(values[:, 0] > -math.inf, context.shape[:-1])
        return values.reshape(*context.shape[:-1], k), ids.reshape(*context.shape[:-1], k)

    def _survivors(self, context: Tensor, temperature: float, k: int, rng: Any = _NO_DRAW) -> tuple[Tensor, Tensor]:
        values, token_ids = self._top_k(context, k, temperature, rng)
        token_ids, order = token_ids.sort(dim=-1)
        return head.softmax(values.gather(-1, order)), token_ids

    def _noise(self, token_ids: Tensor, like: Tensor, rng: torch.Generator) -> Tensor:
        """Of the noise `torch.multinomial` would have taken for `(rows, V)`, the numbers of the survivors."""
        ids = token_ids.reshape(-1, token_ids.shape[-1])
        if like.device.type == "cpu":  # a stream: row after row, V numbers at a time
            one = torch.empty(self._vocab_size, dtype=like.dtype)
            noise = [one.exponential_(generator=rng)[row] for row in ids]
            return torch.stack(noise).reshape(like.shape) if noise else torch.empty_like(like)
        whole = torch.empty(len(ids), self._vocab_size, dtype=like.dtype, device=like.device)
        return whole.exponential_(generator=rng).gather(-1, ids).reshape(like.shape)

    def _some_finite(self, alive: Tensor, shape: Sequence[int]) -> None:
        alive = alive.reshape(tuple(shape))
        if not alive.all():
            place = validation._place("logits", validation._first(~alive) if alive.dim() else ())
            raise ValueError(f"{place} is -inf for every token: leave at least one token unmasked")

    def _begin(self, refusal: str, rows: Tensor | None, k: int, temperature: float, state: int) -> None:
        """Open a step: every rank is about to do the same, or the step ends on all of them."""
        number = float(temperature) if not refusal else 0.0
        shape = (len(rows), _DTYPES[rows.dtype]) if rows is not None else (0, 0)
        headers = self._open(refusal, *shape, k if not refusal else 0, _digest(struct.pack("<d", number)), state)
        names = ("number of context vectors", "dtype", "k", "temperature", "random state, or other tokens to score,")
        for place, name in enumerate(names):
            self._agree(name, [words[place] for words in headers])

    def _open(self, refusal: str, *words: int) -> list[tuple[int, ...]]:
        """Exchange headers; raises, on every rank, what any rank has to say against going on."""
        said = refusal.encode()[: HEADER - _WORDS.size - 8]
        packed = _WORDS.pack(*words, *[0] * (6 - len(words))) + len(said).to_bytes(8, "little") + said
        header = torch.frombuffer(bytearray(packed.ljust(HEADER, b"\0")), dtype=torch.uint8)
        headers = [bytes(part.cpu().numpy()) for part in self._gather(header.to(self._embedding.device))]
        for rank, raw in enumerate(headers):
            length = int.from_bytes(raw[_WORDS.size : _WORDS.size + 8], "little")
            if length:
                text = raw[_WORDS.size + 8 : _WORDS.size + 8 + length].decode(errors="replace")
                raise (TypeError if text.startswith("TypeError: ") else ValueError)(
                    f"rank {rank} cannot take part: {text.removeprefix('TypeError: ').removeprefix('ValueError: ')}"
                )
        return [_WORDS.unpack_from(raw) for raw in headers]

    def _agree(self, name: str, values: list[int]) -> None:
        others = [rank for rank, value in enumerate(values) if value != values[0]]
        if others:
            shown = f": {values[others[0]]}, and rank 0 has {values[0]}" if abs(values[others[0]]) < 2**40 else ""
            raise ValueError(f"rank {others[0]} brings another {name} than rank 0{shown}; start all ranks alike")

    def _gather(self, part: Tensor) -> list[Tensor]:
        """The same-shaped tensor of every rank, in order."""
        parts = [torch.empty_like(part) for _ in range(self.world)]
        self.bytes_sent += part.nbytes
        try:
            dist.all_gather(parts, part.contiguous(), group=self.group)
        except RuntimeError as error:
            raise RuntimeError(
                f"rank {self.rank} of {self.world} lost the others: one died, or hung for longer than the process "
                f"group's timeout; start all ranks again ({str(error).strip().splitlines()[0]})"
            ) from error
        return parts


def _largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row by value descending, then by place ascending, `(N, n) -> (N, k)`: see `head.top_k`."""
    if k == 0 or not len(scores):
        return scores[:, :k], torch.zeros(len(scores), k, dtype=torch.int64, device=scores.device)
    kth = torch.topk(scores, k, dim=1).values[:, -1:]
    above, tied = scores > kth, scores == kth
    room = k - above.sum(dim=1, keepdim=True)
    places = (above | (tied & (tied.cumsum(dim=1) <= room))).nonzero()[:, 1].reshape(len(scores), k)
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _from_dtensor(embedding: Any, vocab_size: int | None) -> tuple[Tensor, int, int, dist.ProcessGroup]:
    """This rank's rows of a DTensor `(V, d)` on a mesh of one axis, and what it knows about them."""
    mesh, placements = embedding.device_mesh, embedding.placements
    if mesh.ndim != 1 or not placements[0].is_shard(0):
        raise ValueError(f"embedding is placed as {tuple(placements)} on a {mesh.ndim}-d mesh: it must be (Shard(0),)")
    first, _ = share(len(embedding), mesh.size(), mesh.get_local_rank())
    return embedding.to_local(), first, len(embedding) if vocab_size is None else vocab_size, mesh.get_group()


def open_bundle(bundle: Path, world: int, rank: int) -> tuple[Tensor, int, int, str]:
    """This rank's rows of a bundle's embedding, mapped and not read, and `first`, `vocab_size`, `revision`.

    Raises: OSError for a missing file, ValueError for a folder that is no bundle.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    if manifest.get("format") != "lm-head-bundle" or manifest.get("version") != 2:
        raise ValueError(f"{bundle}: the manifest is not one of an lm-head-bundle, version 2")
    about = manifest["tensors"]["embedding"]
    vocab_size, d = manifest["vocab_size"], about["shape"][1]
    first, stop = share(vocab_size, world, rank)
    stored = np.dtype(about["dtype"]).newbyteorder("<")
    # Copy on write: a mapping that PyTorch takes for writable, of a file that stays as it is.
    rows = (
        np.memmap(bundle / about["file"], stored, "c", about["offset"] + first * d * stored.itemsize, (stop - first, d))
        if stop > first
        else np.empty((0, d), stored)
    )
    files = json.dumps(manifest["files"], sort_keys=True)
    return torch.from_numpy(rows), first, vocab_size, f"{manifest['model']} {manifest['revision']} {files}"


def main(arguments: list[str] | None = None) -> int:
    """One token for each context vector of a bundle, by all ranks that `torchrun` started."""
    parser = argparse.ArgumentParser(prog="torchrun -m torch_impl.vocab_parallel", description=main.__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--temperature", type=float, default=0.7, metavar="T")
    parser.add_argument("--top-k", type=int, default=50, metavar="K")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--backend", default="gloo", help="default: gloo, on CPUs")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    options = parser.parse_args(arguments)
    dist.init_process_group(options.backend, timeout=timedelta(seconds=options.timeout))
    rank, world = dist.get_rank(), dist.get_world_size()
    try:
        rows, first, vocab_size, revision = open_bundle(options.bundle, world, rank)
        parallel = VocabParallelHead(rows, first, vocab_size, revision=revision)
        from safetensors.torch import load_file  # of the bundle's small tensors

        context = load_file(options.bundle / "contexts.safetensors")["context"]
        before, rng = parallel.bytes_sent, torch.Generator().manual_seed(options.seed)
        drawn = parallel.next_token(context, options.temperature, options.top_k, rng=rng)
        sent = parallel.bytes_sent - before
        scores = parallel.log_probs(context, drawn)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"rank {rank}: {error}", file=sys.stderr)
        return 1
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    if rank == 0:
        tokens = json.loads((options.bundle / "tokens.json").read_text("utf-8"))["tokens"]
        for token_id, score in zip(drawn.tolist(), scores.tolist(), strict=True):
            text = bytes.fromhex(tokens[token_id]).decode("utf-8", errors="replace")
            print(f"{text!r:<20} id {token_id:>6}   log-probability at temperature 1 {score:9.4f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"rank {rank} of {world}: rows {first:,} to {first + len(rows):,}, {sent:,} bytes sent, peak {peak} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

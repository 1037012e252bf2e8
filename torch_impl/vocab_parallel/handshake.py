"""How the ranks begin a step together, or give it up together.

A collective waits for every rank, and expects the same number of bytes from each. A rank that raised an error before
one would leave the others waiting for the timeout, and a rank with other arguments would make them read nonsense. So
each step begins with a gather of headers, in which each rank says what it is about to do or why it cannot. All ranks
read the same headers, and so they all go on, or all raise the same error.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# The size is fixed, since nothing is agreed yet. 512 bytes hold six numbers and a refusal (beyond 464 bytes it is cut
# off; those of `validation.py` are shorter), and fit into one packet of a network: they cost a latency and no more.
_FORMAT = struct.Struct("<6q464s")
HEADER = _FORMAT.size


def _number(value: Any) -> int:
    """An integer as it is; for anything else 64 bits of a hash, by which ranks compare what they do not send."""
    if isinstance(value, int):
        return value
    text = value if isinstance(value, bytes) else repr(value).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


class Ranks:
    """The ranks of a process group as one of them sees it; `device` is where its tensors are."""

    def __init__(self, group: dist.ProcessGroup | None, device: torch.device | str) -> None:
        self.group, self.rank, self.world = group, dist.get_rank(group), dist.get_world_size(group)
        self._device, self.bytes_sent = device, 0  # by this rank to each of the others

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is refused in this block on one rank is raised on every rank, where the others call `begin`."""
        try:
            yield
        except (TypeError, ValueError) as error:
            self._headers((), f"{type(error).__name__}: {error}")
            raise

    def begin(self, same: Mapping[str, Any], own: Sequence[int] = ()) -> list[tuple[int, ...]]:
        """Begin a step to which all ranks bring the `same` values; the `own` numbers of each are returned. At most six.

        Raises, on every rank: what another rank refused; ValueError, with the name, if one of the values differs.
        """
        headers = self._headers((*own, *map(_number, same.values())))
        for place, (name, value) in enumerate(same.items(), len(own)):
            numbers = [words[place] for words in headers]
            other = next((rank for rank, number in enumerate(numbers) if number != numbers[0]), None)
            if other is not None:
                shown = f": {numbers[0]} and {numbers[other]}" if isinstance(value, int) else ""
                raise ValueError(f"{name} differs between ranks 0 and {other}{shown}; start all ranks alike")
        return [words[: len(own)] for words in headers]

    def _headers(self, words: Sequence[int], refusal: str = "") -> list[tuple[int, ...]]:
        """The words of every rank; raises if there is a refusal among them."""
        packed = _FORMAT.pack(*words, *[0] * (6 - len(words)), refusal.encode()[:464])
        header = torch.frombuffer(bytearray(packed), dtype=torch.uint8).to(self._device)
        headers = [_FORMAT.unpack(bytes(part.cpu().numpy())) for part in self.gather(header)]
        for rank, (*_, said) in enumerate(headers):
            if said := said.rstrip(b"\0"):
                kind, _, text = said.decode(errors="replace").partition(": ")
                raise (TypeError if kind == "TypeError" else ValueError)(f"rank {rank} cannot take part: {text}")
        return [tuple(words) for *words, _ in headers]

    def gather(self, part: Tensor) -> list[Tensor]:
        """A tensor of the same shape from every rank, in order.

        Raises: RuntimeError if a rank is not there within the process group's timeout.
        """
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

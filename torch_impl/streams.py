"""Which token other runtimes draw from a seed, with generators of their own: read `reference/streams.py` first.

The walks go through lists of Python's floats, number by number, as the runtimes' loops do.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from . import validation
from .generators import Numbers, pcg64, python_random, std_mt19937, threefry, words, xorshift
from .head import race


def _jax(rows: Tensor, seed: int) -> list[int]:
    a, b = threefry(seed, rows.numel())
    wide = rows.dtype == torch.float64
    uniform = (((a << 20) | (b >> 12)).double() / 2**52 if wide else (a ^ b).bitwise_right_shift(9) / 2**23).to(rows)
    noise = -_ln(-_ln(uniform.reshape(rows.shape).clamp(min=torch.finfo(rows.dtype).tiny)))
    keys = _ln(rows) + noise
    return keys.argmax(dim=-1).tolist()


def _ln(x: Tensor) -> Tensor:
    return x.double().log().to(x.dtype)


def _nanochat(rows: Tensor, seed: int) -> Iterator[int]:
    numbers = words(seed)
    for row in rows:
        ids = ranked(row)
        u = torch.tensor([next(numbers) % 2**53 for _ in ids], dtype=torch.float64) * 2.0**-53
        yield int(ids[race(row[ids], (-torch.log1p(-u)).to(row.dtype)).argmax()])


def ranked(row: Tensor) -> Tensor:
    """The possible tokens, the most probable first, of equal ones the lowest id first."""
    return row.argsort(descending=True, stable=True)[: int(row.count_nonzero())]


def _narrow(x: float) -> float:
    """Rounded to float32."""
    return ctypes.c_float(x).value


Walk = Callable[[list[float], Numbers, Callable[[float], float]], int]


def _first(true: Iterable[bool], weights: list[float]) -> int:
    return next((place for place, yes in enumerate(true) if yes), len(weights) - 1)


def _llama_cpp(weights: list[float], numbers: Numbers, _: Any) -> int:
    target = next(numbers) * list(accumulate(weights))[-1]
    return _first((total >= target for total in accumulate(weights)), weights)


def _llama2_c(weights: list[float], numbers: Numbers, rounded: Callable[[float], float]) -> int:
    u = next(numbers)
    return _first((u < total for total in accumulate(weights, lambda a, b: rounded(a + b))), weights)


def _llm_c(weights: list[float], numbers: Numbers, rounded: Callable[[float], float]) -> int:
    target = rounded(next(numbers) * list(accumulate(weights))[-1])
    return _first((target < total for total in accumulate(weights, lambda a, b: rounded(a + b))), weights)


def _transformers_js(weights: list[float], numbers: Numbers, _: Any) -> int:
    left = next(numbers) * list(accumulate(weights))[-1]
    return _first((rest < 0 for rest in list(accumulate([left, *weights], lambda a, b: a - b))[1:]), weights)


def _numpy(weights: list[float], numbers: Numbers, _: Any) -> int:
    u, total = next(numbers), list(accumulate(weights))[-1]
    return _first((u < running / total for running in accumulate(weights)), weights)


def _walking(generator: Callable[[int], Numbers], walk: Walk, by_rank: bool) -> Callable[[Tensor, int], Iterator[int]]:
    def draw(rows: Tensor, seed: int) -> Iterator[int]:
        numbers = generator(seed)
        rounded = float if rows.dtype == torch.float64 else _narrow
        for row in rows:
            ids = ranked(row) if by_rank else torch.arange(len(row))
            yield int(ids[walk(row[ids].tolist(), numbers, rounded)])

    return draw


STREAMS: dict[str, tuple[Callable[[Tensor, int], Iterable[int]], int]] = {  # the draw, and the seed that is refused
    "llama.cpp": (_walking(std_mt19937, _llama_cpp, True), 2**32 - 1),
    "llama2.c": (_walking(xorshift, _llama2_c, False), 0),
    "llm.c": (_walking(xorshift, _llm_c, False), 0),
    "transformers.js": (_walking(python_random, _transformers_js, True), -1),
    "jax": (_jax, -1),
    "numpy": (_walking(pcg64, _numpy, False), -1),
    "nanochat": (_nanochat, -1),
}


def draw_as(probs: Tensor, runtime: str, seed: int) -> Tensor:
    """The token that a runtime draws from a seed, for each row: `(..., V) -> (...)`  [STREAM-1 to STREAM-7].

    Raises: ValueError for another runtime, a seed outside [0, 2**32) or one that the runtime takes for something else,
    `probs` as in `multinomial`, and a sum that overflows; TypeError for a seed that is not an integer.

    >>> draw_as(torch.tensor([0.1, 0.2, 0.3, 0.4]), "llama.cpp", seed=42)
    tensor(1)
    """
    probs = validation.check_probabilities(probs)
    validation.check_total(probs.cumsum(dim=-1, dtype=torch.float64))
    if not isinstance(runtime, str) or runtime not in STREAMS:
        raise ValueError(f"runtime is {runtime!r}: it must be one of {', '.join(STREAMS)}")
    (draw, refused), number = STREAMS[runtime], validation.check_integer("seed", seed)
    if not 0 <= number < 2**32:
        raise ValueError(
            f"seed is {validation.shown(number)}: it must be from 0 to 2**32 - 1, which every runtime takes"
        )
    if number == refused:
        raise ValueError(f"seed is {number}: to {runtime} it means no seed; take another")
    rows = probs.reshape(-1, probs.shape[-1])  # [..., V] -> [N, V]
    token_ids = torch.tensor(list(draw(rows.cpu(), number)), dtype=torch.int64, device=probs.device)
    return token_ids.reshape(probs.shape[:-1])

"""Which token other runtimes draw from a seed, with generators of their own: read `reference/streams.py` first.

The 32-bit outputs of MT19937 are those of PyTorch's generator, or of CPython's; the others are computed here in whole
numbers. The walks go through lists of Python's floats, number by number, as the runtimes' loops do.
"""

import ctypes
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from . import validation
from .head import race

Numbers = Iterator[float]
BITS = 2**32 - 1


def words(seed: int) -> Iterator[int]:
    """The outputs of MT19937 seeded by `init_genrand`, two of them joined, the first as the high word."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        whole = torch.empty(64, dtype=torch.int64).random_(-(2**63), None, generator=generator)
        yield from (number % 2**64 for number in whole.tolist())


def std_mt19937(seed: int) -> Numbers:
    """libstdc++'s `uniform_real_distribution<double>`."""
    return (min(float((word >> 32) + ((word & BITS) << 32)) * 2.0**-64, 1 - 2.0**-53) for word in words(seed))


def python_random(seed: int) -> Numbers:
    """CPython's `random()`."""
    generator = random.Random(seed)
    while True:
        yield generator.random()


def xorshift(seed: int) -> Numbers:
    """xorshift64*, the high 24 bits."""
    while True:
        seed ^= seed >> 12
        seed = (seed ^ seed << 25) % 2**64
        seed ^= seed >> 27
        yield (seed * 0x2545F4914F6CDD1D % 2**64 >> 40) / 2**24


def pcg64(seed: int) -> Numbers:
    """NumPy's `default_rng(seed).random()`: PCG64 XSL-RR (O'Neill 2014) on the state of a `SeedSequence`."""
    multiplier, high, low, stream_high, stream_low = 0x2360ED051FC65DA44385DF649FCCF645, *_seed_sequence(seed)
    increment = ((stream_high << 64 | stream_low) << 1 | 1) % 2**128
    state = ((increment + (high << 64 | low)) * multiplier + increment) % 2**128
    while True:
        state = (state * multiplier + increment) % 2**128
        folded, turn = (state >> 64 ^ state) % 2**64, state >> 122
        yield ((folded >> turn | folded << (64 - turn)) % 2**64 >> 11) / 2**53


def _seed_sequence(seed: int) -> list[int]:
    """`numpy.random.SeedSequence(seed).generate_state(4, uint64)`, of a seed of 32 bits."""
    constants = accumulate([0x43B0D7E5] + [0x931E8875] * 99, lambda a, b: a * b & BITS)
    constant = next(constants)

    def hashed(value: int) -> int:
        nonlocal constant
        value, constant = value ^ constant, next(constants)
        value = value * constant & BITS
        return value ^ value >> 16

    pool = [hashed(word) for word in (seed, 0, 0, 0)]
    for source in range(4):
        for i in range(4):
            if i != source:
                mixed = 0xCA01F9DD * pool[i] - 0x4973F715 * hashed(pool[source]) & BITS
                pool[i] = mixed ^ mixed >> 16
    constants = accumulate([0x8B51F9DD] + [0x58F38DED] * 9, lambda a, b: a * b & BITS)
    constant = next(constants)
    state = [hashed(pool[i % 4]) for i in range(8)]
    return [state[i] | state[i + 1] << 32 for i in range(0, 8, 2)]


def threefry(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Threefry-2x32 of key (0, seed) and the counters from 0 on: two words each."""
    keys = (0, seed, seed ^ 0x1BD11BDA)
    a, b = torch.zeros(count, dtype=torch.int64), torch.arange(count) + seed & BITS
    for block in range(1, 6):
        for turn in (13, 15, 26, 6) if block % 2 else (17, 29, 16, 24):
            a = a + b & BITS
            b = (b << turn & BITS | b >> 32 - turn) ^ a
        a, b = a + keys[block % 3] & BITS, b + keys[(block + 1) % 3] + block & BITS
    return a, b


def _jax(rows: Tensor, seed: int) -> list[int]:
    a, b = threefry(seed, rows.numel())
    wide = rows.dtype == torch.float64
    uniform = (((a << 20) | (b >> 12)).double() / 2**52 if wide else (a ^ b).bitwise_right_shift(9) / 2**23).to(rows)
    noise = -_ln(-_ln(uniform.reshape(rows.shape).clamp(min=torch.finfo(rows.dtype).tiny)))
    keys = _ln(rows) + noise
    best = keys == keys.amax(dim=-1, keepdim=True)  # torch.argmax takes any of equal ones
    return best.int().argmax(dim=-1).tolist()


def _ln(x: Tensor) -> Tensor:
    return x.double().log().to(x.dtype)


def _nanochat(rows: Tensor, seed: int) -> Iterator[int]:
    numbers = words(seed)
    for row in rows:
        ids = ranked(row)
        u = torch.tensor([next(numbers) % 2**53 for _ in ids], dtype=torch.float64) * 2.0**-53
        yield int(ids[race(row[ids], (-torch.log1p(-u)).to(row.dtype), 1)])


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
    if len(weights) == 1:
        return 0
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
        raise ValueError(f"seed is {number}: {runtime} takes it for no seed, so it fixes no token")
    rows = probs.reshape(-1, probs.shape[-1])  # [..., V] -> [N, V]
    token_ids = torch.tensor(list(draw(rows.cpu(), number)), dtype=torch.int64, device=probs.device)
    return token_ids.reshape(probs.shape[:-1])

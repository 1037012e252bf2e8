"""The random numbers of other runtimes: MT19937 is PyTorch's or CPython's, the rest is computed in whole numbers.

Each generator yields numbers in [0, 1). They share no code with those of the reference.
"""

import random
from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor

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

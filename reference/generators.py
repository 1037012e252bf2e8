"""The random numbers of other runtimes, from a seed of 32 bits: the generators that `streams.py` draws with.

A generator is a function that returns the next number in [0, 1) at each call. JAX's has no state: it numbers its calls.
MT19937 and PCG64 are NumPy's own, seeded as each runtime seeds them  [STREAM-2 to STREAM-6].
"""

from collections.abc import Callable

import numpy as np

Take = Callable[[], float]  # the next number in [0, 1) of a stream


def mt19937_53(seed: int) -> Take:
    """C++'s `std::uniform_real_distribution<double>` on `std::mt19937`: two outputs, the first the low word.

    As libstdc++ adds them up: `(a + b * 2**32) / 2**64`, rounded, and the float64 before 1 where that is 1.
    """
    outputs = np.random.RandomState(seed)

    def take() -> float:
        low, high = outputs.randint(2**32, size=2, dtype=np.uint32).tolist()
        return min((low + high * 2.0**32) * 2.0**-64, 1 - 2.0**-53)

    return take


def python_random(seed: int) -> Take:
    """CPython's `random.Random(seed).random`: MT19937 by `init_by_array`, 27 bits and then 26 of two outputs."""
    return np.random.RandomState([seed]).random_sample


def xorshift(seed: int) -> Take:
    """xorshift64* (Vigna 2016, https://doi.org/10.1145/2845077), the high 24 bits of 64."""
    state = seed

    def take() -> float:
        nonlocal state
        state ^= state >> 12
        state ^= (state << 25) % 2**64
        state ^= state >> 27
        return (state * 0x2545F4914F6CDD1D % 2**64 >> 40) * 2.0**-24

    return take


def threefry(key: tuple[int, int], counters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32 in 20 rounds (Salmon et al. 2011): two words of 32 bits for each 64-bit counter.

    >>> [hex(word[0]) for word in threefry((0, 0), np.array([0]))]  # the authors' own test vector
    ['0x6b200159', '0x99ba4efe']
    """
    keys = np.array([*key, key[0] ^ key[1] ^ 0x1BD11BDA], np.uint32)
    a, b = (counters >> 32).astype(np.uint32) + keys[0], counters.astype(np.uint32) + keys[1]
    for block in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2]:
            a = a + b
            b = (b << turn | b >> (32 - turn)) ^ a
        a, b = a + keys[(block + 1) % 3], b + keys[(block + 2) % 3] + np.uint32(block + 1)
    return a, b


def jax_uniform(seed: int, start: int, size: int, dtype: np.dtype) -> np.ndarray:
    """Numbers `start` to `start + size` of `jax.random.uniform(jax.random.key(seed), ..., dtype, minval=tiny)`.

    They are never 0, whose logarithm is infinite.
    """
    a, b = threefry((0, seed), np.arange(start, start + size, dtype=np.uint64))
    if dtype == np.float32:
        uniform = ((a ^ b) >> 9).astype(dtype) * dtype.type(2.0**-23)
    else:
        uniform = ((a.astype(np.uint64) << np.uint64(32) | b) >> np.uint64(12)) * dtype.type(2.0**-52)
    return np.maximum(uniform, np.finfo(dtype).tiny)


def pcg64(seed: int) -> Take:
    """NumPy's `default_rng(seed).random`: PCG64 (O'Neill 2014), seeded by `SeedSequence`, 53 bits of each output."""
    return np.random.default_rng(seed).random

"""Which token other runtimes draw from a seed: their random generator, their order, and the walk or race over it.

    probs [..., V]
        |   draw_as      the rows take their numbers from one stream, one row after the other
    token ids [...]

Two runtimes draw the same token from the same seed only if all three are the same: the numbers that the generator makes
of the seed, the order in which they meet the tokens, and how a number picks a token. `STREAMS` has them by the name of
the runtime; PyTorch's own is `multinomial` with `TorchGenerator`. The sources are in `SPEC.md`  [STREAM-1 to STREAM-7].
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .head import multinomial
from .torch_rng import TorchGenerator
from .validation import check_integer, check_probabilities, check_total, shown

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


def jax_uniform(seed: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """`jax.random.uniform(jax.random.key(seed), shape, dtype, minval=tiny)`: never 0, whose logarithm is infinite."""
    a, b = threefry((0, seed), np.arange(np.prod(shape), dtype=np.uint64).reshape(shape))
    bits = (a ^ b) >> 9 if dtype == np.float32 else (a.astype(np.uint64) << np.uint64(32) | b) >> np.uint64(12)
    return np.maximum(
        bits.astype(dtype) * dtype.type(2.0**-23 if dtype == np.float32 else 2.0**-52), np.finfo(dtype).tiny
    )


def _ln(x: np.ndarray) -> np.ndarray:
    """In double precision, rounded once: the logarithms of C and vector libraries differ in their last bits."""
    with np.errstate(divide="ignore"):
        return np.log(x, dtype=np.float64).astype(x.dtype)


def ranked(row: np.ndarray) -> np.ndarray:
    """The ids of the possible tokens, the most probable first, of equal ones the lowest id first: `(V,) -> (n,)`."""
    return np.argsort(-row, kind="stable")[: np.count_nonzero(row)]


def _first(true: np.ndarray) -> int:
    """The first place that is true, or else the last one of all."""
    return int(true.argmax()) if true.any() else len(true) - 1


def walk_llama_cpp(weights: np.ndarray, take: Take) -> int:
    """The first running sum, in float64, that reaches u · total. Of a single token no number is taken."""
    if len(weights) == 1:
        return 0
    running = np.cumsum(weights, dtype=np.float64)
    return _first(running >= take() * running[-1])


def walk_llama2_c(weights: np.ndarray, take: Take) -> int:
    """The first running sum, in the dtype of the weights, that exceeds u: they must sum to 1."""
    return _first(np.cumsum(weights) > take())


def walk_llm_c(weights: np.ndarray, take: Take) -> int:
    """The same, with u times the total, which is added up in float64, and rounded to the dtype of the weights."""
    total = np.cumsum(weights, dtype=np.float64)[-1]
    return _first(np.cumsum(weights) > weights.dtype.type(take() * total))


def walk_transformers_js(weights: np.ndarray, take: Take) -> int:
    """Weights are taken off u · total until less than 0 is left, all in float64."""
    target = take() * np.cumsum(weights, dtype=np.float64)[-1]
    return _first(np.cumsum(np.append(target, -weights.astype(np.float64)))[1:] < 0)


def walk_numpy(weights: np.ndarray, take: Take) -> int:
    """The first running sum, divided by the total, that exceeds u, in float64."""
    running = np.cumsum(weights, dtype=np.float64)
    return int(np.searchsorted(running / running[-1], take(), side="right"))


Draw = Callable[[np.ndarray, int], Iterable[int]]  # rows (N, V) and a seed -> N ids


def _walking(generator: Callable[[int], Take], walk: Callable[[np.ndarray, Take], int], by_rank: bool) -> Draw:
    def draw(rows: np.ndarray, seed: int) -> Iterator[int]:
        take = generator(seed)
        for row in rows:
            ids = ranked(row) if by_rank else np.arange(len(row))
            yield ids[walk(row[ids], take)]

    return draw


def _nanochat(rows: np.ndarray, seed: int) -> Iterator[int]:
    rng = TorchGenerator(seed)
    for row in rows:
        ids = ranked(row)
        yield ids[multinomial(row[ids], rng=rng)[0]]


def _jax(rows: np.ndarray, seed: int) -> np.ndarray:
    gumbel = -_ln(-_ln(jax_uniform(seed, rows.shape, rows.dtype)))
    return np.argmax(_ln(rows) + gumbel, axis=-1)


@dataclass(frozen=True)
class Stream:
    """How a runtime draws: in words its generator, the numbers that a token takes and the order, and the draw itself.

    `refused` is the seed that the runtime takes for something else, and `meaning` what for.
    """

    rule: str
    generator: str
    takes: str
    order: str
    draw: Draw
    refused: int = -1
    meaning: str = ""


RANK, ID = "by probability", "by id"
_WALK = "one number, two outputs"
STREAMS = {
    "llama.cpp": Stream(
        "STREAM-2", "std::mt19937", _WALK, RANK, _walking(mt19937_53, walk_llama_cpp, True), 2**32 - 1, "a random seed"
    ),
    "llama2.c": Stream(
        "STREAM-3", "xorshift64*", "one number of 24 bits", ID, _walking(xorshift, walk_llama2_c, False), 0, "the clock"
    ),
    "llm.c": Stream(
        "STREAM-3", "xorshift64*", "one number of 24 bits", ID, _walking(xorshift, walk_llm_c, False), 0, "no state"
    ),
    "transformers.js": Stream(
        "STREAM-4", "MT19937 as Python's", _WALK, RANK, _walking(python_random, walk_transformers_js, True)
    ),
    "jax": Stream("STREAM-5", "Threefry-2x32", "V numbers: Gumbel noise", ID, _jax),
    "numpy": Stream(
        "STREAM-6",
        "PCG64",
        "one number, one output",
        ID,
        _walking(lambda seed: np.random.default_rng(seed).random, walk_numpy, False),
    ),
    "nanochat": Stream("STREAM-7", "MT19937 as PyTorch's", "a number for each survivor", RANK, _nanochat),
}


def draw_as(probs: ArrayLike, runtime: str, seed: int) -> np.ndarray:
    """The token that a runtime draws from a seed, for each row: `(..., V) -> (...)`  [STREAM-1 to STREAM-7].

    `runtime` is a name of `STREAMS`. The first row is the runtime's first draw from the seed, the next row its second,
    and so on, as in generation; for JAX the rows are those of one call. Where a runtime draws among the tokens that a
    cut has left, these are the tokens of probability > 0. It is the runtime's own walk, with its own end: llama2.c's
    may return a last token of probability zero, against CDF-2. A runtime computes in float32; float64 stays float64.
    Raises: ValueError for another runtime, a seed outside [0, 2**32) or one that the runtime takes for something else,
    `probs` as in `multinomial`, and a sum that overflows; TypeError for a seed that is not an integer.

    >>> [int(draw_as(np.array([0.1, 0.2, 0.3, 0.4]), name, seed=42)) for name in ("llama.cpp", "numpy", "jax")]
    [1, 3, 2]
    """
    probs = check_probabilities(probs)
    with np.errstate(over="ignore"):
        check_total(np.cumsum(probs, axis=-1, dtype=np.float64))
    if not isinstance(runtime, str) or runtime not in STREAMS:
        raise ValueError(f"runtime is {runtime!r}: it must be one of {', '.join(STREAMS)}")
    stream, number = STREAMS[runtime], check_integer("seed", seed)
    if not 0 <= number < 2**32:
        raise ValueError(f"seed is {shown(number)}: it must be from 0 to 2**32 - 1, which every runtime takes")
    if number == stream.refused:
        raise ValueError(f"seed is {number}: {runtime} takes it for {stream.meaning}, so it fixes no token")
    rows = probs.reshape(-1, probs.shape[-1])  # [..., V] -> [N, V]
    return np.fromiter(stream.draw(rows, number), np.int64, len(rows)).reshape(probs.shape[:-1])

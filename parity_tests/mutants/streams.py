"""Wrong re-enactments of the streams of other runtimes: each draws from another stream than it says."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import numpy as np

import reference
from reference import generators, streams
from reference.streams import ranked

from .registry import mutant

SGLANG_JAX = "https://github.com/sgl-project/sglang-jax/pull/940"
LLAMA2_C = "https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c"


def of(*runtimes: str) -> Callable[[Callable[[np.ndarray, int], Iterable[int]]], Callable[..., np.ndarray]]:
    """A draw from rows `(N, V)` and a seed in place of the right one of these runtimes."""

    def make(draw: Callable[[np.ndarray, int], Iterable[int]]) -> Callable[..., np.ndarray]:
        @wraps(draw)
        def draw_as(probs: Any, runtime: str, seed: int) -> np.ndarray:
            right = reference.draw_as(probs, runtime, seed)  # refuses bad input
            if runtime not in runtimes:
                return right
            rows = reference.validation.check_probabilities(probs).reshape(-1, np.shape(probs)[-1])
            return np.array([*draw(rows, int(seed))], np.int64).reshape(right.shape)

        return draw_as

    return make


def walked(
    rows: np.ndarray, take: generators.Take, walk: Callable[[np.ndarray, generators.Take], int], by_rank: bool = False
) -> Iterator[int]:
    """Row by row, by rank or by id."""
    for row in rows:
        ids = ranked(row) if by_rank else np.arange(len(row))
        yield int(ids[walk(row[ids], take)])


def _words(seed: int, number: Callable[[int, int], float]) -> generators.Take:
    """The numbers that a function makes of two outputs of MT19937 seeded by `init_genrand`."""
    outputs = np.random.RandomState(seed)
    return lambda: number(*outputs.randint(2**32, size=2, dtype=np.uint32).tolist())


@mutant("draw_as", "STREAM-1", "the stream begun anew for each token", SGLANG_JAX)
@of("llama.cpp", "nanochat")
def seeded_for_each_token(rows: np.ndarray, seed: int) -> Iterator[int]:
    """The same number for every token: the text repeats one word."""
    return (int(reference.draw_as(row, "llama.cpp", seed)) for row in rows)


@mutant("draw_as", "STREAM-1", "the sign bit of the seed dropped: 31 bits")
@of("llama.cpp", "numpy")
def seed_of_31_bits(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, generators.mt19937_53(seed & 0x7FFF_FFFF), streams.walk_llama_cpp, by_rank=True)


@mutant("draw_as", "STREAM-1", "a seed that is random in the runtime goes on")
def random_seed_goes_on(probs: Any, runtime: str, seed: int) -> np.ndarray:
    """`LLAMA_DEFAULT_SEED` is 2**32 - 1, and means a seed of the system's own."""
    return reference.draw_as(probs, runtime, 0 if (runtime, seed) == ("llama.cpp", 2**32 - 1) else seed)


@mutant("draw_as", "STREAM-2", "the words joined as in PyTorch, the first one high")
@of("llama.cpp")
def first_word_high(rows: np.ndarray, seed: int) -> Iterator[int]:
    take = _words(seed, lambda a, b: ((a << 32 | b) & 2**53 - 1) * 2.0**-53)
    return walked(rows, take, streams.walk_llama_cpp, by_rank=True)


@mutant("draw_as", "STREAM-2", "seeded by init_by_array, as Python's random")
@of("llama.cpp")
def seeded_as_python(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, generators.python_random(seed), streams.walk_llama_cpp, by_rank=True)


@mutant("draw_as", "STREAM-2", "a walk by id, not by rank")
@of("llama.cpp")
def llama_cpp_by_id(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, generators.mt19937_53(seed), streams.walk_llama_cpp)


@mutant("draw_as", "STREAM-2", "no number taken for a single token")
@of("llama.cpp")
def no_number_for_a_single_token(rows: np.ndarray, seed: int) -> Iterator[int]:
    """A shortcut for a draw that is certain: the text goes on with other numbers."""
    take = generators.mt19937_53(seed)
    for row in rows:
        ids = ranked(row)
        yield int(ids[streams.walk_llama_cpp(row[ids], take)]) if ids[1:].size else int(ids[0])


@mutant("draw_as", "STREAM-3", "the low 24 bits kept, not the high")
@of("llama2.c", "llm.c")
def low_bits(rows: np.ndarray, seed: int) -> Iterator[int]:
    state = seed

    def take() -> float:
        nonlocal state
        state ^= state >> 12
        state = (state ^ state << 25) % 2**64
        state ^= state >> 27
        return (state * 0x2545F4914F6CDD1D >> 32) % 2**24 / 2**24

    return walked(rows, take, streams.walk_llama2_c)


@mutant("draw_as", "STREAM-3", "the sum kept in float64")
@of("llama2.c", "llm.c")
def sum_in_float64(rows: np.ndarray, seed: int) -> Iterator[int]:
    """More accurate than the runtime: near the end it draws other tokens."""
    return walked(rows.astype(np.float64), generators.xorshift(seed), streams.walk_llama2_c)


@mutant("draw_as", "STREAM-3", "the last possible token at the end of the walk, not the last id", LLAMA2_C)
@of("llama2.c")
def last_possible_at_the_end(rows: np.ndarray, seed: int) -> Iterator[int]:
    """As CDF-2 asks, but not the runtime's token."""
    return (
        int(np.flatnonzero(row)[-1]) if row[token] == 0 else token
        for row, token in zip(rows, walked(rows, generators.xorshift(seed), streams.walk_llama2_c), strict=True)
    )


@mutant("draw_as", "STREAM-3", "u not scaled by the total in llm.c")
@of("llm.c")
def not_scaled_in_llm_c(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, generators.xorshift(seed), streams.walk_llama2_c)


@mutant("draw_as", "STREAM-3", "u scaled by the total in llama2.c")
@of("llama2.c")
def scaled_in_llama2_c(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, generators.xorshift(seed), streams.walk_llm_c)


@mutant("draw_as", "STREAM-4", "MT19937 seeded by init_genrand, as PyTorch's")
@of("transformers.js")
def seeded_as_pytorch(rows: np.ndarray, seed: int) -> Iterator[int]:
    take = _words(seed, lambda a, b: ((a >> 5) * 2**26 + (b >> 6)) / 2**53)
    return walked(rows, take, streams.walk_transformers_js, by_rank=True)


@mutant("draw_as", "STREAM-4", "a walk by id, not by rank, in transformers.js")
@of("transformers.js")
def transformers_js_by_id(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, generators.python_random(seed), streams.walk_transformers_js)


@mutant("draw_as", "STREAM-4", "the rank returned, not the id")
@of("transformers.js", "nanochat")
def rank_returned(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(-np.sort(-rows, axis=-1), generators.python_random(seed), streams.walk_transformers_js)


@mutant("draw_as", "STREAM-6", "NumPy's old generator, RandomState(seed)")
@of("numpy")
def old_generator(rows: np.ndarray, seed: int) -> Iterator[int]:
    return walked(rows, np.random.RandomState(seed).random_sample, streams.walk_numpy)


@mutant("draw_as", "STREAM-6", "the state of PCG64 set without a SeedSequence")
@of("numpy")
def without_a_seed_sequence(rows: np.ndarray, seed: int) -> Iterator[int]:
    """As in the author's C++: the seed is the state itself."""
    generator = np.random.PCG64(0)
    generator.state = {**generator.state, "state": {"state": seed, "inc": 1}}
    return walked(rows, np.random.Generator(generator).random, streams.walk_numpy)

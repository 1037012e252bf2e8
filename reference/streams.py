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

from .generators import Take, jax_uniform, mt19937_53, pcg64, python_random, xorshift
from .head import multinomial
from .torch_rng import TorchGenerator
from .validation import check_integer, check_probabilities, check_total, shown


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
    """The first running sum, in float64, that reaches u · total."""
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


Draw = Callable[[list[np.ndarray], int], Iterable[int]]  # the weights of each row in order, and a seed -> places


def _walking(generator: Callable[[int], Take], walk: Callable[[np.ndarray, Take], int]) -> Draw:
    def draw(rows: list[np.ndarray], seed: int) -> Iterator[int]:
        take = generator(seed)
        return (walk(weights, take) for weights in rows)

    return draw


def _nanochat(rows: list[np.ndarray], seed: int) -> Iterator[int]:
    rng = TorchGenerator(seed)
    return (int(multinomial(weights, rng=rng)[0]) for weights in rows)


def _jax(rows: list[np.ndarray], seed: int) -> Iterator[int]:
    start = 0
    for weights in rows:
        gumbel = -_ln(-_ln(jax_uniform(seed, start, len(weights), weights.dtype)))
        start += len(weights)
        yield int(np.argmax(_ln(weights) + gumbel))


@dataclass(frozen=True)
class Stream:
    """How a runtime draws: its generator, the numbers that a token takes, by rank or by id; in words and as functions.

    `draw` gives places among weights in the runtime's order; `numbers` makes what a walk takes, and a race has none.
    `refused` is the seed that the runtime takes for something else, and `meaning` what for.
    """

    rule: str
    generator: str
    takes: str
    by_rank: bool
    draw: Draw
    numbers: Callable[[int], Take] | None = None
    refused: int = -1
    meaning: str = ""

    def order(self, row: np.ndarray) -> np.ndarray:
        """The ids in which the numbers meet the tokens: `(V,) -> (n,)`."""
        return ranked(row) if self.by_rank else np.arange(len(row))


def _walk(
    rule: str,
    generator: str,
    takes: str,
    by_rank: bool,
    numbers: Callable[[int], Take],
    walk: Callable[[np.ndarray, Take], int],
    refused: int = -1,
    meaning: str = "",
) -> Stream:
    return Stream(rule, generator, takes, by_rank, _walking(numbers, walk), numbers, refused, meaning)


_TWO, _BITS = "one number of two outputs", "one number of 24 bits"
_AS_PYTHON, _AS_PYTORCH = "MT19937 seeded as Python does", "MT19937 seeded as PyTorch does"
STREAMS = {
    "llama.cpp": _walk("STREAM-2", _AS_PYTORCH, _TWO, True, mt19937_53, walk_llama_cpp, 2**32 - 1, "a random seed"),
    "llama2.c": _walk("STREAM-3", "xorshift64*", _BITS, False, xorshift, walk_llama2_c, 0, "the clock"),
    "llm.c": _walk("STREAM-3", "xorshift64*", _BITS, False, xorshift, walk_llm_c, 0, "a state that stays 0"),
    "transformers.js": _walk("STREAM-4", _AS_PYTHON, _TWO, True, python_random, walk_transformers_js),
    "jax": Stream("STREAM-5", "Threefry-2x32", "a number of one output for each of V tokens", False, _jax),
    "numpy": _walk("STREAM-6", "PCG64", "one number of one output", False, pcg64, walk_numpy),
    "nanochat": Stream("STREAM-7", _AS_PYTORCH, "a number of two outputs for each survivor", True, _nanochat),
}


def draw_as(probs: ArrayLike, runtime: str, seed: int) -> np.ndarray:
    """The token that a runtime draws from a seed, for each row: `(..., V) -> (...)`  [STREAM-1 to STREAM-7].

    `runtime` is a name of `STREAMS`. The first row is the runtime's first draw from the seed, the next row its second,
    and so on, as in generation; for JAX the rows are those of one call. Where a runtime draws among the tokens that a
    cut has left, these are the tokens of probability > 0. It is the runtime's own walk, with its own end: llama2.c's
    may return a last token of probability zero, against CDF-2. A runtime computes in float32; float64 stays float64.
    Raises: ValueError for another runtime, a seed outside [0, 2**32) or one that the runtime takes for something else,
    `probs` as in `multinomial`, and a sum that overflows; TypeError for a seed that is not an integer.

    >>> [int(draw_as(np.array([0.1, 0.2, 0.3, 0.4]), name, seed=42)) for name in ("llama.cpp", "llama2.c", "numpy")]
    [1, 2, 3]
    """
    probs = check_probabilities(probs)
    with np.errstate(over="ignore"):  # a float32 sum may overflow in llama2.c; that of float64 is refused
        check_total(np.cumsum(probs, axis=-1, dtype=np.float64))
    if not isinstance(runtime, str) or runtime not in STREAMS:
        raise ValueError(f"runtime is {runtime!r}: it must be one of {', '.join(STREAMS)}")
    stream, number = STREAMS[runtime], check_integer("seed", seed)
    if not 0 <= number < 2**32:
        raise ValueError(f"seed is {shown(number)}: it must be from 0 to 2**32 - 1, which every runtime takes")
    if number == stream.refused:
        raise ValueError(f"seed is {number}: to {runtime} it means {stream.meaning}; take another")
    rows = probs.reshape(-1, probs.shape[-1])  # [..., V] -> [N, V]
    orders = [stream.order(row) for row in rows]
    with np.errstate(over="ignore"):
        places = stream.draw([row[ids] for row, ids in zip(rows, orders, strict=True)], number)
        token_ids = [ids[place] for ids, place in zip(orders, places, strict=True)]
    return np.array(token_ids, np.int64).reshape(probs.shape[:-1])

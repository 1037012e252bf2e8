"""Wrong re-enactments of the races of JAX and nanochat."""

from collections.abc import Iterator

import numpy as np

import reference
from reference import generators

from .registry import mutant
from .streams import SGLANG_JAX, of


def _gumbel(rows: np.ndarray, uniform: np.ndarray, scores: np.ndarray, sign: int = 1) -> np.ndarray:
    return np.asarray(np.argmax(np.where(rows > 0, scores - sign * np.log(-np.log(uniform)), -np.inf), axis=-1))


@mutant("draw_as", "STREAM-5", "noise added to p, not to ln p", "https://github.com/sgl-project/sglang-omni/pull/824")
@of("jax")
def noise_added_to_p(rows: np.ndarray, seed: int) -> np.ndarray:
    return _gumbel(rows, generators.jax_uniform(seed, 0, rows.size, rows.dtype).reshape(rows.shape), rows)


@mutant("draw_as", "STREAM-5", "the noise with the wrong sign", "https://github.com/chainer/chainerrl/pull/104")
@of("jax")
def noise_subtracted(rows: np.ndarray, seed: int) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return _gumbel(
            rows, generators.jax_uniform(seed, 0, rows.size, rows.dtype).reshape(rows.shape), np.log(rows), -1
        )


@mutant("draw_as", "STREAM-5", "the counters begun anew in each row", SGLANG_JAX)
@of("jax")
def counters_of_each_row(rows: np.ndarray, seed: int) -> np.ndarray:
    """One key and one row of noise for the whole batch."""
    uniform = generators.jax_uniform(seed, 0, rows.shape[-1], rows.dtype)
    with np.errstate(divide="ignore"):
        return _gumbel(rows, np.broadcast_to(uniform, rows.shape), np.log(rows))


@mutant("draw_as", "STREAM-5", "one half of the counters high and one low, as JAX did before")
@of("jax")
def counters_in_halves(rows: np.ndarray, seed: int) -> np.ndarray:
    """`jax_threefry_partitionable=False`: counters i and n / 2 + i go through the cipher together."""
    half = -(-rows.size // 2)
    counters = np.append(np.arange(rows.size, dtype=np.uint64), np.zeros(rows.size % 2, np.uint64))
    words = generators.threefry((0, seed), counters[:half] << np.uint64(32) | counters[half:])
    bits = np.concatenate(words)[: rows.size].reshape(rows.shape) >> 9
    uniform = np.maximum(bits * 2.0**-23, np.finfo(np.float32).tiny)
    with np.errstate(divide="ignore"):
        return _gumbel(rows, uniform, np.log(rows))


@mutant("draw_as", "STREAM-7", "the race over V tokens by id, as generate() runs it")
@of("nanochat")
def race_over_the_vocabulary(rows: np.ndarray, seed: int) -> list[int]:
    drawn: list[int] = reference.multinomial(rows, rng=reference.TorchGenerator(seed))[:, 0].tolist()
    return drawn


@mutant("draw_as", "STREAM-7", "survivors by id, not by rank")
@of("nanochat")
def survivors_by_id(rows: np.ndarray, seed: int) -> Iterator[int]:
    rng = reference.TorchGenerator(seed)
    for row in rows:
        ids = np.flatnonzero(row)
        yield int(ids[reference.multinomial(row[ids], rng=rng)[0]])

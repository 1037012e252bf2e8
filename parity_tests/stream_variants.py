"""The streams of other runtimes by other means: CPython's and NumPy's own draws, binary search, a race in float64."""

import random
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np

import reference
from reference import generators
from reference.validation import check_probabilities


def _sorted(row: np.ndarray) -> list[tuple[float, int]]:
    """Weights and ids of the possible tokens by rank."""
    return sorted(((w, i) for i, w in enumerate(row.tolist()) if w > 0), key=lambda pair: (-pair[0], pair[1]))


def _llama_cpp(rows: np.ndarray, seed: int) -> Iterator[int]:
    """Binary search in the running sums."""
    take = generators.mt19937_53(seed)
    for weights, ids in (zip(*_sorted(row), strict=True) for row in rows):
        sums = list(accumulate(weights))
        yield ids[bisect_left(sums, take() * sums[-1])]


def _transformers_js(rows: np.ndarray, seed: int) -> Iterator[int]:
    """CPython's own generator, and what is left over, in a loop."""
    generator = random.Random(seed)
    for row in rows:
        ranked = _sorted(row)
        left = generator.random() * list(accumulate(weight for weight, _ in ranked))[-1]
        drawn = ranked[-1][1]
        for weight, token in ranked:
            left -= weight
            if left < 0:
                drawn = token
                break
        yield drawn


def _jax(rows: np.ndarray, seed: int) -> list[int]:
    """The race E / p in float64, without a logarithm of p: the first to arrive."""
    noise = -np.log(generators.jax_uniform(seed, 0, rows.size, rows.dtype).reshape(rows.shape).astype(np.float64))
    with np.errstate(divide="ignore"):
        arrivals: list[int] = np.argmin(np.where(rows > 0, noise / rows, np.inf), axis=-1).tolist()
    return arrivals


def _numpy(rows: np.ndarray, seed: int) -> Iterator[int]:
    """The doubles of its bit generator, and a loop over the quotients."""
    outputs = np.random.PCG64(seed)
    for row in rows:
        u, sums = (int(outputs.random_raw()) >> 11) / 2**53, list(accumulate(row.tolist()))
        yield next(i for i, total in enumerate(sums) if total / sums[-1] > u)


def draw_as_by_other_means(probs: Any, runtime: str, seed: int) -> np.ndarray:
    """Those runtimes that another library or another algorithm can stand for."""
    expected = reference.draw_as(probs, runtime, seed)  # refuses bad input
    draw = {"llama.cpp": _llama_cpp, "transformers.js": _transformers_js, "jax": _jax, "numpy": _numpy}.get(runtime)
    if draw is None:
        return expected
    rows = check_probabilities(probs).reshape(-1, np.shape(probs)[-1])
    return np.array([*draw(rows, int(seed))], np.int64).reshape(expected.shape)

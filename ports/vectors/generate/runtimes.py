"""What other runtimes draw from a seed, in exact arithmetic rounded where they round: the answers of `draw_as`.

Generators in whole numbers, but for PCG64, which is NumPy's own; CPython has MT19937. A walk adds fractions up and
rounds each sum to the dtype in which the runtime keeps it. Logarithms of JAX's noise are taken by mpmath.
"""

import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import accumulate

import mpmath
import numpy as np

from reference import bounds

from . import exact
from .race import Race

MASK = 2**32 - 1
Numbers = Iterator[Fraction]


def _outputs(seed: int) -> Iterator[int]:
    """MT19937 by `init_genrand`."""
    stream = exact.Stream(seed)
    while True:
        yield stream.output()


def std_mt19937(seed: int) -> Numbers:
    """libstdc++'s double of two outputs."""
    outputs = _outputs(seed)
    while True:
        low, high = next(outputs), next(outputs)
        yield min(Fraction(exact.rounded(Fraction(low | high << 32), "float64")) / 2**64, 1 - Fraction(1, 2**53))


def python_random(seed: int) -> Numbers:
    """CPython's `random()`."""
    generator = random.Random(seed)
    while True:
        yield Fraction(generator.random())


def xorshift(seed: int) -> Numbers:
    """xorshift64*, 24 bits."""
    while True:
        for shift in (-12, 25, -27):
            seed ^= seed >> -shift if shift < 0 else seed << shift & 2**64 - 1
        yield Fraction((seed * 0x2545F4914F6CDD1D & 2**64 - 1) >> 40, 2**24)


def pcg64(seed: int) -> Numbers:
    """NumPy's own bit generator."""
    outputs = np.random.PCG64(seed)
    while True:
        yield Fraction(int(outputs.random_raw()) >> 11, 2**53)


def threefry(seed: int, counter: int) -> tuple[int, int]:
    """Threefry-2x32 in 20 rounds, of key (0, seed)."""
    keys = (0, seed, seed ^ 0x1BD11BDA)
    a, b = (counter >> 32) + keys[0], (counter & MASK) + keys[1] & MASK
    for turn in range(20):
        by = (13, 15, 26, 6, 17, 29, 16, 24)[turn % 8]
        a = a + b & MASK
        b = (b << by | b >> 32 - by) & MASK ^ a
        if turn % 4 == 3:
            block = turn // 4 + 1
            a, b = a + keys[block % 3] & MASK, b + keys[(block + 1) % 3] + block & MASK
    return a, b


def _sums(weights: list[Fraction], dtype: str) -> list[Fraction]:
    """Running sums, each rounded."""
    return list(accumulate(weights, lambda a, b: Fraction(exact.rounded(a + b, dtype))))


def _double(x: Fraction) -> Fraction:
    return Fraction(exact.rounded(x, "float64"))


def _first(true: list[bool]) -> int:
    return true.index(True) if True in true else len(true) - 1


def _llama_cpp(weights: list[Fraction], numbers: Numbers, _: str) -> int:
    sums = _sums(weights, "float64")
    target = _double(next(numbers) * sums[-1])
    return _first([total >= target for total in sums])


def _llama2_c(weights: list[Fraction], numbers: Numbers, dtype: str) -> int:
    u = next(numbers)
    return _first([total > u for total in _sums(weights, dtype)])


def _llm_c(weights: list[Fraction], numbers: Numbers, dtype: str) -> int:
    product = _double(next(numbers) * _sums(weights, "float64")[-1])
    target = Fraction(exact.rounded(product, dtype))
    return _first([total > target for total in _sums(weights, dtype)])


def _transformers_js(weights: list[Fraction], numbers: Numbers, _: str) -> int:
    target = _double(next(numbers) * _sums(weights, "float64")[-1])
    return _first([left < 0 for left in _sums([target, *(-weight for weight in weights)], "float64")[1:]])


def _numpy(weights: list[Fraction], numbers: Numbers, _: str) -> int:
    u, sums = next(numbers), _sums(weights, "float64")
    return _first([_double(total / sums[-1]) > u for total in sums])


Walk = Callable[[list[Fraction], Numbers, str], int]
WALKS: dict[str, tuple[Callable[[int], Numbers], Walk, bool]] = {  # by rank, or by id
    "llama.cpp": (std_mt19937, _llama_cpp, True),
    "llama2.c": (xorshift, _llama2_c, False),
    "llm.c": (xorshift, _llm_c, False),
    "transformers.js": (python_random, _transformers_js, True),
    "numpy": (pcg64, _numpy, False),
}


def _ranked(row: list[Fraction]) -> list[int]:
    return sorted((i for i, weight in enumerate(row) if weight), key=lambda i: (-row[i], i))


def drawn(rows: list[list[float]], runtime: str, seed: int, dtype: str) -> list[list[int]]:
    """For each row the tokens that conform, the right one first."""
    weights = [exact.fractions(row) for row in rows]
    if runtime == "jax":
        return [_jax(row, seed, number * len(row), dtype) for number, row in enumerate(weights)]
    ids = [_ranked(row) for row in weights]
    if runtime == "nanochat":
        stream = exact.Stream(seed)
        return [_nanochat([row[i] for i in order], order, stream, dtype) for row, order in zip(rows, ids, strict=True)]
    generator, walk, by_rank = WALKS[runtime]
    numbers, found = generator(seed), []
    for row, order in zip(weights, ids, strict=True):
        order = order if by_rank else list(range(len(row)))
        found.append([order[walk([row[i] for i in order], numbers, dtype)]])
    return found


def _nanochat(probs: list[float], ids: list[int], stream: exact.Stream, dtype: str) -> list[int]:
    race = Race(probs, stream.exponential(len(probs), dtype, 1), dtype)
    first = race.order()[0]
    others = [place for (place,) in race.orders(1) if place != first]
    return [ids[place] for place in (first, *others)]


def _jax(row: list[Fraction], seed: int, start: int, dtype: str) -> list[int]:
    values: dict[int, float] = {}
    bound: dict[int, float] = {}
    for i, weight in enumerate(row):
        if weight:
            a, b = threefry(seed, start + i)
            u = Fraction((a ^ b) >> 9, 2**23) if dtype == "float32" else Fraction((a << 32 | b) >> 12, 2**52)
            u = u or Fraction(bounds.smallest_normal(dtype))
            with mpmath.workprec(100):
                p, number = (mpmath.mpf(x.numerator) / x.denominator for x in (weight, u))
                values[i] = float(mpmath.log(p) - mpmath.log(-mpmath.log(number)))
            bound[i] = float(bounds.gumbel(float(weight), float(u), dtype))
    best = max(values, key=lambda i: (values[i], -i))
    close = [i for i in values if i != best and values[best] - values[i] <= bound[best] + bound[i]]
    return [best, *close] if math.isfinite(values[best]) else [best]

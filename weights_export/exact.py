"""Logits in exact arithmetic, by matrix products of slices whose products add up without rounding.

Ozaki, Ogita, Oishi & Rump 2012, Error-free transformations of matrix multiplication by using fast routines of matrix
multiplication, https://doi.org/10.1007/s11075-011-9478-1. A slice keeps so few bits, counted from the largest number
of its row, that a product of two slices and all sums of d such products fit into the 53 bits of a float64: the matrix
product is exact in any order of summation. What remains is one correctly rounded sum of a few numbers per logit.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np

ROWS = 2048  # of the embedding at a time: 13 MB a slice at d = 768


def slices(matrix: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """Float64 matrices that add up to `matrix` exactly; each keeps `bits` bits of each row's largest number.

    `(n, d) -> (n, d)` each. Where `2**e` is above a row's largest number, `sigma = 3 * 2**(e + 51 - bits)` is so large
    that the last bit of `rest + sigma` is worth `2**(e - bits)`: the addition rounds `rest` to that multiple, and
    subtracting sigma again is exact. 3 and not 2, so that the sum of a negative number and sigma does not fall below a
    power of two, where the last bit would be worth half (Rump, Ogita & Oishi 2008).
    """
    rest = matrix.astype(np.float64)
    while rest.any():
        _, exponent = np.frexp(np.abs(rest).max(axis=1, keepdims=True))
        sigma = np.ldexp(3.0, exponent + 51 - bits)
        top = (rest + sigma) - sigma
        rest = rest - top
        yield top


def exact_logits(
    context: np.ndarray, embedding: Iterable[np.ndarray], bias: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """`(N, d)`, blocks `(rows, d)` -> blocks `(N, rows)`: exact products of float32, each rounded once to float64.

    A `bias`, one number for each row of all blocks, is added before the sum is rounded.

    >>> list(exact_logits(np.array([[2.0**60, 1.0, -(2.0**60)]], np.float32), [np.ones((1, 3), np.float32)]))
    [array([[1.]])]
    """
    bits = (53 - math.ceil(math.log2(context.shape[1])) - 2) // 2  # of each factor, with room for d sums and signs
    parts, done = list(slices(context, bits)), 0
    for block in embedding:
        for start in range(0, len(block), ROWS):
            rows = block[start : start + ROWS]
            products = [part @ w.T for w in slices(rows, bits) for part in parts]
            added = np.zeros(len(rows)) if bias is None else bias[done : done + len(rows)].astype(np.float64)
            products.append(np.broadcast_to(added, (len(context), len(rows))))  # so that there is at least one
            done += len(rows)
            yield rounded_sum(np.stack(products))


def rounded_sum(terms: np.ndarray) -> np.ndarray:
    """The exact sum over the first axis, rounded once: `(n, ...) -> (...)`.

    `a + b = s + e` exactly, where s is the rounded sum and e its error, another float64 (Knuth's TwoSum). So the terms
    add up to a sum, the sum of its errors, and what that loses, which is tiny. Rounding is settled unless the rest
    comes as close as that to the middle between two neighbours. Then `math.fsum`, exact and slow, decides.

    >>> float(rounded_sum(np.array([[1.0], [2.0**-53], [2.0**-80]]))[0])  # just above the middle
    1.0000000000000002
    """
    total, errors = np.zeros(terms.shape[1:]), np.zeros(terms.shape[1:])
    lost = np.zeros(terms.shape[1:])
    for term in terms:
        total, error = _two_sum(total, term)
        errors, rest = _two_sum(errors, error)
        lost += np.abs(rest)
    total, rest = _two_sum(total, errors)
    # Below a power of two, neighbours are half as far apart.
    middle = np.spacing(np.abs(total)) / np.where(np.abs(np.frexp(total)[0]) == 0.5, 4, 2)
    doubtful = ~(np.abs(rest) + 2 * lost < middle)
    total[doubtful] = [math.fsum(numbers) for numbers in terms[:, doubtful].T.tolist()]
    return total


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = a + b
    from_b = total - a
    return total, (a - (total - from_b)) + (b - from_b)

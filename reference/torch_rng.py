"""PyTorch's CPU random stream, in NumPy: the same seed gives the same bits, so the head draws the same tokens.

PyTorch's CPU generator is MT19937 (Matsumoto & Nishimura 1998), seeded with the low 32 bits of the seed by the
algorithm's own `init_genrand`. NumPy's legacy `RandomState` is that generator, seeded that way, its stream frozen (NEP
19). An exponential takes 64 bits, the first 32-bit output being the high word, keeps the low 53 as U in [0, 1) and
is `-log1p(-U)`, computed in double precision and then rounded to the dtype asked for (PyTorch's
`ATen/core/DistributionsHelper.h` and `TransformationHelper.h`).
"""

import math
import operator
from typing import Any

import numpy as np

BLOCK = 2**14  # numbers made at a time: the intermediate arrays stay in the cache


class TorchGenerator:
    """The stream of `torch.Generator().manual_seed(seed)`; each call goes on where the last one ended  [RNG-1, RNG-2].

    Seeds are those that PyTorch takes, -2**63 to 2**64 - 1.
    Raises: TypeError for a seed that is no integer, ValueError for one out of range.

    >>> TorchGenerator(7).standard_exponential(2, np.float32).tolist()
    [0.3276439309120178, 0.319783478975296]
    """

    def __init__(self, seed: int) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> "TorchGenerator":
        """Go to the beginning of the stream of `seed`."""
        try:
            number = operator.index(seed)
        except TypeError:
            number = None
        if number is None or isinstance(seed, bool):
            raise TypeError(f"seed is {seed!r}: it must be an integer")
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"seed is {number}: PyTorch takes seeds from -2**63 to 2**64 - 1")
        self._stream = np.random.RandomState(number & 0xFFFF_FFFF)
        return self

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        """Noise of shape `size` in C order, as `torch.empty(size, dtype=dtype).exponential_()`  [RNG-3].

        `dtype` is float32 or float64 (else TypeError); both take the same 64 bits of the stream for each number.
        """
        noise = np.empty(size, _float32_or_64(dtype))
        flat = noise.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            flat[start : start + BLOCK] = exponentials(self._uniform53(min(BLOCK, flat.size - start)), dtype)
        return noise

    def uniform(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        """Numbers in [0, 1) of shape `size`, as `torch.rand(size, dtype=dtype)`  [RNG-4].

        float64 takes 64 bits of the stream and keeps the low 53, float32 takes 32 and keeps the low 24.
        """
        if _float32_or_64(dtype) == np.float64:
            return np.asarray(self._uniform53(size))
        outputs = np.asarray(self._stream.randint(2**32, size=size, dtype=np.uint32))
        return (outputs & 0xFF_FFFF).astype(np.float32) * np.float32(2**-24)

    def _uniform53(self, size: Any) -> np.ndarray:
        return (self._stream.randint(2**64, size=size, dtype=np.uint64) & (2**53 - 1)) * 2.0**-53


def exponentials(u: np.ndarray, dtype: Any) -> np.ndarray:
    """`-log1p(-u)` of numbers in [0, 1), in float64, to be rounded to `dtype`  [RNG-3].

    PyTorch calls the C library's log1p, NumPy often a vector library's that is off by a few 2**-53. Where that could
    change the rounded result (any float64, one float32 in 10**7) the C library has the last word.
    """
    exact = -np.log1p(-u)
    doubtful = (exact * (1 - 2**-50)).astype(dtype) != (exact * (1 + 2**-50)).astype(dtype)
    exact[doubtful] = [-math.log1p(-x) for x in u[doubtful].tolist()]
    return exact


def _float32_or_64(dtype: Any) -> np.dtype:
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype is {np.dtype(dtype)}: noise is float32 or float64")
    return np.dtype(dtype)

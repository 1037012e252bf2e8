"""PyTorch's CPU random stream, in NumPy: the same seed gives the same bits, so the head draws the same tokens.

PyTorch's CPU generator is MT19937 (Matsumoto & Nishimura 1998). It is seeded with the low 32 bits of the seed, by
`init_genrand` of the original code. NumPy's legacy `RandomState` is the same generator, seeded the same way, and its
stream will not change any more (NEP 19).

An exponential takes two 32-bit outputs, the first as the high word. The low 53 of these 64 bits are U in [0, 1). The
number is `-log1p(-U)`, computed in double precision and then rounded to the dtype asked for (PyTorch's
`ATen/core/DistributionsHelper.h` and `TransformationHelper.h`).
"""

import math
from typing import Any

import numpy as np

from .validation import check_integer, shown

# How PyTorch lays out the state of its CPU generator (`ATen/CPUGeneratorImpl.cpp`): the Mersenne Twister, where `left`
# is one more than its outputs that are still to come, and numbers that only the normal distribution keeps.
STATE = np.dtype(
    [("seed", "u8"), ("left", "i4"), ("seeded", "i4"), ("next", "u8"), ("words", "u8", 624), ("of_normal", "u1", 40)]
)
BLOCK = 2**14  # how many numbers are made at a time: few enough for the intermediate arrays to stay in the cache


class TorchGenerator:
    """The stream of `torch.Generator().manual_seed(seed)`. Each call goes on where the last one ended  [RNG-1, RNG-2].

    Seeds are those that PyTorch takes, -2**63 to 2**64 - 1.
    Raises: TypeError for a seed that is not an integer, ValueError for one out of range.

    >>> TorchGenerator(7).standard_exponential(2, np.float32).tolist()
    [0.3276439309120178, 0.319783478975296]
    """

    def __init__(self, seed: int) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> "TorchGenerator":
        """Start the stream of `seed` from the beginning."""
        number = check_integer("seed", seed)
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"seed is {shown(number)}: PyTorch takes seeds from -2**63 to 2**64 - 1")
        self._stream = np.random.RandomState(number & 0xFFFF_FFFF)
        self._kept = np.zeros((), STATE)  # what only a state carries
        self._kept["seed"], self._kept["seeded"] = number % 2**64, 1
        return self

    def get_state(self) -> np.ndarray:
        """The place in the stream as `torch.Generator.get_state` gives it: for `set_state(torch.from_numpy(...))`."""
        twister: Any = self._stream.get_state(legacy=False)["state"]
        state, position = self._kept.copy(), twister["pos"]
        state["words"], state["next"], state["left"] = twister["key"], position, 625 - position
        return np.frombuffer(state.tobytes(), np.uint8).copy()

    def set_state(self, state: Any) -> "TorchGenerator":
        """Go on from a state of `get_state`, or from one of a CPU `torch.Generator`.

        Raises: TypeError for anything but 5,056 bytes of dtype uint8, ValueError for bytes that are no such state.
        """
        array = np.asarray(state)
        if array.dtype != np.uint8 or array.shape != (STATE.itemsize,):
            raise TypeError(
                f"state has dtype {array.dtype} and shape {array.shape}: it must be {STATE.itemsize} bytes, uint8, as "
                "get_state() of a CPU torch.Generator gives"
            )
        kept = array.copy().view(STATE)[0]
        words, left = kept["words"], int(kept["left"])
        if kept["seeded"] != 1 or not 1 <= left <= 624 or words.max() >= 2**32:
            raise ValueError("state is not that of a CPU torch.Generator: take it from its get_state()")
        self._kept = kept.copy()
        self._stream = np.random.RandomState(0)
        twister = {"key": words.astype(np.uint32), "pos": 625 - left}
        self._stream.set_state({"bit_generator": "MT19937", "state": twister})
        return self

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        """Noise of shape `size`, filled in C order, as `torch.empty(size, dtype=dtype).exponential_()`  [RNG-3].

        `dtype` is float32 or float64. Both take the same 64 bits of the stream for each number.
        Raises: TypeError for another dtype.
        """
        noise = np.empty(size, _float32_or_64(dtype))
        flat = noise.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            flat[start : start + BLOCK] = exponentials(self._uniform53(min(BLOCK, flat.size - start)), dtype)
        return noise

    def uniform(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        """Numbers in [0, 1) of shape `size`, as `torch.rand(size, dtype=dtype)`  [RNG-4].

        Each float64 takes 64 bits of the stream and keeps the low 53. Each float32 takes 32 bits and keeps the low 24.
        """
        if _float32_or_64(dtype) == np.float64:
            return np.asarray(self._uniform53(size))
        outputs = np.asarray(self._stream.randint(2**32, size=size, dtype=np.uint32))
        return (outputs & 0xFF_FFFF).astype(np.float32) * np.float32(2**-24)

    def _uniform53(self, size: Any) -> np.ndarray:
        return (self._stream.randint(2**64, size=size, dtype=np.uint64) & (2**53 - 1)) * 2.0**-53


def exponentials(u: np.ndarray, dtype: Any) -> np.ndarray:
    """`-log1p(-u)` of numbers in [0, 1), in float64, for the caller to round to `dtype`  [RNG-3].

    PyTorch calls log1p of the C library. NumPy often calls that of a vector library, which is faster but may be off by
    a few 2**-53. Where such an error could change the rounded result, the number is computed again with the C library.
    That is every float64, but only about one float32 in 10**7.
    """
    exact = -np.log1p(-u)
    # A number is doubtful if an error of 2**-50, far above NumPy's, would change what it rounds to.
    doubtful = (exact * (1 - 2**-50)).astype(dtype) != (exact * (1 + 2**-50)).astype(dtype)
    exact[doubtful] = [-math.log1p(-x) for x in u[doubtful].tolist()]
    return exact


def _float32_or_64(dtype: Any) -> np.dtype:
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"dtype is {np.dtype(dtype)}: noise is float32 or float64")
    return np.dtype(dtype)

"""Wrong random streams."""

from typing import Any

import numpy as np

from reference import TorchGenerator

from .registry import mutant


class _Stream(TorchGenerator):
    """The correct stream. Each mutant changes it in one place."""

    def _words(self, size: Any) -> np.ndarray:
        """The 32-bit outputs, two for each number: `(*size, 2)`, in the order of the stream."""
        shape = (*np.atleast_1d(np.array(size, dtype=int)).tolist(), 2) if np.ndim(size) else (size, 2)
        if size == ():
            shape = (2,)
        return np.asarray(self._stream.randint(2**32, size=shape, dtype=np.uint32)).astype(np.uint64)


@mutant("torch_rng", "RNG-1", "seeded by init_by_array")
class SeededByArray(_Stream):
    """Python's `random` and NumPy's `RandomState([seed])` do this, and `MT19937(seed)` in its own way."""

    def manual_seed(self, seed: int) -> "TorchGenerator":
        super().manual_seed(seed)
        self._stream = np.random.RandomState([seed & 0xFFFF_FFFF])
        return self


@mutant("torch_rng", "RNG-1", "the sign bit of the seed dropped: 31 bits")
class SeedOf31Bits(_Stream):
    """A seed that went through a signed 32-bit integer."""

    def manual_seed(self, seed: int) -> "TorchGenerator":
        super().manual_seed(seed)
        self._stream = np.random.RandomState(seed & 0x7FFF_FFFF)
        return self


@mutant("torch_rng", "RNG-1", "the high half of the seed mixed in")
class SeedOf64Bits(_Stream):
    """Uses all 64 bits, where PyTorch uses the low 32."""

    def manual_seed(self, seed: int) -> "TorchGenerator":
        super().manual_seed(seed)
        self._stream = np.random.RandomState((seed ^ (seed >> 32)) & 0xFFFF_FFFF)
        return self


@mutant("torch_rng", "RNG-1", "negative seeds made positive")
class AbsoluteSeed(_Stream):
    """`abs(seed)` where PyTorch takes the two's complement."""

    def manual_seed(self, seed: int) -> "TorchGenerator":
        super().manual_seed(seed)
        self._stream = np.random.RandomState(abs(seed) & 0xFFFF_FFFF)
        return self


@mutant("torch_rng", "RNG-1", "another generator: PCG64")
class AnotherGenerator(_Stream):
    """NumPy's default generator."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        super().standard_exponential((), dtype)
        rng = np.random.default_rng(self._stream.randint(2**32, dtype=np.uint32))
        return np.asarray(rng.standard_exponential(size, np.dtype(dtype)))


@mutant("torch_rng", "RNG-2", "seeded again at every call", "https://github.com/vllm-project/tpu-inference/pull/1189")
class SeededAtEveryCall(_Stream):
    """The noise is the same at each step, so the text repeats one word for ever."""

    def manual_seed(self, seed: int) -> "TorchGenerator":
        self._seed = seed
        return super().manual_seed(seed)

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        super().manual_seed(self._seed)
        return super().standard_exponential(size, dtype)


@mutant("torch_rng", "RNG-2", "a new block of 16 numbers started at every call")
class DropsTheRestOfABlock(_Stream):
    """Numbers are made in blocks, and those left over are thrown away."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        noise = super().standard_exponential(size, dtype)
        if noise.size % 16:
            super().standard_exponential(16 - noise.size % 16, dtype)
        return noise


@mutant("torch_rng", "RNG-3", "the low word first")
class LowWordFirst(_Stream):
    """Two 32-bit outputs are joined the other way round."""

    def _uniform53(self, size: Any) -> np.ndarray:
        words = self._words(size)
        return ((words[..., 0] | words[..., 1] << np.uint64(32)) & np.uint64(2**53 - 1)) * 2.0**-53


@mutant("torch_rng", "RNG-3", "the high 53 bits kept, not the low")
class HighBits(_Stream):
    """`x >> 11`, as in most other libraries."""

    def _uniform53(self, size: Any) -> np.ndarray:
        words = self._words(size)
        return ((words[..., 0] << np.uint64(32) | words[..., 1]) >> np.uint64(11)) * 2.0**-53


@mutant("torch_rng", "RNG-3", "52 bits kept, not 53")
class FiftyTwoBits(_Stream):
    """The width of the significand as it is stored."""

    def _uniform53(self, size: Any) -> np.ndarray:
        words = self._words(size)
        return ((words[..., 0] << np.uint64(32) | words[..., 1]) & np.uint64(2**52 - 1)) * 2.0**-52


@mutant("torch_rng", "RNG-3", "float32 noise from one 32-bit output each")
class OneOutputEach(_Stream):
    """PyTorch's `rand` does this for float32, but its `exponential_` does not."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        if np.dtype(dtype) != np.float32:
            return super().standard_exponential(size, dtype)
        return np.asarray(-np.log1p(-self.uniform(size, np.float32)), np.float32)


@mutant("torch_rng", "RNG-3", "the logarithm taken in float32")
class Float32Logarithm(_Stream):
    """Rounds before the logarithm instead of after it."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        if np.dtype(dtype) != np.float32:
            return super().standard_exponential(size, dtype)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log1p(-self._uniform53(size).astype(np.float32)), np.float32)


@mutant("torch_rng", "RNG-3", "-log(U) in place of -log1p(-U)")
class LogOfU(_Stream):
    """The distribution is the same, but the numbers differ, and U = 0 gives infinity."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        super().standard_exponential(0, dtype)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.log(self._uniform53(size))).astype(dtype)


@mutant("torch_rng", "RNG-3", "a logarithm that is off by one unit in the last place")
class VectorLogarithm(_Stream):
    """float64 noise from the log1p of a vector library."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        noise = super().standard_exponential(size, dtype)
        return np.nextafter(noise, np.inf, dtype=noise.dtype) if np.dtype(dtype) == np.float64 else noise


@mutant("torch_rng", "RNG-3", "filled column by column")
class ColumnByColumn(_Stream):
    """Fortran's memory order."""

    def standard_exponential(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        noise = super().standard_exponential(size, dtype)
        return noise.reshape(-1).reshape(noise.shape, order="F")


@mutant("torch_rng", "RNG-4", "the high 24 bits kept, not the low")
class HighUniformBits(_Stream):
    """`x >> 8`, as in most other libraries."""

    def uniform(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        if np.dtype(dtype) != np.float32:
            return super().uniform(size, dtype)
        return np.asarray(
            (self._stream.randint(2**32, size=size, dtype=np.uint32) >> 8) * np.float32(2**-24), np.float32
        )


@mutant("torch_rng", "RNG-4", "uniforms that can be exactly 1", "https://github.com/sgl-project/sglang/issues/25106")
class ReachesOne(_Stream):
    """Divides by 2**32 - 1."""

    def uniform(self, size: Any, dtype: Any = np.float64) -> np.ndarray:
        if np.dtype(dtype) != np.float32:
            return super().uniform(size, dtype)
        return np.asarray(self._stream.randint(2**32, size=size, dtype=np.uint32) / np.float32(2**32 - 1), np.float32)

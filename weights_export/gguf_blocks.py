"""The numbers behind GGUF's tensor types: rows of bytes in, float32 out, with the bits that ggml gives.

A quantised tensor stores each run of 32 or 256 numbers as one block of small integers with its scales. Each function
here takes the bytes of n blocks, `(n, size)` uint8, and returns their numbers, `(n, length)` float32.

*Exact* means the bits of ggml's `dequantize_row_*` (https://github.com/ggml-org/llama.cpp, ggml/src/ggml-quants.c) and
of `gguf.quants.dequantize`, on any machine. No order of operations has to be copied for that. A scale is a float16 of
11 bits; the integers that it meets take 8 more (Q8_0), 4 (Q4_0, Q4_1), 6 + 4 (Q4_K), 6 + 5 (Q5_K) or 7 + 5 (Q6_K), so
every product fits into the 24 bits of a float32. What is left is one subtraction or addition of such products in Q4_1,
Q4_K and Q5_K, rounded once. A fused multiply-add, which compilers put there, gives the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decoder:
    """How a tensor type is stored: `size` bytes hold `length` numbers of a row, and `decode` gives them."""

    length: int
    size: int
    decode: Callable[[np.ndarray], np.ndarray]

    def rows(self, raw: np.ndarray) -> np.ndarray:
        """`(rows, bytes of a row) uint8 -> (rows, d) float32`. Scales that are not finite give nan and infinities."""
        with np.errstate(all="ignore"):
            return self.decode(raw.reshape(-1, self.size)).reshape(len(raw), -1)


def _float32(raw: np.ndarray) -> np.ndarray:
    return raw.view("<f4").astype(np.float32, copy=False)


def _float16(raw: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)  # (n, 1)


def _bfloat16(raw: np.ndarray) -> np.ndarray:
    return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _nibbles(raw: np.ndarray) -> np.ndarray:
    """The low and then the high halves of bytes: `(..., m) -> (..., 2, m)`."""
    return np.stack([raw & 15, raw >> 4], axis=-2)


def _q8_0(raw: np.ndarray) -> np.ndarray:
    """A float16 scale and 32 signed bytes."""
    return _float16(raw[:, :2]) * raw[:, 2:].view(np.int8)  # int8 becomes float32


def _q4_0(raw: np.ndarray) -> np.ndarray:
    """A float16 scale and 32 integers from -8 to 7, stored plus 8: the first 16 in the low halves of 16 bytes."""
    q = _nibbles(raw[:, 2:]).reshape(-1, 32).astype(np.float32) - 8
    return _float16(raw[:, :2]) * q


def _q4_1(raw: np.ndarray) -> np.ndarray:
    """As Q4_0, but the integers run from 0 to 15 and a float16 minimum is added."""
    q = _nibbles(raw[:, 4:]).reshape(-1, 32).astype(np.float32)
    return _float16(raw[:, :2]) * q + _float16(raw[:, 2:4])


def _scales_and_minima(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scales and minima of the 8 runs of 32 numbers in a block of Q4_K or Q5_K: `(n, size) -> (n, 8, 1)` each.

    Both are a float16 times a 6-bit integer. 12 bytes hold the 16 integers: of runs 4 to 7, the upper two bits are in
    the upper two of runs 0 to 3.
    """
    a, b, c = raw[:, 4:8], raw[:, 8:12], raw[:, 12:16]
    scale = np.concatenate([a & 63, (c & 15) | (a >> 6 << 4)], axis=1).astype(np.float32)
    minimum = np.concatenate([b & 63, (c >> 4) | (b >> 6 << 4)], axis=1).astype(np.float32)
    return (_float16(raw[:, :2]) * scale)[..., None], (_float16(raw[:, 2:4]) * minimum)[..., None]


def _q4_k(raw: np.ndarray) -> np.ndarray:
    """Scales, minima, and 8 runs of 32 integers from 0 to 15: 32 bytes hold two runs, in their low and high halves."""
    scale, minimum = _scales_and_minima(raw)
    q = _nibbles(raw[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32).astype(np.float32)
    return (scale * q - minimum).reshape(-1, 256)


def _q5_k(raw: np.ndarray) -> np.ndarray:
    """As Q4_K, with a fifth bit: bit r of 32 bytes more belongs to run r."""
    scale, minimum = _scales_and_minima(raw)
    low = _nibbles(raw[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    fifth = raw[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    return (scale * (low | fifth << 4).astype(np.float32) - minimum).reshape(-1, 256)


def _q6_k(raw: np.ndarray) -> np.ndarray:
    """16 runs of 16 integers from -32 to 31, a signed byte as each run's scale, and a float16 that scales those.

    The lower four bits of 128 numbers are in 64 bytes, the upper two in 32 bytes: two bits each for the numbers that
    lie 32 apart.
    """
    low = _nibbles(raw[:, :128].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)
    upper = raw[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([[0], [2], [4], [6]], np.uint8) & 3
    q = (low | upper << 4).astype(np.float32).reshape(-1, 16, 16) - 32
    scale = _float16(raw[:, 208:]) * raw[:, 192:208].view(np.int8)
    return (scale[..., None] * q).reshape(-1, 256)


DECODERS = {
    "F32": Decoder(1, 4, _float32),
    "F16": Decoder(1, 2, _float16),
    "BF16": Decoder(1, 2, _bfloat16),
    "Q8_0": Decoder(32, 34, _q8_0),
    "Q4_0": Decoder(32, 18, _q4_0),
    "Q4_1": Decoder(32, 20, _q4_1),
    "Q4_K": Decoder(256, 144, _q4_k),
    "Q5_K": Decoder(256, 176, _q5_k),
    "Q6_K": Decoder(256, 210, _q6_k),
}

"""Logits of a runtime that multiplies 8-bit integers: it rounds the context, block by block, before the product.

llama.cpp and its relatives keep the embedding in blocks of small integers with a scale, and store the context in the
same way just before they multiply. `Q8_0` has blocks of 32 numbers with a scale in float16; it meets tables of Q8_0,
Q4_0, Q5_0 and IQ4_NL. `Q8_K` has blocks of 256 with a scale in float32; it meets the K-quants, such as Q6_K. The
integers of a block run from -127 to 127. What such a runtime computes is no float32 product: it breaks LOGITS-2 and is
not excused by these bounds. They tell what it does from a mistake.
Source: https://github.com/ggml-org/llama.cpp, ggml/src/ggml-quants.c, `quantize_row_q8_0_ref`, `quantize_row_q8_K_ref`.
"""

from typing import Any

import numpy as np

from .arithmetic import smallest_normal, unit_roundoff
from .head import logits

BLOCKS = {"Q8_0": 32, "Q8_K": 256}
_SCALES = {32: "float16", 256: "float32"}  # by the length of a block
_LEVELS = 127
# The float32 value x * 127 / m is at most 127 and comes from three roundings, so it is off by a little over 381 u.
_SLIP = 4 * _LEVELS * 2.0**-24


def q8_0(context: Any) -> np.ndarray:
    """The context as blocks of Q8_0 hold it: `(..., d) -> (..., d)` in float64, where d is a multiple of 32.

    With `m` the largest magnitude of a block, each number becomes `scale * round(x * 127 / m)`, where the scale is
    `m / 127` in float32 and then rounded to float16. The integers are those of the unrounded scale.
    This is a prediction. Processors differ in the last place of `127 / m` and in halves, hence in one integer of some
    20,000: see `undecided`. Raises: ValueError for another d.

    >>> q8_0(np.pad([254, 3.9, -0.9], (0, 29)))[:3]
    array([254.,   4.,  -0.])
    """
    x = _blocks(context, 32)
    largest = np.abs(x).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = (largest / np.float32(_LEVELS)).astype(np.float16)
        integers = np.where(scale > 0, np.rint(x * (np.float32(_LEVELS) / largest)), 0)
        return _joined(integers.astype(np.float64) * scale, context)


def q8_k(context: Any) -> np.ndarray:
    """The context as blocks of Q8_K hold it: `(..., d) -> (..., d)` in float64, where d is a multiple of 256.

    With `m` the number of largest magnitude, the first of several, each becomes `round(x * (-127 / m)) / (-127 / m)`,
    in float32 throughout. A prediction as `q8_0`. Raises: ValueError for another d.
    """
    x = _blocks(context, 256)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[..., None], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = np.float32(-_LEVELS) / largest
        scale = np.float32(1) / inverse  # 0 for a block of zeros, and for one too small to have an inverse
        integers = np.where(scale != 0, np.rint(x * inverse), 0)
        return _joined(integers.astype(np.float64) * scale, context)


ROUNDED = {"Q8_0": q8_0, "Q8_K": q8_k}


def activation_error(context: Any, block: int = 32) -> np.ndarray:
    """How far each number of a context moves at most: `(..., d) -> (..., d)`, for blocks of 32 (Q8_0) or 256 (Q8_K).

    Let `s = m / 127` be the exact step of a block. Before it is rounded, the integer is off from `x / s` by at most
    `127 * 4 u`, and rounding it adds a half: `|q - x / s| <= r = 1/2 + 508 u`. The stored scale S is off from s by at
    most `E s + a`. In float32, `E = 4 u`, for up to three roundings. In float16 its own rounding comes on top: 2**-11,
    and `a = 2**-25` where it is subnormal. Then

        |S q - x| <= s |q - x / s| + |S - s| |q| <= s r + E (|x| + s r) + 128 a

    The step of a block of Q8_0 whose scale is too large for float16 is infinite. Raises: ValueError for another block,
    or a d that is no multiple of it.
    """
    x = _blocks(context, block).astype(np.float64)
    step = np.abs(x).max(axis=-1, keepdims=True) / _LEVELS
    half = step * (0.5 + _SLIP)
    relative, absolute = 4 * unit_roundoff("float32"), smallest_normal("float32")
    if _SCALES[block] == "float16":
        relative, absolute = relative + unit_roundoff("float16"), 2.0**-25
        half = np.where(step < float(np.finfo(np.float16).max), half, np.inf)
    error = half + relative * (np.abs(x) + half) + 128 * absolute
    return _joined(error * (1 + 2.0**-40), context)  # the rounding of this function itself


def undecided(context: Any, block: int = 32) -> np.ndarray:
    """The step where either of two integers may be right, else 0: `(..., d) -> (..., d)`.

    Those are the numbers whose `x * 127 / m` is within the error of its computation, `508 u`, of a half.
    """
    x = np.abs(_blocks(context, block).astype(np.float64))
    step = x.max(axis=-1, keepdims=True) / _LEVELS
    levels = x / np.where(step > 0, step, 1)
    return _joined(np.where(np.abs(levels % 1 - 0.5) <= _SLIP, step * (1 + 2.0**-10), 0.0), context)


def quantised_logits(context: Any, embedding: Any, dtype: str = "float32", block: int = 32) -> np.ndarray:
    """How far logits may be whose context was rounded to blocks: `(..., d), (V, d) -> (..., V)`.

    `sum_i e_i |w_i|` with `e_i` of `activation_error`, which is half a step and a little more:

        sum over blocks of  s_b / 2 * sum_{i in b} |w_i|

    That is the rounded context's distance from the context. The product with it is then summed in `dtype`, which adds
    the bound of `logits` for numbers of up to `|h_i| + e_i`: sums of integers are exact or rounded once, and each block
    adds a product and an addition, fewer roundings than d in all. A product of scales that underflows is multiplied by
    an integer below 2**31. The embedding is the dequantised one; its own scales are float16, so that its products with
    the context's scale are exact or rounded once.
    Where a table's integers have a minimum besides (Q4_1, Q5_1, Q4_K, Q5_K), runtimes sum that part apart, in numbers
    that may be larger than `|h_i| |w_i|`, and for Q4_1 and Q5_1 round it to float16: that is not covered.
    Raises: as `activation_error`.
    """
    h, w = np.abs(np.asarray(context, dtype=np.float64)), np.abs(np.asarray(embedding, dtype=np.float64))
    error = activation_error(context, block)
    d = h.shape[-1]
    moved = error @ w.T * (1 + 2.0**-40)
    return moved + logits(h + error, w, dtype) + d * 2.0**31 * smallest_normal(dtype)


def _blocks(context: Any, block: int) -> np.ndarray:
    """The context in float32, as blocks: `(..., d) -> (..., d / block, block)`."""
    with np.errstate(over="ignore"):
        x = np.asarray(context).astype(np.float32)
    if block not in _SCALES:
        raise ValueError(f"block is {block!r}: it must be 32 (Q8_0) or 256 (Q8_K)")
    if x.ndim == 0 or x.shape[-1] % block:
        raise ValueError(f"context has shape {x.shape}: its last axis must be a multiple of the block, {block}")
    return x.reshape(*x.shape[:-1], -1, block)


def _joined(blocks: np.ndarray, context: Any) -> np.ndarray:
    result: np.ndarray = blocks.reshape(np.shape(context))
    return result

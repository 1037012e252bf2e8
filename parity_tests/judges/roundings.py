"""The roundings that a head may have made, and where each of them puts the logits."""

from collections.abc import Iterator

import numpy as np

from reference import bounds
from reference.bounds import quantised

BITS = {"tfloat32": (11, -126, 127), "bfloat16": (8, -126, 127), "float16": (11, -14, 15)}
NAMES = {"tfloat32": "TF32", "float16": "float16", "bfloat16": "bfloat16"}
INPUTS = ("{} inputs", "a {} context", "a {} embedding")
RESULT = "the result rounded to {}"
ACTIVATIONS = "a context of 8 bits, as {} activations explain"
_LABELS = {**NAMES, **dict(zip(quantised.BLOCKS, quantised.BLOCKS, strict=True))}


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` rounded to TF32, bfloat16 or float16 (to nearest, ties to even). The result has dtype float64.

    >>> rounded(np.array([1.00390625, 1.01171875]), "bfloat16")
    array([1.      , 1.015625])
    """
    digits, smallest, largest = BITS[dtype]
    flat, lost = np.asarray(values, dtype=np.float64).reshape(-1), 53 - digits  # the last bits of the significand
    bits = flat.view(np.uint64) >> np.uint64(lost)
    bits &= np.uint64(1)  # at a tie, up if the last bit that stays is 1
    bits += np.uint64(2 ** (lost - 1) - 1)
    bits += flat.view(np.uint64)
    bits &= np.uint64(2**64 - 2**lost)
    result, size = bits.view(np.float64), np.abs(flat)
    subnormal = np.flatnonzero(size < 2.0**smallest)
    unit = 2.0 ** (smallest - digits + 1)
    result[subnormal] = np.rint(flat[subnormal] / unit) * unit
    if not (size < 2.0**largest).all():
        result = np.where(np.abs(result) >= 2.0 ** (largest + 1), np.copysign(np.inf, flat), result)
        result[np.isnan(flat)] = np.nan
    return result.reshape(np.shape(values))


def rounded_factors(what: str, dtype: str, h: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of the product after a rounding of both inputs, of the context or of the embedding."""
    _, of_context, of_embedding = INPUTS
    hr = h.astype(np.float64) if what == of_embedding else rounded(h, dtype)
    wr = w.astype(np.float64) if what == of_context else rounded(w, dtype)
    return hr, wr


def rounded_inputs(h: np.ndarray, w: np.ndarray) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """What is rounded, to which format, and the two factors then."""
    both, of_context, of_embedding = INPUTS
    exact_h, exact_w = h.astype(np.float64), w.astype(np.float64)
    for dtype in NAMES:
        hr, wr = rounded(h, dtype), rounded(w, dtype)
        yield both, dtype, hr, wr
        yield of_context, dtype, hr, exact_w
        yield of_embedding, dtype, exact_h, wr


def predictions(h: np.ndarray, w: np.ndarray, exact: np.ndarray) -> Iterator[tuple[str, str, np.ndarray]]:
    """Where each rounding puts the logits."""
    for what, dtype, hr, wr in rounded_inputs(h, w):
        yield what, dtype, bounds.exact_logits(hr, wr)
    for dtype in NAMES:
        yield RESULT, dtype, rounded(exact, dtype)
    for name, hr, _ in activations(h):
        yield ACTIVATIONS, name, bounds.exact_logits(hr, w)


def activations(h: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The 8-bit format, the context in it, and the step of each number that may as well be a step away.

    Only formats whose blocks fill the context, since a runtime has no others, and whose scales do not overflow.
    """
    for name, block in quantised.BLOCKS.items():
        if h.shape[-1] % block == 0 and np.isfinite(hr := quantised.ROUNDED[name](h)).all():
            yield name, hr, quantised.undecided(h, block)


def named(fits: set[tuple[str, str]]) -> str:
    """Roundings in words: those of one kind share a phrase, as in `TF32 or float16 inputs`."""
    what = next(kind for kind in (*INPUTS, RESULT, ACTIVATIONS) if any(kind == found for found, _ in fits))
    return what.format(" or ".join(name for dtype, name in _LABELS.items() if (what, dtype) in fits))

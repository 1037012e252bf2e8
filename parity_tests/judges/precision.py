"""The precision fingerprint: which rounding explains logits that are outside their bound.

Logits computed in reduced precision are wrong in a way that can be recognised. They are where one would expect them if,
say, the inputs had been rounded to bfloat16 and everything else were right.
"""

import numpy as np

from reference import bounds

_BITS = {"tfloat32": (11, -126, 127), "bfloat16": (8, -126, 127), "float16": (11, -14, 15)}


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` rounded to TF32, bfloat16 or float16 (to nearest, ties to even). The result has dtype float64.

    >>> rounded(np.array([1.00390625, 1.01171875]), "bfloat16")
    array([1.      , 1.015625])
    """
    digits, smallest, largest = _BITS[dtype]
    values = np.asarray(values, dtype=np.float64)
    exponent = np.maximum(np.frexp(values)[1] - 1, smallest)
    unit = np.ldexp(1.0, exponent - digits + 1)
    result = np.rint(values / unit) * unit
    return np.where(np.abs(result) >= 2.0 ** (largest + 1), np.copysign(np.inf, values), result)


def explain(theirs: np.ndarray, context: np.ndarray, embedding: np.ndarray) -> str | None:
    """The rounding that would give these logits: of the inputs, the result or the running sums. None if none fits.

    The candidates are tried from the smallest change to the largest. The first one that fits every element is named.
    TF32 and float16 both have 11 bits of precision and differ only in range: if both fit, both are named.
    """
    h, w = context.astype(np.float64), embedding.astype(np.float64)
    exact = bounds.exact_logits(h, w)
    float32_bound = bounds.logits(context, embedding, "float32", "float64")
    inputs = []
    for dtype, name in (("tfloat32", "TF32"), ("float16", "float16"), ("bfloat16", "bfloat16")):
        hr, wr = rounded(h, dtype), rounded(w, dtype)
        if _within(theirs, bounds.exact_logits(hr, wr), bounds.logits(hr, wr, "float32")):
            inputs.append(name)
    if inputs:
        return f"looks like {' or '.join(inputs)} inputs"
    # A result or a running sum that was kept in a short format has no more bits than that. This is what tells them from
    # a float32 result that merely lies in the wide bound of the short format.
    stored = [dtype for dtype in ("float16", "bfloat16") if np.array_equal(rounded(theirs, dtype), theirs)]
    for dtype in stored:
        half_unit = bounds.unit_roundoff(dtype) * (np.abs(exact) + float32_bound)
        if _within(theirs, exact, float32_bound + half_unit * (1 + 2**-20) + bounds.smallest_normal(dtype)):
            return f"looks like the result rounded to {dtype}"
    for dtype in stored:
        if _within(theirs, exact, bounds.logits(context, embedding, dtype)):
            return f"looks like sums kept in {dtype}"
    return None


def _within(values: np.ndarray, center: np.ndarray, bound: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool((np.abs(values - center) <= bound).all())

"""The precision fingerprint: which rounding explains logits better than the exact product does.

Logits computed in reduced precision are wrong in a way that can be recognised. They are where one would expect them if,
say, the inputs had been rounded to bfloat16 and everything else were right. Outside the derived bound, this gives the
mistake a name (`explain`). Inside it, it is the evidence itself (`explains_better`): a worst-case bound grows with d^2
and what a rounding of the inputs changes only with sqrt(d), so from some d on the bound has room for both.
"""

import numpy as np

from reference import bounds

from .roundings import ACTIVATIONS, BITS, RESULT, activations, named, predictions, rounded, rounded_inputs

__all__ = ["centred", "explain", "explains_better", "furthest", "rounded", "stored_in"]

# A rounding explains logits *better* if their errors shrink to a quarter once it is assumed, over at least 64 logits.
# How often does that happen to a head that did not round? Call its errors e and the changes that the rounding makes D,
# each centred over its row and in units of `u sqrt(sum (h_i w_i)^2)`. |e - D| <= |e| / 4 holds only if the cosine of
# the angle between e and D is at least c = sqrt(1 - 1/16) = 0.968. For errors of any sizes with independent signs,
# Chernoff's inequality bounds the probability of that (`_by_chance`); it must be below 1e-9. Besides, e would have to
# be as large as D, but TF32 moves a logit by about 2^13 0.4 units, and any of five orders of summation by fewer than
# sqrt(d) (`orders.py`). Where rounding errors all go one way, they do so in a whole row: hence the centring.
CLOSER, MOVED, CHANCE = 4, 64, 1e-9
_ROWS, _TOKENS = 8, 512  # how many of the worst logits are looked at: some ten products in float64, in milliseconds


def explain(theirs: np.ndarray, context: np.ndarray, embedding: np.ndarray) -> str | None:
    """The rounding that would give these logits: of the inputs, the result or the running sums. None if none fits.

    Of the inputs, the context may also be in blocks of 8 bits, as llama.cpp has it to multiply a quantised table.
    A rounding fits if it puts every element within the float32 bound. TF32 and float16 both have 11 bits of precision
    and differ only in range: if both fit, both are named.
    """
    h, w = context.astype(np.float64), embedding.astype(np.float64)
    exact = bounds.exact_logits(h, w)
    fits = {
        (what, dtype)
        for what, dtype, hr, wr in rounded_inputs(h, w)
        if _within(theirs, bounds.exact_logits(hr, wr), bounds.logits(hr, wr, "float32"))
    }
    fits = fits or {
        (ACTIVATIONS, name)
        for name, hr, either in activations(h)
        if _within(theirs, bounds.exact_logits(hr, w), bounds.logits(hr, w, "float32") + either @ np.abs(w).T)
    }
    if fits:
        return f"looks like {named(fits)}"
    # A result or a running sum that was kept in a short format has no more bits than that. This is what tells them from
    # a float32 result that merely lies in the wide bound of the short format.
    float32_bound = bounds.logits(context, embedding, "float32", "float64")
    stored = [dtype for dtype in ("float16", "bfloat16") if np.array_equal(rounded(theirs, dtype), theirs)]
    for dtype in stored:
        half_unit = bounds.unit_roundoff(dtype) * (np.abs(exact) + float32_bound)
        if _within(theirs, exact, float32_bound + half_unit * (1 + 2**-20) + bounds.smallest_normal(dtype)):
            return f"looks like {RESULT.format(dtype)}"
    for dtype in stored:
        if _within(theirs, exact, bounds.logits(context, embedding, dtype)):
            return f"looks like sums kept in {dtype}"
    return None


def explains_better(theirs: np.ndarray, context: np.ndarray, embedding: np.ndarray, exact: np.ndarray) -> str | None:
    """The rounding of the inputs or the result that explains these float32 logits better than the exact product does.

    `theirs` are logits `(..., V)` up to a constant for each row, so that those of the survivors can be told from their
    probabilities; nan stands for a logit that is not known. `exact` is `bounds.exact_logits(context, embedding)`.
    Returns None if no rounding does, or if fewer than MOVED logits would show it.
    """
    h, w, z, exact = _furthest(theirs, context, embedding, exact)
    known = np.isfinite(z)
    if known.sum() < MOVED:
        return None
    unit = bounds.unit_roundoff("float32") * np.sqrt((h * h) @ (w * w).T)
    error = centred(z - exact, known, unit)
    squared = float((error**2).sum())
    if squared < 32**2 * known.sum():  # a float32 head's own errors; no rounding worth the name moves logits so little
        return None
    left: dict[tuple[str, str], float] = {}
    for what, dtype, predicted in predictions(h, w, exact):
        with np.errstate(invalid="ignore", over="ignore"):
            moved = centred(predicted - exact, known, unit)
        rest = float(((error - moved) ** 2).sum())
        if rest <= squared / CLOSER**2 and np.count_nonzero(moved) >= MOVED and _by_chance(error, moved) <= CHANCE:
            left[what, dtype] = rest
    if not left:
        return None
    best = min(left.values())
    closest = {name for name, rest in left.items() if rest <= 4 * best}
    better = f"{np.sqrt(squared / best):,.0f} times better than the exact product" if best else "exactly"
    return f"looks like {named(closest)}, which fits {better}"


def stored_in(theirs: np.ndarray, context: np.ndarray, embedding: np.ndarray, exact: np.ndarray) -> str | None:
    """The short format that holds all these float32 logits though it does not hold the exact ones. None if none does.

    Every partial sum is at most `sum |h_i||w_i| <= sqrt(d) sqrt(sum (h_i w_i)^2)`. So no order of summation leaves a
    logit on a coarser grid than `2 sqrt(d) u sqrt(sum (h_i w_i)^2)`. Only logits are counted whose last place in the
    short format is at least four times that: each would fit by chance in one case of four, 64 of them never.
    """
    h, w, z, exact = _furthest(theirs, context, embedding, exact)
    if z.size < MOVED or not np.isfinite(z).all():
        return None
    grid = 2 * np.sqrt(h.shape[-1]) * bounds.unit_roundoff("float32") * np.sqrt((h * h) @ (w * w).T)
    for dtype in ("tfloat32", "float16", "bfloat16"):
        with np.errstate(over="ignore"):
            telling = (bounds.unit_roundoff(dtype) * np.abs(exact) >= 4 * grid) & (rounded(exact, dtype) != exact)
        if telling.sum() >= MOVED and np.array_equal(rounded(z, dtype), z):
            fits = {(RESULT, name) for name in BITS if np.array_equal(rounded(z, name), z)}
            return f"looks like {named(fits - {(RESULT, 'tfloat32')} or fits)}"
    return None


def furthest(
    theirs: np.ndarray, context: np.ndarray, embedding: np.ndarray, exact: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows and the token ids with the largest errors, some of each: enough to tell what made them."""
    h, z, exact = context.reshape(-1, context.shape[-1]), *(x.reshape(-1, len(embedding)) for x in (theirs, exact))
    length_of_h, length_of_w = (np.linalg.norm(x.astype(np.float64), axis=-1) for x in (h, embedding))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.nan_to_num(np.abs(z - exact) / (length_of_h[:, None] * length_of_w), nan=-1.0, posinf=-1.0)
    rows = np.sort(np.argsort(-error.max(axis=-1), kind="stable")[:_ROWS])
    return rows, np.sort(np.argsort(-error[rows].max(axis=0), kind="stable")[:_TOKENS])


def _furthest(
    theirs: np.ndarray, context: np.ndarray, embedding: np.ndarray, exact: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The contexts, embeddings, logits and exact logits of these rows and token ids, in float64."""
    rows, tokens = furthest(theirs, context, embedding, exact)
    h, w = context.reshape(-1, context.shape[-1])[rows], embedding[tokens]
    chosen = np.ix_(rows, tokens)
    z, exact = (x.reshape(-1, len(embedding))[chosen] for x in (theirs, exact))
    return tuple(x.astype(np.float64) for x in (h, w, z, exact))


def centred(error: np.ndarray, known: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The errors of the known logits, less the constant of their row that fits best, in units; 0 for the others."""
    weight = np.where(known & (unit > 0), 1 / np.where(unit > 0, unit, 1), 0.0)
    constant = (np.where(known, error, 0.0) * weight**2).sum(axis=-1, keepdims=True)
    constant /= np.maximum((weight**2).sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    return np.where(known, error - constant, 0.0) * weight


def _by_chance(error: np.ndarray, moved: np.ndarray) -> float:
    """How likely errors of these sizes are to point along `moved` as closely as that, if their signs are independent.

    `P(sum s_j w_j >= a) <= prod cosh(t w_j) exp(-t a)` for any t > 0 and independent signs s_j; here `w = |e D|` and
    `a = c |e| |D|`. Equal changes may have one cause, as in equal rows of an embedding, and count once.
    """
    once = np.unique(np.abs(moved), return_index=True)[1]
    e, change = np.abs(error).reshape(-1)[once], np.abs(moved).reshape(-1)[once]
    weights, reach = e * change, np.sqrt(1 - 1 / CLOSER**2) * np.linalg.norm(e) * np.linalg.norm(change)
    if not reach:
        return 1.0
    steps = 2.0 ** np.arange(-2, 12) / weights.max()
    logs = [np.sum(np.logaddexp(t * weights, -t * weights) - np.log(2)) - t * reach for t in steps]
    return float(np.exp(min(0.0, *logs)))


def _within(values: np.ndarray, center: np.ndarray, bound: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):
        return bool((np.abs(values - center) <= bound).all())

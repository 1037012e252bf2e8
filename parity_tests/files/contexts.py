"""Logits of a right head on other contexts: what came before the head differs, not the head.

V logits say more than the d numbers of a context, so the context can be computed from some of them, by least squares.
If it then gives all the others, it is one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from weights_export import Bundle

from .mistakes import sample_of

SPARE = 512  # tokens more than needed
FURTHEST = 0.5  # of the length of a context: beyond, it is another one, not one with errors
LARGEST = 4_096  # of d: beyond, least squares take minutes


def other_contexts(bundle: Bundle, z: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The contexts `(N, d)` that logits `(N, V)` are closest to, and how far the furthest is from the bundle's.

    None where it cannot be told, or where they have little to do with each other.
    """
    v, d = z.shape[-1], bundle.manifest["hidden_size"]
    if v < 2 * d or d > LARGEST or not np.isfinite(z).all():
        return None
    ids = np.unique(np.linspace(0, v - 1, d + d // 4 + SPARE).astype(int))
    sample = sample_of(bundle, ids)
    product, known = _undone(z[:, ids], sample.finish)
    if not known.all():
        return None
    w, context = sample.embedding.astype(np.float64), np.array(bundle.context).astype(np.float64)
    moved = np.linalg.lstsq(w, (product - context @ w.T).T, rcond=None)[0].T
    away = float((np.linalg.norm(moved, axis=-1) / np.linalg.norm(context, axis=-1)).max())
    return (context + moved, away) if away <= FURTHEST else None


def named(away: float) -> str:
    """What such contexts mean."""
    far = f"up to {away:.1g} of their length away"
    return f"other contexts than the bundle's, {far}: the head is right, what comes before it differs"


def _undone(z: np.ndarray, finish: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The products before a head finished them, and where they can be told: a cap hides what is close to it."""
    if not finish:
        return z, np.ones(z.shape, bool)
    cap, bias = finish["cap"], finish["bias"]
    known = np.abs(z) < 0.9 * cap
    uncapped = cap * np.arctanh(np.where(known, z / cap, 0.0)) if cap < np.inf else z
    product = uncapped * finish["divisor"] / finish["multiplier"]
    return product - (0.0 if bias is None else np.asarray(bias, np.float64)), known

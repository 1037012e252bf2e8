"""Logits of a right head on other contexts: what came before the head differs, not the head.

V logits say more than the d numbers of a context, so the context can be computed from some of them, by least squares.
If it then gives all the others, it is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from weights_export import Bundle

from ..judges.roundings import rounded
from .mistakes import sample_of

TIMES = 8  # so many tokens as numbers of a context: the more, the less their own roundings count
OTHER_CONTEXTS = "other contexts than the bundle's"
FURTHEST = 0.5  # of the length of a context: beyond, it is another one, not one with errors
SURE = 6.5  # 2 exp(-6.5^2 / 2) is 1.3e-9
LARGEST = 4_096  # of d: beyond, least squares take minutes


@dataclass(frozen=True)
class Elsewhere:
    """Contexts `(N, d)` that logits are closest to; how far the furthest is from the bundle's, in units of its length;
    and the inverse Gram matrix of the tokens that told, `(d, d)`.
    """

    contexts: np.ndarray
    away: float
    inverse: np.ndarray

    def doubt(self, embedding: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """What logits of these contexts may be off by, because the file's own errors moved the contexts: `(N, V)`.

        With errors of at most `e` in each of the logits that told, independent and of mean 0, a logit is moved by a sum
        of them whose coefficients have the squares `w G^-1 w` in all. By Hoeffding's inequality, it is moved by more
        than SURE times the root of that and e in fewer than one case of 10^9.
        """
        w = embedding.astype(np.float64)
        squares = ((w @ self.inverse) * w).sum(axis=-1)
        return SURE * errors.max(axis=-1, keepdims=True) * np.sqrt(np.maximum(squares, 0.0))


def other_contexts(bundle: Bundle, z: np.ndarray, table: str) -> Elsewhere | None:
    """The contexts that logits `(N, V)` are closest to. `table` is the dtype that the runtime has the embedding in.

    None where it cannot be told, or where they have little to do with the bundle's.
    """
    v, d = z.shape[-1], bundle.manifest["hidden_size"]
    if v < 4 * d or d > LARGEST or not np.isfinite(z).all():
        return None
    ids = np.unique(np.linspace(0, v - 1, min(v, TIMES * d)).astype(int))
    sample = sample_of(bundle, ids)
    product, known = _undone(z[:, ids], sample.finish)
    if not known.all():
        return None
    w = sample.embedding.astype(np.float64) if table == "float32" else rounded(sample.embedding, table)
    context = np.array(bundle.context).astype(np.float64)
    inverse = np.linalg.pinv(w.T @ w, hermitian=True)
    moved = ((product - context @ w.T) @ w) @ inverse
    away = float((np.linalg.norm(moved, axis=-1) / np.linalg.norm(context, axis=-1)).max())
    return Elsewhere(context + moved, away, inverse) if away <= FURTHEST else None


def named(away: float) -> str:
    """What such contexts mean."""
    far = f"up to {away:.1g} of their length away"
    return f"{OTHER_CONTEXTS}, {far}: the head is right, what comes before it differs"


def _undone(z: np.ndarray, finish: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The products before a head finished them, and where they can be told: a cap hides what is close to it."""
    if not finish:
        return z, np.ones(z.shape, bool)
    cap, bias = finish["cap"], finish["bias"]
    known = np.abs(z) < 0.9 * cap
    uncapped = cap * np.arctanh(np.where(known, z / cap, 0.0)) if cap < np.inf else z
    product = uncapped * finish["divisor"] / finish["multiplier"]
    return product - (0.0 if bias is None else np.asarray(bias, np.float64)), known

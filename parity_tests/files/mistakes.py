"""What an export may have got wrong, computed from the bundle: each mistake gives logits, to lie beside a file's.

A mistake is named only if it puts every logit of a row within the bound of some precision, and leaves a quarter of the
error at most that the right head leaves (`judges/precision.py`). What fits no mistake is not recognised.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reference import bounds
from weights_export import Bundle
from weights_export.output_layer import Norm

from .precisions import SHORT, Predicted, all_predicted, held_in, result


@dataclass(frozen=True)
class Sample:
    """The contexts, and some tokens of the vocabulary: enough to tell one head from another."""

    token_ids: np.ndarray  # (S,), ascending
    embedding: np.ndarray  # (S, d)
    finish: Mapping[str, Any]  # of these tokens


def sample_of(bundle: Bundle, token_ids: np.ndarray) -> Sample:
    """These tokens of the vocabulary."""
    finish = bundle.finish
    if finish and finish["bias"] is not None:
        finish["bias"] = np.array(finish["bias"])[token_ids]
    return Sample(token_ids, np.asarray(bundle.embedding[token_ids]).astype(np.float32), finish)


@dataclass(frozen=True)
class Fit:
    """What a mistake explains: of each row whether it fits, and the root mean square of what is left."""

    name: str
    fits: np.ndarray  # (N,), bool
    error: np.ndarray  # (N,)


# A name, contexts and what they may be off by, the embedding, and what follows the product.
Head = tuple[str, np.ndarray, np.ndarray | None, np.ndarray, Mapping[str, Any]]


def fit(name: str, theirs: np.ndarray, *predictions: Predicted) -> Fit:
    """The better of several predictions for each row of logits `(N, S)`."""
    fits, error = np.zeros(len(theirs), bool), np.full(len(theirs), np.inf)
    for prediction in predictions:
        fits |= (prediction.ratio(theirs) <= 1).all(axis=-1)
        with np.errstate(invalid="ignore", over="ignore"):
            left = np.sqrt(np.mean((theirs - prediction.logits) ** 2, axis=-1))
        error = np.fmin(error, left)
    return Fit(name, fits, error)


def wrong_heads(bundle: Bundle, sample: Sample) -> Iterator[Head]:
    """Heads that take another context, another table, or finish the logits in another way."""
    w, right = sample.embedding, sample.finish
    for name, h, off in _contexts(bundle):
        yield name, h, off, w, right
    context = np.array(bundle.context)
    for name, finish in _finishes(right):
        yield name, context, None, w, finish
    if bundle.holds("input_embedding"):
        other = np.asarray(bundle.input_embedding[sample.token_ids]).astype(np.float32)
        yield "the input embedding in place of the output embedding", context, None, other, right


def _contexts(bundle: Bundle) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Other contexts, and what a runtime that computes them may be off by."""
    hidden, context, layer = np.array(bundle.block_output), np.array(bundle.context), bundle.output_layer
    if bundle.holds("previous_context"):
        yield "the position before the last", np.array(bundle.previous_context), None
    if layer.norm is None:
        return
    weight = np.array(bundle.final_norm_weight)
    bias = np.array(bundle.final_norm_bias) if bundle.holds("final_norm.bias") else None

    def normed(norm: Norm, hidden: Any = hidden, weight: Any = weight, bias: Any = bias) -> tuple[Any, Any]:
        bias = None if norm.kind == "rms_norm" else np.zeros_like(weight) if bias is None else bias
        other = replace(layer, norm=norm)
        return other.normed(hidden, weight, bias), other.norm_bound(hidden, weight, bias)

    norm = layer.norm
    yield "the final norm left out", hidden, None
    yield "the final norm applied twice", *normed(norm, context)
    other = replace(norm, kind="rms_norm" if norm.kind == "layer_norm" else "layer_norm")
    called = {"rms_norm": "an RMSNorm", "layer_norm": "a LayerNorm"}
    yield f"{called[other.kind]} in place of {called[norm.kind]}", *normed(other)
    if norm.weight_offset:
        yield "the norm's weight taken as it is, not 1 + weight", *normed(replace(norm, weight_offset=0.0))
    else:
        yield "1 + weight in the final norm, not the weight", *normed(replace(norm, weight_offset=1.0))
    yield "the final norm without its weight", *normed(norm, weight=np.full_like(weight, 1 - norm.weight_offset))
    if bias is not None:
        yield "the final norm without its bias", *normed(norm, bias=np.zeros_like(bias))
    for epsilon in (1e-5, 1e-6, 1e-12):
        if abs(np.log(epsilon / norm.epsilon)) > 1:
            yield f"epsilon {epsilon:g} in the final norm", *normed(replace(norm, epsilon=epsilon))


def _finishes(right: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not right:
        return
    multiplier, divisor = right["multiplier"], right["divisor"]
    if right["bias"] is not None:
        yield "the bias left out", {**right, "bias": None}
    if (multiplier, divisor) != (1, 1):
        yield "the scale left out", {**right, "multiplier": 1.0, "divisor": 1.0}
        yield "divided by the scale, not multiplied, or the other way round", {
            **right, "multiplier": divisor, "divisor": multiplier
        }  # fmt: skip
    if right["cap"] < np.inf:
        yield "the soft cap left out", {**right, "cap": np.inf}


def of_heads(bundle: Bundle, sample: Sample, theirs: np.ndarray, stored: str, right: np.ndarray) -> list[Fit]:
    """What each wrong head explains of the logits `(N, S)` in a file of dtype `stored`.

    `right` is the error that the right head leaves in each row. A head that leaves most of it, in float32, is not asked
    in other precisions: they move logits by less than a mistake does.
    """
    found = []
    for name, h, off, w, finish in wrong_heads(bundle, sample):
        ways = all_predicted(theirs, h, w, finish, stored, off)
        with np.errstate(over="ignore", invalid="ignore"):
            this = fit(name, theirs, next(ways)[1])
            if (2 * this.error <= right).any():
                this = best(this, fit(name, theirs, *(prediction for _, prediction in ways)))
        found.append(this)
    return found


def best(a: Fit, b: Fit) -> Fit:
    """What one mistake explains in either of two precisions."""
    return Fit(a.name, a.fits | b.fits, np.fmin(a.error, b.error))


@dataclass(frozen=True)
class Right:
    """The right logits of all tokens, as a head in some precision has them, and the dtype of what follows."""

    logits: Predicted
    dtype: str

    def then(self, values: np.ndarray, allowed: np.ndarray) -> Predicted:
        """What was computed from them, rounded to that dtype."""
        return Predicted(values, allowed + (result(values, allowed, self.dtype) if self.dtype in SHORT else 0.0))


def rights(theirs: np.ndarray, exact: Predicted) -> list[Right]:
    """The exact logits, as a float32 head and as one whose results are short, as these are, has them."""
    short = held_in(theirs)
    rounded = [Predicted(exact.logits, exact.allowed + result(exact.logits, exact.allowed, dtype)) for dtype in short]
    return [Right(exact, "float32"), *map(Right, rounded, short)]


def of_results(theirs: np.ndarray, of: list[Right]) -> list[Fit]:
    """What is wrong with the logits `(N, V)` of a right head."""
    return _over(of, lambda right: _results(theirs, right))


def of_orders(theirs: np.ndarray, of: list[Right]) -> list[Fit]:
    """The right rows, or the right columns but for those at the ends, in wrong places."""
    return _over(of, lambda right: _orders(theirs, right))


def of_permutation(theirs: np.ndarray, of: list[Right]) -> list[Fit]:
    """The right numbers at other tokens. Sorting moves no number further than its largest error."""
    return _over(of, lambda right: _permutation(theirs, right))


def _over(of: list[Right], fits: Callable[[Right], Iterator[Fit]]) -> list[Fit]:
    """Each mistake in the precision that explains most of it."""
    found: dict[str, Fit] = {}
    for right in of:
        for this in fits(right):
            found[this.name] = best(found.get(this.name, this), this)
    return list(found.values())


def _results(theirs: np.ndarray, right: Right) -> Iterator[Fit]:
    z, allowed = right.logits.logits, right.logits.allowed
    highest = z.max(axis=-1, keepdims=True)
    log_total = highest + np.log(np.exp(z - highest).sum(axis=-1, keepdims=True))
    most = allowed.max(axis=-1, keepdims=True)
    rounded = bounds.log_probs(z, "float32")
    scores, probs = z - log_total, np.exp(z - log_total)
    yield fit("log-probabilities in place of logits", theirs, right.then(scores, allowed + most + rounded))
    yield fit("probabilities in place of logits", theirs, right.then(probs, bounds.softmax(z, "float32", allowed)))
    # A difference of float32 numbers is rounded once; what it may be off by is at most that of a quotient by 1.
    less = right.then(z - highest, bounds.temperature(z - highest, 1.0, "float32", allowed + most))
    yield fit("less the largest of each row", theirs, less)
    alive = np.isfinite(theirs)
    if (theirs == -np.inf).any() and alive.any():
        least = int(alive.sum(axis=-1).min())
        kept = Predicted(np.where(alive, z, -np.inf), allowed)
        yield fit(f"masked: as few as {least:,} tokens of a row are left", theirs, kept)
    with np.errstate(invalid="ignore", divide="ignore"):
        temperature = float(np.sum(z * z) / np.sum(z * np.nan_to_num(theirs, posinf=0.0, neginf=0.0)))
    if np.isfinite(temperature) and temperature > 0:
        scaled = right.then(z / temperature, 2 * bounds.temperature(z, temperature, "float32", allowed))
        shown = f"{temperature:.3g}" if abs(temperature - 1) > 0.005 else f"{temperature:.6g}"
        yield fit(f"divided by a temperature of {shown}", theirs, scaled)


def _orders(theirs: np.ndarray, right: Right) -> Iterator[Fit]:
    z, allowed = right.logits.logits, right.logits.allowed
    for shift in (1, -1):
        inside = slice(1, None) if shift > 0 else slice(None, -1)
        moved = Predicted(np.roll(z, shift, axis=-1)[:, inside], np.roll(allowed, shift, axis=-1)[:, inside])
        yield fit(f"token ids shifted by {shift:+d}", theirs[:, inside], moved)
    places = np.array([_place(row, z, allowed) for row in theirs])
    others = np.flatnonzero((places >= 0) & (places != np.arange(len(z))))
    if len(others):
        what = ", ".join(f"row {n} holds context {places[n]}" for n in others[:3])
        there = Predicted(z[places], allowed[places])
        found = fit(f"contexts in another order: {what}{' and so on' * (len(others) > 3)}", theirs, there)
        yield replace(found, fits=places >= 0)


def _permutation(theirs: np.ndarray, right: Right) -> Iterator[Fit]:
    z, allowed = right.logits.logits, right.logits.allowed
    in_order = Predicted(np.sort(z, axis=-1), np.broadcast_to(allowed.max(axis=-1, keepdims=True), z.shape))
    yield fit("the rows of the embedding in another order", np.sort(theirs, axis=-1), in_order)


def _place(row: np.ndarray, z: np.ndarray, allowed: np.ndarray) -> int:
    """The context that gives this row of logits; -1 if none does."""
    with np.errstate(invalid="ignore"):
        fitting = np.flatnonzero((np.abs(row - z) <= allowed).all(axis=-1))
    return int(fitting[0]) if len(fitting) else -1

"""The verdict on a file of logits: each context's, the precision that explains them, and the likely mistake."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from weights_export import Bundle
from weights_export.output_layer import likely
from weights_export.progress import Report, silent

from ..judges.precision import CLOSER
from ..judges.unusual import figure
from ..judges.words import Word, same_bits
from .contexts import OTHER_CONTEXTS, named, other_contexts
from .mistakes import (
    Fit,
    Right,
    Sample,
    fit,
    of_heads,
    of_orders,
    of_permutation,
    of_results,
    rights,
    sample_of,
)
from .precisions import (
    BOTH,
    FLOAT32,
    SHORT,
    Precision,
    Predicted,
    all_predicted,
    held_in,
    of_table,
    possible,
    predicted,
)

EVENLY, WORST = 2_048, 512  # how many tokens of the vocabulary tell one head from another
TELLING = 32  # from errors so many times larger than roundings likely make on, a mistake is looked for in the bound too


@dataclass(frozen=True)
class Row:
    """One context: its verdict, and how far its logits are from the exact ones.

    - `ratio`: the largest error in units of its bound, at token `place`; `error` is that error itself. None on contexts
      that are not the bundle's, for which there is no bound.
    - `figure`: the errors as a whole: above 1 they are larger than float32's roundings ever are. None in another
      precision.
    - `token`, `due`: the largest logit here and exactly; `gap`: how far apart the two are exactly.
    - `kl`: the Kullback-Leibler divergence of the softmax from the exact one, in nats.
    """

    word: Word
    ratio: float | None
    error: float
    place: int
    figure: float | None
    token: int
    due: int
    gap: float
    kl: float


@dataclass(frozen=True)
class Judged:
    """The verdicts on all contexts.

    `precision` is the one that explains most of them, `mistake` what the others look like, or that they look like none.
    `times_float32` is the largest error in units of float32's bound.
    """

    rows: list[Row]
    precision: str
    mistake: str
    stored: str
    times_float32: float

    @property
    def right(self) -> bool:
        """Whether a right head gives all these logits, in the precision that is named."""
        return all(row.word != Word.DIVERGED for row in self.rows)


def judge_logits(bundle: Bundle, theirs: np.ndarray, own_contexts: bool = False, report: Report = silent) -> Judged:
    """Judge the logits of a bundle's contexts: `(N, V)`, or `(N, rows)` with the padding rows of its table.

    `own_contexts` takes a head for right whose contexts are close to the bundle's, as those of a whole model are that
    computes in another precision.
    """
    stored, v = theirs.dtype.name, bundle.manifest["vocab_size"]
    extra, theirs = theirs.shape[-1] - v, theirs[:, :v]
    z = theirs.astype(np.float64)
    exact = whole(bundle, FLOAT32, stored, report)
    sample = _sample(bundle, z, exact)
    precision, name = _precision(bundle, sample, z[:, sample.token_ids], stored)
    chosen = exact if precision is FLOAT32 else whole(bundle, precision, stored, report)
    ratio = chosen.ratio(z)
    plain = precision is FLOAT32 and stored not in SHORT
    figures: list[float | None] = _figures(bundle, z, exact) if plain else [None] * len(z)
    wrong: np.ndarray = np.asarray((ratio > 1).any(axis=-1))
    suspect = wrong | np.array([found is not None and found > TELLING for found in figures])
    mistake = ""
    if suspect.any():
        mistake, wrong = _mistake(bundle, sample, z, exact, stored, wrong, suspect)
    if own_contexts:
        figures = [None] * len(z)  # it tells of roundings in the contexts, too
        if mistake.startswith(OTHER_CONTEXTS):
            name, mistake, wrong = mistake, "", np.zeros_like(wrong)
    if extra and not mistake:
        mistake = f"padded: the last {extra:,} columns belong to no token; leave them out or mask them with -inf"
        wrong[:] = True
    rows = [
        _row(z[n], exact.logits[n], ratio[n], figures[n], bool(wrong[n]), same_bits(theirs[n], bundle.logits[n]))
        for n in range(len(z))
    ]
    if own_contexts and name.startswith(OTHER_CONTEXTS):  # the bound of the bundle's contexts says nothing of others
        rows = [replace(row, word=Word.WITHIN_BOUND, ratio=None) for row in rows]
    return Judged(rows, name, mistake, stored, float(exact.ratio(z).max()))


def whole(
    bundle: Bundle, precision: Precision, stored: str, report: Report = silent, context: np.ndarray | None = None
) -> Predicted:
    """The prediction for all tokens; the embedding is read once, a few rows at a time."""
    h, parts = np.array(bundle.context) if context is None else context, list[Predicted]()
    for start, block, finish in bundle.rows():
        parts.append(predicted(precision, h, block, finish, stored))
        report(f"logits in {precision.name}", start + len(block), bundle.manifest["vocab_size"])
    return Predicted(*(np.concatenate([getattr(part, name) for part in parts], -1) for name in ("logits", "allowed")))


def _sample(bundle: Bundle, z: np.ndarray, exact: Predicted) -> Sample:
    """Tokens spread evenly over the vocabulary, and those where a row is furthest off or largest."""
    v = z.shape[-1]
    worst = np.argsort(-exact.ratio(z).max(axis=0), kind="stable")[:WORST]
    ids = np.unique(np.concatenate([np.linspace(0, v - 1, min(v, EVENLY)).astype(int), worst, z.argmax(axis=-1)]))
    return sample_of(bundle, ids)


def _precision(bundle: Bundle, sample: Sample, seen: np.ndarray, stored: str) -> tuple[Precision, str]:
    """The precision that explains most rows. Of several, the first, unless another leaves a quarter of the error.

    And its name, with those formats that give the very same logits, as TF32 and float16 do where no number is tiny.
    """
    ways = [
        (way, found, fit(way.name, seen, found))
        for way, found in all_predicted(seen, np.array(bundle.context), sample.embedding, sample.finish, stored)
    ]
    best, logits, explained = ways[0][0], ways[0][1].logits, ways[0][2]
    for way, found, this in ways[1:]:
        more = this.fits.sum() - explained.fits.sum()
        if more > 0 or (more == 0 and this.fits.any() and _left(this) * CLOSER < _left(explained)):
            best, logits, explained = way, found.logits, this
    alike = [
        way.label
        for way, found, this in ways
        if way.form == best.form
        and np.array_equal(this.fits, explained.fits)
        and np.array_equal(found.logits, logits, equal_nan=True)
    ]
    return best, best.form.format(" or ".join(alike))


def _left(found: Fit) -> float:
    return float(np.linalg.norm(found.error[found.fits]))


def _figures(bundle: Bundle, z: np.ndarray, exact: Predicted) -> list[float | None]:
    """The statistical figure of each row."""
    context, parts = np.array(bundle.context), list[tuple[np.ndarray, np.ndarray]]()
    for start, block, finish in bundle.rows():
        parts.append(likely(context, block, finish, exact.logits[:, start : start + len(block)]))
    always, deviation = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    errors = z - exact.logits
    return [figure(errors[n], deviation[n], always[n], exact.logits[n]) for n in range(len(z))]


def _mistake(
    bundle: Bundle, sample: Sample, z: np.ndarray, exact: Predicted, stored: str, wrong: np.ndarray, suspect: np.ndarray
) -> tuple[str, np.ndarray]:
    """What the suspect rows look like, and which are wrong then: those given, and what one mistake explains."""
    ids = sample.token_ids
    of_all, of_some = fit("", z, exact), fit("", z[:, ids], Predicted(exact.logits[:, ids], exact.allowed[:, ids]))
    seen: list[tuple[Fit, np.ndarray]] = []
    for fits, left in _kinds(bundle, sample, z, exact, stored, of_some.error, of_all.error):
        these = [(found, found.fits & (found.error * CLOSER <= left)) for found in fits]
        complete = [found for found, explains in these if explains[suspect].all()]
        if complete:
            size = [float(np.linalg.norm(found.error[suspect])) for found in complete]
            closest = [found.name for found, of_it in zip(complete, size, strict=True) if of_it <= CLOSER * min(size)]
            return " or ".join(closest), suspect
        seen += these
    if not wrong.any():
        return "", wrong
    return _by_row(z, seen, np.flatnonzero(wrong)), wrong


def _kinds(
    bundle: Bundle,
    sample: Sample,
    z: np.ndarray,
    exact: Predicted,
    stored: str,
    of_some: np.ndarray,
    of_all: np.ndarray,
) -> Iterator[tuple[list[Fit], np.ndarray]]:
    """One kind of mistakes after the other, the surest first, and the error that the right head leaves."""
    yield of_heads(bundle, sample, z[:, sample.token_ids], stored, of_some), of_some
    short = [way for way in possible(bundle.manifest["hidden_size"], tuple(held_in(z))) if way.form == BOTH]
    of = rights(z, exact) + [Right(whole(bundle, way, stored), way.result) for way in short]
    for kind in (of_results, of_orders, of_permutation):
        yield kind(z, of), of_all
    for dtype in ("float32", *held_in(z)):
        found = other_contexts(bundle, z, dtype)
        if found is not None:
            there = whole(bundle, of_table(dtype), stored, context=found.contexts)
            doubt = [found.doubt(block, there.allowed) for _, block, _ in bundle.rows()]
            allowed = there.allowed + np.concatenate(doubt, axis=-1)
            # All V logits fit d numbers: that says enough, however small the distance is.
            yield [fit(named(found.away), z, Predicted(there.logits, allowed))], np.full(len(z), np.inf)


def _by_row(z: np.ndarray, seen: list[tuple[Fit, np.ndarray]], rows: np.ndarray) -> str:
    """What each of these rows looks like, rows of one kind together; of those that fit nothing the closest two."""
    kinds: dict[str, list[int]] = {}
    for n in map(int, rows):
        explaining = [found for found, explains in seen if explains[n]]
        text = min(explaining, key=lambda found: float(found.error[n])).name if explaining else ""
        if np.isnan(z[n]).any():
            text = f"not a number, first at token {int(np.argmax(np.isnan(z[n])))}"
        kinds.setdefault(text, []).append(n)
    if "" in kinds:
        others = kinds[""]
        size = [(float(np.sqrt(np.mean(found.error[others] ** 2))), found.name) for found, _ in seen]
        closest = " and ".join(f"{name} ({error:.2g} away)" for error, name in sorted(size)[:2])
        kinds[f"not recognised; closest are {closest}"] = kinds.pop("")
    if len(kinds) == 1:
        return next(iter(kinds))
    return "; ".join(f"row {', '.join(map(str, members))}: {text}" for text, members in kinds.items())


def _row(
    z: np.ndarray, exact: np.ndarray, ratio: np.ndarray, figure: float | None, wrong: bool, identical: bool
) -> Row:
    place, token, due = int(np.argmax(ratio)), int(np.argmax(np.nan_to_num(z, nan=-np.inf))), int(np.argmax(exact))
    word = Word.DIVERGED if wrong else Word.IDENTICAL if identical else Word.WITHIN_BOUND
    if not wrong and token != due:
        word = Word.TIE_BREAK
    with np.errstate(invalid="ignore"):
        error = float(np.abs(z[place] - exact[place]))
    gap = float(exact[due] - exact[token])
    return Row(word, float(ratio[place]), error, place, figure, token, due, gap, _divergence(exact, z))


def _divergence(exact: np.ndarray, z: np.ndarray) -> float:
    """`sum p (ln p - ln q)` of two rows of logits; nan if one of them is none."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        p, q = (x - x.max() - np.log(np.exp(x - x.max()).sum()) for x in (exact, z))
        parts = np.exp(p) * (p - q)
    return float(np.where(np.exp(p) > 0, parts, 0.0).sum())

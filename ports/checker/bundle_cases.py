"""Cases from bundles: whole steps on context vectors, seeded sequences of draws, and bundles that must be refused.

The port reads a bundle from its path. The embedding is never sent.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.judges.draws import judge_draw
from parity_tests.judges.words import BAD, shown
from parity_tests.verdict import Verdict, Word, compare
from reference.operations import DEFAULTS, OPERATIONS, STAGES
from weights_export.bundle import Bundle

from . import made_bundles
from .asking import confirmed
from .by_reference import UNDEFINED, guarded
from .errors import BrokenError, ErroredError, RefusedError, SkippedError
from .port import Port

EMBEDDED = Path(__file__).parents[1] / "tiny_bundle"
# The second differs from the first in k alone, another keeps every token; temperatures near 1 may be taken for 1.
SETTINGS = ((0.7, 50), (0.7, 3), (1.0, 5), (1.5, 1_000_000), (0.97, 40), (1.03, 2_000))
SEEDS = (0, 7, -1, 2**53 + 1, 2**64 - 3)
# What `step` and `sequence` must refuse, by the code.
MUST_REFUSE: dict[str, dict[str, Any]] = {
    "bad_temperature": {"temperature": 0.0},
    "bad_k": {"k": 0},
    "bad_uniform": {"uniform": 1.0},
    "bad_seed": {"seed": 2**64},
}
LARGE = 2**23  # numbers of an embedding, from which on judging a step takes a good part of a second
# The batches of each step of a sequence: always one row, always three, always 17, and changing.
BATCHES = ((1, 1, 1, 1), (3, 3, 3), (17, 17), (2, 5, 1, 3))


@dataclass(frozen=True)
class Opened:
    """A bundle that is open in the port."""

    port: Port
    path: Path
    contexts: np.ndarray
    embedding: np.ndarray
    about: str = "the bundle"

    @cached_property
    def size(self) -> dict[str, int]:
        """What `open_bundle` must answer."""
        v, d = self.embedding.shape
        return {"vocab_size": v, "hidden_size": d, "contexts": len(self.contexts)}

    def head(self, context: int, temperature: float, k: int) -> dict[str, Any]:
        """The arguments of `lm_head` for a step."""
        return {"context": self.contexts[context], "embedding": self.embedding, "temperature": temperature, "k": k}


@dataclass(frozen=True)
class Told:
    """What the port answered to one request about a bundle, and the verdict. `bundle_diagnosis` looks at these."""

    verdict: Verdict
    opened: Opened | None
    given: dict[str, Any]
    actual: Any


def run(port: Port, bundle: Bundle, thorough: bool, told: list[Told]) -> Iterator[Verdict]:
    """The stages at full vocabulary; then `step` on contexts and `sequence` from seeds, if the port has them.

    Fills `told`. Raises: ValueError for a bundle without contexts.
    """
    embedding, contexts = bundle.embedding, bundle.context
    for operation, arguments in _arguments(contexts[0], embedding):
        if operation in port.operations:
            blank = Verdict(operation=operation, word=Word.ERRORED, phase="bundle")
            yield confirmed(lambda: guarded(blank, port, arguments))  # noqa: B023 - called at once
    opened = Opened(port, bundle.folder.resolve(), contexts, embedding)
    verdict = _open(opened)
    yield verdict
    if verdict.conforms:
        few = 1 if embedding.size > LARGE else 3
        yield from _steps(opened, len(contexts) if thorough else few, told)
        for number in range(20 if thorough else len(SEEDS)):
            yield from _sequence(opened, _drawing(opened, number), told)
        yield from _defaults_and_refusals(opened, told)


def made(port: Port, told: list[Told]) -> Iterator[Verdict]:
    """Small bundles of every kind that FORMAT.md allows, and damaged ones; for a port that opens bundles.

    Fills `told`.
    """
    if "open_bundle" not in port.operations:
        return
    with tempfile.TemporaryDirectory(prefix="lm-head-bundles-") as name:
        path = (
            Path(name).resolve() / "bundle"
        )  # one after the other: what a port remembers of a path may be out of date
        for number, (about, kind) in enumerate(made_bundles.GOOD.items()):
            kind.write(path)
            opened = Opened(port, path, kind.context, kind.embedding, about)
            verdict = _open(opened)
            yield verdict
            if not verdict.conforms:
                told.append(Told(verdict, opened, {"kind": about}, None))
            elif kind.contexts:
                yield from _steps(opened, 1, told, SETTINGS[: 2 if kind.vocab_size > 1_000 else None])
                drawing = _drawing(opened, number) if kind.whole else MANY
                yield from _sequence(opened, drawing, told)
            shutil.rmtree(path)
        for what in made_bundles.DAMAGED:
            made_bundles.damaged(path, what)
            verdict = _refuse(port, path, what)
            told.append(Told(verdict, None, {"damage": what}, None))
            yield verdict
            shutil.rmtree(path)


def _open(opened: Opened) -> Verdict:
    blank = _blank("open_bundle", {"path": str(opened.path)}, opened.about)

    def ask() -> Verdict:
        actual = opened.port.call("open_bundle", {"path": str(opened.path)})
        if actual == opened.size:
            return replace(blank, word=Word.IDENTICAL, inputs={}, case="")
        return replace(blank, reason="reports another size of the bundle", actual=actual, expected=opened.size)

    return _asked(opened.port, blank, ask)


def _refuse(port: Port, path: Path, what: str) -> Verdict:
    """The verdict on a damaged bundle."""
    if port.contract.refusals == "none":
        return replace(_blank("open_bundle", {}, what), word=Word.NOT_CHECKED, reason=UNDEFINED)
    return _refused(port, "open_bundle", {"path": str(path)}, "bad_bundle", f"a bundle with {what}")


def _refused(port: Port, operation: str, given: dict[str, Any], code: str, about: str) -> Verdict:
    """The verdict on a request that must be refused with this code."""
    blank = _blank(operation, given, about)
    wrong = replace(blank, word=Word.UNREFUSED, rule="", expected={"code": code})

    def ask() -> Verdict:
        try:
            actual: Any = port.call(operation, dict(given))
        except RefusedError as error:
            if error.code == code:
                return Verdict(operation=operation, word=Word.REFUSED, phase="bundle")
            return replace(wrong, reason=f"refused as {error.code}, not as {code}", actual=error)
        return replace(wrong, reason="answered what must be refused", actual=actual)

    return _asked(port, blank, ask)


def _steps(
    opened: Opened, asked: int, told: list[Told], settings: Sequence[tuple[float, int]] = SETTINGS
) -> Iterator[Verdict]:
    """Steps on the first contexts; each again with a uniform just beside a running sum of the port's own answer."""
    if "step" not in opened.port.operations:
        return
    n = len(opened.contexts)
    which = list(dict.fromkeys((0, n - 1, n // 2, n // 3, *range(n))))[:asked]  # the last one too
    uniforms = reference.TorchGenerator(0).uniform((len(which), len(settings)))
    for i, of_context in zip(which, uniforms.tolist(), strict=True):
        for number, ((temperature, k), uniform) in enumerate(zip(settings, of_context, strict=True)):
            given = {"context": i, "temperature": temperature, "k": k, "uniform": uniform}
            verdict, probs = _step(opened, given, told)
            yield verdict
            if verdict.conforms and probs is not None:
                yield _step(opened, {**given, "uniform": _beside(probs, number)}, told)[0]
    # In the bundles made of whole numbers the two likeliest tokens tie: the target is exactly their first running sum.
    yield _step(opened, {"context": 0, "temperature": 1.0, "k": 2, "uniform": 0.5}, told)[0]


def _defaults_and_refusals(opened: Opened, told: list[Told]) -> Iterator[Verdict]:
    """Steps and sequences that leave temperature and k out, the same seed twice in a row, and bad input."""
    step, drawing = {"context": 0, "uniform": 0.25}, {"contexts": [[0, 0, 0]] * 3, "seed": 3}
    if "step" in opened.port.operations:
        yield _step(opened, step, told)[0]
    for _ in range(2):
        yield from _sequence(opened, drawing, told)
    contract = opened.port.contract
    for operation, given in (("step", {**step, "temperature": 1.0, "k": 5}), ("sequence", {**drawing, "k": 5})):
        for code, bad in MUST_REFUSE.items():
            asked = {**given, **bad}
            means_something = contract.refusals == "none" or contract.differs(operation, asked)
            takes_it = bad.keys() <= OPERATIONS[operation].arguments.keys() and operation in opened.port.operations
            if takes_it and not means_something:
                yield _refused(opened.port, operation, asked, code, opened.about)


def settings_of(given: dict[str, Any]) -> dict[str, Any]:
    """Temperature and k of a step or a sequence, which it may leave out."""
    return {name: given.get(name, DEFAULTS[name]) for name in ("temperature", "k")}


def _beside(probs: np.ndarray, number: int) -> float:
    """A uniform so close to a running sum of these probabilities that float32 takes one for the other."""
    running = np.cumsum(probs.astype(np.float64))
    possible = np.flatnonzero(probs)
    at = running[possible[len(possible) // 2]] / running[-1]
    return float(min(at * (1 + (2.0**-30 if number % 2 else -(2.0**-30))), 1 - 2.0**-53))


def _step(opened: Opened, given: dict[str, Any], told: list[Told]) -> tuple[Verdict, np.ndarray | None]:
    """The verdict on one step, and the probabilities if it gave any."""
    blank = _blank("step", given, opened.about)
    last: list[Any] = [None]

    def ask() -> Verdict:
        actual = last[0] = opened.port.call("step", dict(given))
        if actual.keys() != set(OPERATIONS["step"].results):
            reason = f"the result has the keys {', '.join(map(str, actual))}: it must have probs and token_id"
            return replace(blank, word=Word.ERRORED, rule="", reason=reason)
        probs, token_id = (actual[name] for name in OPERATIONS["step"].results)
        if not isinstance(probs, np.ndarray) or type(token_id) is not int:
            reason = "probs must be a tensor and token_id a plain number"
            return replace(blank, word=Word.ERRORED, rule="", reason=reason, actual=actual)
        settings = settings_of(given)
        head = opened.head(given["context"], **settings)
        ties = opened.port.contract.rule_for_ties()
        verdict = compare("lm_head", reference.lm_head(**head), probs, **head, ties=ties)
        if verdict.conforms:
            walk: dict[str, Any] = {"probs": probs, "uniform": np.array(given["uniform"])}
            drawn = compare("inverse_cdf", reference.inverse_cdf(**walk), np.array(token_id), **walk)
            verdict = verdict if drawn.conforms else drawn
        case = "" if verdict.conforms else f"{opened.about}, {shown(given)}"
        return replace(verdict, operation="step", phase="bundle", case=case)

    verdict = _asked(opened.port, blank, ask)
    told.append(Told(verdict, opened, given, last[0]))
    return verdict, last[0].get("probs") if isinstance(last[0], dict) and verdict.conforms else None


def _drawing(opened: Opened, number: int) -> dict[str, Any]:
    """The arguments of one sequence: with other settings, seeds and batches each time."""
    (temperature, k), n = SETTINGS[number % len(SETTINGS)], len(opened.contexts)
    batches = BATCHES[number % len(BATCHES)]
    which = [[(number + step + 3 * row) % n for row in range(batch)] for step, batch in enumerate(batches)]
    return {"contexts": which, "temperature": temperature, "k": k, "seed": SEEDS[number % len(SEEDS)]}


# So many draws that reduced precision shows in the tokens; more steps and rows than any block of numbers holds.
MANY = {"contexts": [[row % 3 for row in range(1_000)]] * 24, "temperature": 1.3, "k": 60, "seed": 11}


def _sequence(opened: Opened, given: dict[str, Any], told: list[Told]) -> Iterator[Verdict]:
    """The verdict on one sequence, if the port has sequences."""
    if "sequence" not in opened.port.operations:
        return
    blank = replace(_blank("sequence", given, opened.about), phase="sequences")
    if opened.port.contract.stream == "own":
        yield replace(blank, word=Word.NOT_CHECKED, reason="its random stream is its own")
    else:
        last: list[Any] = [None]
        verdict = _asked(opened.port, blank, partial(_drawn, opened, given, blank, last))
        told.append(Told(verdict, opened, given, last[0]))
        yield verdict


def _drawn(opened: Opened, given: dict[str, Any], blank: Verdict, last: list[Any]) -> Verdict:
    """The verdict on the tokens of one sequence; they go into `last`."""
    actual, which = opened.port.call("sequence", dict(given)).get("token_ids"), given["contexts"]
    last[0] = actual
    rows_of = [len(row) for row in actual if isinstance(row, list)] if isinstance(actual, list) else None
    if rows_of != [len(row) for row in which]:
        reason = "token_ids must be nested like contexts"
        return replace(blank, word=Word.ERRORED, rule="", reason=reason, actual=actual)
    assert isinstance(actual, list)
    settings = settings_of(given)
    rng, word = reference.TorchGenerator(given["seed"]), Word.IDENTICAL
    for step, (rows, tokens) in enumerate(zip(which, actual, strict=True)):
        probs = reference.lm_head(opened.contexts[rows], opened.embedding, **settings)
        noise = rng.standard_exponential(probs.shape, probs.dtype)
        race = np.where(probs > 0, probs / noise, -1).argmax(axis=-1).tolist()
        for row, (expected, found) in enumerate(zip(race, tokens, strict=True)):
            if expected == found:
                continue
            in_range = type(found) is int and 0 <= found < len(opened.embedding)
            context = opened.contexts[rows[row]]
            if not in_range or judge_draw(context, opened.embedding, noise[row], found, **settings) > 1:
                reason = f"another token at step {step}, row {row}: by its noise or by its probabilities"
                return replace(blank, reason=reason, actual=tokens, expected=race)
            word = Word.TIE_BREAK
    return replace(blank, word=word, inputs={}, case="")


def _blank(operation: str, inputs: dict[str, Any], about: str) -> Verdict:
    """A verdict that is filled in later."""
    rule = OPERATIONS[operation].rule
    return Verdict(operation=operation, word=Word.DIVERGED, phase="bundle", rule=rule, inputs=inputs, case=about)


def _arguments(context: np.ndarray, embedding: np.ndarray) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments of each stage that does not take the embedding, from one context at full vocabulary."""
    logits = reference.compute_logits(context, embedding)
    probs = reference.softmax(reference.apply_temperature(logits, DEFAULTS["temperature"]))
    values = {
        "logits": logits,
        "probs": probs,
        "noise": reference.TorchGenerator(1).standard_exponential(probs.shape, probs.dtype),
        "uniform": np.array(0.5, probs.dtype),
        **{name: value for name, value in DEFAULTS.items() if name not in ("ties", "num_samples")},
    }
    for operation in STAGES:
        if "embedding" not in OPERATIONS[operation].arguments:
            yield operation, OPERATIONS[operation].given(values)


def _asked(port: Port, blank: Verdict, ask: Callable[[], Verdict]) -> Verdict:
    """The confirmed verdict of `ask`, or one that says why the call gave no result."""
    if blank.operation not in port.operations:
        return replace(blank, word=Word.NOT_CHECKED, reason=f"it has no {blank.operation}")

    def verdict() -> Verdict:
        try:
            return ask()
        except SkippedError as reason:
            return replace(blank, word=Word.NOT_CHECKED, reason=str(reason))
        except RefusedError as error:
            return replace(blank, rule="HEAD-5", reason="refused", actual=error, expected="an answer")
        except (BrokenError, ErroredError, ValueError, TypeError) as error:
            return replace(blank, word=Word.ERRORED, rule="", reason=str(error), actual=error)

    found = confirmed(verdict)
    return found if found.word in BAD else replace(found, inputs={})

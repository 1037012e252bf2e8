"""Steps and sequences on the bundle that a port has open, and what is asked of it there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.judges.draws import judge_draw
from parity_tests.judges.words import BAD, shown
from parity_tests.verdict import Verdict, Word, compare
from reference.operations import DEFAULTS, OPERATIONS

from .asking import confirmed
from .errors import BrokenError, ErroredError, RefusedError, SkippedError
from .port import Port

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
# The batches of each step of a sequence: always one row, always three, always 17, and changing.
BATCHES = ((1, 1, 1, 1), (3, 3, 3), (17, 17), (2, 5, 1, 3))
# So many draws that reduced precision shows in the tokens; more steps and rows than any block of numbers holds.
MANY = {"contexts": [[row % 3 for row in range(1_000)]] * 24, "temperature": 1.3, "k": 60, "seed": 11}


@dataclass(frozen=True)
class Opened:
    """A bundle that is open in the port."""

    port: Port
    path: Path
    contexts: np.ndarray
    embedding: np.ndarray
    about: str = "the bundle"
    finish: Mapping[str, Any] = field(default_factory=dict)  # as `Bundle.finish`

    @cached_property
    def size(self) -> dict[str, int]:
        """What `open_bundle` must answer."""
        v, d = self.embedding.shape
        return {"vocab_size": v, "hidden_size": d, "contexts": len(self.contexts)}

    def head(self, context: int, temperature: float, k: int) -> dict[str, Any]:
        """The arguments of `lm_head` for a step, and the finish of the logits."""
        given = {"context": self.contexts[context], "embedding": self.embedding, "temperature": temperature, "k": k}
        return {**given, "finish": self.finish}


@dataclass(frozen=True)
class Told:
    """What the port answered to one request about a bundle, and the verdict. `bundle_diagnosis` looks at these."""

    verdict: Verdict
    opened: Opened | None
    given: dict[str, Any]
    actual: Any


def whole(
    head: Any, context: np.ndarray, embedding: np.ndarray, finish: Mapping[str, Any], temperature: float, k: int
) -> np.ndarray:
    """The `lm_head` of a head, or its stages with the finish of the logits between: `(..., d) -> (..., V)`."""
    if not finish:
        return np.asarray(head.lm_head(context, embedding, temperature, k))
    logits = head.finish_logits(head.compute_logits(context, embedding), **finish)
    return np.asarray(head.softmax(head.keep_top_k(head.apply_temperature(logits, temperature), k)))


def of_rows(probs: Callable[[list[int]], np.ndarray], rows: Sequence[int]) -> np.ndarray:
    """The probabilities of the contexts of a batch. Each is computed once: a sequence has few, and many times."""
    once = sorted(set(rows))
    return probs(once)[[once.index(row) for row in rows]]


def steps(
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


def _beside(probs: np.ndarray, number: int) -> float:
    """A uniform so close to a running sum of these probabilities that float32 takes one for the other."""
    running = np.cumsum(probs.astype(np.float64))
    possible = np.flatnonzero(probs)
    at = running[possible[len(possible) // 2]] / running[-1]
    return float(min(at * (1 + (2.0**-30 if number % 2 else -(2.0**-30))), 1 - 2.0**-53))


def _step(opened: Opened, given: dict[str, Any], told: list[Told]) -> tuple[Verdict, np.ndarray | None]:
    """The verdict on one step, and the probabilities if it gave any."""
    blank = blank_of("step", given, opened.about)
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
        verdict = compare("lm_head", whole(reference, **head), probs, **head, ties=ties)
        if verdict.conforms:
            walk: dict[str, Any] = {"probs": probs, "uniform": np.array(given["uniform"])}
            drawn = compare("inverse_cdf", reference.inverse_cdf(**walk), np.array(token_id), **walk)
            verdict = verdict if drawn.conforms else drawn
        case = "" if verdict.conforms else f"{opened.about}, {shown(given)}"
        return replace(verdict, operation="step", phase="bundle", case=case)

    verdict = asked(opened.port, blank, ask)
    told.append(Told(verdict, opened, given, last[0]))
    return verdict, last[0].get("probs") if isinstance(last[0], dict) and verdict.conforms else None


def drawing_of(opened: Opened, number: int) -> dict[str, Any]:
    """The arguments of one sequence: with other settings, seeds and batches each time."""
    (temperature, k), n = SETTINGS[number % len(SETTINGS)], len(opened.contexts)
    batches = BATCHES[number % len(BATCHES)]
    which = [[(number + step + 3 * row) % n for row in range(batch)] for step, batch in enumerate(batches)]
    return {"contexts": which, "temperature": temperature, "k": k, "seed": SEEDS[number % len(SEEDS)]}


def sequence(opened: Opened, given: dict[str, Any], told: list[Told]) -> Iterator[Verdict]:
    """The verdict on one sequence, if the port has sequences."""
    if "sequence" not in opened.port.operations:
        return
    blank = replace(blank_of("sequence", given, opened.about), phase="sequences")
    if opened.port.contract.stream == "own":
        yield replace(blank, word=Word.NOT_CHECKED, reason="its random stream is its own")
    else:
        last: list[Any] = [None]
        verdict = asked(opened.port, blank, partial(_drawn, opened, given, blank, last))
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

    def probs_of(rows: list[int]) -> np.ndarray:
        return whole(reference, opened.contexts[rows], opened.embedding, opened.finish, **settings)

    rng, word = reference.TorchGenerator(given["seed"]), Word.IDENTICAL
    for step, (rows, tokens) in enumerate(zip(which, actual, strict=True)):
        probs = of_rows(probs_of, rows)
        noise = rng.standard_exponential(probs.shape, probs.dtype)
        race = np.where(probs > 0, probs / noise, -1).argmax(axis=-1).tolist()
        for row, (expected, found) in enumerate(zip(race, tokens, strict=True)):
            if expected == found:
                continue
            in_range = type(found) is int and 0 <= found < len(opened.embedding)
            context = opened.contexts[rows[row]]
            drawn = {"noise": noise[row], "token": found, **settings, "finish": opened.finish}
            if not in_range or judge_draw(context, opened.embedding, **drawn) > 1:
                reason = f"another token at step {step}, row {row}: by its noise or by its probabilities"
                return replace(blank, reason=reason, actual=tokens, expected=race)
            word = Word.TIE_BREAK
    return replace(blank, word=word, inputs={}, case="")


def defaults_and_refusals(opened: Opened, told: list[Told]) -> Iterator[Verdict]:
    """Steps and sequences that leave temperature and k out, the same seed twice in a row, and bad input."""
    step, drawing = {"context": 0, "uniform": 0.25}, {"contexts": [[0, 0, 0]] * 3, "seed": 3}
    if "step" in opened.port.operations:
        yield _step(opened, step, told)[0]
    for _ in range(2):
        yield from sequence(opened, drawing, told)
    contract = opened.port.contract
    for operation, given in (("step", {**step, "temperature": 1.0, "k": 5}), ("sequence", {**drawing, "k": 5})):
        for code, bad in MUST_REFUSE.items():
            request = {**given, **bad}
            means_something = contract.refusals == "none" or contract.differs(operation, request)
            takes_it = bad.keys() <= OPERATIONS[operation].arguments.keys() and operation in opened.port.operations
            if takes_it and not means_something:
                yield refused(opened.port, operation, request, code, opened.about)


def refused(port: Port, operation: str, given: dict[str, Any], code: str, about: str) -> Verdict:
    """The verdict on a request that must be refused with this code."""
    blank = blank_of(operation, given, about)
    wrong = replace(blank, word=Word.UNREFUSED, rule="", expected={"code": code})

    def ask() -> Verdict:
        try:
            actual: Any = port.call(operation, dict(given))
        except RefusedError as error:
            if error.code == code:
                return Verdict(operation=operation, word=Word.REFUSED, phase="bundle")
            return replace(wrong, reason=f"refused as {error.code}, not as {code}", actual=error)
        return replace(wrong, reason="answered what must be refused", actual=actual)

    return asked(port, blank, ask)


def settings_of(given: dict[str, Any]) -> dict[str, Any]:
    """Temperature and k of a step or a sequence, which it may leave out."""
    return {name: given.get(name, DEFAULTS[name]) for name in ("temperature", "k")}


def blank_of(operation: str, inputs: dict[str, Any], about: str) -> Verdict:
    """A verdict that is filled in later."""
    rule = OPERATIONS[operation].rule
    return Verdict(operation=operation, word=Word.DIVERGED, phase="bundle", rule=rule, inputs=inputs, case=about)


def asked(port: Port, blank: Verdict, ask: Callable[[], Verdict]) -> Verdict:
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

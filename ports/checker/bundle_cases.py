"""Cases from a bundle at its full vocabulary: whole steps on its context vectors, and seeded sequences of draws."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.judges.draws import judge_draw
from parity_tests.judges.words import shown
from parity_tests.verdict import Verdict, Word, compare
from reference.operations import DEFAULTS, OPERATIONS, STAGES
from weights_export.bundle import Bundle

from .by_reference import one
from .errors import BrokenError, ErroredError, RefusedError, SkippedError
from .port import Port

EMBEDDED = Path(__file__).parents[1] / "tiny_bundle"
SETTINGS = ((0.7, 50), (1.0, 5), (1.5, 1_000_000))  # the last keeps every token
STEPS, BATCH = 6, 2


def run(port: Port, bundle: Bundle, thorough: bool) -> Iterator[Verdict]:
    """Every function once, at full vocabulary; then `step` on contexts and `sequence` from seeds, if the port has them.

    Raises: ValueError for a bundle without contexts.
    """
    embedding, contexts = bundle.embedding, bundle.context
    for operation, arguments in _arguments(contexts[0], embedding):
        if operation in port.operations and not port.lacks(operation, arguments):
            blank = _blank(operation, {})
            yield _guarded(blank, partial(one, port, operation, arguments, "bundle"))
    blank = _blank("open_bundle", {"path": bundle.folder})
    if "open_bundle" not in port.operations:
        yield replace(blank, word=Word.NOT_CHECKED, reason="it has no open_bundle")
        return
    opened = _guarded(blank, partial(_open, port, bundle.folder, embedding, contexts, blank))
    yield opened
    if not opened.conforms:
        return
    asked = len(contexts) if thorough else min(4, len(contexts))
    if "step" in port.operations:
        uniforms = reference.TorchGenerator(0).uniform((asked, len(SETTINGS)))
        for i in range(asked):
            for (temperature, k), uniform in zip(SETTINGS, uniforms[i].tolist(), strict=True):
                blank = _blank("step", {"context": i, "temperature": temperature, "k": k, "uniform": uniform})
                yield _guarded(blank, partial(_step, port, contexts, embedding, blank))
    if "sequence" in port.operations:
        for seed in range(20 if thorough else 4):
            temperature, k = SETTINGS[seed % len(SETTINGS)]
            which = [[(seed + step + 3 * row) % len(contexts) for row in range(BATCH)] for step in range(STEPS)]
            inputs = {"contexts": which, "temperature": temperature, "k": k, "seed": seed}
            blank = replace(_blank("sequence", inputs), phase="sequences")
            yield _guarded(blank, partial(_sequence, port, contexts, embedding, blank))


def _blank(operation: str, inputs: dict[str, Any]) -> Verdict:
    """A verdict that is filled in later."""
    rule = OPERATIONS[operation].rule
    return Verdict(operation=operation, word=Word.DIVERGED, phase="bundle", rule=rule, inputs=inputs)


def _arguments(context: np.ndarray, embedding: np.ndarray) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments of each function, as the reference computes them from one context at full vocabulary."""
    logits = reference.compute_logits(context, embedding)
    probs = reference.softmax(reference.apply_temperature(logits, DEFAULTS["temperature"]))
    values = {
        "context": context,
        "embedding": embedding,
        "logits": logits,
        "probs": probs,
        "noise": reference.TorchGenerator(1).standard_exponential(probs.shape, probs.dtype),
        "uniform": np.array(0.5),
        **{name: value for name, value in DEFAULTS.items() if name not in ("ties", "num_samples")},
    }
    for operation in STAGES:
        yield operation, OPERATIONS[operation].given(values)


def _guarded(blank: Verdict, check: Callable[[], Verdict]) -> Verdict:
    """The verdict of `check`, or one that says why the call gave no result."""
    try:
        return check()
    except SkippedError as reason:
        return replace(blank, word=Word.NOT_CHECKED, reason=str(reason))
    except RefusedError as error:
        return replace(blank, rule="HEAD-5", reason="refused", case="the bundle", actual=error)
    except (BrokenError, ErroredError, ValueError, TypeError) as error:
        return replace(blank, word=Word.ERRORED, rule="", reason=str(error), case="the bundle", actual=error)


def _open(port: Port, folder: Path, embedding: np.ndarray, contexts: np.ndarray, blank: Verdict) -> Verdict:
    actual = port.call("open_bundle", {"path": str(folder.resolve())})
    expected = {"vocab_size": len(embedding), "hidden_size": embedding.shape[1], "contexts": len(contexts)}
    if actual == expected:
        return replace(blank, word=Word.IDENTICAL, inputs={})
    return replace(blank, reason="reports another size of the bundle", actual=actual, expected=expected)


def _step(port: Port, contexts: np.ndarray, embedding: np.ndarray, blank: Verdict) -> Verdict:
    given = dict(blank.inputs)
    actual = port.call("step", given)
    probs, token_id = (actual.get(name) for name in OPERATIONS["step"].results)
    if not isinstance(probs, np.ndarray) or type(token_id) is not int:
        return replace(blank, word=Word.ERRORED, rule="", reason="the result must have probs and token_id")
    head = {"context": contexts[given["context"]], "embedding": embedding}
    head |= {"temperature": given["temperature"], "k": given["k"]}
    verdict = compare("lm_head", reference.lm_head(**head), probs, **head)
    if verdict.conforms:
        walk: dict[str, Any] = {"probs": probs, "uniform": np.array(given["uniform"])}
        drawn = compare("inverse_cdf", reference.inverse_cdf(**walk), np.array(token_id), **walk)
        verdict = verdict if drawn.conforms else drawn
    case = shown(given)
    return replace(verdict, operation="step", phase="bundle", case="" if verdict.conforms else case)


def _sequence(port: Port, contexts: np.ndarray, embedding: np.ndarray, blank: Verdict) -> Verdict:
    given = dict(blank.inputs)
    actual, which = port.call("sequence", given).get("token_ids"), given["contexts"]
    rows_of = [len(row) for row in actual if isinstance(row, list)] if isinstance(actual, list) else None
    if rows_of != [len(row) for row in which]:
        reason = "token_ids must be nested like contexts"
        return replace(blank, word=Word.ERRORED, rule="", reason=reason, actual=actual)
    assert isinstance(actual, list)
    settings = {"temperature": given["temperature"], "k": given["k"]}
    rng, word = reference.TorchGenerator(given["seed"]), Word.IDENTICAL
    for step, (rows, tokens) in enumerate(zip(which, actual, strict=True)):
        probs = reference.lm_head(contexts[rows], embedding, **settings)
        noise = rng.standard_exponential(probs.shape, probs.dtype)
        race = np.where(probs > 0, probs / noise, -1).argmax(axis=-1).tolist()
        for row, (expected, found) in enumerate(zip(race, tokens, strict=True)):
            if expected == found:
                continue
            in_range = type(found) is int and 0 <= found < len(embedding)
            context = contexts[rows[row]]
            if not in_range or judge_draw(context, embedding, noise[row], found, **settings) > 1:
                reason = f"another token at step {step}, row {row}"
                return replace(blank, reason=reason, actual=tokens, expected=race)
            word = Word.TIE_BREAK
    return replace(blank, word=word, inputs={})

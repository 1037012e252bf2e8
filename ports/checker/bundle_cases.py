"""A bundle at its full vocabulary: whole steps on its context vectors, and seeded sequences of draws."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.judges.draws import judge_draw
from parity_tests.verdict import compare
from weights_export.bundle import Bundle

from .judge import RefusedError, SkippedError
from .port import Port
from .process import BrokenError, ErroredError
from .random_cases import of_verdict, one
from .results import Mark, Result, brief

EMBEDDED = Path(__file__).parents[1] / "tiny_bundle"
SETTINGS = ((0.7, 50), (1.0, 5), (1.5, 1_000_000))  # the last keeps every token
STEPS, BATCH = 6, 2


def run(port: Port, bundle: Bundle, thorough: bool) -> Iterator[Result]:
    """Every stage once at full vocabulary; `step` on contexts; `sequence` from seeds, if the port has them.

    Raises: ValueError for a bundle without contexts.
    """
    embedding, contexts = bundle.embedding, bundle.context
    for stage, arguments in _stages(contexts[0], embedding):
        if stage in port.operations and not port.lacks(stage, arguments):
            yield _guarded("bundle", stage, lambda s=stage, a=arguments: one(port, s, a, "bundle"))
    if "open_bundle" not in port.operations:
        yield Result("bundle", "open_bundle", Mark.NOT_CHECKED, reason="it has no open_bundle")
        return
    opened = _guarded("bundle", "open_bundle", lambda: _open(port, bundle.folder, embedding, contexts))
    yield opened
    if opened.mark != Mark.IDENTICAL:
        return
    shown = len(contexts) if thorough else min(4, len(contexts))
    if "step" in port.operations:
        uniforms = reference.TorchGenerator(0).uniform((shown, len(SETTINGS)))
        for i in range(shown):
            for (temperature, k), uniform in zip(SETTINGS, uniforms[i].tolist(), strict=True):
                inputs = {"context": i, "temperature": temperature, "k": k, "uniform": uniform}
                yield _guarded("bundle", "step", lambda g=inputs: _step(port, contexts, embedding, g))
    if "sequence" in port.operations:
        for seed in range(20 if thorough else 4):
            temperature, k = SETTINGS[seed % len(SETTINGS)]
            which = [[(seed + step + 3 * row) % len(contexts) for row in range(BATCH)] for step in range(STEPS)]
            inputs = {"contexts": which, "temperature": temperature, "k": k, "seed": seed}
            yield _guarded("sequences", "sequence", lambda g=inputs: _sequence(port, contexts, embedding, g))


def _stages(context: np.ndarray, embedding: np.ndarray) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage on what the reference makes of one context, all of the vocabulary at once."""
    logits = reference.compute_logits(context, embedding)
    probs = reference.softmax(reference.apply_temperature(logits, 0.7))
    noise = reference.TorchGenerator(1).standard_exponential(probs.shape, probs.dtype)
    yield "compute_logits", {"context": context, "embedding": embedding}
    yield "apply_temperature", {"logits": logits, "temperature": 0.7}
    yield "top_k", {"logits": logits, "k": 50}
    yield "keep_top_k", {"logits": logits, "k": 50}
    yield "softmax", {"logits": logits}
    yield "multinomial", {"probs": probs, "noise": noise}
    yield "inverse_cdf", {"probs": probs, "uniform": np.array(0.5)}
    yield "lm_head", {"context": context, "embedding": embedding, "temperature": 0.7, "k": 50}


def _guarded(phase: str, op: str, check: Any) -> Result:
    """What a check gives, or what became of the call."""
    try:
        result: Result = check()
    except SkippedError as reason:
        return Result(phase, op, Mark.NOT_CHECKED, reason=str(reason))
    except RefusedError as error:
        return Result(phase, op, Mark.DIVERGED, rule="HEAD-5", case="the bundle", reason=f"refused as {error}")
    except (BrokenError, ErroredError, ValueError, TypeError) as error:
        return Result(phase, op, Mark.ERRORED, case="the bundle", reason=str(error))
    return result


def _open(port: Port, folder: Path, embedding: np.ndarray, contexts: np.ndarray) -> Result:
    came = port.call("open_bundle", {"path": str(folder.resolve())})
    expected = {"vocab_size": len(embedding), "hidden_size": embedding.shape[1], "contexts": len(contexts)}
    if came == expected:
        return Result("bundle", "open_bundle", Mark.IDENTICAL)
    reason = "another shape of the bundle"
    return Result("bundle", "open_bundle", Mark.DIVERGED, 0.0, "", str(folder), reason, brief(came), brief(expected))


def _step(port: Port, contexts: np.ndarray, embedding: np.ndarray, given: dict[str, Any]) -> Result:
    came = port.call("step", given)
    probs, token_id = came.get("probs"), came.get("token_id")
    case = brief(given)
    if not isinstance(probs, np.ndarray) or type(token_id) is not int:
        return Result("bundle", "step", Mark.ERRORED, case=case, reason="the result must have probs and token_id")
    head = {"context": contexts[given["context"]], "embedding": embedding}
    head |= {"temperature": given["temperature"], "k": given["k"]}
    verdict = compare("lm_head", reference.lm_head(**head), probs, **head)
    if verdict.word == "DIVERGED":
        return of_verdict("bundle", "step", verdict, case)
    walk = {"probs": probs, "uniform": np.array(given["uniform"])}
    drawn = compare("inverse_cdf", reference.inverse_cdf(**walk), np.array(token_id), **walk)
    return of_verdict("bundle", "step", drawn if drawn.word == "DIVERGED" else verdict, case)


def _sequence(port: Port, contexts: np.ndarray, embedding: np.ndarray, given: dict[str, Any]) -> Result:
    came = port.call("sequence", given).get("token_ids")
    case, which = brief(given), given["contexts"]
    if not isinstance(came, list) or [len(row) for row in came if isinstance(row, list)] != [len(row) for row in which]:
        reason = "token_ids must be nested as contexts are"
        return Result("sequences", "sequence", Mark.ERRORED, case=case, reason=reason, came=brief(came))
    rng, mark = reference.TorchGenerator(given["seed"]), Mark.IDENTICAL
    for step, (rows, tokens) in enumerate(zip(which, came, strict=True)):
        probs = reference.lm_head(contexts[rows], embedding, given["temperature"], given["k"])
        noise = rng.standard_exponential(probs.shape, probs.dtype)
        race = np.where(probs > 0, probs / noise, -1).argmax(axis=-1).tolist()
        for row, (ours, theirs) in enumerate(zip(race, tokens, strict=True)):
            if ours == theirs:
                continue
            in_range = type(theirs) is int and 0 <= theirs < len(embedding)
            settings = {"temperature": given["temperature"], "k": given["k"]}
            context = contexts[rows[row]]
            if not in_range or judge_draw(context, embedding, noise[row], theirs, **settings) > 1:
                reason = f"another token at step {step}, row {row}"
                return Result(
                    "sequences", "sequence", Mark.DIVERGED, 0.0, "RNG-5", case, reason, brief(tokens), brief(race)
                )
            mark = Mark.TIE_BREAK
    return Result("sequences", "sequence", mark)

"""Cases from bundles: the embedded one or another, small ones of every kind, and those that must be refused.

The port reads a bundle from its path. The embedding is never sent.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.verdict import Verdict, Word
from reference.operations import DEFAULTS, OPERATIONS, STAGES
from weights_export.bundle import Bundle

from . import made_bundles
from .asking import confirmed
from .bundle_steps import (
    MANY,
    SEEDS,
    SETTINGS,
    Opened,
    Told,
    asked,
    blank_of,
    defaults_and_refusals,
    drawing_of,
    refused,
    sequence,
    steps,
)
from .by_reference import UNDEFINED, guarded
from .port import Port

EMBEDDED = Path(__file__).parents[1] / "tiny_bundle"
LARGE = 2**23  # numbers of an embedding, from which on judging a step takes a good part of a second


def run(port: Port, bundle: Bundle, thorough: bool, told: list[Told]) -> Iterator[Verdict]:
    """The stages at full vocabulary; then `step` on contexts and `sequence` from seeds, if the port has them.

    Fills `told`. Raises: ValueError for a bundle without contexts.
    """
    embedding, contexts = bundle.embedding, bundle.context
    for operation, arguments in _arguments(contexts[0], embedding):
        if operation in port.operations:
            blank = Verdict(operation=operation, word=Word.ERRORED, phase="bundle")
            yield confirmed(lambda: guarded(blank, port, arguments))  # noqa: B023 - called at once
    if port.layouts and "open_bundle" not in port.operations:  # a Python head, which has no such function
        return
    opened = Opened(port, bundle.folder.resolve(), contexts, embedding)
    verdict = _open(opened)
    yield verdict
    if verdict.conforms:
        few = 1 if embedding.size > LARGE else 3
        yield from steps(opened, len(contexts) if thorough else few, told)
        for number in range(20 if thorough else len(SEEDS)):
            yield from sequence(opened, drawing_of(opened, number), told)
        yield from defaults_and_refusals(opened, told)


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
                yield from steps(opened, 1, told, SETTINGS[: 2 if kind.vocab_size > 1_000 else None])
                drawing = drawing_of(opened, number) if kind.whole else MANY
                yield from sequence(opened, drawing, told)
            shutil.rmtree(path)
        for what in made_bundles.DAMAGED:
            made_bundles.damaged(path, what)
            verdict = _refuse(port, path, what)
            told.append(Told(verdict, None, {"damage": what}, None))
            yield verdict
            shutil.rmtree(path)


def _open(opened: Opened) -> Verdict:
    blank = blank_of("open_bundle", {"path": str(opened.path)}, opened.about)

    def ask() -> Verdict:
        actual = opened.port.call("open_bundle", {"path": str(opened.path)})
        if actual == opened.size:
            return replace(blank, word=Word.IDENTICAL, inputs={}, case="")
        return replace(blank, reason="reports another size of the bundle", actual=actual, expected=opened.size)

    return asked(opened.port, blank, ask)


def _refuse(port: Port, path: Path, what: str) -> Verdict:
    """The verdict on a damaged bundle."""
    if port.contract.refusals == "none":
        return replace(blank_of("open_bundle", {}, what), word=Word.NOT_CHECKED, reason=UNDEFINED)
    return refused(port, "open_bundle", {"path": str(path)}, "bad_bundle", f"a bundle with {what}")


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

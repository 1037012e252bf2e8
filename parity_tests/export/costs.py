"""What exporting a large head costs: V = 128,256, d = 4,096 in bfloat16, 1 GB, next to copying the file.

    python -m pytest -s parity_tests/export/costs.py

Not in the default suite: it writes 5 GB, and its times depend on the machine.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
from weights_export import open_bundle

V, D = 128_256, 4_096
ROOT = Path(reference.__file__).parents[1]
NAMES: dict[str, dict[str, tuple[int, ...]]] = {
    "model-00001-of-00002.safetensors": {"model.embed_tokens.weight": (V, D)},
    "model-00002-of-00002.safetensors": {"model.norm.weight": (D,), "lm_head.weight": (V, D)},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untied Llama of random numbers, without its blocks, in two shards."""
    folder = tmp_path_factory.mktemp("large") / "model"
    folder.mkdir()
    numbers = np.random.default_rng(0).standard_normal(1 << 24, dtype=np.float32)
    tile = (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()  # bfloat16
    for file, tensors in NAMES.items():
        header: dict[str, Any] = {}
        end = 0
        for name, shape in tensors.items():
            start, end = end, end + 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 8)
        with (folder / file).open("wb") as out:
            out.write(len(raw).to_bytes(8, "little") + raw)
            for start in range(0, end, len(tile)):
                out.write(tile[: end - start])
    weight_map = {name: file for file, tensors in NAMES.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    settings = {"model_type": "llama", "vocab_size": V, "hidden_size": D, "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def copied(source: Path, target: Path) -> float:
    """Seconds to copy a file to the disk."""
    start = time.perf_counter()
    with source.open("rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())
    target.unlink()
    return time.perf_counter() - start


def exported(model: Path, output: Path) -> tuple[float, float]:
    """Seconds and peak bytes of a whole process that exports the head."""
    command = [
        sys.executable,
        "-m",
        "weights_export",
        str(model),
        "-o",
        str(output),
        "--head-only",
        "--stats",
        "--force",
    ]
    start = time.perf_counter()
    result = subprocess.run([*command, "--dtype", "bfloat16"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    seconds = time.perf_counter() - start
    assert result.returncode == 0, result.stderr
    return seconds, 1e6 * float(re.findall(r"peak memory (\d+) MB", result.stdout)[0])


def test_costs(model: Path, tmp_path: Path) -> None:
    """Memory below the table and 200 MB. The times are printed: they depend on the machine and on who else uses it."""
    size = 2 * V * D
    pairs = []
    for _ in range(5):
        copy = copied(model / "model-00002-of-00002.safetensors", tmp_path / "copy")
        seconds, peak = exported(model, tmp_path / "bundle")
        pairs.append((seconds / copy, seconds, copy))
        assert peak <= size + 200e6
    ratio, seconds, copy = sorted(pairs)[len(pairs) // 2]
    print(
        f"\nexport {seconds:.2f} s, copy {copy:.2f} s, {ratio:.2f} times; peak {peak / 1e6:.0f} of {size / 1e6:.0f} MB"
    )
    start = time.perf_counter()
    bundle = open_bundle(tmp_path / "bundle")
    opened = time.perf_counter()
    bundle.verify()
    verified = time.perf_counter()
    with (tmp_path / "bundle" / "head.safetensors").open("rb") as file:
        hashlib.file_digest(file, "sha256")
    hashed = time.perf_counter()
    times = (1e3 * (opened - start), verified - opened, hashed - verified)
    print("open {:.1f} ms, verify {:.2f} s, sha256 alone {:.2f} s".format(*times))

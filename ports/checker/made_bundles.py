"""Small bundles made on the spot: in every dtype and container, with padding, with many tokens; and damaged ones.

The numbers are whole, so every logit is exact: 16 bits hold them, and no order of summation rounds.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weights_export import containers, manifest
from weights_export.strict_json import dump
from weights_export.tensors import Content, narrow

D, CONTEXTS = 10, 3


@dataclass(frozen=True)
class Made:
    """One kind of bundle."""

    about: str
    vocab_size: int = 67
    dtype: str = "float32"
    container: str = "safetensors"
    padding: int = 0
    contexts: int = CONTEXTS
    scale: float = 1.0
    whole: bool = True

    @property
    def embedding(self) -> np.ndarray:
        """`(V, D)`: whole numbers from -8 to 8 times `scale`, every row twice; or real numbers."""
        rng = np.random.default_rng(self.vocab_size)
        if not self.whole:
            return rng.standard_normal((self.vocab_size, D), dtype=np.float32)
        rows = rng.integers(-8, 9, (self.vocab_size // 2, D)).astype(np.float32) * np.float32(self.scale)
        return np.concatenate([rows, rows, rows[:1]])[: self.vocab_size]

    @property
    def context(self) -> np.ndarray:
        """`(contexts, D)`: as many 1 as -1, so that it is its own layer norm."""
        rng = np.random.default_rng(1)
        signs = [rng.permutation(np.repeat([1.0, -1.0], D // 2)) for _ in range(self.contexts)]
        return np.array(signs, np.float32).reshape(self.contexts, D)

    def write(self, folder: Path) -> None:
        """Write the bundle into a new folder."""
        folder.mkdir()
        h, w = self.context, self.embedding
        logits = h.astype(np.float64) @ w.T
        blank = np.tile(99 * h[:1], (self.padding, 1))  # as a token, the likeliest by far
        stored = {"embedding": w, "padding": blank} if self.padding else {"embedding": w}
        tables = {name: Content(self.dtype, rows.shape, [narrow(rows, self.dtype)]) for name, rows in stored.items()}
        norm = {"final_norm.weight": np.ones(D, np.float32), "final_norm.bias": np.zeros(D, np.float32)}
        parts: dict[str, dict[str, Content]] = {
            "head": {**{name: Content.of(values) for name, values in norm.items()}, **tables},
        }
        if self.contexts:
            parts["contexts"] = {"block_output": Content.of(h * 1000), "context": Content.of(h)}
            parts["expected"] = {"logits_exact": Content.of(logits), "logits": Content.of(logits.astype(np.float32))}
        tensors: dict[str, Any] = {}
        for part, contents in parts.items():
            file = f"{part}.{self.container}"
            written = containers.write(folder / file, self.container, contents)
            tensors |= {name: tensor.entry(file) for name, tensor in written.items()}
        if self.contexts:
            prompts = [{"text": "made", "token_ids": [i]} for i in range(self.contexts)]
            (folder / "prompts.json").write_bytes(dump(prompts))
        tokens = {"encoding": "hex", "special": [], "tokens": ["61"] * self.vocab_size}
        (folder / "tokens.json").write_bytes(dump(tokens))
        content = {
            "format": manifest.FORMAT,
            "version": 2,
            "model": "made",
            "revision": None,
            "checkpoint": {},
            "container": self.container,
            "vocab_size": self.vocab_size,
            "embedding_rows": self.vocab_size + self.padding,
            "hidden_size": D,
            "dtype": self.dtype,
            "tied": True,
            "layer_norm_epsilon": 1e-5,
            "prompts": self.contexts,
            "tensors": tensors,
        }
        _seal(folder, content)


def _seal(folder: Path, content: dict[str, Any]) -> None:
    """Write the manifest, with the hashes of the files as they are."""
    paths = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    files = {p.name: {"size": p.stat().st_size, "sha256": hashlib.sha256(p.read_bytes()).hexdigest()} for p in paths}
    (folder / "manifest.json").write_bytes(manifest.seal({**content, "files": files}))


# What a port must read right, and how its mistake is called if it does not.
GOOD = {
    "a small bundle": Made("the bundle is misread"),
    "a float16 embedding": Made("float16 numbers are misread", dtype="float16"),
    "a bfloat16 embedding": Made("bfloat16 numbers are misread", dtype="bfloat16"),
    "padding rows": Made("padding rows are scored as tokens", padding=5),
    "the container bin": Made("tensors are not read where the manifest says", container="bin"),
    "the container npz": Made("tensors are not read where the manifest says", container="npz"),
    "subnormal float16 numbers": Made("subnormal float16 numbers become 0", dtype="float16", scale=2.0**-22),
    "no contexts": Made("a bundle of the head alone is misread", contexts=0),
    "real numbers": Made("float32 numbers are rounded", whole=False),
    "65,537 tokens": Made("a large vocabulary is misread", vocab_size=65_537),
}


def _edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def _resealed(**changes: Any) -> Callable[[Path], None]:
    """Other values in the manifest, under a right hash of its own."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / "manifest.json").read_bytes())
        del content["sha256"], content["files"]
        _seal(folder, {**content, **changes})

    return apply


def _flipped(content: bytes) -> bytes:
    return content[:-7] + bytes([content[-7] ^ 64]) + content[-6:]


# What a port must refuse, by the mistake that it makes if it does not.
DAMAGED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a flipped bit in the embedding": ("the files' sha256 is not checked", _edit("head.safetensors", _flipped)),
    "a changed prompt": (
        "the files' sha256 is not checked",
        _edit("prompts.json", lambda b: b.replace(b"made", b"mode", 1)),
    ),
    "another name of the model": (
        "the manifest's own sha256 is not checked",
        _edit("manifest.json", lambda b: b.replace(b'"made"', b'"mode"', 1)),
    ),
    "a flipped bit in the contexts": ("the files' sha256 is not checked", _edit("contexts.safetensors", _flipped)),
    "a file cut short": ("the size of a file is not checked", _edit("contexts.safetensors", lambda b: b[:-4])),
    "a file with a byte more": ("the size of a file is not checked", _edit("head.safetensors", lambda b: b + b"\0")),
    "another hidden size": (
        "neither the manifest's own sha256 nor its sizes are checked",
        _edit("manifest.json", lambda b: re.sub(rb'"hidden_size": \d+', b'"hidden_size": 11', b)),
    ),
    "half a manifest": ("a manifest that is not JSON is read", _edit("manifest.json", lambda b: b[: len(b) // 2])),
    "another version": ("the version is not looked at", _resealed(version=max(manifest.VERSIONS) + 1)),
    "another format": ("the format is not looked at", _resealed(format="another-bundle")),
    "no embedding": ("a missing file is not noticed", lambda folder: (folder / "head.safetensors").unlink()),
    "no manifest": ("a missing file is not noticed", lambda folder: (folder / "manifest.json").unlink()),
}


def damaged(folder: Path, what: str) -> None:
    """Write a small bundle with this damage into a new folder."""
    GOOD["a small bundle"].write(folder)
    DAMAGED[what][1](folder)

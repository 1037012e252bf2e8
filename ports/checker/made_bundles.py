"""Small bundles made on the spot: in every dtype and container, with padding, with many tokens, of every kind of head.

The numbers are whole, so every product is exact: 16 bits hold them, and no order of summation rounds. Damaged ones are
in `damaged_bundles.py`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import reference
from weights_export import containers, manifest
from weights_export.output_layer import Norm, OutputLayer
from weights_export.strict_json import dump
from weights_export.tensors import Content, narrow

D, CONTEXTS = 10, 3
GPT2 = OutputLayer(Norm("layer_norm", 1e-5))
NO_NORM = OutputLayer(None)


@dataclass(frozen=True)
class Made:
    """One kind of bundle: of version 2, or with an output layer of its own of version 3."""

    about: str
    vocab_size: int = 67
    dtype: str = "float32"
    container: str = "safetensors"
    padding: int = 0
    contexts: int = CONTEXTS
    scale: float = 1.0
    whole: bool = True
    output_layer: OutputLayer | None = None
    biased: bool = False
    tokens: bool = True

    @property
    def version(self) -> int:
        """Of the format."""
        return 2 if self.output_layer is None else 3

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
        """`(contexts, D)`: as many 1 as -1, so that it is its own norm, of either kind."""
        rng = np.random.default_rng(1)
        signs = [rng.permutation(np.repeat([1.0, -1.0], D // 2)) for _ in range(self.contexts)]
        return np.array(signs, np.float32).reshape(self.contexts, D)

    @property
    def bias(self) -> np.ndarray | None:
        """`(V,)`: whole numbers from -40 to 40, which change the order of the tokens."""
        return np.random.default_rng(2).integers(-40, 41, self.vocab_size).astype(np.float32) if self.biased else None

    @property
    def finish(self) -> dict[str, Any]:
        """As `Bundle.finish`."""
        return (self.output_layer or GPT2).finish(self.bias)

    def _head(self) -> dict[str, Content]:
        """The tensors of the output layer. As tokens, the padding rows would be the likeliest by far."""
        norm, bias = (self.output_layer or GPT2).norm, self.bias
        floats: dict[str, np.ndarray] = {}
        if norm:
            floats["final_norm.weight"] = np.full(D, 1 - norm.weight_offset, np.float32)
        if norm and norm.kind == "layer_norm":
            floats["final_norm.bias"] = np.zeros(D, np.float32)
        tables = {"embedding": self.embedding}
        if self.padding:
            tables["padding"] = np.tile(99 * self.context[:1], (self.padding, 1))
        parts = {name: Content.of(values) for name, values in floats.items()}
        parts |= {name: Content(self.dtype, rows.shape, [narrow(rows, self.dtype)]) for name, rows in tables.items()}
        if bias is not None:
            parts["bias"] = Content.of(bias)
        if bias is not None and self.padding:
            parts["padding_bias"] = Content.of(np.full(self.padding, 999, np.float32))
        return parts

    def _answers(self) -> dict[str, dict[str, Content]]:
        """The contexts and their logits, by file; every product is exact in float64."""
        h, norm = self.context, (self.output_layer or GPT2).norm
        exact = h.astype(np.float64) @ self.embedding.T
        logits = exact.astype(np.float32)
        if self.finish:
            exact, logits = (reference.finish_logits(z, **self.finish) for z in (exact, logits))
        of_float64 = {"logits_exact": Content.of(exact)}
        contexts = {"block_output": Content.of(h * 1000 if norm else h), "context": Content.of(h)}
        if self.version == 2:
            return {"contexts": contexts, "expected": {**of_float64, "logits": Content.of(logits)}}
        return {"contexts": contexts, "expected": {"logits": Content.of(logits)}, "exact": of_float64}

    def write(self, folder: Path) -> None:
        """Write the bundle into a new folder."""
        folder.mkdir()
        parts = {"head": self._head(), **(self._answers() if self.contexts else {})}
        tensors: dict[str, Any] = {}
        for part, contents in parts.items():
            file = f"{part}.{self.container}"
            written = containers.write(folder / file, self.container, contents)
            tensors |= {name: tensor.entry(file) for name, tensor in written.items()}
        if self.contexts:
            prompts = [{"text": "made", "token_ids": [i]} for i in range(self.contexts)]
            (folder / "prompts.json").write_bytes(dump(prompts))
        tokens = {"encoding": "hex", "special": [], "tokens": ["61"] * self.vocab_size}
        if self.output_layer:
            tokens["leading_space"] = "kept"
        if self.tokens:
            (folder / "tokens.json").write_bytes(dump(tokens))
        of_version: dict[str, Any] = {"layer_norm_epsilon": 1e-5}
        if self.output_layer:
            of_version = {"model_type": "made", "output_layer": self.output_layer.entry()}
        content = {
            "format": manifest.FORMAT,
            "version": self.version,
            "model": "made",
            "revision": None,
            "checkpoint": {},
            "container": self.container,
            "vocab_size": self.vocab_size,
            "embedding_rows": self.vocab_size + self.padding,
            "hidden_size": D,
            "dtype": self.dtype,
            "tied": True,
            **of_version,
            "prompts": self.contexts,
            "tensors": tensors,
        }
        seal(folder, content)


def seal(folder: Path, content: dict[str, Any]) -> None:
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
    "version 3": Made("a bundle of version 3 is misread", output_layer=GPT2),
    "a bias": Made("the bias is misread", biased=True, output_layer=GPT2),
    "a multiplier": Made("the multiplier is misread", output_layer=OutputLayer(GPT2.norm, multiplier=0.0625)),
    "a divisor": Made("the divisor is misread", output_layer=OutputLayer(Norm("rms_norm", 1e-6), divisor=6.0)),
    "a cap": Made("the cap is misread", output_layer=OutputLayer(Norm("rms_norm", 1e-6, weight_offset=1.0), cap=20.0)),
    "a bias, a multiplier, a divisor and a cap": Made(
        "bias, multiplier, divisor and cap are misread",
        container="bin",
        dtype="float16",
        biased=True,
        output_layer=OutputLayer(Norm("layer_norm", 1e-5, weight_offset=1.0), multiplier=0.75, divisor=3.0, cap=12.0),
    ),
    "padding rows with a bias": Made(
        "the bias of padding rows is read as that of tokens",
        container="bin",
        padding=5,
        biased=True,
        output_layer=NO_NORM,
    ),
    "a bias in npz": Made(
        "the bias is not read where the manifest says",
        container="npz",
        dtype="bfloat16",
        padding=3,
        biased=True,
        output_layer=OutputLayer(NO_NORM.norm, divisor=2.0),
    ),
    "no tokens.json": Made("a bundle without tokens.json is refused", tokens=False, output_layer=NO_NORM),
    "version 3 without contexts": Made("a bundle of the head alone is misread", contexts=0, output_layer=GPT2),
}

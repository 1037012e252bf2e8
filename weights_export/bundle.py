"""The bundle: the tied embedding, real context vectors and the right answers, in files that any language can read.

manifest.json         format and version, the model's name and shape, each file's size and sha256
head.safetensors      embedding (V, d), final_norm.weight (d,), final_norm.bias (d,)
contexts.safetensors  block_output (N, d) and context (N, d): before and after the final layer norm, last position
expected.safetensors  logits (N, V) float32 from PyTorch, logits_exact (N, V) float64, exact and rounded once
prompts.json          the N prompts and their token ids
tokens.json           token id -> bytes, in hexadecimal; which ids are special
"""

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from .checkpoint import Checkpoint

FORMAT, VERSION = "lm-head-bundle", 1
FILES = ("head.safetensors", "contexts.safetensors", "expected.safetensors", "prompts.json", "tokens.json")


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds; N prompts, V tokens, hidden size d."""

    manifest: dict[str, Any]
    embedding: np.ndarray  # (V, d)
    block_output: np.ndarray  # (N, d)
    context: np.ndarray  # (N, d)
    logits: np.ndarray  # (N, V) float32, PyTorch's
    logits_exact: np.ndarray  # (N, V) float64
    prompts: list[dict[str, Any]]
    token_bytes: list[bytes]


def exact_logits(context: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    """The logits in exact arithmetic, rounded once to float64: `(N, d), (V, d) -> (N, V)`.

    Products of two float32 numbers are exact in float64 (24 + 24 bits), and `math.fsum` rounds their sum correctly.
    """
    return np.array(
        [[math.fsum(row) for row in embedding.astype(np.float64) * vector] for vector in context.astype(np.float64)]
    )


def token_bytes(tokenizer: Any, vocab_size: int) -> list[bytes]:
    """The bytes of each token id: GPT-2's byte-level alphabet undone, special tokens as their own text."""
    # GPT-2 writes printable bytes as themselves and the others, in order, as the code points from 256 on.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(vocab_size)))
    return [
        token.encode() if i in special else bytes(byte_of[character] for character in token)
        for i, token in enumerate(tokens)
    ]


@torch.no_grad()
def contexts(checkpoint: Checkpoint, prompts: Iterable[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Any]]:
    """Run the model on each prompt: block outputs, contexts and logits at the last position, and the token ids.

    One prompt at a time on one thread, so that the same machine gives the same bytes again. A prompt longer than the
    context window keeps its last tokens.
    """
    seen: list[torch.Tensor] = []
    model = checkpoint.model
    hook = model.transformer.ln_f.register_forward_hook(lambda _m, inputs, output: seen.extend((inputs[0], output)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        all_logits, records = [], []
        for prompt in prompts:
            ids = checkpoint.tokenizer.encode(prompt)[-model.config.n_positions :]
            all_logits.append(model(torch.tensor([ids])).logits[0, -1])
            records.append({"text": prompt, "token_ids": ids})
    finally:
        hook.remove()
        torch.set_num_threads(threads)
    block_output, context = (torch.stack([h[0, -1] for h in seen[i::2]]).numpy() for i in (0, 1))
    return block_output, context, torch.stack(all_logits).numpy(), records


def write(checkpoint: Checkpoint, prompts: Iterable[str], output: Path) -> None:
    """Write the bundle beside `output`, verify it, then rename it: the folder is whole or absent.

    Raises: FileExistsError if `output` exists; ValueError if the written files do not read back as they should.
    """
    if output.exists():
        raise FileExistsError(f"{output} exists: name a new folder, nothing is overwritten")
    model = checkpoint.model
    embedding = model.transformer.wte.weight.detach().numpy()
    final_norm = model.transformer.ln_f
    block_output, context, logits, records = contexts(checkpoint, prompts)
    byte_strings = token_bytes(checkpoint.tokenizer, len(embedding))
    output.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.incomplete-"))
    try:
        _save(
            staging / "head.safetensors",
            embedding=embedding,
            **{
                "final_norm.weight": final_norm.weight.detach().numpy(),
                "final_norm.bias": final_norm.bias.detach().numpy(),
            },
        )
        _save(staging / "contexts.safetensors", block_output=block_output, context=context)
        _save(staging / "expected.safetensors", logits=logits, logits_exact=exact_logits(context, embedding))
        _dump(staging / "prompts.json", records)
        _dump(
            staging / "tokens.json",
            {
                "encoding": "hex",
                "special": sorted(checkpoint.tokenizer.all_special_ids),
                "tokens": [token.hex() for token in byte_strings],
            },
        )
        _dump(
            staging / "manifest.json",
            {
                "format": FORMAT,
                "version": VERSION,
                "model": checkpoint.name,
                "revision": None,
                "vocab_size": embedding.shape[0],
                "hidden_size": embedding.shape[1],
                "layer_norm_epsilon": final_norm.eps,
                "dtype": "float32",
                "tied": bool(model.config.tie_word_embeddings),
                "prompts": len(records),
                "files": {name: _fingerprint(staging / name) for name in FILES},
            },
        )
        open_bundle(staging)
        staging.chmod(0o755)
        staging.rename(output)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _save(path: Path, **tensors: np.ndarray) -> None:
    # safetensors 0.8 writes an array that is not C-contiguous with its elements scrambled.
    path.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
    for name, array in safetensors.numpy.load_file(path).items():
        if not np.array_equal(array, tensors[name]):
            raise ValueError(f"{path.name}: {name} does not read back as it was written")


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _fingerprint(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def open_bundle(folder: Path) -> Bundle:
    """Read and check a bundle.

    Raises: FileNotFoundError for a missing file; ValueError for an unknown format or version, a wrong size or hash, a
    wrong shape, and values that are not finite.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
        raise ValueError(
            f"{folder}: format {manifest.get('format')!r} version {manifest.get('version')!r} is not {FORMAT} {VERSION}"
        )
    for name in FILES:
        if _fingerprint(folder / name) != manifest["files"][name]:
            raise ValueError(f"{folder}: {name} does not match the size and sha256 in manifest.json; export it again")
    head, context, expected = (safetensors.numpy.load_file(folder / name) for name in FILES[:3])
    prompts, tokens = (json.loads((folder / name).read_text(encoding="utf-8")) for name in FILES[3:])
    bundle = Bundle(
        manifest=manifest,
        embedding=head["embedding"],
        block_output=context["block_output"],
        context=context["context"],
        logits=expected["logits"],
        logits_exact=expected["logits_exact"],
        prompts=prompts,
        token_bytes=[bytes.fromhex(token) for token in tokens["tokens"]],
    )
    v, d, n = manifest["vocab_size"], manifest["hidden_size"], manifest["prompts"]
    shapes = {
        "embedding": (v, d),
        "block_output": (n, d),
        "context": (n, d),
        "logits": (n, v),
        "logits_exact": (n, v),
    }
    for name, shape in shapes.items():
        array = getattr(bundle, name)
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"{folder}: {name} must be {shape} and finite, it is {array.shape}")
    if (len(prompts), len(tokens["tokens"])) != (n, v):
        raise ValueError(f"{folder}: {len(prompts)} prompts and {len(tokens['tokens'])} tokens, expected {n} and {v}")
    return bundle

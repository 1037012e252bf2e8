"""GGUF files for the tests: good ones by the package's own writer, and drafts whose every byte can be made wrong."""

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

V, D = 6, 256
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K")
SCALES = {"Q8_0": (0,), "Q4_0": (0,), "Q4_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}  # float16
PIECES = {"gpt2": ["<|end|>", "a", "Ġthe", "Ċ", "Ã", "[PAD5]"], "llama": ["<s>", "a", "▁the", "<0x0A>", "é", "[PAD5]"]}
KINDS = {"gpt2": [3, 1, 1, 1, 1, 5], "llama": [3, 1, 1, 6, 4, 5]}
EPSILONS = {"gpt2": "layer_norm_epsilon", "command-r": "layer_norm_epsilon", "phi2": "layer_norm_epsilon"}


def stored(kind: str, rows: int, seed: int = 0, width: int = D) -> np.ndarray:
    """Random numbers as tensor type `kind` stores them, `(rows, bytes of a row)`; all scales are finite."""
    rng = np.random.default_rng(seed)
    length, size = gguf.GGML_QUANT_SIZES[Type[kind]]
    if kind not in SCALES:
        numbers = rng.standard_normal((rows, width)).astype(np.float32)
        raw: np.ndarray = numbers.view(np.uint8) if kind == "F32" else gguf.quantize(numbers, Type[kind]).view(np.uint8)
        return raw
    blocks = rng.integers(0, 256, (rows * width // length, size), dtype=np.uint8)
    for at in SCALES[kind]:
        blocks[:, at : at + 2] = rng.standard_normal((len(blocks), 1)).astype("<f2").view(np.uint8)
    return blocks.reshape(rows, -1)


def write(
    path: Path,
    architecture: str = "llama",
    kind: str = "Q8_0",
    untied: bool = False,
    model: str | None = "gpt2",
    numbers: dict[str, float] | None = None,
) -> dict[str, np.ndarray]:
    """A file of V tokens, written by the package; its tensors by name, as float32 by the package."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("six")
    writer.add_context_length(64)
    writer.add_embedding_length(D)
    writer.add_float32(f"{architecture}.attention.{EPSILONS.get(architecture, 'layer_norm_rms_epsilon')}", 1e-5)
    for key, number in (numbers or {}).items():
        writer.add_float32(f"{architecture}.{key}", number)
    if model is not None:
        writer.add_tokenizer_model(model)
        writer.add_token_list(PIECES[model])
        writer.add_token_types(KINDS[model])
    tensors = {"token_embd.weight": stored(kind, V, 1), "blk.0.ffn.weight": stored("Q4_0", 2, 2)}
    if untied:
        tensors["output.weight"] = stored(kind, V, 3)
    for name, raw in tensors.items():
        writer.add_tensor(name, raw, raw_dtype=Type[kind if "blk" not in name else "Q4_0"])
    vectors = {"output_norm.weight": D, "output_norm.bias": D, "output.bias": V}
    given = list(vectors) if architecture == "phi2" else ["output_norm.weight"]
    for name in given:
        writer.add_tensor(name, np.linspace(-1, 1, vectors[name], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = {name: gguf.dequantize(raw, Type[kind]) for name, raw in tensors.items() if "blk" not in name}
    return expected | {name: np.linspace(-1, 1, vectors[name], dtype=np.float32) for name in given}


def string(raw: bytes) -> bytes:
    """A string: its length and its bytes."""
    return struct.pack("<Q", len(raw)) + raw


def strings(*texts: bytes) -> bytes:
    """The value of an array of strings."""
    return struct.pack("<IQ", 8, len(texts)) + b"".join(map(string, texts))


def entry(key: str, kind: int, payload: bytes) -> bytes:
    """A metadata entry of a type by its number: 4 is UINT32, 5 INT32, 6 FLOAT32, 8 a string, 9 an array."""
    return string(key.encode()) + struct.pack("<I", kind) + payload


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """`shape` as the file has it, the fastest axis first."""
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name.encode()) + axes + struct.pack("<IQ", kind, offset)


@dataclass(frozen=True)
class Draft:
    """The parts of a file, in order. `counts` are what the header says, if not the truth."""

    entries: dict[str, bytes]
    tensors: dict[str, bytes]
    data: bytes
    magic: bytes = b"GGUF"
    version: bytes = struct.pack("<I", 3)
    counts: tuple[int, int] | None = None
    extra: list[bytes] = field(default_factory=list)

    def packed(self) -> bytes:
        """The file."""
        counts = self.counts or (len(self.tensors), len(self.entries) + len(self.extra))
        parts = [self.magic, self.version, struct.pack("<QQ", *counts)]
        head = b"".join([*parts, *self.entries.values(), *self.extra, *self.tensors.values()])
        return head + bytes(-len(head) % 32) + self.data

    def but(self, **values: bytes) -> "Draft":
        """Entries or tensors replaced; `__` stands for a dot. Empty bytes leave one out."""
        entries, tensors = dict(self.entries), dict(self.tensors)
        for name, raw in values.items():
            (tensors if name.replace("__", ".") in tensors else entries)[name.replace("__", ".")] = raw
        kept: list[dict[str, bytes]] = [{k: v for k, v in part.items() if v} for part in (entries, tensors)]
        return replace(self, entries=kept[0], tensors=kept[1])


def draft() -> Draft:
    """Four tokens, d = 32: a Q8_0 table and a norm of ones; with a vocabulary."""
    types = struct.pack("<IQ4i", 5, 4, 3, 1, 1, 1)
    entries = {
        "general.architecture": entry("general.architecture", 8, string(b"llama")),
        "general.alignment": entry("general.alignment", 4, struct.pack("<I", 32)),
        "llama.epsilon": entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        "llama.context_length": entry("llama.context_length", 4, struct.pack("<I", 64)),
        "tokenizer.ggml.model": entry("tokenizer.ggml.model", 8, string(b"gpt2")),
        "tokenizer.ggml.tokens": entry("tokenizer.ggml.tokens", 9, strings(b"<e>", b"a", b"b", b"c")),
        "tokenizer.ggml.token_type": entry("tokenizer.ggml.token_type", 9, types),
    }
    tensors = {
        "token_embd.weight": tensor("token_embd.weight", (32, 4), 8, 0),
        "output_norm.weight": tensor("output_norm.weight", (32,), 0, 160),
    }
    table = stored("Q8_0", 4, 0, 32).tobytes()
    return Draft(entries, tensors, table + bytes(160 - len(table)) + np.ones(32, "<f4").tobytes())


def read_all(path: Path) -> dict[str, Any]:
    """Everything that an exporter asks a file for."""
    from weights_export.gguf_file import open_gguf

    file = open_gguf(path)
    rows = [block for _, block in file.blocks(file.head)]
    bias = file.vector("output.bias") if "output.bias" in file else None
    return {
        "table": np.concatenate(rows),
        "norm": file.final_norm(),
        "bias": bias,
        "tokens": file.tokens,
        "said": (file.name, file.context_length, file.output_layer, file.type_name(file.head)),
    }

"""GPT-2 checkpoints of every kind that is met in the wild, small and with random weights, made on the spot."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SMALL = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
PRODUCTS = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def byte_tokenizer(vocab_size: int) -> Tokenizer:
    """A byte-level BPE tokenizer as GPT-2's: 256 bytes, merged pairs of them, and `<|endoftext|>` as the last id."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in alphabet for b in alphabet][: vocab_size - 257]
    vocabulary = {token: i for i, token in enumerate([*alphabet, *(a + b for a, b in pairs)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def random_tensors(rows: int, *, n_embd: int, n_layer: int, n_positions: int, seed: int = 0) -> dict[str, np.ndarray]:
    """The parameters of a GPT-2 by the names of `GPT2Model`, float32, spread as a trained one's."""
    d, rng = n_embd, np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (rows, d), "wpe.weight": (n_positions, d)}
    for i in range(n_layer):
        block: dict[str, tuple[int, ...]] = {
            "attn.c_attn": (d, 3 * d),
            "attn.c_proj": (d, d),
            "mlp.c_fc": (d, 4 * d),
            "mlp.c_proj": (4 * d, d),
        }
        for name, shape in block.items():
            shapes |= {f"h.{i}.{name}.weight": shape, f"h.{i}.{name}.bias": shape[1:]}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.weight": (d,), f"h.{i}.{name}.bias": (d,)}
    shapes |= {"ln_f.weight": (d,), "ln_f.bias": (d,)}
    tensors = {}
    for name, shape in shapes.items():
        numbers = rng.random(math.prod(shape), dtype=np.float32).reshape(shape)
        numbers -= np.float32(0.5)
        numbers *= np.float32(0.5)
        if ".ln_" in f".{name}" and name.endswith("weight"):
            numbers += 1
        tensors[name] = numbers
    return tensors


def make(
    folder: Path,
    *,
    vocab_size: int = 300,
    rows: int | None = None,
    dtype: str = "float32",
    prefix: str = "transformer.",
    lm_head: str | None = None,
    tied: bool = True,
    shards: int = 1,
    nanogpt: bool = False,
    legacy_tokenizer: bool = False,
    buffers: bool = False,
    settings: dict[str, int] | None = None,
    seed: int = 0,
    **config: Any,
) -> dict[str, np.ndarray]:
    """Write a checkpoint folder and return its tensors, without prefix and rounded to `dtype`, in float32.

    `lm_head` is None (absent), "tied" (the embedding again) or "own". `nanogpt` stores the products transposed and
    leaves the biases out; `buffers` adds the causal masks that GPT-2's own files hold.
    """
    settings = settings or SMALL
    rows = vocab_size if rows is None else rows
    tensors = random_tensors(rows, **{key: settings[key] for key in ("n_embd", "n_layer", "n_positions")}, seed=seed)
    if lm_head is not None:
        own = np.random.default_rng(1).standard_normal(tensors["wte.weight"].shape, dtype=np.float32)
        tensors["lm_head.weight"] = tensors["wte.weight"].copy() if lm_head == "tied" else own
    if nanogpt:
        tensors = {name: array for name, array in tensors.items() if not name.endswith("bias")}
        tensors = {n: np.ascontiguousarray(a.T) if n.endswith(PRODUCTS) else a for n, a in tensors.items()}
    stored = {name: torch.from_numpy(array).to(DTYPES[dtype]) for name, array in tensors.items()}
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 8, 8).tril() for i in range(settings["n_layer"] if buffers else 0)}
    folder.mkdir(parents=True, exist_ok=True)
    named = {name if name.startswith("lm_head") else prefix + name: t for name, t in {**stored, **masks}.items()}
    if shards == 1:
        save_file(named, folder / "model.safetensors")
    else:
        names = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
        weight_map = {name: names[i % shards] for i, name in enumerate(named)}
        for file in names:
            save_file({name: named[name] for name in named if weight_map[name] == file}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    content = {"model_type": "gpt2", "vocab_size": rows, "tie_word_embeddings": tied, **settings}
    content |= {"bos_token_id": vocab_size - 1, "eos_token_id": vocab_size - 1, **config}
    (folder / "config.json").write_text(json.dumps(content))
    tokenizer = byte_tokenizer(vocab_size)
    if legacy_tokenizer:
        tokenizer.model.save(str(folder))
        vocabulary = json.loads((folder / "vocab.json").read_text())
        (folder / "vocab.json").write_text(json.dumps({**vocabulary, "<|endoftext|>": len(vocabulary)}))
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    return {name: tensor.float().numpy() for name, tensor in stored.items()}

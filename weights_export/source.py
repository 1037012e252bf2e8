"""A GPT-2 checkpoint as files: its configuration, its tensors, and which table is its output embedding.

Nothing is loaded: tensors are read from the mapped files when they are needed, in whatever dtype they were stored.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BundleError
from .plain_files import map_file
from .safetensors_file import read_header
from .strict_json import integer, parse
from .tensors import Tensor, blocks, check_finite

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
PREFIXES = ("_orig_mod.", "module.", "transformer.")  # of torch.compile, of DataParallel, of GPT2LMHeadModel


@dataclass(frozen=True)
class Source:
    """A checkpoint that has been found: `name` and `revision` are what the manifest will say of it.

    `complete` is false if only the head has been fetched from a Hub: the files then have holes where the rest would be.
    `digests` holds the sha256 of each weight file, as far as the Hub gives it.
    """

    name: str
    revision: str | None
    folder: Path
    complete: bool = True
    digests: dict[str, str | None] = field(default_factory=dict)


def local(name: str, folder: Path) -> Source:
    """The checkpoint in a folder; its name is the folder's, not its path, which concerns only this machine."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"model {name!r}: {folder} has no config.json; pass 'tiny' or a checkpoint folder")
    return Source(name if name == "tiny" else folder.resolve().name, None, folder)


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`. Raises: BundleError unless it is a GPT-2's and its sizes are positive integers."""
    path = folder / "config.json"
    config = parse(path.read_bytes(), str(path))
    if not isinstance(config, dict) or config.get("model_type") != "gpt2":
        found = config.get("model_type") if isinstance(config, dict) else None
        raise BundleError(f"{path}: model_type is {found!r}: only GPT-2 checkpoints ('gpt2') can be exported")
    for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
        if key in config and not (integer(config[key]) and config[key] >= 1):
            raise BundleError(f"{path}: {key} is {str(config[key])[:80]!r}: it must be an integer >= 1")
    return config


def weight_files(folder: Path) -> list[str]:
    """The names of the safetensors files: the only one, or the shards that an index names.

    Raises: BundleError if there is none; for a pickle, with the command that converts it.
    """
    if (folder / INDEX).is_file():
        return shard_names((folder / INDEX).read_bytes(), str(folder / INDEX))
    if (folder / SINGLE).is_file():
        return [SINGLE]
    raise no_safetensors(str(folder), [path.name for path in folder.iterdir()])


def shard_names(raw: bytes, where: str) -> list[str]:
    """The shards of an index; a name that leaves the folder is refused."""
    index = parse(raw, where)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise BundleError(f"{where} has no weight_map from tensor names to files")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if not name.endswith(".safetensors") or name != Path(name).name or "\\" in name:
            raise BundleError(f"{where} names {name[:80]!r}: shards must be safetensors files beside the index")
    return names


def no_safetensors(where: str, names: list[str]) -> BundleError:
    """Why there are no weights to read, and what to do."""
    pickles = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")))
    if not pickles:
        return BundleError(f"{where} has no {SINGLE}")
    command = (
        'python -c "from transformers import GPT2LMHeadModel as M, AutoTokenizer as T; '
        f"[c.from_pretrained('{where}').save_pretrained('converted') for c in (M, T)]\""
    )
    return BundleError(
        f"{where} has its weights only as a pickle ({pickles[0]}), which can run code when it is loaded and is not "
        f"read here; if you trust it, convert it, then export the folder 'converted': {command}"
    )


class Weights:
    """The tensors of a checkpoint by their names without prefix: `wte.weight`, `h.0.ln_1.weight`, `lm_head.weight`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tensors: dict[str, tuple[mmap.mmap, Tensor]] = {}
        for file in weight_files(folder):
            mapped = map_file((folder / file).resolve())  # in the Hub's cache the names are links
            for name, tensor in read_header(mapped, str(folder / file)).items():
                short = without_prefix(name)
                if short in self._tensors:
                    raise BundleError(f"{folder / file}: two tensors are {short!r} without their prefixes")
                self._tensors[short] = (mapped, tensor)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor. Raises: BundleError if it is missing, or not of floats."""
        if name not in self._tensors:
            raise BundleError(f"{self.folder} has no tensor {name!r}, with or without the prefix 'transformer.'")
        tensor = self._tensors[name][1]
        if tensor.dtype not in ("float32", "float16", "bfloat16"):
            raise BundleError(f"{self.folder}: {name} is {tensor.dtype}: it must be float32, float16 or bfloat16")
        return tensor.shape

    def blocks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The rows `[start, stop)` in float32, a few at a time, each time with the number of the first one.

        Raises: as `shape`; BundleError for a number that is not finite.
        """
        self.shape(name)
        for first, block in blocks(*self._tensors[name], start, stop):
            check_finite(block, f"{self.folder}: {name}", first)
            yield first, block

    def read_into(self, name: str, array: np.ndarray) -> None:
        """Copy a tensor into a float32 array of its shape. Raises: as `blocks`; BundleError for another shape."""
        if self.shape(name) != array.shape:
            raise BundleError(f"{self.folder}: {name} has shape {self.shape(name)}, expected {array.shape}")
        for start, block in self.blocks(name):
            array[start : start + len(block)] = block


def without_prefix(name: str) -> str:
    """`transformer.wte.weight` and the like as `wte.weight`."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def find_head(weights: Weights, config: dict[str, Any], tied: bool | None = None) -> str:
    """Which tensor is the output embedding: `wte.weight`, the token embedding, if tied, else `lm_head.weight`.

    That is what config.json says, if the tensors agree, or what `tied` says  [LOGITS-5].
    Raises: BundleError where config.json and tensors disagree, with the two ways out; for a bias; for wrong shapes.
    """
    if "lm_head.bias" in weights:
        raise BundleError(f"{weights.folder} has lm_head.bias: a GPT-2 head has none, and a bundle has no place for it")
    name = _head_tensor(weights, bool(config.get("tie_word_embeddings", True)), tied)
    shape = weights.shape(name)
    if len(shape) != 2 or 0 in shape:
        raise BundleError(f"{weights.folder}: {name} has shape {shape}: it must be (rows, hidden size)")
    if config.get("n_embd", shape[1]) != shape[1]:
        raise BundleError(f"{weights.folder}: {name} has d = {shape[1]}, config.json says n_embd = {config['n_embd']}")
    return name


def _head_tensor(weights: Weights, config_says_tied: bool, tied: bool | None) -> str:
    own = "lm_head.weight" in weights
    if tied is True:
        return "wte.weight"
    if tied is False:
        if own:
            return "lm_head.weight"
        raise BundleError(f"{weights.folder} has no lm_head.weight: without it only --tied is possible")
    if config_says_tied:
        if own and (difference := _difference(weights)):
            raise BundleError(
                f"{weights.folder}: config.json says that the head is tied, but {difference}; "
                "pass --tied to export the token embedding, or --untied to export lm_head.weight"
            )
        return "wte.weight"
    if own:
        return "lm_head.weight"
    raise BundleError(
        f"{weights.folder}: config.json says that the head is not tied, but there is no lm_head.weight; "
        "pass --tied to export the token embedding, or add the missing tensor"
    )


def _difference(weights: Weights) -> str:
    """How `lm_head.weight` differs from `wte.weight`, in words; empty if it does not."""
    own, shape = weights.shape("lm_head.weight"), weights.shape("wte.weight")
    if own != shape:
        return f"lm_head.weight has shape {own} and the token embedding {shape}"
    differing, largest = 0, 0.0
    for (_, ours), (_, theirs) in zip(weights.blocks("lm_head.weight"), weights.blocks("wte.weight"), strict=True):
        differing += int(np.count_nonzero(ours != theirs))
        largest = max(largest, float(np.abs(ours - theirs).max()))
    numbers = f"{differing:,} of {math.prod(shape):,} numbers"
    return f"lm_head.weight differs from the token embedding in {numbers}, by up to {largest:.3g}" if differing else ""

"""The tensors of a checkpoint's safetensors files, and which of them are its output layer, without loading anything.

Tensors are read from the mapped files when they are needed, in whatever dtype they were stored.
"""

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import BundleError
from .families import Names
from .plain_files import map_file
from .safetensors_file import read_header
from .source import refuse_pointer, weight_files
from .tensors import Tensor, blocks, check_finite, stored_blocks

# What training tools put around a model: torch.compile, FSDP, activation checkpoints, DataParallel, PEFT.
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"}
# What a model calls the part of itself without the head.
_BASES = {"base_model", "model", "transformer", "language_model", "text_model", "decoder", "gpt_neox", "backbone"}


def unwrapped(name: str) -> str:
    """A tensor's name without the wrappers of training tools: `module._orig_mod.wte.weight` as `wte.weight`."""
    return ".".join(part for part in name.removeprefix("base_model.model.").split(".") if part not in _WRAPPERS)


def short(name: str) -> str:
    """Without the model's own prefix too: `model.embed_tokens.weight` as `embed_tokens.weight`."""
    parts = unwrapped(name).split(".")
    while parts[0] in _BASES and len(parts) > 2:
        parts.pop(0)
    return ".".join(parts)


class Weights:
    """The tensors of a checkpoint by their short names: `wte.weight`, `h.0.ln_1.weight`, `lm_head.weight`.

    Of a tensor in two shards, the last shard's counts, whatever the index says of it: so Transformers loads them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, weight_files(folder)
        self._tensors: dict[str, tuple[str, str, mmap.mmap, Tensor]] = {}
        for file in self.files:
            mapped = map_file((folder / file).resolve())  # in the Hub's cache the names are links
            refuse_pointer(mapped[:64], folder / file)
            for name, tensor in read_header(mapped, str(folder / file)).items():
                known = self._tensors.get(short(name))
                if known and known[0] != name:
                    raise BundleError(
                        f"{folder / file}: {known[0]!r} and {name!r} are both {short(name)!r}: leave one of them out"
                    )
                self._tensors[short(name)] = (name, file, mapped, tensor)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    @property
    def wrapped(self) -> bool:
        """Whether a name has a wrapper that Transformers does not know."""
        return any(unwrapped(name) != name for name, *_ in self._tensors.values())

    def file(self, name: str) -> str:
        """The file that a tensor is in."""
        return self._tensors[name][1]

    def find(self, candidates: tuple[str, ...], leaf: str) -> str | None:
        """The first of these modules that has a tensor `leaf`: its name, or None."""
        return next((f"{name}.{leaf}" for name in candidates if f"{name}.{leaf}" in self), None)

    def dtype(self, name: str) -> str:
        """How a tensor is stored. Raises: as `shape`."""
        self.shape(name)
        return self._tensors[name][3].dtype

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor. Raises: BundleError if it is missing, with names that are there, or not of floats."""
        if name not in self._tensors:
            found = ", ".join(stored for stored, *_ in list(self._tensors.values())[:3])
            raise BundleError(
                f"{self.folder} has no tensor {name!r}, under whatever prefix; its first ones are {found}"
            )
        stored, _, _, tensor = self._tensors[name]
        if tensor.dtype == "float64":
            raise BundleError(
                f"{self.folder}: {stored} is float64, which bundles do not hold: save the model in float32 first, "
                "with model.float().save_pretrained(folder)"
            )
        if tensor.dtype not in ("float32", "float16", "bfloat16"):
            raise BundleError(f"{self.folder}: {stored} is {tensor.dtype}: it must be float32, float16 or bfloat16")
        return tensor.shape

    def blocks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The rows `[start, stop)` in float32, a few at a time, each time with the number of the first one.

        Raises: as `shape`; BundleError for a number that is not finite.
        """
        self.shape(name)
        for first, block in blocks(*self._tensors[name][2:], start, stop):
            check_finite(block, f"{self.folder}: {name}", first)
            yield first, block

    def stored_blocks(self, name: str, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """As `blocks`, but the numbers as they are stored, and not looked at."""
        self.shape(name)
        yield from stored_blocks(*self._tensors[name][2:], start, stop)

    def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A whole tensor in float32. Raises: as `blocks`; BundleError for another shape."""
        if self.shape(name) != shape:
            raise BundleError(f"{self.folder}: {name} has shape {self.shape(name)}, expected {shape}")
        return np.concatenate([np.array(block) for _, block in self.blocks(name)])


def find_head(weights: Weights, names: Names, config_says: bool, wanted: bool | None) -> tuple[str, bool]:
    """Which tensor is the output embedding, and whether it is the token embedding too  [LOGITS-5].

    That is what config.json says, if the tensors agree, or what is `wanted`.
    Raises: BundleError where config.json and tensors disagree, with the ways out.
    """
    embedding, own = weights.find(names.embedding, "weight"), weights.find(names.head, "weight")
    if wanted is None and config_says and embedding and own and (difference := _difference(weights, embedding, own)):
        raise BundleError(
            f"{weights.folder}: config.json says that the head is tied, but {difference}; "
            f"pass --tied to export the token embedding, or --untied to export {own}"
        )
    tied = config_says if wanted is None else wanted
    # What ties the two keeps only one of them, and not always the same one: safetensors' save_model keeps lm_head.
    name = (embedding or own) if tied else own
    if name is not None:
        return name, tied
    head = f"{names.head[-1]}.weight"
    if tied:
        weights.shape(f"{names.embedding[-1]}.weight")  # raises
    if wanted is False:
        raise BundleError(f"{weights.folder} has no {head}: without it only --tied is possible")
    raise BundleError(
        f"{weights.folder}: config.json says that the head is not tied, but there is no {head}; "
        "pass --tied to export the token embedding, or add the missing tensor"
    )


def _difference(weights: Weights, embedding: str, own: str) -> str:
    """How the output embedding differs from the token embedding, in words; empty if it does not."""
    ours, theirs = weights.shape(own), weights.shape(embedding)
    if ours != theirs:
        return f"{own} has shape {ours} and the token embedding {theirs}"
    differing, largest = 0, 0.0
    for (_, a), (_, b) in zip(weights.blocks(own), weights.blocks(embedding), strict=True):
        differing += int(np.count_nonzero(a != b))
        largest = max(largest, float(np.abs(a - b).max()))
    numbers = f"{differing:,} of {math.prod(ours):,} numbers"
    return f"{own} differs from the token embedding in {numbers}, by up to {largest:.3g}" if differing else ""

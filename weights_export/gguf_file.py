"""A GGUF file, the format of llama.cpp, as the source of a head: its table, final norm, description and tokens.

Nothing is loaded: the header is checked when the file is opened (`gguf_header.py`), rows are read from the mapped file
and decoded a few at a time (`gguf_blocks.py`).
"""

import math
import mmap
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from gguf.constants import Keys

from .errors import BundleError
from .gguf_architectures import describe, has_norm_weight
from .gguf_blocks import DECODERS
from .gguf_header import Header, read_header
from .gguf_tokens import decode
from .gguf_values import Metadata, read_numbers
from .output_layer import OutputLayer
from .plain_files import map_file, release
from .tensors import check_finite
from .tokens import Tokens

BLOCK = 1 << 20  # numbers at a time: 4 MB in float32, and as much again three times while they are decoded
MAX_TOKENS = 1 << 19
EMBEDDING, OUTPUT, BIAS = "token_embd.weight", "output.weight", "output.bias"
NORM, NORM_BIAS = "output_norm.weight", "output_norm.bias"


class GGUFFile:
    """An open GGUF file of a language model with V tokens and hidden size d. `open_gguf` makes one.

    `architecture` and `output_layer` say what its head does; `embedding_rows` and `hidden_size` are the output table's
    shape; `metadata` gives any other value by its key.
    """

    def __init__(self, path: Path, mapped: mmap.mmap, header: Header) -> None:
        self.path, self._mapped, self._tensors = path, mapped, header.tensors
        self.metadata = Metadata(mapped, header.metadata, str(path))
        self.version, self.alignment = header.version, header.alignment
        self._refuse_other_files()
        architecture = self.metadata.text(Keys.General.ARCHITECTURE)
        if architecture is None:
            raise BundleError(f"{path} has no {Keys.General.ARCHITECTURE}; convert the model again")
        self.architecture = architecture
        self.output_layer: OutputLayer = describe(
            architecture, lambda key: self.metadata.number(f"{architecture}.{key}"), str(path)
        )
        self._check_shapes()

    def _refuse_other_files(self) -> None:
        parts = self.metadata.count(Keys.Split.LLM_KV_SPLIT_COUNT)
        if parts is not None and parts > 1:
            raise BundleError(f"{self.path} is one of {parts} parts: join them with llama-gguf-split --merge")
        kind = self.metadata.text(Keys.General.TYPE)
        if kind not in (None, "model"):
            raise BundleError(
                f"{self.path}: general.type is {kind[:40]!r}, not a language model: give the model's file"
            )
        if "output.scale" in self or "output.input_scale" in self:
            raise BundleError(f"{self.path} has a scale of its output tensor, which is not read; convert it to Q8_0")

    def _check_shapes(self) -> None:
        """The table is (V, d), and all that goes with it has one of these lengths."""
        rows = {name: self.shape(name) for name in (EMBEDDING, OUTPUT) if name == EMBEDDING or name in self}
        shape = rows[EMBEDDING]
        for name, found in rows.items():
            if len(found) != 2 or found[1] != shape[1] or found[1] > BLOCK:
                expected = f"(V, d) with d = {shape[-1]:,} and at most {BLOCK:,}"
                raise BundleError(
                    f"{self.path}: {name} has shape {found}, expected {expected}; convert the model again"
                )
        self.embedding_rows, self.hidden_size = rows[self.head]
        for name, length in ((NORM, self.hidden_size), (NORM_BIAS, self.hidden_size), (BIAS, self.embedding_rows)):
            wanted = name in self or (name == NORM and has_norm_weight(self.architecture))
            if wanted and self.shape(name) != (length,):
                found_shape = f"{name} has shape {self.shape(name)}, expected ({length},)"
                raise BundleError(f"{self.path}: {found_shape}; convert the model again")
        given = self.metadata.count(f"{self.architecture}.embedding_length")
        if given not in (None, self.hidden_size):
            key = f"{self.architecture}.embedding_length is {given}"
            raise BundleError(f"{self.path}: {key}, but d = {self.hidden_size} in {self.head}; convert the model again")

    @property
    def name(self) -> str | None:
        """`general.name`, as the converter wrote it."""
        return self.metadata.text(Keys.General.NAME)

    @property
    def context_length(self) -> int | None:
        """How many tokens the model was made for."""
        return self.metadata.count(f"{self.architecture}.context_length")

    @property
    def tied(self) -> bool:
        """Whether the output table is the token embedding: the file has no table of its own  [LOGITS-5]."""
        return OUTPUT not in self

    @property
    def head(self) -> str:
        """The name of the output table."""
        return EMBEDDING if self.tied else OUTPUT

    @property
    def vocab_size(self) -> int:
        """V: the rows of the output table but for the padding at its end. Raises: as `tokens`."""
        return len(self.tokens.tokens) if self.tokens else self.embedding_rows

    @cached_property
    def tokens(self) -> Tokens | None:
        """The bytes of the V tokens; None if the file has no vocabulary. Raises: BundleError; see `gguf_tokens`."""
        model, pieces = self.metadata.text(Keys.Tokenizer.MODEL), self.metadata.values.get(Keys.Tokenizer.LIST)
        if model is None or pieces is None:
            return None
        types = self.metadata.values.get(Keys.Tokenizer.TOKEN_TYPE)
        for key, value, of in ((Keys.Tokenizer.LIST, pieces, "STRING"), (Keys.Tokenizer.TOKEN_TYPE, types, "INT32")):
            if value is not None and (value.of != of or value.count != self.embedding_rows or value.count > MAX_TOKENS):
                found = f"{value.count:,} {value.of}" if value.of else f"a {value.kind}"
                expected = f"{self.embedding_rows:,} {of}, a row of the table each, and at most {MAX_TOKENS:,}"
                raise BundleError(f"{self.path}: {key} is {found}, expected {expected}; convert the model again")
        kinds = [1] * self.embedding_rows if types is None else read_numbers(self._mapped, types).tolist()
        prefix = self.metadata.flag(Keys.Tokenizer.ADD_PREFIX)
        return decode(self.metadata.strings(Keys.Tokenizer.LIST), kinds, model, str(self.path), prefix)

    # Tensors of any name, as `source.Weights` has them.

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, the fastest axis last. Raises: BundleError if it is missing or of a type not read."""
        self.type_name(name)
        return self._tensors[name].shape

    def type_name(self, name: str) -> str:
        """How a tensor is stored, as in `Q6_K`. Raises: BundleError if it is missing or of a type that is not read."""
        if name not in self:
            raise BundleError(f"{self.path} has no tensor {name!r}; convert the model again")
        found = self._tensors[name].type
        if found not in DECODERS:
            read, to = ", ".join(DECODERS), "F32" if found == "F64" else "Q8_0 or F16"
            raise BundleError(
                f"{self.path}: {name} is of type {found}, and read are {read}; convert it to {to} with llama-quantize"
            )
        return found

    def blocks(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """The rows `[start, stop)` in float32, a few at a time, each time with the number of the first one.

        A vector `(n,)` comes whole. Raises: as `shape`; BundleError for a number that is not finite.
        """
        shape, decoder = self.shape(name), DECODERS[self.type_name(name)]
        stop, width = shape[0] if stop is None else stop, math.prod(shape[1:])
        if len(shape) == 1:
            yield start, self.vector(name)[start:stop]
            return
        size, step = width // decoder.length * decoder.size, max(1, BLOCK // width)  # bytes of a row, rows at a time
        for first in range(start, stop, step):
            rows = min(step, stop - first)
            at = self._tensors[name].offset + first * size
            block = decoder.rows(np.frombuffer(self._mapped, np.uint8, rows * size, at).reshape(rows, size))
            check_finite(block, f"{self.path}: {name}", first)
            yield first, block.reshape(rows, *shape[1:])
            release(self._mapped)

    def vector(self, name: str) -> np.ndarray:
        """All numbers of a tensor of one axis, `(n,)` float32. Raises: as `blocks`."""
        tensor, decoder = self._tensors[name], DECODERS[self.type_name(name)]
        numbers = decoder.rows(np.frombuffer(self._mapped, np.uint8, tensor.size, tensor.offset)[None])[0]
        check_finite(numbers, f"{self.path}: {name}")
        return np.array(numbers)

    def final_norm(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Weight and bias `(d,)` of the final norm; ones where the architecture has no weight. Raises: as `blocks`."""
        weight = self.vector(NORM) if NORM in self else np.ones(self.hidden_size, np.float32)
        return weight, self.vector(NORM_BIAS) if NORM_BIAS in self else None


def open_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Open a GGUF file of a language model; links are followed, as to the Hub's cache.

    Raises: BundleError for a file that is not one, is damaged, is split, or holds something else than a model whose
    head is known; OSError without permission.
    """
    mapped = map_file(Path(os.path.realpath(path)))
    return GGUFFile(Path(path), mapped, read_header(mapped, str(path)))

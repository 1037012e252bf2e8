"""The head of a checkpoint, ready to be written, as its files hold it: no model is loaded, so its family must be known.

`proof.py` takes the head from a loaded model instead, of whatever family.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .errors import BundleError
from .families import family_of, output_layer, text_config
from .output_layer import OutputLayer
from .source import Source, read_config
from .tensors import widen
from .tokens import Tokens
from .weights import Weights, find_head

Rows = Callable[[int, int], Iterator[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class Head:
    """The output layer of a model: its table `(rows, d)`, given row by row, and its small tensors in float32."""

    name: str  # of the table, for messages
    model_type: str  # the family, as a configuration calls it
    rows: int
    d: int
    dtype: str  # that the table is stored in
    table: Rows  # the rows [start, stop) as they are stored, a few at a time
    tied: bool
    layer: OutputLayer
    norm_weight: np.ndarray | None = None  # (d,)
    norm_bias: np.ndarray | None = None  # (d,)
    bias: np.ndarray | None = None  # (rows,)
    files: tuple[str, ...] = ()  # that it was read from

    def float32(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """The rows [start, stop) of the table in float32, a few at a time."""
        return ((first, widen(block, self.dtype)) for first, block in self.table(start, stop))

    def __post_init__(self) -> None:
        # A norm without a weight has ones, a layer norm without a bias zeros: so there is one formula.
        if self.layer.norm is not None and self.norm_weight is None:
            object.__setattr__(self, "norm_weight", np.ones(self.d, dtype=np.float32))
        if self.layer.norm is not None and self.layer.norm.kind == "layer_norm" and self.norm_bias is None:
            object.__setattr__(self, "norm_bias", np.zeros(self.d, dtype=np.float32))


def from_files(source: Source, tied: bool | None = None) -> Head:
    """The head as the files of a checkpoint hold it, by its family. Raises: BundleError."""
    weights, where = Weights(source.folder), str(source.folder / "config.json")
    config = read_config(source.folder)
    family = family_of(config, where)
    config = text_config(config)
    layer = output_layer(config, family, where)
    name, is_tied = find_head(weights, family.names, bool(config.get("tie_word_embeddings", family.tied)), tied)
    shape = weights.shape(name)
    if len(shape) != 2 or 0 in shape:
        raise BundleError(f"{weights.folder}: {name} has shape {shape}: it must be (rows, hidden size)")
    rows, d = shape
    width = "n_embd" if "n_embd" in config and "hidden_size" not in config else "hidden_size"
    for key, size in ((width, d), ("vocab_size", rows)):
        if config.get(key, size) != size:
            raise BundleError(
                f"{weights.folder}: {name} has shape {shape}, config.json says {key} = {config[key]}: Transformers "
                "would not load it; correct config.json"
            )

    def small(modules: tuple[str, ...], leaf: str, size: int) -> tuple[str | None, np.ndarray | None]:
        found = weights.find(modules, leaf)
        return found, None if found is None else weights.read(found, (size,))

    weight_name, weight = small(family.names.norm, "weight", d)
    if weight is None and family.weight:
        weights.shape(f"{family.names.norm[-1]}.weight")  # raises
    norm_bias_name, norm_bias = small(family.names.norm, "bias", d)
    if norm_bias_name and family.kind == "rms_norm":
        raise BundleError(f"{weights.folder} has {norm_bias_name}, for which a {config['model_type']} has no place")
    bias_name, bias = small(family.names.head, "bias", rows)
    if (bias is not None) != family.bias:
        has, needs = ("no", "one") if bias is None else ("a", "none")
        where = f"{weights.folder} has {has} bias of the output layer, {bias_name or 'lm_head.bias'}"
        raise BundleError(f"{where}: a {config['model_type']} has {needs}")
    read = [found for found in (name, weight_name, norm_bias_name, bias_name) if found]
    return Head(
        f"{weights.folder}: {name}",
        str(config["model_type"]),
        rows,
        d,
        weights.dtype(name),
        lambda start, stop: weights.stored_blocks(name, start, stop),
        is_tied,
        layer,
        weight,
        norm_bias,
        bias,
        tuple(sorted({weights.file(found) for found in read})),
    )


def from_gguf(source: Source) -> tuple[Head, Tokens | None]:
    """The head of a GGUF file, its table dequantised to float32, and its tokens. Raises: BundleError."""
    from . import gguf_file  # imports the gguf package

    assert source.gguf is not None
    file = gguf_file.open_gguf(source.folder / source.gguf)
    weight, norm_bias = file.final_norm()
    head = Head(
        f"{source.name}: {file.head}",
        file.architecture,
        file.embedding_rows,
        file.hidden_size,
        "float32",
        lambda start, stop: file.blocks(file.head, start, stop),
        file.tied,
        file.output_layer,
        weight,
        norm_bias,
        file.vector(gguf_file.BIAS) if gguf_file.BIAS in file else None,
        (source.gguf,),
    )
    return head, file.tokens

"""The head of a checkpoint, ready to be written: read from its files, or taken from the model that Transformers loaded.

The first way needs no PyTorch and must know the family; the second knows any model, and proves what it says of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import BundleError
from .families import family_of, known_family, output_layer, possible_finishes, text_config
from .output_layer import Norm, OutputLayer, finished
from .source import Source, read_config
from .tensors import BLOCK, widen
from .tokens import Tokens
from .weights import Weights, find_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .model import Run

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
    if weight is None and config.get("model_type") not in WITHOUT_WEIGHT:
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


WITHOUT_WEIGHT = ("olmo",)  # its last norm has no weight


def from_model(model: "PreTrainedModel", run: "Run") -> Head:
    """The head of a loaded model, and the output layer that is proved on what the model gave.

    Raises: BundleError for a model whose output layer is of no known kind, with the size of the difference.
    """
    config, output = model.config.get_text_config().to_dict(), model.get_output_embeddings()
    stored = output.weight.detach().numpy()
    rows, d = stored.shape

    def table(start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        step = max(1, BLOCK // d)
        for first in range(start, stop, step):
            yield first, stored[first : min(first + step, stop)]

    def small(module: Any, leaf: str) -> np.ndarray | None:
        found = getattr(module, leaf, None)
        return None if found is None else found.detach().numpy()

    head = Head(
        f"the output embedding of {type(model).__name__}",
        str(config["model_type"]),
        rows,
        d,
        "float32",
        table,
        output.weight is model.get_input_embeddings().weight,
        OutputLayer(None),
        small(run.norm, "weight"),
        small(run.norm, "bias"),
        small(output, "bias"),
    )
    known = known_family(model.config.to_dict())
    described = [] if known is None else [output_layer(config, known, "its configuration")]
    return proved(head, described, run, config)


def proved(head: Head, described: list[OutputLayer], run: "Run", config: dict[str, Any] | None = None) -> Head:
    """The head with the output layer that the model has: one of those described, or what else its configuration names.

    Raises: BundleError for a model whose output layer is of no known kind, with the size of the difference.
    """
    norm = _proved_norm(head, described, run)
    layers = [replace(layer, norm=norm) for layer in described]
    layers += [OutputLayer(norm, **finish) for finish in possible_finishes(config)] if config is not None else []
    away = []
    for layer in dict.fromkeys(layers):
        complete = replace(head, layer=layer)
        ratio, message = _furthest_logit(complete, run)
        if ratio <= 1:
            return complete
        away.append((ratio, message))
    raise BundleError(min(away)[1])


def _proved_norm(head: Head, described: list[OutputLayer], run: "Run") -> Norm | None:
    """The norm that takes every block output to its context, within the bounds of both. Raises: BundleError if none."""
    if run.norm is None:
        return None
    likely = [layer.norm for layer in described if layer.norm is not None]
    epsilons = [getattr(run.norm, name, None) for name in ("eps", "variance_epsilon", "epsilon")]
    own = [value for value in epsilons if isinstance(value, float)] + [norm.epsilon for norm in likely]
    kinds = [Norm(kind, epsilon, at) for epsilon in own for kind in ("layer_norm", "rms_norm") for at in (0.0, 1.0)]
    away = {}
    for norm in dict.fromkeys([*likely, *kinds]):
        complete = replace(head, layer=OutputLayer(norm))  # with the ones and zeros of what the norm lacks
        arguments = (run.block_output, complete.norm_weight, complete.norm_bias)
        error = np.abs(complete.layer.normed(*arguments) - run.context)
        if (error <= 2 * complete.layer.norm_bound(*arguments)).all():  # the model rounds, and so does the reference
            return norm
        away[norm] = float(error.max())
    name = type(run.norm).__name__
    if not away:
        raise BundleError(f"its final norm, a {name}, has no epsilon: a bundle cannot describe it")
    nearest = min(away, key=lambda norm: away[norm])
    raise BundleError(
        f"its final norm, a {name}, is none that a bundle describes: the nearest is {nearest.kind} with epsilon "
        f"{nearest.epsilon:g} and weight offset {nearest.weight_offset:g}, up to {away[nearest]:.3g} away"
    )


def _furthest_logit(head: Head, run: "Run") -> tuple[float, str]:
    """How far the described logits are from the model's own, in bounds of both, and where, in words."""
    worst, message = 0.0, ""
    for start, rows in head.float32(0, head.rows):
        stop = start + len(rows)
        finish = head.layer.finish(None if head.bias is None else head.bias[start:stop])
        ours, bound = finished(run.context, rows, finish)
        ratio = np.abs(ours - run.logits[:, start:stop]) / (2 * bound)
        if not (ratio.max() <= max(worst, 1.0)):  # written so that nan is worse
            n, v = (int(i) for i in np.unravel_index(int(np.nanargmax(ratio)), ratio.shape))
            worst = float(ratio[n, v])
            message = (
                f"its logits are not those of {head.layer.entry()}: for prompt {n}, token {start + v} the model gives "
                f"{run.logits[n, start + v]:.6g} and the description {ours[n, v]:.6g}, {2 * worst:.3g} times the "
                "bound: it does something else between final norm and logits, which a bundle cannot say"
            )
    return worst, message

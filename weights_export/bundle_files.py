"""The files of a bundle that hold tensors: written one after the other, and the table read back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import reference

from . import containers, tensors
from .contents import Contents
from .errors import BundleError
from .exact import exact_logits
from .heads import Head
from .plain_files import map_file
from .progress import Report
from .tensors import Content, Tensor

if TYPE_CHECKING:
    from .forward import Run


class TensorFiles:
    """The files with tensors that have been written, and where each tensor lies."""

    def __init__(self, folder: Path, container: str) -> None:
        self._folder, self._container = folder, container
        self.tensors: dict[str, tuple[str, Tensor]] = {}

    def write(self, part: str, contents: Mapping[str, Content]) -> None:
        """Write the file of this part, such as `head`. Raises: OSError."""
        file = f"{part}.{self._container}"
        written = containers.write(self._folder / file, self._container, contents)
        self.tensors |= {name: (file, tensor) for name, tensor in written.items()}

    def blocks(self, name: str) -> Iterator[np.ndarray]:
        """A tensor as it lies on disk, a few rows at a time, in the dtype to compute in."""
        file, tensor = self.tensors[name]
        return (block for _, block in tensors.blocks(map_file(self._folder / file), tensor))

    def stored_blocks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """The same, as it is stored, each time with the number of the first row."""
        file, tensor = self.tensors[name]
        return tensors.stored_blocks(map_file(self._folder / file), tensor)


def head_tensors(read: Contents, dtype: str, rows: str, report: Report) -> dict[str, Content]:
    """The tensors of the output layer, in the order of FORMAT.md. Raises, once they are written: BundleError."""
    head, vocab_size = read.head, read.vocab_size
    small = {"final_norm.weight": head.norm_weight, "final_norm.bias": head.norm_bias}
    contents = {name: Content.of(values) for name, values in small.items() if values is not None and head.layer.norm}
    parts = {"embedding": (0, vocab_size), "padding": (vocab_size, head.rows if rows == "all" else vocab_size)}
    for name, (start, stop) in parts.items():
        if start < stop:
            blocks = _narrowed(head, start, stop, dtype, report)
            contents[name] = Content(dtype, (stop - start, head.d), blocks)
    for name, (start, stop) in zip(("bias", "padding_bias"), parts.values(), strict=True):
        if head.bias is not None and start < stop:
            contents[name] = Content.of(head.bias[start:stop])
    return contents


def _narrowed(head: Head, start: int, stop: int, dtype: str, report: Report) -> Iterator[np.ndarray]:
    """Rows of a checkpoint's table as `dtype` stores them; a number that is too large for it is refused."""
    where = f"{head.name}" + ("" if dtype == "float32" else f", as {dtype} (pass --dtype float32),")
    for first, block in head.table(start, stop):
        narrow = _as_stored(block, head.dtype, dtype)
        tensors.check_stored(narrow, dtype, where, first)
        report("the embedding", first + len(block), stop)
        yield narrow


def read_back(files: TensorFiles, head: Head, dtype: str, report: Report) -> None:
    """Read the table that was written and compare it with the checkpoint's, number for number.

    Raises: BundleError if they differ.
    """
    start = 0
    for name in [name for name in ("embedding", "padding") if name in files.tensors]:
        for first, written in files.stored_blocks(name):
            at = start + first
            read = [_as_stored(block, head.dtype, dtype) for _, block in head.table(at, at + len(written))]
            if not all(map(np.array_equal, np.split(written, np.cumsum([len(part) for part in read])[:-1]), read)):
                raise BundleError(f"{name} reads back otherwise than it was written, from row {first} on: export again")
            report(f"{name}, read back", first + len(written), files.tensors[name][1].shape[0])
        start += files.tensors[name][1].shape[0]


def _as_stored(block: np.ndarray, dtype: str, wanted: str) -> np.ndarray:
    """Stored numbers of one dtype as another one stores them."""
    return block if dtype == wanted else tensors.narrow(tensors.widen(block, dtype), wanted)


def write_contexts_and_answers(
    files: TensorFiles, read: Contents, run: "Run", version: int, dtype: str, report: Report
) -> None:
    """Write the contexts, PyTorch's logits, the exact ones, and what tells mistakes apart. Raises: OSError."""
    from .logits import logits

    context, v, finish = run.context, read.vocab_size, read.head.layer.finish(read.head.bias)
    if read.head.bias is not None:
        finish["bias"] = read.head.bias[:v]
    files.write("contexts", {"block_output": Content.of(run.block_output), "context": Content.of(context)})

    def joined(what: str, blocks: Iterator[np.ndarray]) -> np.ndarray:
        columns: list[np.ndarray] = []
        for block in blocks:
            columns.append(block)
            report(what, sum(part.shape[1] for part in columns), v)
        return np.concatenate(columns, axis=1)

    by_torch = joined("logits by PyTorch", logits(context, files.blocks("embedding"), **finish))
    exact = joined("exact logits", exact_logits(context, files.blocks("embedding"), finish.get("bias")))
    if finish:  # scale and cap, in float64
        exact = reference.finish_logits(exact, **{**finish, "bias": None})
    if version == 2:
        files.write("expected", {"logits_exact": Content.of(exact), "logits": Content.of(by_torch)})
    else:  # a file each: not every library reads float64
        files.write("exact", {"logits_exact": Content.of(exact)})
        files.write("expected", {"logits": Content.of(by_torch)})
    if version > 3:
        others = {"previous_context": Content.of(run.previous)}
        if run.input_embedding is not None:
            table = tensors.narrow(run.input_embedding[:v], dtype)
            others["input_embedding"] = Content(dtype, table.shape, [table])
        files.write("judging", others)

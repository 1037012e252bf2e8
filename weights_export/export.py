"""From a checkpoint to a bundle: read, run, write beside the target, reopen, recompute, and only then rename."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import containers, manifest, rows, staging, tokens
from .bundle import open_unnamed
from .containers import Content
from .exact import exact_logits
from .progress import Report, silent
from .prompts import PROMPTS
from .source import Head, Source, Weights, find_head, read_config, weight_files
from .strict_json import BundleError, dump
from .tensors import Tensor, map_file


@dataclass(frozen=True)
class Options:
    """What to write, where; `dtype` and `rows` concern the embedding, `tied` overrules what the checkpoint says."""

    output: Path
    prompts: tuple[str, ...] = PROMPTS
    container: str = "safetensors"
    dtype: str = "float32"
    rows: str = "all"
    head_only: bool = False
    force: bool = False
    tied: bool | None = None


def export(source: Source, options: Options, report: Report = silent) -> None:
    """Write the bundle of a checkpoint: the target is whole, or as it was.

    Raises: FileExistsError for a target that is there; BundleError for a checkpoint that cannot be exported and for
    files that do not read back as they should; OSError as the file system does.
    """
    staging.check_target(options.output, options.force)
    try:
        with staging.temporary(options.output) as folder:
            write_into(folder, source, options, report)
            staging.flush(folder)
            folder.chmod(0o755)
            staging.put_in_place(folder, options.output, options.force)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk does not say where
            error.filename = str(options.output)
        raise


def write_into(folder: Path, source: Source, options: Options, report: Report = silent) -> None:
    """All files of the bundle into an empty folder, verified: reopened, hashed again, logits recomputed."""
    config, weights = read_config(source.folder), Weights(source.folder)
    checkpoint = _checkpoint_files(source, report)
    head = find_head(weights, config, options.tied)
    tokenizer = tokens.load_tokenizer(source.folder)
    if tokenizer is None and not options.head_only:
        raise BundleError(f"{source.name} has no tokenizer (tokenizer.json): add GPT-2's, or pass --head-only")
    vocab_size = min(head.rows, tokens.size(tokenizer) if tokenizer else config.get("vocab_size", head.rows))
    writer = _Writer(folder, options.container)
    writer.tensors("head", _head(weights, head, vocab_size, options, report))
    ids: list[list[int]] = []
    if not options.head_only:
        window = config.get("n_positions", 1024)
        ids = [tokens.encode(tokenizer, text, window, vocab_size) for text in options.prompts]
    if tokenizer is not None:
        writer.json(
            "tokens.json",
            {
                "encoding": "hex",
                "special": sorted(i for i in tokens.special_ids(tokenizer) if i < vocab_size),
                "tokens": [raw.hex() for raw in tokens.token_bytes(tokenizer, vocab_size)],
            },
        )
    del tokenizer  # tens of MB that the model can use
    if ids:
        _contexts_and_answers(writer, config, weights, ids, vocab_size, report)
        records = [{"text": text, "token_ids": tokens} for text, tokens in zip(options.prompts, ids, strict=True)]
        writer.json("prompts.json", records)
    content = {
        "format": manifest.FORMAT,
        "version": manifest.VERSION,
        "model": source.name,
        "revision": source.revision,
        "checkpoint": checkpoint,
        "container": options.container,
        "vocab_size": vocab_size,
        "embedding_rows": head.rows if options.rows == "all" else vocab_size,
        "hidden_size": head.hidden_size,
        "dtype": options.dtype,
        "tied": head.tied,
        "layer_norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
        "prompts": len(ids),
        "tensors": writer.places,
        "files": {name: fingerprint(folder / name, report) for name in sorted(writer.files)},
    }
    (folder / "manifest.json").write_bytes(manifest.seal(content))
    bundle = open_unnamed(folder)
    bundle.verify(report)
    if ids:
        bundle.reproduce(report)


class _Writer:
    """The files of a bundle and where their tensors lie."""

    def __init__(self, folder: Path, container: str) -> None:
        self.folder, self.container = folder, container
        self.places: dict[str, dict[str, Any]] = {}
        self.files: list[str] = []

    def tensors(self, part: str, contents: Mapping[str, Content]) -> dict[str, Tensor]:
        file = f"{part}.{self.container}"
        written = containers.write(self.folder / file, self.container, contents)
        for name, tensor in written.items():
            place = {"file": file, "dtype": tensor.dtype, "shape": list(tensor.shape), "offset": tensor.offset}
            self.places[name] = place
        self.files.append(file)
        return written

    def json(self, file: str, content: Any) -> None:
        (self.folder / file).write_bytes(dump(content))
        self.files.append(file)

    def table(self, name: str) -> rows.Table:
        """A tensor that has been written."""
        place = self.places[name]
        tensor = Tensor(place["dtype"], tuple(place["shape"]), place["offset"])
        return rows.Table(map_file(self.folder / place["file"]), tensor)


def _head(weights: Weights, head: Head, vocab_size: int, options: Options, report: Report) -> dict[str, Content]:
    d = head.hidden_size
    table = {f"final_norm.{name}": Content("float32", (d,), [_norm(weights, name, d)]) for name in ("weight", "bias")}
    for name, start, stop in (("embedding", 0, vocab_size), ("padding", vocab_size, head.rows)):
        if start < stop and (name == "embedding" or options.rows == "all"):
            blocks = _narrowed(weights, head.tensor, start, stop, options.dtype, report)
            table[name] = Content(options.dtype, (stop - start, d), blocks)
    return table


def _norm(weights: Weights, name: str, d: int) -> np.ndarray:
    if name == "bias" and "ln_f.bias" not in weights:  # nanoGPT leaves biases out
        return np.zeros(d, dtype=np.float32)
    values = np.empty(d, dtype=np.float32)
    weights.read_into(f"ln_f.{name}", values)
    return values


def _narrowed(weights: Weights, tensor: str, start: int, stop: int, dtype: str, report: Report) -> Iterator[np.ndarray]:
    """Rows of a checkpoint's table as `dtype` stores them; refused where a number is too large for it."""
    where = f"{weights.folder}: {tensor}, as {dtype} (pass --dtype float32),"
    for block in weights.blocks(tensor, start, stop):
        narrow = rows.narrow(block, dtype)
        rows.check_finite(rows.widen(narrow, dtype), where, start)
        start += len(block)
        report("the embedding", start, stop)
        yield narrow


def _contexts_and_answers(
    writer: _Writer,
    config: dict[str, Any],
    weights: Weights,
    ids: list[list[int]],
    vocab_size: int,
    report: Report,
) -> None:
    report("loading PyTorch and Transformers", 0, 1)
    from .contexts import contexts, logits

    report("loading PyTorch and Transformers", 1, 1)
    block_output, context = contexts(config, weights, ids, report)
    writer.tensors("contexts", {"block_output": Content.of(block_output), "context": Content.of(context)})
    exact = np.empty((len(ids), vocab_size))
    _gather(exact, exact_logits(context, writer.table("embedding").blocks()), "exact logits", report)
    ours = np.empty((len(ids), vocab_size), dtype=np.float32)
    _gather(ours, logits(context, writer.table("embedding").blocks()), "PyTorch's logits", report)
    writer.tensors("expected", {"logits_exact": Content.of(exact), "logits": Content.of(ours)})


def _gather(result: np.ndarray, blocks: Iterator[np.ndarray], what: str, report: Report) -> None:
    """Put blocks of columns side by side."""
    start = 0
    for block in blocks:
        result[:, start : start + block.shape[1]] = block
        start += block.shape[1]
        report(what, start, result.shape[1])


def _checkpoint_files(source: Source, report: Report) -> dict[str, dict[str, Any]]:
    """Size and sha256 of the files that the weights came from; if they were not fetched whole, what the Hub said."""
    files = {}
    for name in weight_files(source.folder):
        path, told = source.folder / name, source.digests.get(name)
        if source.complete:
            files[name] = fingerprint(path, report)
            if told not in (None, files[name]["sha256"]):
                raise BundleError(f"{path} does not have the sha256 that the Hub gave, {told}: delete it and run again")
        else:
            files[name] = {"size": path.stat().st_size, "sha256": told}
    return files


def fingerprint(path: Path, report: Report = silent) -> dict[str, Any]:
    """Size and sha256 of a file, read a piece at a time."""
    digest, size, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
            report(f"sha256 of {path.name}", size, total)
    return {"size": size, "sha256": digest.hexdigest()}

"""Writing a bundle: read, run, write beside the target, reopen, recompute, and only then rename."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import containers, manifest, staging, tensors, tokens
from .bundle import open_unnamed
from .errors import BundleError
from .exact import exact_logits
from .plain_files import map_file
from .progress import Report, silent
from .prompts import PROMPTS
from .source import Head, Source, Weights, find_head, read_config, weight_files
from .strict_json import dump
from .tensors import Content, Tensor


@dataclass(frozen=True)
class Options:
    """What to write and where; `dtype` and `rows` are the embedding's, `tied` overrules the checkpoint's config."""

    output: Path
    prompts: tuple[str, ...] = PROMPTS
    container: str = "safetensors"
    dtype: str = "float32"
    rows: str = "all"
    head_only: bool = False
    force: bool = False
    tied: bool | None = None


def export(source: Source, options: Options, report: Report = silent) -> None:
    """Write the bundle of a checkpoint. The target ends up complete, or is left as it was.

    Raises: FileExistsError for a target that exists; BundleError for a checkpoint that cannot be exported and for
    files that do not read back as they should; OSError as the file system does.
    """
    staging.check_target(options.output, options.force)
    try:
        with staging.temporary(options.output) as folder:
            _write(folder, source, options, report)
            staging.flush(folder)
            folder.chmod(0o755)
            staging.put_in_place(folder, options.output, options.force)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk does not say where
            error.filename = str(options.output)
        raise


def _write(folder: Path, source: Source, options: Options, report: Report) -> None:
    """Write all files into an empty folder, then verify them: reopened, hashed again, logits recomputed."""
    config, weights = read_config(source.folder), Weights(source.folder)
    checkpoint = _checkpoint_files(source, report)
    head = find_head(weights, config, options.tied)
    tokenizer = tokens.load_tokenizer(source.folder)
    if tokenizer is None and not options.head_only:
        raise BundleError(f"{source.name} has no tokenizer (tokenizer.json): add GPT-2's, or pass --head-only")
    ids_in_use = tokens.vocabulary_size(tokenizer) if tokenizer else config.get("vocab_size", head.rows)
    vocab_size = min(head.rows, ids_in_use)
    files = _Files(folder, options.container)
    files.write_tensors("head", _head(weights, head, vocab_size, options, report))
    ids: list[list[int]] = []
    if not options.head_only:
        window = config.get("n_positions", 1024)
        ids = [tokens.encode(tokenizer, text, window, vocab_size) for text in options.prompts]
    if tokenizer is not None:
        files.write_json("tokens.json", tokens.content(tokenizer, vocab_size))
    del tokenizer  # tens of MB that the model can use
    if ids:
        _write_contexts_and_answers(files, config, weights, ids, vocab_size, report)
        prompts = [{"text": text, "token_ids": found} for text, found in zip(options.prompts, ids, strict=True)]
        files.write_json("prompts.json", prompts)
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
        "tensors": {name: tensor.entry(file) for name, (file, tensor) in files.tensors.items()},
        "files": {name: fingerprint(folder / name, report) for name in sorted(files.names)},
    }
    (folder / "manifest.json").write_bytes(manifest.seal(content))
    bundle = open_unnamed(folder)
    bundle.verify(report)
    if ids:
        bundle.reproduce(report)


class _Files:
    """The files of a bundle that have been written, and where the tensors lie in them."""

    def __init__(self, folder: Path, container: str) -> None:
        self._folder, self._container = folder, container
        self.names: list[str] = []
        self.tensors: dict[str, tuple[str, Tensor]] = {}

    def write_tensors(self, part: str, contents: Mapping[str, Content]) -> None:
        file = f"{part}.{self._container}"
        written = containers.write(self._folder / file, self._container, contents)
        self.tensors |= {name: (file, tensor) for name, tensor in written.items()}
        self.names.append(file)

    def write_json(self, file: str, content: Any) -> None:
        (self._folder / file).write_bytes(dump(content))
        self.names.append(file)

    def blocks(self, name: str) -> Iterator[np.ndarray]:
        """A tensor that has been written, a few rows at a time."""
        file, tensor = self.tensors[name]
        return tensors.blocks(map_file(self._folder / file), tensor)


def _head(weights: Weights, head: Head, vocab_size: int, options: Options, report: Report) -> dict[str, Content]:
    d = head.hidden_size
    norm = {"weight": np.empty(d, dtype=np.float32), "bias": np.zeros(d, dtype=np.float32)}
    for name, values in norm.items():
        if name == "weight" or "ln_f.bias" in weights:  # nanoGPT leaves biases out
            weights.read_into(f"ln_f.{name}", values)
    contents = {f"final_norm.{name}": Content.of(values) for name, values in norm.items()}
    parts = {"embedding": (0, vocab_size)}
    if options.rows == "all" and head.rows > vocab_size:
        parts["padding"] = (vocab_size, head.rows)
    for name, (start, stop) in parts.items():
        blocks = _narrowed(weights, head.tensor, start, stop, options.dtype, report)
        contents[name] = Content(options.dtype, (stop - start, d), blocks)
    return contents


def _narrowed(weights: Weights, tensor: str, start: int, stop: int, dtype: str, report: Report) -> Iterator[np.ndarray]:
    """Rows of a checkpoint's table as `dtype` stores them; a number that is too large for it is refused."""
    where = f"{weights.folder}: {tensor}, as {dtype} (pass --dtype float32),"
    for block in weights.blocks(tensor, start, stop):
        narrow = tensors.narrow(block, dtype)
        tensors.check_finite(tensors.widen(narrow, dtype), where, start)
        start += len(block)
        report("the embedding", start, stop)
        yield narrow


def _write_contexts_and_answers(
    files: _Files, config: dict[str, Any], weights: Weights, ids: list[list[int]], vocab_size: int, report: Report
) -> None:
    report("loading PyTorch and Transformers", 0, 1)
    from .contexts import contexts, logits

    report("loading PyTorch and Transformers", 1, 1)
    block_output, context = contexts(config, weights, ids, report)
    files.write_tensors("contexts", {"block_output": Content.of(block_output), "context": Content.of(context)})

    def joined(what: str, blocks: Iterator[np.ndarray]) -> Content:
        columns: list[np.ndarray] = []
        for block in blocks:
            columns.append(block)
            report(what, sum(column.shape[1] for column in columns), vocab_size)
        return Content.of(np.concatenate(columns, axis=1))

    exact = joined("exact logits", exact_logits(context, files.blocks("embedding")))
    ours = joined("PyTorch's logits", logits(context, files.blocks("embedding")))
    files.write_tensors("expected", {"logits_exact": exact, "logits": ours})


def _checkpoint_files(source: Source, report: Report) -> dict[str, dict[str, Any]]:
    """Size and sha256 of the files that the weights came from; of files with holes, the sha256 that the Hub gave."""
    files = {}
    for name in weight_files(source.folder):
        path, given = source.folder / name, source.digests.get(name)
        if not source.complete:
            files[name] = {"size": path.stat().st_size, "sha256": given}
            continue
        files[name] = fingerprint(path, report)
        if given not in (None, files[name]["sha256"]):
            raise BundleError(f"{path} does not have the sha256 that the Hub gave, {given}: delete it and run again")
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

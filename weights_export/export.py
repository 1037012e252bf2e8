"""Writing a bundle: read, run, write beside the target, reopen, recompute, and only then rename."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import containers, manifest, staging, tensors, tokens
from .bundle import open_unnamed
from .errors import BundleError
from .exact import exact_logits
from .plain_files import map_file, sha256
from .progress import Report, silent
from .prompts import PROMPTS
from .source import Source, Weights, find_head, read_config, weight_files
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
            content = _write_files(folder, source, options, report)
            names = sorted(path.name for path in folder.iterdir())
            content["files"] = {name: _fingerprint(folder / name, report) for name in names}
            (folder / "manifest.json").write_bytes(manifest.seal(content))
            bundle = open_unnamed(folder)
            bundle.verify(report)
            if content["prompts"]:
                bundle.reproduce(report)
            staging.flush(folder)
            folder.chmod(0o755)
            staging.put_in_place(folder, options.output, options.force)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk does not say where
            error.filename = str(options.output)
        raise


def _write_files(folder: Path, source: Source, options: Options, report: Report) -> dict[str, Any]:
    """Write all files but the manifest into an empty folder; what the manifest says, but for `files`."""
    config, weights = read_config(source.folder), Weights(source.folder)
    checkpoint = _checkpoint_files(source, report)
    head = find_head(weights, config, options.tied)
    rows, d = weights.shape(head)
    tokenizer = tokens.load_tokenizer(source.folder)
    if tokenizer is None and not options.head_only:
        raise BundleError(f"{source.name} has no tokenizer (tokenizer.json): add GPT-2's, or pass --head-only")
    vocab_size = min(rows, tokens.vocabulary_size(tokenizer) if tokenizer else config.get("vocab_size", rows))
    files = _TensorFiles(folder, options.container)
    files.write("head", _head(weights, head, vocab_size, options, report))
    ids: list[list[int]] = []
    if not options.head_only:
        window = config.get("n_positions", 1024)
        ids = [tokens.encode(tokenizer, text, window, vocab_size) for text in options.prompts]
    if tokenizer is not None:
        (folder / "tokens.json").write_bytes(dump(tokens.content(tokenizer, vocab_size)))
    del tokenizer  # tens of MB that the model can use
    if ids:
        _write_contexts_and_answers(files, config, weights, ids, vocab_size, report)
        prompts = [{"text": text, "token_ids": found} for text, found in zip(options.prompts, ids, strict=True)]
        (folder / "prompts.json").write_bytes(dump(prompts))
    return {
        "format": manifest.FORMAT,
        "version": manifest.VERSION,
        "model": source.name,
        "revision": source.revision,
        "checkpoint": checkpoint,
        "container": options.container,
        "vocab_size": vocab_size,
        "embedding_rows": rows if options.rows == "all" else vocab_size,
        "hidden_size": d,
        "dtype": options.dtype,
        "tied": head == "wte.weight",
        "layer_norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
        "prompts": len(ids),
        "tensors": {name: tensor.entry(file) for name, (file, tensor) in files.tensors.items()},
    }


class _TensorFiles:
    """The files with tensors that have been written, and where each tensor lies."""

    def __init__(self, folder: Path, container: str) -> None:
        self._folder, self._container = folder, container
        self.tensors: dict[str, tuple[str, Tensor]] = {}

    def write(self, part: str, contents: Mapping[str, Content]) -> None:
        file = f"{part}.{self._container}"
        written = containers.write(self._folder / file, self._container, contents)
        self.tensors |= {name: (file, tensor) for name, tensor in written.items()}

    def blocks(self, name: str) -> Iterator[np.ndarray]:
        file, tensor = self.tensors[name]
        return (block for _, block in tensors.blocks(map_file(self._folder / file), tensor))


def _head(weights: Weights, head: str, vocab_size: int, options: Options, report: Report) -> dict[str, Content]:
    rows, d = weights.shape(head)
    norm = {"weight": np.empty(d, dtype=np.float32), "bias": np.zeros(d, dtype=np.float32)}
    for name, values in norm.items():
        if name == "weight" or "ln_f.bias" in weights:  # nanoGPT leaves biases out
            weights.read_into(f"ln_f.{name}", values)
    contents = {f"final_norm.{name}": Content.of(values) for name, values in norm.items()}
    for name, start, stop in (("embedding", 0, vocab_size), ("padding", vocab_size, rows)):
        if start < stop and (name == "embedding" or options.rows == "all"):
            blocks = _narrowed(weights, head, start, stop, options.dtype, report)
            contents[name] = Content(options.dtype, (stop - start, d), blocks)
    return contents


def _narrowed(weights: Weights, tensor: str, start: int, stop: int, dtype: str, report: Report) -> Iterator[np.ndarray]:
    """Rows of a checkpoint's table as `dtype` stores them; a number that is too large for it is refused."""
    where = f"{weights.folder}: {tensor}, as {dtype} (pass --dtype float32),"
    for first, block in weights.blocks(tensor, start, stop):
        narrow = tensors.narrow(block, dtype)
        tensors.check_finite(tensors.widen(narrow, dtype), where, first)
        report("the embedding", first + len(block), stop)
        yield narrow


def _write_contexts_and_answers(
    files: _TensorFiles, config: dict[str, Any], weights: Weights, ids: list[list[int]], vocab_size: int, report: Report
) -> None:
    report("loading PyTorch and Transformers", 0, 1)
    from .contexts import contexts, logits

    report("loading PyTorch and Transformers", 1, 1)
    block_output, context = contexts(config, weights, ids, report)
    files.write("contexts", {"block_output": Content.of(block_output), "context": Content.of(context)})

    def joined(what: str, blocks: Iterator[np.ndarray]) -> Content:
        columns: list[np.ndarray] = []
        for block in blocks:
            columns.append(block)
            report(what, sum(column.shape[1] for column in columns), vocab_size)
        return Content.of(np.concatenate(columns, axis=1))

    exact = joined("exact logits", exact_logits(context, files.blocks("embedding")))
    ours = joined("PyTorch's logits", logits(context, files.blocks("embedding")))
    files.write("expected", {"logits_exact": exact, "logits": ours})


def _checkpoint_files(source: Source, report: Report) -> dict[str, dict[str, Any]]:
    """Size and sha256 of the files that the weights came from; of files with holes, the sha256 that the Hub gave."""
    files = {}
    for name in weight_files(source.folder):
        path, given = source.folder / name, source.digests.get(name)
        if not source.complete:
            files[name] = {"size": path.stat().st_size, "sha256": given}
            continue
        files[name] = _fingerprint(path, report)
        if given not in (None, files[name]["sha256"]):
            raise BundleError(f"{path} does not have the sha256 that the Hub gave, {given}: delete it and run again")
    return files


def _fingerprint(path: Path, report: Report) -> dict[str, Any]:
    mapped = map_file(path.resolve())  # in the Hub's cache the names are links
    return {"size": len(mapped), "sha256": sha256(mapped, path.name, report)}

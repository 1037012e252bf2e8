"""Writing a bundle: read, run, write beside the target, reopen, recompute, and only then rename."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from . import manifest, staging
from .bundle import Bundle, open_unnamed
from .bundle_files import TensorFiles, head_tensors, read_back, write_contexts_and_answers
from .contents import Contents, head_alone, with_contexts
from .errors import BundleError
from .plain_files import map_file, sha256
from .progress import Report, silent
from .prompts import PROMPTS
from .source import Source
from .strict_json import dump

if TYPE_CHECKING:
    from .forward import Run


@dataclass(frozen=True)
class Options:
    """What to write and where; `dtype` and `rows` are the embedding's, `tied` overrules the checkpoint's config.

    `version` is the manifest's: None takes 2 for a GPT-2 and 3 for everything else.
    """

    output: Path
    prompts: tuple[str, ...] = PROMPTS
    container: str = "safetensors"
    dtype: str = "float32"
    rows: str = "all"
    head_only: bool = False
    force: bool = False
    tied: bool | None = None
    version: int | None = None


def export(source: Source, options: Options, report: Report = silent) -> str:
    """Write the bundle of a checkpoint. The target ends up complete, or is left as it was.

    Returns why the bundle has no tokens.json; nothing if it has. Raises: FileExistsError for a target that exists;
    BundleError for a checkpoint that cannot be exported and for files that do not read back as they should; OSError as
    the file system does.
    """
    staging.check_target(options.output, options.force)
    try:
        with staging.temporary(options.output) as folder, _beside() as (submit, unless_stopped):
            read = (
                head_alone(source, options.tied)
                if options.head_only
                else with_contexts(source, options.tied, options.prompts, report)
            )
            version = _version(read, options)
            of_source = submit(_checkpoint_files, source, read.head.files, unless_stopped)
            files = TensorFiles(folder, options.container)
            files.write("head", head_tensors(read, options.dtype, options.rows, report))
            flushed = submit(staging.flush, folder)  # the largest file, to disk while it is read back
            of_head = submit(_fingerprint, folder / f"head.{options.container}", unless_stopped)
            read_back(files, read.head, options.dtype, report)
            content = _write_files(folder, source, read, options, version, files, report)
            names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("head."))
            of_files = {name: _fingerprint(folder / name, report) for name in names}
            content["files"] = dict(sorted({**of_files, f"head.{options.container}": of_head.result()}.items()))
            content["checkpoint"] = of_source.result()
            (folder / "manifest.json").write_bytes(manifest.seal(content))
            bundle = open_unnamed(folder)
            if read.run is not None:
                bundle.verify(report)
                bundle.reproduce(report)
                _compare(bundle, read, read.run)
            flushed.result()  # an error of the disk is reported once
            staging.flush(folder)
            folder.chmod(0o755)
            staging.put_in_place(folder, options.output, options.force)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a full disk does not say where
            error.filename = str(options.output)
        raise
    return read.no_tokens


@contextmanager
def _beside() -> Iterator[tuple[Callable[..., Any], Report]]:
    """Runs functions beside the block, as hashing a large file takes long; the report ends them if the block fails."""
    stopped = Event()

    def unless_stopped(*_: Any) -> None:
        if stopped.is_set():
            raise InterruptedError("the export has ended")

    with ThreadPoolExecutor() as workers:
        try:
            yield workers.submit, unless_stopped
        except BaseException:
            stopped.set()
            raise


def _compare(bundle: Bundle, read: Contents, run: "Run") -> None:
    """Compare the bundle that was written with what Transformers gave.

    Raises: BundleError if the ids, the contexts or the output layer are others.
    """
    if [prompt["token_ids"] for prompt in bundle.prompts] != list(read.ids):
        raise BundleError(f"{bundle.folder}: the prompts' ids are not those of the tokenizer")
    if bundle.output_layer != read.head.layer or not np.array_equal(bundle.context, run.context):
        raise BundleError(f"{bundle.folder}: the contexts or the output layer are not the model's")


def _write_files(
    folder: Path,
    source: Source,
    read: Contents,
    options: Options,
    version: int,
    files: TensorFiles,
    report: Report,
) -> dict[str, Any]:
    """Write all files but the head and the manifest; what the manifest says, but for their hashes."""
    head = read.head
    if read.tokens is not None:
        (folder / "tokens.json").write_bytes(dump(read.tokens.content(version)))
    if read.run is not None:
        write_contexts_and_answers(files, read, read.run, version, options.dtype, report)
        pairs = zip(options.prompts, read.ids, strict=True)
        (folder / "prompts.json").write_bytes(dump([{"text": text, "token_ids": ids} for text, ids in pairs]))
    assert head.layer.norm is not None or version > 2
    said = (
        {"layer_norm_epsilon": head.layer.norm.epsilon}
        if version == 2 and head.layer.norm
        else {"model_type": head.model_type, "output_layer": head.layer.entry()}
    )
    return {
        "format": manifest.FORMAT,
        "version": version,
        "model": source.name,
        "revision": source.revision,
        "checkpoint": {},  # which are hashed meanwhile
        "container": options.container,
        "vocab_size": read.vocab_size,
        "embedding_rows": head.rows if options.rows == "all" else read.vocab_size,
        "hidden_size": head.d,
        "dtype": options.dtype,
        "tied": head.tied,
        **said,
        "prompts": len(read.ids),
        "tensors": {name: tensor.entry(file) for name, (file, tensor) in files.tensors.items()},
    }


def _version(read: Contents, options: Options) -> int:
    """The manifest's version. Raises: BundleError if version 2 is wanted and cannot say what there is to say."""
    layer, norm = read.head.layer, read.head.layer.norm
    beyond = {
        "its output layer has more than a layer norm": not norm or norm.kind != "layer_norm" or norm.weight_offset != 0,
        "its epsilon is not below 1": norm is not None and norm.epsilon >= 1,
        "its logits are scaled or capped": not layer.plain,
        "its output layer has a bias": read.head.bias is not None,
        read.no_tokens: read.run is not None and read.tokens is None,
        "its texts lose a space at their start": read.tokens is not None and read.tokens.leading_space != "kept",
    }
    why = [reason for reason, holds in beyond.items() if holds]
    if options.version == 2 and why:
        raise BundleError(
            f"a bundle of version 2 cannot hold this head, because {why[0]}: leave out --bundle-version 2"
        )
    if options.version == 4 and read.run is None:
        raise BundleError("a head alone has no contexts to judge: leave out --head-only or --bundle-version 4")
    return options.version or (2 if read.head.model_type == "gpt2" and not why else 3)


def _checkpoint_files(source: Source, names: tuple[str, ...], report: Report) -> dict[str, dict[str, Any]]:
    """Size and sha256 of the files that the weights came from; of files with holes, the sha256 that the Hub gave."""
    files = {}
    for name in names:
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

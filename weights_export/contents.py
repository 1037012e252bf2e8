"""What a bundle will hold of a checkpoint: read from its files for a head alone, or with the model that they make."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import heads, proof, tokens
from .errors import BundleError
from .families import known_family
from .heads import Head
from .progress import Report, silent
from .source import Source, read_config, weight_files

if TYPE_CHECKING:
    from .forward import Run


@dataclass(frozen=True)
class Contents:
    """Its head, its tokens, and what the model makes of the prompts."""

    head: Head
    vocab_size: int
    tokens: tokens.Tokens | None
    no_tokens: str = ""  # why there are none
    ids: tuple[list[int], ...] = ()
    run: "Run | None" = None


def head_alone(source: Source, tied: bool | None) -> Contents:
    """The head as the files hold it, without loading the model; `tied` overrules config.json.

    Raises: BundleError for files that do not hold the head of a known family.
    """
    if source.gguf:
        head, found = heads.from_gguf(source)
        if found is None:
            return Contents(head, head.rows, None, "the file has no vocabulary")
        return Contents(head, len(found.tokens), found)
    head = heads.from_files(source, tied)
    if not any((source.folder / name).is_file() for name in tokens.VOCABULARIES):
        return Contents(head, head.rows, None, "there is no tokenizer")
    from . import model as transformers_model

    try:
        tokenizer = transformers_model.load_tokenizer(source)
    except BundleError as error:
        return Contents(head, head.rows, None, str(error))
    vocab_size = tokens.vocabulary_size(tokenizer)
    transformers_model.refuse_missing_rows(source, vocab_size, head.rows)
    return _with_tokens(Contents(head, vocab_size, None), tokenizer)


def with_contexts(source: Source, tied: bool | None, prompts: Sequence[str], report: Report = silent) -> Contents:
    """The model as Transformers loads it, its tokenizer, and what it makes of the prompts.

    Raises: BundleError for whatever is no whole decoder with a tokenizer, and for an output layer of no known kind.
    """
    known, its_tokens = heads.from_gguf(source) if source.gguf else (None, None)
    if not source.gguf and known_family(read_config(source.folder)) is not None:
        known = heads.from_files(source, tied)  # refuses what is ambiguous before anything takes time
    report("loading PyTorch and Transformers", 0, 1)
    from . import forward
    from . import model as transformers_model

    report("loading PyTorch and Transformers", 1, 1)
    model, tokenizer = transformers_model.load(source, tied)
    window = forward.window(model)
    ids = tuple(tokens.encode(tokenizer, text, window) for text in prompts)
    run = forward.run(model, ids, report)
    try:
        head = proof.proved(known, [known.layer], run) if source.gguf and known else proof.from_model(model, run)
    except BundleError as error:
        also = "; Transformers' loader of GGUF files may leave something out: pass --head-only" if source.gguf else ""
        raise BundleError(f"{source.name}: {error}{also}") from None
    if known is not None:
        _same_table(source, proof.from_model(model, run) if source.gguf else head, known)
    files = (source.gguf,) if source.gguf else tuple(weight_files(source.folder))
    vocab_size = len(its_tokens.tokens) if its_tokens else tokens.vocabulary_size(tokenizer)
    read = Contents(replace(head, files=files), vocab_size, its_tokens, ids=ids, run=run)
    return read if its_tokens else _with_tokens(read, tokenizer)


def _with_tokens(read: Contents, tokenizer: Any) -> Contents:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return replace(read, no_tokens=f"a {type(tokenizer).__name__} does not say which bytes its tokens stand for")
    try:
        return replace(read, tokens=tokens.read_tokens(backend, read.vocab_size))
    except BundleError as error:
        return replace(read, no_tokens=str(error))


def _same_table(source: Source, head: Head, known: Head) -> None:
    """Raises: BundleError if the files, read without Transformers, hold another table than the model has."""
    for start, ours in known.float32(0, known.rows):
        theirs = [rows for _, rows in head.float32(start, start + len(ours))]
        if not np.array_equal(ours, np.concatenate(theirs)):
            raise BundleError(
                f"{source.name}: {known.name} as it is stored is not the output embedding that Transformers loads, "
                f"from row {start} on: one of the two reads it wrongly, so nothing was exported"
            )

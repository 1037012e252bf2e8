"""Finding a checkpoint: the embedded tiny GPT-2, a folder in Transformers' layout, a GGUF file, or a Hub's model."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import smollm2, source
from .prompts import PROMPTS
from .source import Source

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["PROMPTS", "TINY", "Checkpoint", "find", "load"]
TINY = Path(__file__).parent / "tiny_gpt2"


@dataclass(frozen=True)
class Checkpoint:
    """A model in float32 on the CPU, in evaluation mode, with its tokenizer and its files."""

    model: "PreTrainedModel"
    tokenizer: Any
    source: Source


def find(name: str, revision: str | None = None, offline: bool = False, head_into: Path | None = None) -> Source:
    """The files of the checkpoint called `name`: `tiny`, `smollm2`, a folder, a GGUF file or a Hub id, in this order.

    With the folder `head_into`, only the head is fetched from a Hub, into that folder.
    Raises: FileNotFoundError if there is no such folder; ValueError for a revision of a folder; HubError where a Hub
    does not deliver.
    """
    folder = TINY if name == "tiny" else Path(name)
    if name == "tiny" or folder.exists() or not is_hub_id(name):
        if revision is not None:
            raise ValueError(f"--revision {revision}: only a model of a Hub has revisions, {name!r} is a folder")
        return source.local(name, folder)
    if name == smollm2.NAME and revision is None:
        return replace(source.local(name, smollm2.fetch(offline)), name=name)
    from .hub import fetch  # imports huggingface_hub

    return fetch(name, revision, offline, head_into)


def is_hub_id(name: str) -> bool:
    """Whether `name` can be a Hub id: `gpt2` or `openai-community/gpt2`.

    >>> [is_hub_id(name) for name in ("gpt2", "openai-community/gpt2", "./gpt2", "models/of/mine", "")]
    [True, True, False, False, False]
    """
    part = r"[A-Za-z0-9][\w.-]*"
    return re.fullmatch(rf"{part}(/{part})?", name, re.ASCII) is not None and "--" not in name and ".." not in name


def load(name: str) -> Checkpoint:
    """The checkpoint called `name`, loaded by Transformers.

    Raises: as `find`; BundleError, one sentence, for what is no whole decoder with a tokenizer.
    """
    from . import model

    found = find(name)
    if not found.gguf:
        source.weight_files(found.folder)  # refuses a pickle with the command that converts it
    return Checkpoint(*model.load(found), found)

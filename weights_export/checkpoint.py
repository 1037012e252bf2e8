"""Where weights come from: the embedded tiny GPT-2, or a local folder in Transformers' layout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

TINY = Path(__file__).parent / "tiny_gpt2"

# The first shows the tiny model at its honest best: a clear favourite with plausible rivals.
PROMPTS = (
    "I do beseech your",
    "What must be shall",
    "Before we proceed any further, hear me",
    "ROMEO:\nO, she doth teach the torches to burn",
    "The",
    "a",
    "\n",
    "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to",
    "My lord, my lord, my lord, my lord, my lord, my",
    "KING RICHARD III:\nA horse! a horse! my kingdom for a",
    "Ô tempora, ô mœurs, dit le vieux",
    "こんにちは、世界",
    "def lm_head(context, embedding):\n    return context @",
    "0 1 1 2 3 5 8 13 21",
    "First Citizen:\nWe cannot, sir, we are undone already.\n\nMENENIUS:\nI tell you, friends, most charitable",
    "Good night, good night! parting is such sweet sorrow, that I shall say good night till it be " * 12,
)


@dataclass(frozen=True)
class Checkpoint:
    """A model in float32 on the CPU, in evaluation mode, with its tokenizer and the name it was asked for by."""

    name: str
    model: GPT2LMHeadModel
    tokenizer: Any


def load(name: str) -> Checkpoint:
    """The checkpoint called `name`: `tiny`, or a folder with `config.json`, `model.safetensors` and a tokenizer.

    Raises: FileNotFoundError if there is no such folder or it has no safetensors weights.
    """
    folder = TINY if name == "tiny" else Path(name)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"model {name!r}: {folder} has no config.json; pass 'tiny' or a checkpoint folder")
    model = GPT2LMHeadModel.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    ).eval()
    return Checkpoint(name, model, AutoTokenizer.from_pretrained(folder, local_files_only=True))

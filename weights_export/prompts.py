"""The prompts whose context vectors a bundle holds: the default list, a user's file, and what prompts.json may say."""

from pathlib import Path
from typing import Any

from .errors import BundleError
from .strict_json import are_ids, parse

# Short ones and one longer than any GPT-2's window, a single token, other languages, code, numbers, repetition. The
# first shows the tiny model at its honest best: a clear favourite with plausible rivals.
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
    "Good night, good night! parting is such sweet sorrow, that I shall say good night till it be " * 64,
)


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of a file: a JSON list of strings in `*.json`, otherwise one per line; UTF-8, empty lines skipped.

    A byte order mark is no part of the first prompt. Only a line feed, with or without a carriage return before it,
    ends a line: a prompt may hold other separators.
    Raises: OSError; BundleError for a file without prompts or of another form.
    """
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if path.suffix == ".json":
        prompts = parse(raw, str(path))
        if not isinstance(prompts, list) or not all(isinstance(text, str) and text for text in prompts):
            raise BundleError(f"--prompts {path}: it must be a JSON list of strings, none of them empty")
    else:
        try:
            lines = raw.decode("utf-8").split("\n")
            prompts = [line for line in (line.removesuffix("\r") for line in lines) if line]
        except UnicodeDecodeError as error:
            raise BundleError(f"--prompts {path} is not UTF-8: {error}") from None
    if not prompts:
        raise BundleError(f"--prompts {path} holds no prompts")
    return tuple(prompts)


def check(content: Any, count: int, vocab_size: int, where: str) -> list[dict[str, Any]]:
    """The content of prompts.json as it is. Raises: BundleError unless it is a list of `count` prompts."""
    if not isinstance(content, list) or len(content) != count:
        raise BundleError(f"{where} must be a list of {count} prompts")
    for i, prompt in enumerate(content):
        if not isinstance(prompt, dict) or prompt.keys() != {"text", "token_ids"}:
            raise BundleError(f"{where}[{i}] must have text and token_ids, and nothing else")
        text, ids = prompt["text"], prompt["token_ids"]
        if not isinstance(text, str) or not ids or not are_ids(ids, vocab_size):
            raise BundleError(f"{where}[{i}] must hold a string and a list of at least one token id below {vocab_size}")
    return content

"""The prompts whose context vectors a bundle holds: the default list, or a file."""

from pathlib import Path

from .strict_json import BundleError, parse

# Short and long up to the context window, one token, other languages, code, numbers, repeated text. The first shows the
# tiny model at its honest best: a clear favourite with plausible rivals. The last is cut to the window of any GPT-2.
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
    """The prompts of a file: a JSON list of strings in `*.json`, otherwise one a line; UTF-8, empty lines left out.

    Raises: OSError, and ValueError if there is none or it is not such a file.
    """
    raw = path.read_bytes()
    if path.suffix == ".json":
        prompts = parse(raw, str(path))
        if not isinstance(prompts, list) or not all(isinstance(text, str) and text for text in prompts):
            raise BundleError(f"--prompts {path}: it must be a JSON list of texts, none of them empty")
    else:
        try:
            prompts = [line for line in raw.decode("utf-8").splitlines() if line]
        except UnicodeDecodeError as error:
            raise BundleError(f"--prompts {path} is not UTF-8: {error}") from None
    if not prompts:
        raise BundleError(f"--prompts {path} holds no prompt")
    return tuple(prompts)

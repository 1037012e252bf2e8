"""Token ids and their bytes: the tokenizer files of a checkpoint, read without Transformers, and tokens.json."""

import re
from pathlib import Path
from typing import Any

from .errors import BundleError
from .strict_json import are_ids

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")


def load_tokenizer(folder: Path) -> Any | None:
    """The `tokenizers.Tokenizer` of a checkpoint folder: `tokenizer.json`, or GPT-2's `vocab.json` and `merges.txt`.

    None if there is neither. Raises: BundleError if the files cannot be read.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()  # it would cut the end of a long prompt; `encode` cuts the beginning
            return tokenizer
        if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            if tokenizer.token_to_id("<|endoftext|>") is not None:
                tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
            return tokenizer
    except Exception as error:  # the tokenizers library raises bare Exception
        raise BundleError(f"{folder}: its tokenizer cannot be read: {error}") from None
    return None


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the highest id; gaps count."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    return 1 + max(vocabulary.values())


def token_bytes(tokenizer: Any, vocab_size: int) -> list[bytes]:
    """The bytes of each token id: those behind GPT-2's byte-level alphabet; an added token is its own text.

    An id without a token has no bytes. Each result is checked against the tokenizer's own `decode`.
    Raises: BundleError if they differ: the tokenizer is not byte-level like GPT-2's.
    """
    # GPT-2 writes printable bytes as themselves and the others, in order, as the code points from 256 on.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    added = tokenizer.get_added_tokens_decoder()
    result = []
    for i in range(vocab_size):
        token = tokenizer.id_to_token(i) or ""
        if i in added or not all(character in byte_of for character in token):
            raw = token.encode()
        else:
            raw = bytes(byte_of[character] for character in token)
        decoded = tokenizer.decode([i], skip_special_tokens=False)
        if raw.decode("utf-8", errors="replace") != decoded:
            raise BundleError(
                f"token {i} has the bytes {raw!r}, but decodes as {decoded!r}: not a byte-level tokenizer"
            )
        result.append(raw)
    return result


def encode(tokenizer: Any, text: str, window: int, vocab_size: int) -> list[int]:
    """The last `window` token ids of a prompt.

    Raises: BundleError for a text without tokens, and for a token that the embedding has no row for.
    """
    ids = tokenizer.encode(text).ids[-window:]
    if not ids:
        raise BundleError(f"prompt {text[:40]!r} has no tokens: give at least one character")
    if max(ids) >= vocab_size:
        rows = f"the embedding has rows for 0 to {vocab_size - 1} only"
        raise BundleError(f"prompt {text[:40]!r} has token {max(ids)}: {rows}")
    return list(ids)


def content(tokenizer: Any, vocab_size: int) -> dict[str, Any]:
    """What tokens.json says. Raises: as `token_bytes`."""
    special = sorted(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special and i < vocab_size)
    return {"encoding": "hex", "special": special, "tokens": [raw.hex() for raw in token_bytes(tokenizer, vocab_size)]}


def check(content: Any, vocab_size: int, where: str) -> tuple[list[bytes], frozenset[int]]:
    """The bytes of each token and the special ids, from tokens.json. Raises: BundleError for anything else."""
    if not isinstance(content, dict) or content.keys() != {"encoding", "special", "tokens"}:
        raise BundleError(f"{where} must have encoding, special and tokens, and nothing else")
    tokens, special = content["tokens"], content["special"]
    if content["encoding"] != "hex" or not isinstance(tokens, list) or len(tokens) != vocab_size:
        raise BundleError(f"{where} must hold {vocab_size} tokens in the encoding 'hex'")
    if not are_ids(special, vocab_size):
        raise BundleError(f"{where}: special must list token ids from 0 to {vocab_size - 1}")
    for i, token in enumerate(tokens):
        if not isinstance(token, str) or not re.fullmatch("([0-9a-f]{2})*", token):
            raise BundleError(f"{where}: token {i} is {str(token)[:80]!r}: it must be bytes in hexadecimal")
    return [bytes.fromhex(token) for token in tokens], frozenset(special)

"""Token ids and their bytes: what a tokenizer says that each of its tokens stands for, and tokens.json."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import BundleError
from .strict_json import are_ids

# Files that can hold a vocabulary, and what Transformers reads beside them.
VOCABULARIES = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model", "vocab.txt", "tekken.json")
TOKENIZER_FILES = (
    *VOCABULARIES,
    *("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)


@dataclass(frozen=True)
class Tokens:
    """The bytes of each token id, those that stand for no text, and whether a text loses one space at its start."""

    tokens: list[bytes]
    special: frozenset[int]
    leading_space: str = "kept"  # or "dropped"

    def content(self, version: int) -> dict[str, Any]:
        """What tokens.json says."""
        said = {"encoding": "hex", "special": sorted(self.special), "tokens": [raw.hex() for raw in self.tokens]}
        return said if version == 2 else {**said, "leading_space": self.leading_space}


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the highest id of a tokenizer of Transformers; gaps count."""
    return 1 + max(tokenizer.get_vocab().values())


def byte_level(token: str) -> bytes | None:
    """The bytes behind a token in GPT-2's alphabet, None if it has other characters."""
    raw = [_BYTE_OF.get(character) for character in token]
    return None if None in raw else bytes(raw)  # type: ignore[arg-type]


def _alphabet() -> dict[str, int]:
    """GPT-2 writes printable bytes as themselves and the others, in order, as the code points from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = _alphabet()


def sentencepiece(token: str, byte_tokens: bool = True) -> bytes:
    """The bytes behind a piece of SentencePiece: `▁` is a space, `<0x0A>` is one byte.

    >>> sentencepiece("▁the"), sentencepiece("<0x0A>")
    (b' the', b'\\n')
    """
    if byte_tokens and re.fullmatch("<0x[0-9A-Fa-f]{2}>", token):
        return bytes.fromhex(token[3:5])
    return token.replace("▁", " ").encode()


def read_tokens(tokenizer: Any, vocab_size: int) -> Tokens:
    """The bytes of each id of a `tokenizers.Tokenizer`; each is checked against what the tokenizer itself decodes.

    An added token is its own text; an id without a token has no bytes.
    Raises: BundleError where joined bytes would not be the text, as with WordPiece, which writes spaces of its own.
    """
    added = {i: token for i, token in tokenizer.get_added_tokens_decoder().items() if i < vocab_size}
    special = frozenset(i for i, token in added.items() if token.special)
    decoder = "" if tokenizer.decoder is None else json.dumps(json.loads(tokenizer.decoder.__getstate__()))
    pieces = [tokenizer.id_to_token(i) or "" for i in range(vocab_size)]
    if '"ByteLevel"' in decoder:
        raw = [byte_level(piece) for piece in pieces]
        tokens = [piece.encode() if r is None else r for piece, r in zip(pieces, raw, strict=True)]
    elif '"Metaspace"' in decoder or "\\u2581" in decoder:
        tokens = [sentencepiece(piece, '"ByteFallback"' in decoder) for piece in pieces]
    else:
        raise BundleError("not a byte-level tokenizer, nor one of SentencePiece's kind: its tokens have no bytes")
    tokens = [added[i].content.encode() if i in added else token for i, token in enumerate(tokens)]
    known = [i for i in range(vocab_size) if pieces[i]]  # ids may have gaps
    return Tokens(tokens, special, _check(tokenizer, tokens, added, known))


def _check(tokenizer: Any, tokens: list[bytes], added: Mapping[int, Any], known: list[int]) -> str:
    """Whether a text keeps or loses the space at its start, after a look at what every token decodes as.

    Each token is decoded behind another one, so that it is not the start of the text.
    Raises: BundleError for the first token whose bytes would not be the text.
    """
    # Not one of SentencePiece's byte tokens: next to them, a byte that is no character spoils its neighbours too.
    written = (i for i in known if i not in added and not tokenizer.id_to_token(i).startswith("<0x"))
    plain = (i for i in written if re.fullmatch(b"[A-Za-z]+", tokens[i]))
    first = next((i for i in plain if tokenizer.decode([i, i]) == 2 * tokens[i].decode()), None)
    if first is None:
        raise BundleError("no token decodes as its own letters: joined bytes would not be the text")
    for i in known:
        decoded = tokenizer.decode([first, i], skip_special_tokens=False)
        if (tokens[first] + tokens[i]).decode("utf-8", errors="replace") != decoded:
            raise BundleError(
                f"token {i} has the bytes {tokens[i]!r}, but decodes as {decoded!r} behind {tokens[first]!r}"
            )
    spaced = (i for i in known if i not in added and re.fullmatch(b" [A-Za-z]+", tokens[i]))
    dropped = {tokenizer.decode([i]) == tokens[i].decode()[1:] for i in spaced}
    if len(dropped) > 1:
        raise BundleError("some texts keep the space at their start and some lose it: no rule for joined bytes")
    return "dropped" if True in dropped else "kept"


def encode(tokenizer: Any, text: str, window: int | None) -> list[int]:
    """The last `window` token ids that Transformers' tokenizer gives for a prompt. Raises: BundleError for none."""
    ids = list(tokenizer(text, verbose=False)["input_ids"])[-window if window else None :]
    if not ids:
        raise BundleError(
            f"prompt {text[:40]!r} has no tokens in the {type(tokenizer).__name__} that Transformers makes of these "
            "files: leave it out or, if all have none, name the right tokenizer_class in tokenizer_config.json"
        )
    return ids


def check(content: Any, vocab_size: int, version: int, where: str) -> Tokens:
    """What tokens.json holds. Raises: BundleError for anything else."""
    keys = {"encoding", "special", "tokens"} | ({"leading_space"} if version > 2 else set())
    if not isinstance(content, dict) or content.keys() != keys:
        raise BundleError(f"{where} must have {', '.join(sorted(keys))}, and nothing else")
    tokens, special, leading_space = content["tokens"], content["special"], content.get("leading_space", "kept")
    if content["encoding"] != "hex" or not isinstance(tokens, list) or len(tokens) != vocab_size:
        raise BundleError(f"{where} must hold {vocab_size} tokens in the encoding 'hex'")
    if leading_space not in ("kept", "dropped"):
        raise BundleError(f"{where}: leading_space is {str(leading_space)[:80]!r}: it must be 'kept' or 'dropped'")
    if not are_ids(special, vocab_size):
        raise BundleError(f"{where}: special must list token ids from 0 to {vocab_size - 1}")
    for i, token in enumerate(tokens):
        if not isinstance(token, str) or not re.fullmatch("([0-9a-f]{2})*", token):
            raise BundleError(f"{where}: token {i} is {str(token)[:80]!r}: it must be bytes in hexadecimal")
    return Tokens([bytes.fromhex(token) for token in tokens], frozenset(special), leading_space)

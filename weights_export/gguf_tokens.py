"""The bytes of each token of a GGUF file, from its tokenizer's pieces, as llama.cpp's `token_to_piece` gives them.

The bytes are those that a token adds to a text: joined, the tokens of a text give the text. A SentencePiece `▁the`
therefore is b" the". Such a tokenizer puts a space before a text and drops it from the decoded one; that concerns the
first token of a text, and a head's token is never the first.
"""

import re
from collections.abc import Callable, Iterable

from gguf.constants import TokenType

from .errors import BundleError
from .tokens import Tokens, byte_level


def _byte_level(piece: bytes) -> bytes:
    raw = byte_level(piece.decode("utf-8"))
    if raw is None:
        raise KeyError(piece)
    return raw


def _sentence_piece(piece: bytes) -> bytes:
    piece.decode("utf-8")  # a piece is text; single bytes have a type of their own
    return piece.replace("▁".encode(), b" ")


_NORMAL: dict[str, Callable[[bytes], bytes]] = {
    "gpt2": _byte_level,
    "llama": _sentence_piece,
    "gemma4": _sentence_piece,  # merges like GPT-2's over pieces like SentencePiece's
}


def decode(
    pieces: Iterable[bytes], types: Iterable[int], model: str, where: str, space_prefix: bool | None = None
) -> Tokens:
    """The tokens of a vocabulary; `types` are llama.cpp's `token_type`, `model` is `tokenizer.ggml.model`.

    `space_prefix` is `tokenizer.ggml.add_space_prefix`: whether a text gets a space before it, and loses it again.

    Control tokens and the unknown token are special: their bytes are their names. So are the bytes of user-defined
    tokens, which are text. Unused ids have none; those at the end that are called `[PAD7]`, as the converter calls rows
    without a token, are padding.
    Raises: BundleError for a tokenizer or a type that is not known, and for a piece that its tokenizer cannot write.
    """
    if model not in _NORMAL:
        known = f"known are {', '.join(map(repr, _NORMAL))}; without tokens only a head can be exported"
        raise BundleError(
            f"{where}: tokenizer.ggml.model is {model!r}: what bytes its tokens stand for is unknown, {known}"
        )
    raw: list[bytes] = []
    special: set[int] = set()
    padding = 0
    for i, (piece, kind) in enumerate(zip(pieces, types, strict=True)):
        padding = padding + 1 if kind == TokenType.UNUSED and piece == b"[PAD%d]" % i else 0
        if kind in (TokenType.CONTROL, TokenType.UNKNOWN):
            special.add(i)
        raw.append(_bytes(piece, kind, _NORMAL[model], f"{where}: token {i}"))
    prefixed = model == "llama" if space_prefix is None else space_prefix
    return Tokens(raw[: len(raw) - padding], frozenset(special), "dropped" if prefixed else "kept")


def _bytes(piece: bytes, kind: int, normal: Callable[[bytes], bytes], where: str) -> bytes:
    if kind == TokenType.NORMAL:
        try:
            return normal(piece)
        except (KeyError, UnicodeDecodeError):
            raise BundleError(
                f"{where} is {piece[:80]!r}, which stands for no bytes; convert the model again"
            ) from None
    if kind == TokenType.BYTE:
        if not re.fullmatch(rb"<0x[0-9A-Fa-f]{2}>", piece):
            raise BundleError(f"{where} is {piece[:80]!r}: a byte is written <0x0A>; convert the model again")
        return bytes.fromhex(piece[3:5].decode())
    if kind == TokenType.UNUSED:
        return b""
    if kind in (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED):
        return piece
    raise BundleError(f"{where} has the type {kind}: it must be 1 to 6; convert the model again")

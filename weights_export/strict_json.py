"""JSON from strangers: its size is bounded before it is parsed, and it must have one meaning.

A file is parsed only if its size and the number of values it can hold are below fixed limits: no file makes the parser
allocate more than a constant. Duplicate keys, NaN, Infinity, lone surrogates and endless nesting are refused, because
two readers could understand them in two ways.
"""

import json
from collections import Counter
from typing import Any

from .errors import BundleError

MAX_BYTES = 32 << 20
MAX_VALUES = 1 << 20  # tokens.json of a vocabulary of a million; about 100 bytes each once parsed


def parse(
    raw: bytes, where: str, *, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES, constants: bool = False
) -> Any:
    """The value that `raw` holds; `where` names the file in messages. With `constants`, NaN and Infinity are numbers.

    Raises: BundleError if it is too large, not UTF-8, not JSON, or ambiguous.

    >>> parse(b'{"a": 1, "a": 2}', "manifest.json")
    Traceback (most recent call last):
    weights_export.errors.BundleError: manifest.json: the key 'a' appears twice in one object
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise BundleError(f"{where}: the key {twice[:80]!r} appears twice in one object")
        return result

    def constant(name: str) -> float:
        if constants:
            return float(name)
        raise BundleError(f"{where}: {name} is not JSON: a number must be finite")

    if len(raw) > max_bytes:
        raise BundleError(f"{where} has {len(raw):,} bytes: at most {max_bytes:,} are read")
    values = 1 + sum(map(raw.count, (b",", b"[", b"{", b":")))  # every value but the first comes after one of them
    if values > max_values:
        raise BundleError(f"{where} may hold {values:,} values: at most {max_values:,} are read")
    try:
        result = json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
        if b"\\u" in raw:  # a lone surrogate is not text: it could not be printed
            json.dumps(result, ensure_ascii=False).encode("utf-8")
        return result
    except BundleError:
        raise
    except RecursionError:
        raise BundleError(f"{where}: nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeError, an integer of thousands of digits
        raise BundleError(f"{where} is not JSON in UTF-8: {error}") from None


def integer(value: Any) -> bool:
    """Whether a parsed value is an integer; `true` is not one."""
    return isinstance(value, int) and not isinstance(value, bool)


def are_ids(value: Any, vocab_size: int) -> bool:
    """Whether a parsed value is a list of token ids."""
    return isinstance(value, list) and all(integer(token) and 0 <= token < vocab_size for token in value)


def dump(content: Any) -> bytes:
    """The bytes to write: one value per line, UTF-8, the same on every machine."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8")

"""The atlas: what existing implementations do at each rule of SPEC.md. `python -m ports.atlas` writes ATLAS.md."""


class Otherwise(Exception):  # noqa: N818 - not an error: to the implementation, this input means something else
    """Raised where the implementation does something else, such as greedy decoding. The text says what it does."""

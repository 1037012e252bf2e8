"""The atlas: what existing implementations do, rule by rule. `python -m ports.atlas` writes ATLAS.md."""


class Otherwise(Exception):  # noqa: N818 - no error: the implementation takes this input to mean something else
    """What the implementation does in the place of a result, such as greedy decoding."""

"""What the vectors of `keep_epsilon` and `keep_eta` share."""

from .distribution import Row


def with_the_largest(row: Row, found: list[list[int]]) -> list[list[int]]:
    """The ids; the largest logits stay in any case."""
    kept = [ids if len(ids) >= len(row.groups[0]) else list(row.groups[0]) for ids in found]
    return [row.require_gap(ids) for n, ids in enumerate(kept) if ids not in kept[:n]]

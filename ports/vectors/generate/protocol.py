"""The tables of PROTOCOL.md, from the table of operations."""

from collections.abc import Iterator, Mapping

from reference.operations import OPERATIONS, REFUSALS

HEADS = ("| op | inputs | result |\n| --- | --- | --- |\n", "| code | when | rules |\n| --- | --- | --- |\n")


def with_tables(page: str) -> str:
    """The page with both tables as they are to be.

    Raises: ValueError for a page without their headings.
    """
    for head, rows in zip(HEADS, (_operations(), _refusals()), strict=True):
        before, found, rest = page.partition(head)
        if not found:
            raise ValueError(f"PROTOCOL.md has no table with the heading {head.splitlines()[0]}")
        # Of the old table the rows that are not generated stay: those of `hello` and `stop`.
        old, blank, after = rest.partition("\n\n") if "\n\n" in rest else (rest, "\n", "")
        kept = {line.split("`")[1]: line for line in old.splitlines()}
        ours = dict(rows)
        order = [*(name for name in kept if name == "hello"), *ours, *(name for name in kept if name == "stop")]
        page = before + head + "\n".join(ours.get(name) or kept[name] for name in order) + blank + after
    return page


def _operations() -> Iterator[tuple[str, str]]:
    for operation in OPERATIONS.values():
        inputs = _names(operation.arguments) + (f"; {operation.note}" if operation.note else "")
        yield operation.name, f"| `{operation.name}` | {inputs} | {_names(operation.results)} |"


def _names(values: Mapping[str, str]) -> str:
    """Names with their shapes, or with what stands there in words."""
    return ", ".join(
        f"`{name}`" + (f" {what}" if what.startswith("(") else f": {what}" if what else "")
        for name, what in values.items()
    )


def _refusals() -> Iterator[tuple[str, str]]:
    for code, (when, rules) in REFUSALS.items():
        yield code, f"| `{code}` | {when} | {', '.join(rules)}".rstrip() + " |"

"""One context and one seed under every runtime's random stream: the token that each draws, and why they differ."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

import reference
from reference.streams import STREAMS, Stream, ranked
from weights_export.checkpoint import Checkpoint
from weights_export.tokens import encode

PYTORCH = "PyTorch"


@dataclass(frozen=True)
class Draw:
    """What one runtime draws. `u` is the number that a walk takes; a race takes `numbers` of them.

    `otherwise` is the token that the same numbers draw in the other order: by id where the runtime goes by rank.
    """

    runtime: str
    generator: str
    takes: str
    by_rank: bool
    u: float | None
    numbers: int
    token: int
    otherwise: int


@dataclass(frozen=True)
class Comparison:
    """All runtimes on one context."""

    prompt: str
    seed: int
    survivors: int
    draws: list[Draw]
    refused: dict[str, str]  # runtime -> why it has no draw from this seed
    tokens: dict[int, str]

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain data."""
        draws = [{**asdict(one), "text": self.tokens[one.token]} for one in self.draws]
        return {"prompt": self.prompt, "seed": self.seed, "draws": draws, "refused": self.refused}


def compare(checkpoint: Checkpoint, prompt: str, seed: int, temperature: float, k: int) -> Comparison:
    """The next token after `prompt` from one seed, under every stream.

    Raises: ValueError for a temperature, a k or a seed that is refused.
    """
    ids = encode(checkpoint.tokenizer, prompt, None)
    with torch.no_grad():
        logits = checkpoint.model(torch.tensor([ids])).logits[0, -1].float().numpy()
    kept = reference.keep_top_k(reference.apply_temperature(logits, temperature), k)
    probs = reference.softmax(kept)
    draws, refused = [_by_pytorch(probs, seed)], {}
    for runtime, stream in STREAMS.items():
        try:
            draws.append(_by(runtime, stream, probs, seed))
        except ValueError as error:
            refused[runtime] = str(error)
    drawn = {token for one in draws for token in (one.token, one.otherwise)}
    texts = {token: checkpoint.tokenizer.decode([token]) for token in drawn}
    return Comparison(prompt, seed, int(np.count_nonzero(probs)), draws, refused, texts)


def _other_order(probs: np.ndarray, by_rank: bool) -> np.ndarray:
    """By id in place of rank, among the possible tokens; or the reverse."""
    return np.flatnonzero(probs) if by_rank else ranked(probs)


def _by_pytorch(probs: np.ndarray, seed: int) -> Draw:
    def draw(ids: np.ndarray) -> int:
        return int(ids[reference.multinomial(probs[ids], rng=reference.TorchGenerator(seed))[0]])

    takes = "a number of two outputs for each of V tokens"
    return _draw(PYTORCH, STREAMS["nanochat"].generator, takes, False, None, probs, draw)


def _by(runtime: str, stream: Stream, probs: np.ndarray, seed: int) -> Draw:
    token = int(reference.draw_as(probs, runtime, seed))

    def draw(ids: np.ndarray) -> int:
        return int(ids[next(iter(stream.draw([probs[ids]], seed)))])

    found = _draw(
        runtime,
        stream.generator,
        stream.takes,
        stream.by_rank,
        stream.numbers(seed)() if stream.numbers else None,
        probs,
        draw,
    )
    assert found.token == token
    return found


def _draw(
    runtime: str,
    generator: str,
    takes: str,
    by_rank: bool,
    u: float | None,
    probs: np.ndarray,
    draw: Callable[[np.ndarray], int],
) -> Draw:
    ids = ranked(probs) if by_rank else np.arange(len(probs))
    numbers = 1 if u is not None else len(ids)
    otherwise = draw(_other_order(probs, by_rank))
    return Draw(runtime, generator, takes, by_rank, u, numbers, draw(ids), otherwise)


def show(found: Comparison, console: Console) -> None:
    """Print the comparison: the draws, then what each stream is, then who must agree."""
    table = Table()
    for column in ("runtime", "random number", "order", "draws", "id", "in the other order"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("random number", "id") else "left")
    for one in found.draws:
        number = f"{one.u:.8f}" if one.u is not None else f"{one.numbers:,} numbers"
        order = "by rank" if one.by_rank else "by id"
        drawn, otherwise = (Text(repr(found.tokens[token])[:20]) for token in (one.token, one.otherwise))
        table.add_row(one.runtime, number, order, drawn, str(one.token), otherwise)
    console.print(Text(f"prompt {found.prompt!r}, seed {found.seed}, {found.survivors:,} tokens to draw from\n"), table)
    for runtime, why in found.refused.items():
        console.print(Text(f"{runtime}: {why}"))
    grid = Table.grid(padding=(0, 2))
    for one in found.draws:
        grid.add_row(one.runtime, Text(f"{one.generator}: {one.takes}"))
    console.print(Text("\nwhat the seed gives each of them"), grid)
    console.print(Text("\n" + _why(found)))


def _why(found: Comparison) -> str:
    """Who draws the same, and what that means: only the same generator, numbers and order make the same token."""
    streams: dict[tuple[str, str, bool], list[str]] = {}
    tokens: dict[int, list[str]] = {}
    for one in found.draws:
        streams.setdefault((one.generator, one.takes, one.by_rank), []).append(one.runtime)
        tokens.setdefault(one.token, []).append(one.runtime)
    lines = ["The same token is due only from the same generator, the same numbers of it and the same order:"]
    due = [names for names in streams.values() if len(names) > 1]
    lines += [f"{' and '.join(names)} have all three." for names in due]
    for token, names in tokens.items():
        groups = {next(key for key, of in streams.items() if name in of) for name in names}
        if len(groups) > 1:
            lines.append(f"{', '.join(names)} draw {found.tokens[token]!r} by chance, from different streams.")
    lines.append(
        "By rank: survivors alone, the most probable first. STREAM-1 to STREAM-7 in reference/SPEC.md say more."
    )
    return "\n".join(lines)

"""One context under the profiles of all engines: which tokens survive the same settings, and where the engines part."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

import reference
from reference.profiles import OPTIONS, PROFILES, Profile
from weights_export.checkpoint import Checkpoint
from weights_export.tokens import encode

from .decoding import NumpyHead

SHOWN = 16

_OPTION_OF = {step: option for option, step in OPTIONS.items()}


@dataclass(frozen=True)
class Outcome:
    """What one engine makes of the settings: its steps, what it lacks, and the probabilities that it draws from."""

    profile: str
    steps: list[Any]
    lacks: list[str]
    probs: np.ndarray  # (V,)

    @property
    def survivors(self) -> np.ndarray:
        """The ids that may be drawn."""
        return np.flatnonzero(self.probs)

    def __str__(self) -> str:
        """The steps in their order: `temperature 2, top-p 0.9`."""
        said = [f"{_OPTION_OF.get(name, name)} {next(iter(given.values())):g}" for name, given in self.steps]
        return ", ".join(said) or "nothing"


@dataclass(frozen=True)
class Comparison:
    """All engines on one context."""

    prompt: str
    tokens: dict[int, str]  # those that are shown, the most probable first
    outcomes: list[Outcome]

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return {
            "prompt": self.prompt,
            "profiles": {
                one.profile: {
                    "steps": one.steps,
                    "lacks": one.lacks,
                    "survivors": one.survivors.tolist(),
                    "probabilities": one.probs[one.survivors].tolist(),
                }
                for one in self.outcomes
            },
        }


def compare(checkpoint: Checkpoint, prompt: str, given: dict[str, float]) -> Comparison:
    """The next token after `prompt`, under every profile; `given` are options by name, and what is not given is off.

    Raises: ValueError for a setting that a step refuses.
    """
    ids = encode(checkpoint.tokenizer, prompt, None)
    head = NumpyHead.of(checkpoint.model, ids)
    with torch.no_grad():
        logits = checkpoint.model(torch.tensor([ids])).logits[0, -1].float().numpy()
    assert logits.shape == (len(head.embedding),)
    outcomes = [_outcome(profile, logits, np.array(ids), given) for profile in PROFILES.values()]
    kept = np.unique(np.concatenate([one.survivors for one in outcomes]))
    shown = [i for i in reference.top_k(logits, len(logits))[1].tolist() if i in set(kept.tolist())]
    return Comparison(prompt, {i: checkpoint.tokenizer.decode([i]) for i in shown}, outcomes)


def _outcome(profile: Profile, logits: np.ndarray, ids: np.ndarray, given: dict[str, float]) -> Outcome:
    wanted = {OPTIONS[option]: value for option, value in given.items()}
    rows = [row for row in profile.rows if row.step in wanted]
    steps = [step for row in rows for step in row.made({**profile.defaults, row.setting: wanted[row.step]})]
    lacks = [option for option, step in OPTIONS.items() if step in wanted and step not in {row.step for row in rows}]
    probs = reference.softmax(reference.process(logits, steps, ids, len(ids)))
    return Outcome(profile.name, steps, lacks, probs)


def show(found: Comparison, console: Console) -> None:
    """Print the comparison: the probabilities in per cent, then each engine's order."""
    table = Table(caption=_caption(found), caption_justify="left")
    table.add_column("token", no_wrap=True)
    for one in found.outcomes:
        table.add_column(one.profile.replace("onnxruntime", "onnxrt"), justify="right")
    for i, token in list(found.tokens.items())[:SHOWN]:
        shares = (100 * one.probs[i] for one in found.outcomes)
        table.add_row(Text(repr(token)[:20]), *(f"{share:.2f}" if share else "-" for share in shares))
    table.add_section()
    table.add_row("survive", *(str(len(one.survivors)) for one in found.outcomes))
    console.print(Text(f"prompt {found.prompt!r}; probabilities in per cent, - for a token that fell\n"), table)
    orders: dict[str, list[str]] = {}
    for one in found.outcomes:
        lacks = f" (has no {' and no '.join(one.lacks)})" if one.lacks else ""
        orders.setdefault(f"{one}{lacks}", []).append(one.profile)
    grid = Table.grid(padding=(0, 2))
    for order, names in orders.items():
        grid.add_row(Text(", ".join(names)), Text(order))
    console.print(Text("\nwhat is applied, in this order"), grid)
    console.print(Text("\n" + _parting(found)))


def _caption(found: Comparison) -> str | None:
    more = len(found.tokens) - SHOWN
    return f"and {more:,} more tokens" if more > 0 else None


def _parting(found: Comparison) -> str:
    """Which engines keep the same tokens."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for one in found.outcomes:
        groups.setdefault(tuple(one.survivors.tolist()), []).append(one.profile)
    if len(groups) == 1:
        return "All keep the same tokens."
    first, *others = sorted(groups.items(), key=lambda item: -len(item[1]))
    lines = [f"{', '.join(first[1])} keep the same tokens." if len(first[1]) > 1 else f"{first[1][0]} stands alone."]
    for kept, names in others:
        more, fewer = sorted(set(kept) - set(first[0])), sorted(set(first[0]) - set(kept))
        said = [
            f"{len(ids):,} {word}: {', '.join(repr(found.tokens[i]) for i in ids[:4])}{', ...' * (len(ids) > 4)}"
            for word, ids in (("more", more), ("fewer", fewer))
            if ids
        ]
        lines.append(f"{', '.join(names)}: {'; '.join(said)}")
    return "\n".join(lines)

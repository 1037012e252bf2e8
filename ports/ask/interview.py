"""Asks all that the judge needs: one token a request, the seeds fixed, so that the same server answers the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from . import plan
from .client import CannotAskError, RefusedError, SpentError
from .dialect import ROWS, Dialect, find, one, several
from .reply import Choice, choices
from .row import Row, row

PROMPTS = ("It is", "The king", "I went to the", "She was", "We have", "and the", "You are", "in the")
GREEDY, REPEATS, SHARED, ROUNDS = 8, 10, 8, 6
TOGETHER = 4  # requests of a round, half of them greedy
_OVERHEAD = 2 * GREEDY + REPEATS + SHARED + ROUNDS * TOGETHER + len(PROMPTS) + 25  # the last: what the server takes


class Server(Protocol):
    """What is asked: a `Client`, or something that answers like one."""

    budget: int
    asked: int

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]: ...  # noqa: D102
    def together(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]: ...  # noqa: D102


@dataclass
class Interview:
    """What was asked and answered. Lists are shorter where the budget, named by `spent`, was used up."""

    dialect: Dialect
    row: Row  # of the plain draws, and of all that is asked outside the groups
    weights: bool  # whether the row comes from a copy of the model
    groups: list[plan.Group]
    draws: dict[str, list[Choice]] = field(default_factory=dict)
    greedy: list[Choice] = field(default_factory=list)
    top_1: list[Choice] = field(default_factory=list)
    repeated: list[Choice] = field(default_factory=list)
    shared: list[list[Choice]] = field(default_factory=list)
    cold: list[Choice] = field(default_factory=list)
    hot: list[Choice] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    spent: str = ""


def interview(
    server: Server,
    model: str,
    known: Callable[[str], Row] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda what: None,
) -> Interview:
    """Asks the server; `known` gives the row of a prompt where the server's own log-probabilities are not used.

    Raises: CannotAskError, also if it gives no log-probabilities and `known` is None, or if the budget is too small;
    SpentError if nothing at all could be judged.
    """
    scale = min((server.budget - _OVERHEAD) / sum(plan.SIZES.values()), 1.0)
    if scale < 0.25:
        least = _OVERHEAD + sum(plan.SIZES.values()) // 4
        raise CannotAskError(f"{server.budget} requests are too few to tell anything apart: allow {least} or more")
    progress("what the server takes")
    dialect = find(server.complete, model, PROMPTS[0])
    rows = [known(prompt) if known else _row(server, dialect, prompt) for prompt in PROMPTS]
    rows = [found for found in rows if len(found.tokens) > 2]
    if not rows:
        raise CannotAskError(
            "the server gives no log-probabilities with its tokens, so nothing can be predicted: switch them on "
            "(llama-cpp-python: --logits_all true), or name a copy of its model with --weights MODEL"
        )
    progress("which settings to ask for")
    names = [name for name in plan.SIZES if not any(part in dialect.refused for part in name.split(" and "))]
    groups = plan.plan(rows, names, scale)
    result = Interview(dialect, groups[0].row, known is not None, groups)
    try:
        _ask(server, result, np.random.default_rng(seed), progress)
    except SpentError as error:
        result.spent = str(error)
    return result


def _row(server: Server, dialect: Dialect, prompt: str) -> Row:
    choice = one(server.complete, dialect.body(prompt))
    return row(prompt, choice.top, choice.token)


def _seeds(random: np.random.Generator, count: int) -> list[int]:
    """Far apart: some generators draw much the same from neighbouring seeds."""
    return [int(seed) for seed in random.integers(1, 2**31 - 1, count)]


def _ask(server: Server, result: Interview, random: np.random.Generator, progress: Callable[[str], None]) -> None:
    def body(seed: int, prompt: str = result.row.prompt, **settings: Any) -> dict[str, Any]:
        seeded = {} if "seed" in result.dialect.refused else {"seed": seed}
        return result.dialect.body(prompt, **settings, **seeded)

    first = _seeds(random, plan.SIZES["plain"])
    for group in result.groups:
        if group.why:
            continue
        draws = result.draws[group.name] = []
        seeds = first if group.name == "plain" else _seeds(random, group.size)
        for seed in seeds[: group.size]:
            progress(f"{group.name}: request {server.asked + 1} of at most {server.budget}")
            draws.append(one(server.complete, body(seed, group.row.prompt, **group.settings)))
    progress("greedy, seeds, rows and neighbours")
    for seed in _seeds(random, GREEDY):
        if not _try(server, result, "temperature = 0", result.greedy, body(seed, temperature=0.0)):
            break
    if "top_k" not in result.dialect.refused:
        for seed in _seeds(random, GREEDY):
            result.top_1.append(one(server.complete, body(seed, top_k=1)))
    if "seed" not in result.dialect.refused:
        again = first[: min(REPEATS, len(result.draws["plain"]))]
        result.repeated += [one(server.complete, body(seed)) for seed in again]
    if result.dialect.rows:
        result.shared += [several(server.complete, body(seed, n=ROWS)) for seed in _seeds(random, SHARED)]
    if "temperature = 0" in result.refused:
        return
    for _ in range(ROUNDS):
        seeds = _seeds(random, TOGETHER)
        bodies = [body(seed, temperature=float(i % 2)) for i, seed in enumerate(seeds)]
        answers = [choices(answer)[0] for answer in server.together(bodies)]
        result.cold += answers[0::2]
        result.hot += answers[1::2]


def _try(server: Server, result: Interview, what: str, into: list[Choice], body: Mapping[str, Any]) -> bool:
    try:
        into.append(choices(server.complete(body))[0])
    except RefusedError as error:
        result.refused[what] = str(error)
        return False
    return True

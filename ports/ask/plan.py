"""Which settings to ask for: those that tell the rules of a group apart best, on the row at hand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from reference.pipeline import Step

from .findings import FOLLOWED, IGNORED
from .predict import Prediction, Settings, engine, filters_first, predict, tempered, usual
from .row import Row

Rule = Callable[[Settings], list[Step]]
# Draws of each group, of 400 requests; the other requests find out what the server takes.
SIZES = {
    "plain": 32,
    "temperature": 40,
    "top_k": 44,
    "top_p": 24,
    "min_p": 24,
    "top_p and temperature": 44,
    "min_p and temperature": 44,
    "top_k and top_p": 40,
    "min_p and top_p": 36,
}
ENOUGH = 24.0  # nats: the level of a test is exp(-17) ...
ENOUGH_IN_PROPORTION = 50.0  # ... and where no token is impossible, counts vary more
_TEMPERATURES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Group:
    """Requests for a row's prompt with the same settings and other seeds, and the rules that may explain the draws.

    `why`: the reason why no settings tell these rules apart, if so.
    """

    name: str
    row: Row
    settings: Settings
    rules: dict[str, Rule]
    size: int
    why: str = ""


def without(parameter: str, settings: Settings) -> list[Step]:
    """As if this parameter had not been given."""
    return usual({name: value for name, value in settings.items() if name != parameter})


def greedy(settings: Settings) -> list[Step]:
    """As if the most probable token were always taken."""
    return usual({"top_k": 1})


def _moved(parameter: str, by: int, settings: Settings) -> list[Step]:
    return usual({**settings, parameter: settings[parameter] + by})


def _alone(parameter: str) -> dict[str, Rule]:
    rules: dict[str, Rule] = {FOLLOWED: usual, IGNORED: partial(without, parameter)}
    if parameter == "top_k":
        rules["one more"] = partial(_moved, "top_k", 1)
        rules["one fewer"] = partial(_moved, "top_k", -1)
    return rules


def rules_of(name: str) -> dict[str, Rule]:
    """The rules that a group's draws are held against, the usual one first."""
    first, _, second = name.partition(" and ")
    if name == "plain":
        return {FOLLOWED: usual, "greedy": greedy}
    if second == "temperature":
        return {f"{first} after the temperature": usual, f"{first} before the temperature": filters_first}
    if name == "top_k and top_p":
        return {"top_p of what top_k keeps": usual, "top_p of all tokens": partial(engine, "sglang")}
    if name == "min_p and top_p":
        return {"top_p of what min_p keeps": usual, "top_p of all tokens": partial(engine, "transformers")}
    return _alone(name)


def plan(rows: Sequence[Row], names: Sequence[str], scale: float = 1.0) -> list[Group]:
    """The groups of these names, each with the row and the settings that tell its rules apart best."""
    return [_group(tuple(rows), name, scale) for name in names]


@lru_cache(maxsize=64)
def _group(rows: tuple[Row, ...], name: str, scale: float) -> Group:
    size = max(int(SIZES[name] * scale), 1)
    enough = ENOUGH_IN_PROPORTION if name == "temperature" else ENOUGH
    scored = [
        (min(_apart(row, name, settings) * size, enough), _plain_to_see(row, settings), row, settings)
        for row in rows
        for settings in _candidates(row, name)
    ]
    evidence, _, row, settings = max(scored, key=lambda item: item[:2], default=(0.0, 0.0, rows[0], {}))
    settled = evidence > 0 or name == "plain"
    why = "" if settled else f"the {len(row.tokens)} log-probabilities that it gives do not settle it"
    return Group(name, row, settings, rules_of(name), size, why)


def _plain_to_see(row: Row, settings: Settings) -> float:
    """Of settings that tell enough: those that keep more tokens, or that a little more temperature changes most.

    Of rows for the plain draws: one whose most probable token is sure, and that a temperature changes.
    """
    if settings.keys() == {"temperature"}:
        known, more = (tempered(row, settings["temperature"] * by)[:-1] for by in (1.0, 1.5))
        return _divergence(more / more.sum(), known / known.sum()) * float(more.sum())
    if settings:
        return float(np.count_nonzero(predict(row, usual(settings)).probs))
    return _divergence(tempered(row, 0.7), tempered(row, 1.0)) if predict(row, greedy({})).sure else 0.0


def _candidates(row: Row, name: str) -> Iterator[dict[str, float]]:
    first, _, second = name.partition(" and ")
    if name == "plain":
        yield {}
    elif name == "temperature":
        yield from ({"temperature": t} for t in _TEMPERATURES)
    elif second == "temperature":
        yield from ({"temperature": t, first: p} for t in _TEMPERATURES[2:] for p in _edges(row, first))
    elif second:
        yield from ({first: a, second: p} for a in _edges(row, first) for p in _edges(row, second))
    else:
        yield from ({first: value} for value in _edges(row, first))


def _edges(row: Row, parameter: str) -> Sequence[float]:
    """Values of a filter, each amid two places where it would keep another number of tokens."""
    probs = row.probs[: min(len(row.tokens), 10)]
    if parameter == "top_k":
        return range(2, min(len(row.tokens) - 1, 9))
    if parameter == "top_p":
        sums = np.cumsum(probs)
        return [round(float(p), 3) for p in (*((sums[1:] + sums[:-1]) / 2), 0.4, 0.6) if p < 1]
    shares = probs / probs[0]
    return [round(float(p), 3) for p in (*((shares[1:] + shares[:-1]) / 2), 0.1, 0.3) if 0.01 < p < 1]


def _apart(row: Row, name: str, settings: Settings) -> float:
    """The evidence that a draw gives against a rule where another holds, in nats; 0 where the row settles nothing.

    Where a parameter stands alone, against the usual rule; of two orders, against either.
    """
    found = []
    for rule in rules_of(name).values():
        found.append(predict(row, rule(settings)))
        if not found[-1].sure:
            return 0.0
    first, *others = found
    evidence = [_evidence(first, other) for other in others]
    if len(name.split()) > 1:
        evidence += [_evidence(other, first) for other in others]
    return min(evidence)


def _evidence(against: Prediction, actual: Prediction) -> float:
    """Of all draws; or of known tokens and of how many are not, where their share is an upper bound."""
    due, drawn = against.probs, actual.probs
    if against.exact:
        return _divergence(drawn, due)
    known = _divergence(drawn[:-1] / drawn[:-1].sum(), due[:-1] / due[:-1].sum()) * (1 - drawn[-1])
    halves = [np.array([1 - share, share]) for share in (drawn[-1], due[-1])]
    return max(known, _divergence(*halves) if drawn[-1] > due[-1] else 0.0)


def _divergence(drawn: np.ndarray, due: np.ndarray) -> float:
    """Kullback and Leibler's; or where a draw cannot be with a probability m, -ln(1 - m)."""
    impossible = float(drawn[due <= 0].sum())
    if impossible > 0:
        return -float(np.log(max(1 - impossible, 1e-9)))
    seen = drawn > 0
    return max(float((drawn[seen] * np.log(drawn[seen] / due[seen])).sum()), 0.0)

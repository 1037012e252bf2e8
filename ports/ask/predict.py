"""What a rule for a server's settings would draw from a known row.

Settings have the names of the interface: temperature, top_k, top_p, min_p. Steps are those of `reference.pipeline`; an
engine's own come from its profile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from reference.pipeline import Step, process
from reference.profiles import PROFILES

from .row import Row

Settings = Mapping[str, float]
SAMPLERS = {
    "temperature": ("apply_temperature", "temperature"),
    "top_k": ("keep_top_k", "k"),
    "top_p": ("keep_top_p", "p"),
    "min_p": ("keep_min_p", "p"),
}
EDGE = 0.02  # by how much, in nats, log-probabilities may be off without moving an edge of a filter
_MANY = 20_000  # unknown tokens at most: a row that leaves more to them is no row to predict from


@dataclass(frozen=True)
class Prediction:
    """How probable each known token is, then all others together: `(N + 1,)`.

    `exact`: the share of the others is known, and not only where it can lie. `sure`: the log-probabilities settle which
    tokens are kept.
    """

    probs: np.ndarray
    exact: bool
    sure: bool


def lacks(profile: str, settings: Settings) -> list[str]:
    """The settings that this engine does not have."""
    having = {(row.step, row.argument) for row in PROFILES[profile].rows}
    return [name for name in settings if SAMPLERS[name] not in having]


def engine(profile: str, settings: Settings) -> list[Step]:
    """The steps that this engine takes; what is not in the settings is off."""
    return _engine(profile, tuple(sorted(settings.items())))


@lru_cache(maxsize=65536)
def _engine(profile: str, frozen: tuple[tuple[str, float], ...]) -> list[Step]:
    settings, given = dict(frozen), dict[str, Any]()
    for name, place in SAMPLERS.items():
        for row in PROFILES[profile].rows:
            if (row.step, row.argument) == place:
                given[row.setting] = settings.get(name)
    return PROFILES[profile].steps(**given)


def usual(settings: Settings) -> list[Step]:
    """The temperature, then the filters in vLLM's order."""
    return engine("vllm", settings)


def filters_first(settings: Settings) -> list[Step]:
    """The filters at a temperature of 1, then the temperature."""
    steps = usual(settings)
    return [s for s in steps if s[0] != "apply_temperature"] + [s for s in steps if s[0] == "apply_temperature"]


def predict(row: Row, steps: Sequence[Step]) -> Prediction:
    """What these steps draw from the row. The steps' temperature, if any, is at most 1.

    How the rest of the probability is spread over tokens that are not known matters after a temperature alone: below 1,
    their weight is between nothing and that of as few tokens as the last known one allows, all as probable as it. A
    filter is tried on both, and with thresholds that are off by EDGE.
    """
    return _predict(row, tuple((name, tuple(sorted(arguments.items()))) for name, arguments in steps))


def tempered(row: Row, temperature: float) -> np.ndarray:
    """The row at a temperature, the others as few as they can be: `(N + 1,)`. Above 1 their share is at least this."""
    scaled = np.exp((flat(row) - row.logprobs[0]) / temperature)
    n = len(row.tokens)
    return np.append(scaled[:n], scaled[n:].sum()) / scaled.sum()


def flat(row: Row) -> np.ndarray:
    """Log-probabilities of the known tokens, and of as few others as share the rest: `(N + M,)`."""
    many = int(min(np.ceil(row.rest / row.probs[-1]), _MANY))
    return np.append(np.array(row.logprobs), np.full(many, np.log(row.rest / many) if many else 0.0))


@lru_cache(maxsize=65536)
def _predict(row: Row, frozen: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]) -> Prediction:
    steps: list[Step] = [(name, dict(arguments)) for name, arguments in frozen]
    n = len(row.tokens)
    at = next((i + 1 for i, (name, _) in enumerate(steps) if name == "apply_temperature"), 0)
    results = []
    for by in (0.0, EDGE, -EDGE):
        before, after = ([_nudged(step, by) for step in part] for part in (steps[:at], steps[at:]))
        reached = process(flat(row), before)
        results.append(process(reached, after))
        if before and after:
            results.append(process(np.where(np.arange(len(reached)) < n, reached, -np.inf), after))
    kept = [np.isfinite(result[:n]) for result in results]
    gaps = -np.diff(row.logprobs)
    ranked = [arguments["k"] for name, arguments in steps if name == "keep_top_k"]
    sure = (
        all(np.array_equal(kept[0], other) for other in kept)
        and all(k < n and gaps[k - 1] > 2 * EDGE for k in ranked)
        and all(np.isfinite(r[n:]).all() or np.isinf(r[n - 1 :]).all() for r in results if len(r) > n)
    )
    weights = np.exp(results[0] - results[0].max())
    probs = np.append(weights[:n], weights[n:].sum()) / weights.sum()
    cut = not any(k[-1] for k in kept)  # filters keep the first of a ranking: what is behind a token that falls, falls
    return Prediction(np.append(probs[:n] / probs[:n].sum(), 0.0) if cut else probs, cut or not at, bool(sure))


def _nudged(step: Step, by: float) -> Step:
    name, arguments = step
    if name not in ("keep_top_p", "keep_min_p"):
        return step
    return name, {**arguments, "p": min(arguments["p"] * (1 + by), 1.0)}

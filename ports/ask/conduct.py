"""What needs no prediction: log-probabilities raw or processed, seeds, rows, greedy answers."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import stats

from .findings import FOLLOWED, IGNORED, OTHER, REFUSED, UNCHECKED, Finding
from .interview import Interview
from .predict import EDGE, flat, predict, usual
from .reply import Choice
from .row import Row


def noise(asked: Interview) -> float:
    """By how much the log-probabilities of the same prompt vary between requests."""
    return _most(asked, asked.draws.get("plain", []))


def _most(asked: Interview, draws: Sequence[Choice]) -> float:
    return 0.0 if asked.weights else max((_differs(asked.row, draw) for draw in draws), default=0.0)


def most_probable(asked: Interview, draws: Sequence[Choice]) -> set[str]:
    """The token with the largest log-probability, with those that may be as large: they vary as beside these draws.

    Those of a copy of the model are taken to be off by EDGE at most.
    """
    near = 2 * (EDGE if asked.weights else max(_most(asked, draws), noise(asked)))
    pairs = zip(asked.row.tokens, asked.row.logprobs, strict=True)
    return {token for token, value in pairs if value >= asked.row.logprobs[0] - near}


def _differs(row: Row, draw: Choice) -> float:
    pairs = [(draw.top[token], at) for token, at in zip(row.tokens, row.logprobs, strict=True) if token in draw.top]
    return max((abs(a - b) for a, b in pairs), default=0.0)


def log_probabilities(asked: Interview, processed: bool = False) -> Finding:
    """Whether those beside a draw are of the model alone, or of what temperature and filters leave."""
    name = "log-probabilities"
    repeat = f"repeat to {noise(asked):.1g}"
    told: list[str] = []
    for group in asked.groups:
        if group.name not in ("temperature", "top_k") or not asked.draws.get(group.name):
            continue
        row = group.row
        known = np.array(row.logprobs)
        shown = _shown(row, asked.draws[group.name])
        there = np.isfinite(shown)
        expected = np.log(np.maximum(predict(row, usual(group.settings)).probs[:-1], 1e-300))
        # Processed ones may be of all tokens or of those that are shown: their differences are the same.
        cut = (expected < -600) & there
        raw = float(np.abs(shown - known)[there].max(initial=0))
        steps = (shown - expected)[there & ~cut]
        off = np.inf if cut.any() or not len(steps) else float(np.ptp(steps))
        missing = group.name == "top_k" and there.sum() <= group.settings["top_k"] < len(row.tokens)
        if missing or off < raw:
            told.append({"temperature": "after the temperature", "top_k": "after the filters"}[group.name])
        elif raw > max(10 * noise(asked), 1e-3):
            told.append(f"neither raw nor processed at {group.name} {group.settings[group.name]:g}")
    if told:
        if processed and told == ["after the temperature", "after the filters"]:
            return Finding(name, FOLLOWED, "processed", "raw", 1.0)
        expected_are = "those after both" if processed else "raw ones"
        return Finding(name, OTHER, f"processed: {' and '.join(told)}; {expected_are} are expected")
    if not asked.draws.get("temperature"):
        return Finding(name, UNCHECKED, asked.spent)
    if processed:
        return Finding(name, OTHER, "raw; processed ones are expected")
    return Finding(name, FOLLOWED, f"raw, {repeat}", "processed", 1.0)


def _shown(row: Row, draws: Sequence[Choice]) -> np.ndarray:
    """The mean of each known token's log-probability over the answers, nan where none shows it: `(N,)`."""
    columns = [[draw.top[token] for draw in draws if token in draw.top] for token in row.tokens]
    return np.array([np.mean(column) if column else np.nan for column in columns])


def seeds(asked: Interview, level: float) -> list[Finding]:
    """Whether a seed repeats its draw, and whether the rows of a request are drawn apart."""
    plain = asked.draws.get("plain", [])[: len(asked.repeated)]
    if "seed" in asked.dialect.refused:
        return [Finding("seed", REFUSED, asked.dialect.refused["seed"])]
    if not plain:
        return [Finding("seed", UNCHECKED, asked.spent)]
    n = len(plain)
    same = sum(a.token == b.token for a, b in zip(plain, asked.repeated, strict=True))
    chance = asked.row.coincidence(2)
    told = ("another draw", 1 - chance**n)
    if len({draw.token for draw in asked.draws["plain"]}) == 1:
        found = [Finding("seed", UNCHECKED, "every seed gives the same token")]
    elif same == n:
        found = [Finding("seed", FOLLOWED, f"{n} of {n} draws repeat", *told)]
    else:
        expected = f"{same} of {n} draws repeat, {chance * n:.1f} would by chance"
        found = [Finding("seed", IGNORED if _by_chance(same, n, chance, level) else OTHER, expected)]
    return found + _rows(asked, level)


def _by_chance(same: int, n: int, chance: float, level: float) -> bool:
    return float(stats.binom.sf(same - 1, n, chance)) > level


def _rows(asked: Interview, level: float) -> list[Finding]:
    if not asked.dialect.rows:
        return [Finding("rows", REFUSED, "one choice a request")]
    if not asked.shared:
        return [Finding("rows", UNCHECKED, asked.spent)]
    if len({draw.token for draw in asked.draws["plain"]}) == 1:
        return [Finding("rows", UNCHECKED, "every seed gives the same token")]
    requests = [[choice.token for choice in rows] for rows in asked.shared]
    if any(len(set(tokens)) > 1 for tokens in requests):
        missed = _alike_missed(asked.row, len(requests))
        return [Finding("rows", FOLLOWED, "each is drawn for itself", "one seed for all", 1 - missed)]
    if _alike_by_chance(requests) > level:
        return [Finding("rows", UNCHECKED, "all rows are alike, as they would be by chance")]
    return [Finding("rows", OTHER, "all rows of a request draw the same token: one seed for all")]


def _alike_by_chance(requests: Sequence[Sequence[str]]) -> float:
    """How probably these tokens, dealt out anew, would again be alike within each request.

    It does not depend on what they are drawn from: of all orders of the tokens, those that keep the requests together.

    >>> _alike_by_chance([["a", "a"], ["b", "b"]])  # aabb and bbaa, of 6 orders
    0.3333333333333333
    """
    groups = Counter(tokens[0] for tokens in requests)
    size = len(requests[0])
    kept = math.factorial(len(requests)) // math.prod(math.factorial(g) for g in groups.values())
    orders = math.factorial(len(requests) * size) // math.prod(math.factorial(g * size) for g in groups.values())
    return kept / orders


def _alike_missed(row: Row, requests: int) -> float:
    """How probably one seed for all rows would be put down to chance, at most.

    With eight requests of four rows, that takes two tokens or fewer in all, or one in six requests or more.
    """
    probs = np.exp(flat(row))
    pairs = np.add.outer(probs, probs)[np.triu_indices(len(probs), 1)]
    return float((pairs**requests).sum() + stats.binom.sf(requests - 3, requests, probs).sum())


def greedy(asked: Interview) -> list[Finding]:
    """Whether temperature 0 and top_k 1 give the most probable token, the same one each time."""
    found = []
    for name, draws in (("temperature 0", asked.greedy), ("top_k 1", asked.top_1)):
        parameter = name.split()[0]
        if f"{parameter} = 0" in asked.refused or parameter in asked.dialect.refused:
            found.append(Finding(name, REFUSED, asked.refused.get(f"{parameter} = 0", "as top_k")))
        elif not draws:
            found.append(Finding(name, UNCHECKED, asked.spent))
        else:
            found.append(_greedy(asked, name, draws))
    return found


def _greedy(asked: Interview, name: str, draws: list[Choice]) -> Finding:
    row, n = asked.row, len(draws)
    allowed = most_probable(asked, [])
    wrong = sum(draw.token not in allowed for draw in draws)
    if wrong:
        return Finding(name, OTHER, f"{wrong} of {n} answers are not the most probable token")
    told = 1 - float(sum(row.probs[: len(allowed)])) ** n
    return Finding(name, FOLLOWED, "the most probable token", "a draw", told)

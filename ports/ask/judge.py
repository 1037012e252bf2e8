"""Which rules the answers allow.

Every hypothesis (this rule, that engine) says for each group of draws what may be drawn and how often. It is rejected
where a token was drawn that it cuts, or where the exact G-test says so at LEVEL / TESTS. So a server that follows its
rules is called wrong with a probability of at most LEVEL, over all tests together; and since the seeds are fixed, it is
called the same each time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reference.pipeline import Step
from reference.profiles import PROFILES

from . import conduct
from .client import CannotAskError
from .findings import FOLLOWED, IGNORED, OTHER, REFUSED, UNCHECKED, Finding, Report, at_least
from .interview import Interview
from .plan import SIZES, Group
from .predict import EDGE, SAMPLERS, Settings, engine, lacks, predict, usual
from .rejection import EACH, LEVEL, closest_temperatures, p_value, power
from .reply import Choice
from .row import Row


def judge(
    asked: Interview, url: str = "", requests: int = 0, wanted: str | None = None, processed: bool = False
) -> Report:
    """The findings. `wanted`: the engine that the server should behave as; any, if None.

    `processed`: its log-probabilities are meant to be those after temperature and filters, not those of the model.
    Raises: CannotAskError if the tokens drawn are none of those that have log-probabilities.
    """
    row = asked.row
    source = "a copy of the model" if asked.weights else "the server"
    report = Report(url, asked.dialect.model, row.prompt, len(row.tokens), source, LEVEL, requests)
    report.spent, report.wanted = asked.spent, wanted
    evidence = Evidence(asked)
    report.groups = [evidence.shown(name) for name in evidence.counts]
    plain = evidence.counts.get("plain")
    if plain is not None and not plain[:-1].any() and row.rest ** plain[-1] < EACH:
        raise CannotAskError(
            f"the server's tokens, {asked.draws['plain'][0].token!r} among them, are not those of {source}'s "
            "log-probabilities: another tokenizer, or another model"
        )
    if not asked.weights:
        report.findings.append(conduct.log_probabilities(asked, processed))
    report.findings += conduct.seeds(asked, EACH)
    report.findings += evidence.parameters()
    report.findings += conduct.greedy(asked)
    report.findings.append(_neighbours(asked, evidence))
    ignored = {finding.parameter for finding in report.findings if finding.word == IGNORED}
    report.but = [name for name in SAMPLERS if name in ignored]
    for name in [wanted] if wanted else PROFILES:
        lacking, places = evidence.lacking(name), evidence.against(name)
        if lacking:
            report.lacking[name] = lacking[0]
        elif places:
            report.excluded[name] = places
        else:
            report.profiles.append(name)
    return report


class Evidence:
    """The draws of all groups, held against rules."""

    def __init__(self, asked: Interview) -> None:
        self.asked, self.row = asked, asked.row
        self.groups = {group.name: group for group in asked.groups}
        self.counts = {name: counted(self.groups[name].row, draws) for name, draws in asked.draws.items() if draws}
        self.ignored: set[str] = set()
        self.followed: set[str] = set()
        self.samples = True
        noise = conduct.noise(asked)
        for name, group in self.groups.items():
            if name != "plain" and noise > EDGE * group.settings.get("temperature", 1.0):
                self.counts.pop(name, None)
                self.groups[name] = replace(group, why=f"its log-probabilities vary by {noise:.2g}")

    def shown(self, name: str) -> dict[str, Any]:
        """What was asked and drawn, for programs. Tokens that are not known are counted as ""."""
        group, counts = self.groups[name], self.counts[name].tolist()
        drawn = {token: n for token, n in zip((*group.row.tokens, ""), counts, strict=True) if n}
        return {"group": name, "prompt": group.row.prompt, "settings": dict(group.settings), "drawn": drawn}

    def p_value(self, name: str, steps: Sequence[Step]) -> float:
        """How probably these steps give draws at least as far from what is expected as those of the group."""
        return p_value(self.counts[name], predict(self.groups[name].row, steps))

    def parameters(self) -> Iterator[Finding]:
        """What became of each parameter, in an order in which the later ones may build on the earlier ones."""
        yield self._plain()
        for name in SAMPLERS:
            finding = self._parameter(name)
            self.ignored |= {name} if finding.word == IGNORED else set()
            self.followed |= {name} if finding.word == FOLLOWED else set()
            yield finding
        for name in SIZES:
            if " and " in name and name in self.groups and all(part in self.followed for part in name.split(" and ")):
                yield from self._order(name)

    def lacking(self, profile: str) -> list[str]:
        """The parameters that the server follows and this engine does not have."""
        asked = {name for group in self.groups.values() for name in group.settings}
        return [name for name in lacks(profile, dict.fromkeys(SAMPLERS, 0.0)) if name in self.followed & asked]

    def against(self, profile: str) -> list[str]:
        """The groups whose draws exclude this engine."""
        return [
            name
            for name, group in self.groups.items()
            if name in self.counts and not self.p_value(name, engine(profile, self._in_force(group))) > EACH
        ]

    def _in_force(self, group: Group) -> Settings:
        return {name: value for name, value in group.settings.items() if name not in self.ignored}

    def _plain(self) -> Finding:
        if "plain" not in self.counts:
            return Finding("frequencies", UNCHECKED, self.asked.spent)
        p, counts = self.p_value("plain", usual({})), self.counts["plain"]
        if p > EACH:
            return Finding(
                "frequencies", FOLLOWED, "of the log-probabilities", *closest_temperatures(self.row, 1.0, counts.sum())
            )
        if np.count_nonzero(counts) == 1:
            self.samples = False
            if counts[0]:
                return Finding("frequencies", OTHER, "always the most probable token: it does not sample")
            return Finding("frequencies", OTHER, "the same token from every seed")
        detail = f"not those of the log-probabilities (p = {p:.1g}): as if temperature were {self._temperature():.2g}"
        return Finding("frequencies", OTHER, detail)

    def _temperature(self) -> float:
        """The temperature at which the plain draws are the most probable."""
        counts, logprobs = self.counts["plain"][:-1], np.array(self.row.logprobs)
        candidates = np.geomspace(0.05, 5, 200)
        likely = [float(counts @ (logprobs / t - np.logaddexp.reduce(logprobs / t))) for t in candidates]
        return float(candidates[int(np.argmax(likely))])

    def _parameter(self, name: str) -> Finding:
        if name in self.asked.dialect.refused:
            return Finding(name, REFUSED, self.asked.dialect.refused[name])
        group = self.groups[name]
        if name not in self.counts:
            return Finding(name, UNCHECKED, group.why or self.asked.spent)
        if not self.samples:
            return Finding(name, UNCHECKED, "it does not sample")
        values = {rule: self.p_value(name, of(group.settings)) for rule, of in group.rules.items()}
        asked = f"at {_said(group.settings)}"
        if values[FOLLOWED] > EACH:
            told, chance = self._power(group)
            if name == "temperature":
                closest, enough = closest_temperatures(group.row, group.settings[name], self.counts[name].sum())
                told, chance = (f"ignored ({at_least(chance)}), {closest}", enough) if closest else (told, chance)
            return Finding(name, FOLLOWED, asked, told, chance)
        best = max(values, key=lambda rule: values[rule])
        if not values[best] > EACH:
            return Finding(name, OTHER, f"{asked}: none that is known here")
        if best == IGNORED:
            return Finding(name, IGNORED, asked)
        return Finding(name, OTHER, f"{asked}: {best} token than it says")

    def _order(self, name: str) -> Iterator[Finding]:
        group = self.groups[name]
        if group.why or name not in self.counts:
            yield Finding(name, UNCHECKED, group.why or self.asked.spent)
            return
        allowed = [rule for rule, of in group.rules.items() if self.p_value(name, of(group.settings)) > EACH]
        if not allowed:
            yield Finding(name, OTHER, f"at {_said(group.settings)}: none that is known here")
            return
        if len(allowed) > 1:
            yield Finding(name, UNCHECKED, " or ".join(allowed))
        else:
            yield Finding(name, FOLLOWED, allowed[0], "the other order", self._power(group, allowed[0])[1])

    def _power(self, group: Group, allowed: str = FOLLOWED) -> tuple[str, float]:
        """The other rules of the group, and how probably the worst of them would not have passed as this one."""
        n = int(self.counts[group.name].sum())
        predictions = {rule: predict(group.row, of(group.settings)) for rule, of in group.rules.items()}
        due = predictions.pop(allowed)
        return ", ".join(predictions), min(power(n, due, actual) for actual in predictions.values())


def counted(row: Row, draws: Sequence[Choice]) -> np.ndarray:
    """How often each known token was drawn, then how often another one: `(N + 1,)`."""
    return np.bincount([row.place(draw.token) for draw in draws], minlength=len(row.tokens) + 1)


def _said(settings: Settings) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())


def _neighbours(asked: Interview, evidence: Evidence) -> Finding:
    if not asked.cold or not asked.hot or not evidence.samples:
        return Finding("neighbours", UNCHECKED, asked.spent or "greedy and drawn rows cannot be told apart")
    wrong = sum(draw.token not in conduct.most_probable(asked, asked.hot) for draw in asked.cold)
    hot = counted(asked.row, asked.hot)
    if len({draw.token for draw in asked.greedy}) > 1:
        return Finding("neighbours", UNCHECKED, "its greedy rows vary without neighbours")
    p = p_value(hot, predict(asked.row, usual({})))
    alone = evidence.counts.get("plain")
    if alone is not None and not evidence.p_value("plain", usual({})) > EACH:
        p = 1.0  # its draws are others than expected when alone, too
    if wrong:
        return Finding("neighbours", OTHER, f"{wrong} of {len(asked.cold)} greedy rows change beside drawn ones")
    if not p > EACH:
        return Finding("neighbours", OTHER, f"rows drawn beside greedy ones have other frequencies (p = {p:.1g})")
    chance = 1 - max(float(asked.row.probs[0]), 1e-9) ** len(asked.cold)
    return Finding("neighbours", FOLLOWED, "a row is as alone", "a neighbour's settings", chance)

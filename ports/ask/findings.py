"""What the judge finds: one line for each parameter, and the engines whose rules all draws allow."""

from dataclasses import dataclass, field
from typing import Any

FOLLOWED, IGNORED, OTHER, REFUSED, UNCHECKED = "followed", "ignored", "other rule", "refused", "not checked"
DEVIATIONS = (IGNORED, OTHER)


def at_least(power: float) -> str:
    """A probability, rounded down: what is stated holds.

    >>> at_least(0.999958)
    'p > 0.9999'
    """
    for digits in (6, 4, 3, 2):
        if power >= 1 - 10.0**-digits:
            return f"p > 0.{'9' * digits}"
    return f"p = {int(power * 100) / 100:.2f}"


@dataclass(frozen=True)
class Finding:
    """What became of a parameter.

    `power`: how probably the deviations that `told` names would have been found, at least.
    """

    parameter: str
    word: str
    detail: str = ""
    told: str = ""
    power: float | None = None


@dataclass
class Report:
    """All findings about a server.

    `excluded`: each engine that it does not behave as, and the groups of draws that show it.
    `lacking`: each engine that lacks a parameter which the server follows, and that parameter.
    """

    url: str
    model: str
    prompt: str
    tokens: int
    source: str
    level: float
    asked: int = 0
    findings: list[Finding] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    excluded: dict[str, list[str]] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    but: list[str] = field(default_factory=list)
    wanted: str | None = None
    spent: str = ""
    groups: list[dict[str, Any]] = field(default_factory=list)

    @property
    def deviations(self) -> list[Finding]:
        """The findings that are deviations."""
        return [finding for finding in self.findings if finding.word in DEVIATIONS]

    @property
    def nearest(self) -> str:
        """The engine with the fewest groups against it, of those that have all parameters, if any."""
        return min(self.excluded or self.lacking, key=lambda name: len(self.excluded.get(name, ())))

    def why_not(self, engine: str) -> str:
        """Why the server does not behave as this engine."""
        return f"has no {self.lacking[engine]}" if engine in self.lacking else "; ".join(self.excluded[engine])

    @property
    def status(self) -> int:
        """0: it behaves as it says; 1: a deviation found; 2: nothing could be judged."""
        if self.deviations or not self.profiles:
            return 1
        return 0 if any(finding.word == FOLLOWED for finding in self.findings) else 2

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "url": self.url,
            "model": self.model,
            "prompt": self.prompt,
            "log_probabilities": {"of": self.source, "tokens": self.tokens},
            "level": self.level,
            "requests": self.asked,
            "findings": [vars(finding) for finding in self.findings],
            "profiles": self.profiles,
            "excluded": self.excluded,
            "lacking": self.lacking,
            "but": self.but,
            "groups": self.groups,
            "spent": self.spent,
            "status": self.status,
        }

"""What a mutant is: the reference with one wrong function, a mistake that a real system made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..heads import REFERENCE, Head

FOLK = "folk"  # the source of a mistake that everybody has seen and nobody has reported


@dataclass(frozen=True)
class Mutant:
    """A wrong implementation of one stage. All other stages are those of the reference.

    `stage` is the operation that it replaces, and `rule` the rule of SPEC.md that it breaks. `looks_like` describes the
    mistake to somebody who made it. `source` links to a real system that made it, or is "folk".
    """

    name: str
    stage: str
    rule: str
    looks_like: str
    source: str
    function: Callable[..., Any]

    @property
    def head(self) -> Head:
        """The reference with this mistake."""
        return REFERENCE.but(self.name, **{self.stage: self.function})

    def __str__(self) -> str:
        return f"{self.stage}-{self.name}"


MUTANTS: list[Mutant] = []


def mutant(stage: str, rule: str, looks_like: str, source: str = FOLK) -> Callable[..., Any]:
    """Register the decorated function as a mutant of `stage`, named after the function."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        MUTANTS.append(Mutant(function.__name__.strip("_"), stage, rule, looks_like, source, function))
        return function

    return register

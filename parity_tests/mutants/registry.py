"""What a mutant is: one function of the head with a mistake that a real system made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..heads import REFERENCE, Head

FOLK = "folk"  # a mistake that everybody has seen and nobody has filed


@dataclass(frozen=True)
class Mutant:
    """A wrong implementation of one stage; all other stages are the reference's.

    `stage` is the operation that it replaces, `rule` the rule of SPEC.md that it breaks, `looks_like` the
    mistake in a few words for somebody who made it, `source` where a real system made it, or "folk".
    """

    name: str
    stage: str
    rule: str
    looks_like: str
    source: str
    function: Callable[..., Any]

    @property
    def head(self) -> Head:
        """The reference with this one mistake."""
        return REFERENCE.but(self.name, **{self.stage: self.function})

    def __str__(self) -> str:
        return f"{self.stage}-{self.name}"


MUTANTS: list[Mutant] = []


def mutant(stage: str, rule: str, looks_like: str, source: str = FOLK) -> Callable[..., Any]:
    """Registers the decorated function as a mutant of `stage`; its name is the function's."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        MUTANTS.append(Mutant(function.__name__.strip("_"), stage, rule, looks_like, source, function))
        return function

    return register

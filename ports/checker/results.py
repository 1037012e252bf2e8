"""All verdicts of one check, and what follows from them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from parity_tests.judges.words import BAD, Verdict, Word

from .asking import Seen

Request = tuple[str, dict[str, Any]]  # an operation and its inputs as JSON


@dataclass
class Report:
    """What a check found. `port` is what the port says about itself."""

    port: dict[str, Any]
    verdicts: list[Verdict] = field(default_factory=list)
    mistakes: dict[str, str] = field(default_factory=dict)  # operation -> the likely mistake
    gave_up: str = ""  # why the check ended early
    seen: Seen = field(default_factory=Seen)  # the sizes of what was answered
    requests: list[list[Request]] = field(default_factory=list)  # what repeats each failure, in their order
    strict: bool = False  # whether an unusual result is a failure
    profile: str = ""  # by which it was judged
    departs: list[str] = field(default_factory=list)  # where the port declares another option than its profile has

    @property
    def failures(self) -> list[Verdict]:
        """The verdicts that do not conform, in the order in which they were found."""
        return [verdict for verdict in self.verdicts if verdict.word in BAD]

    @property
    def unusual(self) -> list[Verdict]:
        """The right answers with errors larger than roundings ever make them."""
        return [verdict for verdict in self.verdicts if verdict.unusual]

    @property
    def status(self) -> int:
        """The exit status: 0 if the port conforms, 1 if it does not, 2 if nothing could be checked.

        It is 2 as well where a profile was asked for and the port gave no answer about its settings.
        """
        if self.failures or self.gave_up or (self.strict and self.unusual):
            return 1
        checked = {verdict.operation for verdict in self.verdicts if verdict.word != Word.NOT_CHECKED}
        return 0 if ("apply_settings" in checked if self.profile else checked) else 2

    def rows(self) -> list[tuple[str, Counter[Word], float]]:
        """For each operation, its counts and the largest error / bound among the cases that conform."""
        operations = dict.fromkeys(verdict.operation for verdict in self.verdicts)
        return [(op, *_counts(v for v in self.verdicts if v.operation == op)) for op in operations]

    def not_checked(self) -> Counter[tuple[str, str]]:
        """How many cases were not checked, by operation and reason."""
        return Counter((v.operation, v.reason) for v in self.verdicts if v.word == Word.NOT_CHECKED)


def _counts(verdicts: Iterable[Verdict]) -> tuple[Counter[Word], float]:
    listed = list(verdicts)
    return Counter(v.word for v in listed), max((v.ratio for v in listed if v.word not in BAD), default=0.0)

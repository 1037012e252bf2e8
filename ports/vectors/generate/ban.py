"""Vectors of `ban`: nothing rounds, so every answer is exact."""

from collections.abc import Sequence
from math import inf
from typing import Any

from .build import File
from .penalised import PenaltyFile, answers

FLAGS = """
FiniteMask (PENALTY-6): -1e9, the lowest finite number or 0 in place of -inf
    [masks_with_a_number bias_of_100 masks_with_zero masks_with_finfo_min]
WrongToken (PENALTY-6): another token, or the tokens of another row, masked [the_first_alone a_range first_row_alone]
Rest (PENALTY-6): all tokens but the banned ones masked, or other logits changed [allows]
RepeatedIds (PENALTY-6): an id that stands twice refused, or let through [twice_is_none]
NoIds (PENALTY-6): no ids at all are refused, or mask everything
NothingLeft (PENALTY-7): a row without any token left goes on [bans_everything]
"""


def changed(row: Sequence[float], ids: Sequence[int], dtype: str, banned: Any) -> list[float]:
    """-inf at the banned ids; the ids of a history count for nothing."""
    fall = {int(i) for i in banned}
    return [-inf if i in fall else x for i, x in enumerate(row)]


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("ban", FLAGS, answers(changed))

    file.group("bans", "PENALTY-6", "-inf for these ids, all others keep their bits. Make these pass first.")
    file.valid("one id", "FiniteMask WrongToken Rest", logits=[1, 2, 3], banned=[2])
    file.valid("ids in another order", "WrongToken Rest", logits=[1, 2, 3, 4], banned=[3, 0])
    file.valid("all but one", "Rest", logits=[1, 2, 3], banned=[0, 2])
    file.valid("ids that stand twice", "RepeatedIds", logits=[1, 2, 3], banned=[1, 1])
    file.valid("no ids", "NoIds", logits=[1, 2, 3], banned=[])
    file.valid("no ids, V = 1", "NoIds", logits=[-7], banned=[])
    file.valid("what is masked already", "WrongToken", logits=[1, -inf, 3], banned=[1])
    file.valid("the survivor is -3e38", "FiniteMask", logits=[1, -3e38, 3], banned=[0, 2])
    file.valid("-0 keeps its sign", "Rest", logits=[-0.0, 0.0, 3], banned=[2])

    file.every_penalty("WrongToken Rest", {"banned": []}, banned=[1])

    file.group("nothing left", "PENALTY-7", "A row needs a token.")
    file.invalid("bad_logits", "every token", "NothingLeft", logits=[1, 2], banned=[1, 0])
    file.invalid("bad_logits", "the only token", "NothingLeft", logits=[1], banned=[0])
    file.invalid("bad_logits", "the last one left", "NothingLeft", logits=[-inf, 2, -inf], banned=[1])
    file.invalid("bad_logits", "in the second row", "NothingLeft", logits=[[1, 2], [-inf, 2]], banned=[1])

    file.group("bad ids", "PENALTY-7", "Ids in [0, V), one list for all rows.", logits=[1, 2, 3])
    file.bad_ids("banned", {"two axes": [[1, 0]], "no axis": 1})
    file.invalid("bad_shape", "a list for each row", "BadIds", logits=[[1, 2], [3, 4]], banned=[[1], [0]])
    return file

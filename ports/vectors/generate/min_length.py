"""Vectors of `min_length`: nothing rounds, so every answer is exact."""

from collections.abc import Sequence
from math import inf
from typing import Any

from .build import File
from .penalised import PenaltyFile, answers

FLAGS = """
OneOff (PENALTY-6): a history of exactly the length still too short, or one of a token less long enough
    [one_longer one_shorter a_longest_length]
FiniteMask (PENALTY-6): -1e9, the lowest finite number or 0 in place of -inf [bans_the_others masks_with_finfo_min]
OneEnd (PENALTY-6): of several ids that end a text only the first masked [the_first_end_alone]
    https://github.com/vllm-project/vllm/pull/32163
Distinct (PENALTY-6): different ids counted, or all but those that end a text [different_ids]
NoIds (PENALTY-6): no ids at all are refused
NothingLeft (PENALTY-7): a row without any token left goes on
BadCount (PENALTY-7): a length below 1 means off; true and fractions cast to an integer
OwnHistory [rows_counted]
"""


def changed(row: Sequence[float], ids: Sequence[int], dtype: str, length: int, end_ids: Any) -> list[float]:
    """-inf at the ids that end a text, while there are too few."""
    fall = {int(i) for i in end_ids} if len(ids) < length else set()
    return [-inf if i in fall else x for i, x in enumerate(row)]


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("min_length", FLAGS, answers(changed), length=3, end_ids=[0])
    four = [0.5, -1, 3, -0.0]

    file.group("lengths", "PENALTY-6", "Fewer than 3 ids are too few, 3 are enough. Make these pass first.")
    file.valid("two ids of 3", "OneOff FiniteMask", logits=four, history=[1, 2])
    file.valid("three ids of 3", "OneOff", logits=four, history=[1, 2, 3])
    file.valid("four ids of 3", "OneOff", logits=four, history=[1, 2, 3, 1])
    file.valid("no ids of 1", "OneOff EmptyHistory", logits=four, history=[], length=1)
    file.valid("one id of 1", "OneOff", logits=four, history=[2], length=1)
    file.valid("three equal ids of 3", "Distinct", logits=four, history=[2, 2, 2])
    file.valid("three ids that end a text", "Distinct", logits=four, history=[0, 0, 0])
    file.valid("a length of 2,000,000,000", "OneOff", logits=four, history=[1, 2, 3], length=2_000_000_000)

    file.group("ids that end a text", "PENALTY-6", "All of them fall.", history=[1])
    file.valid("two of them", "OneEnd", logits=four, end_ids=[3, 0])
    file.valid("one stands twice", "OneEnd", logits=four, end_ids=[2, 2])
    file.valid("none", "NoIds", logits=four, end_ids=[])
    file.valid("none, V = 1", "NoIds", logits=[-7], history=[0], end_ids=[])
    file.valid("masked already", "FiniteMask", logits=[-inf, 2, 3], end_ids=[0])
    file.valid("the survivor is -3e38", "FiniteMask", logits=[-3e38, 2, 3], end_ids=[1, 2])

    file.every_penalty("OneOff", {"end_ids": []}, length=5, end_ids=[1])

    file.group("nothing left", "PENALTY-7", "A row needs a token, but only while the text is too short.", history=[0])
    file.invalid("bad_logits", "every token", "NothingLeft", logits=[1, 2], end_ids=[0, 1])
    file.invalid("bad_logits", "the last one left", "NothingLeft", logits=[1, -inf], end_ids=[0])
    two = [[1, 2], [2, -inf]]
    file.invalid("bad_logits", "in the second row", "NothingLeft", logits=two, history=[[0], [0]])
    file.valid("every token, but long enough", "NothingLeft", logits=[1, 2], end_ids=[0, 1], length=1)

    file.bad_history()
    file.group("bad ids", "PENALTY-7", "Ids in [0, V), one list for all rows.", logits=[1, 2, 3], history=[1])
    file.bad_ids("end_ids", {"two axes": [[1, 0]], "no axis": 1})
    file.invalid("bad_token_ids", "V, though the text is long enough", "BadIds", end_ids=[3], length=1)
    file.bad_counts("length", logits=[1, 2, 3], history=[0, 1])

    file.group("long enough in a batch", "HEAD-4", "The length is that of each history, whatever the number of rows.")
    two = [[1, 2, 3], [3, 2, 1]]
    file.valid("two rows of three ids", "OwnHistory OneOff", logits=two, history=[[0, 0, 0], [1, 2, 1]])
    file.valid("four rows of two ids", "OwnHistory OneOff", logits=two * 2, history=[[0, 1]] * 4)
    return file

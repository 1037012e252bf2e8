"""Vectors of `no_repeat_ngram`: nothing rounds, so every answer is exact."""

from collections.abc import Sequence
from math import inf

from .build import File
from .penalised import PenaltyFile, answers

FLAGS = """
OneOff (PENALTY-6): runs of one token more or fewer compared, so that a repetition is let through or too much masked
    [one_longer one_shorter]
    https://github.com/facebookresearch/fairseq/issues/5206
TheEnd (PENALTY-6): the last run, or one that overlaps with the end of the history, left out [without_overlap]
TheStart (PENALTY-6): the first run left out
FirstOnly (PENALTY-6): one token masked where several followed the same ids
    [bans_the_first the_latest_alone the_first_occurrence]
AnyOrder (PENALTY-6): the same ids in another order taken for the same run [order_ignored last_id_compared]
Unigram (PENALTY-6): a size of 1 refused, off, or masking the last id alone [size_1_is_off]
ShortHistory (PENALTY-6): a history shorter than the run refused, read beyond its end, or masking something
FiniteMask (PENALTY-6): -1e9, the lowest finite number or 0 in place of -inf [masks_with_finfo_min]
NothingLeft (PENALTY-7): a row without any token left goes on
BadCount (PENALTY-7): a size below 1 means off; true and fractions cast to an integer
OwnHistory [of_the_first_row]
"""


def changed(row: Sequence[float], ids: Sequence[int], dtype: str, ngram_size: int) -> list[float]:
    """-inf for what follows the last ids anywhere in the history."""
    before = ngram_size - 1
    end = list(ids[len(ids) - before :]) if before else []
    if before > len(ids):
        return list(row)
    fall = {ids[i] for i in range(before, len(ids)) if list(ids[i - before : i]) == end}
    return [-inf if i in fall else x for i, x in enumerate(row)]


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("no_repeat_ngram", FLAGS, answers(changed), ngram_size=3)
    five = [0.5, 1, -2, 3, -0.0]

    file.group("runs of three", "PENALTY-6", "What would complete a run that is there falls. Make these pass first.")
    file.valid("1 2 3 is there", "OneOff FiniteMask TheStart", logits=five, history=[1, 2, 3, 1, 2])
    file.valid("1 2 is there, and nothing after it yet", "OneOff TheEnd", logits=five, history=[3, 0, 1, 2])
    file.valid("1 2 3 and 1 2 4", "FirstOnly", logits=five, history=[1, 2, 3, 1, 2, 4, 1, 2])
    file.valid("1 2 3 twice", "FirstOnly", logits=five, history=[1, 2, 3, 1, 2, 3, 1, 2])
    file.valid("2 1 is not 1 2", "AnyOrder", logits=five, history=[2, 1, 3, 1, 2])
    file.valid("1 x 2 is not 1 2", "AnyOrder OneOff", logits=five, history=[1, 0, 2, 3, 1, 2])
    file.valid("3 3 3: the run overlaps with the end", "TheEnd", logits=five, history=[0, 3, 3, 3])
    file.valid("1 2 1 2: 1 falls", "TheEnd", logits=five, history=[1, 2, 1, 2])
    file.valid("what falls is masked already", "FiniteMask", logits=[1, 2, -inf, 0], history=[0, 1, 2, 0, 1])

    file.group("other sizes", "PENALTY-6", "A size of n compares n - 1 ids.")
    file.valid("1: every id of the history", "Unigram", logits=five, history=[1, 2, 1, 4], ngram_size=1)
    file.valid("2: what followed the last id", "OneOff FirstOnly", logits=five, history=[1, 2, 1, 4, 1], ngram_size=2)
    file.valid("2: an id after itself", "TheEnd", logits=five, history=[0, 3, 3], ngram_size=2)
    long = [0, 1, 2, 3, 4, 0, 1, 2, 3]
    file.valid("5", "OneOff", logits=five, history=long, ngram_size=5)
    file.valid("6: no such run", "OneOff", logits=five, history=long, ngram_size=6)

    file.group("short histories", "PENALTY-6", "Where no run fits, nothing falls.")
    file.valid("one id fewer than the run", "ShortHistory", logits=five, history=[1, 1])
    file.valid("as many ids as the run, all equal", "ShortHistory TheEnd", logits=five, history=[1, 1, 1])
    file.valid("a size of 2,000,000,000", "ShortHistory", logits=five, history=[1, 1, 1], ngram_size=2_000_000_000)
    file.valid("one id, a size of 1", "ShortHistory Unigram", logits=five, history=[2], ngram_size=1)
    file.valid("V = 1", "ShortHistory", logits=[-7], history=[0, 0])

    file.every_penalty("Unigram", {}, ngram_size=1)

    file.group("nothing left", "PENALTY-7", "A row needs a token.")
    file.invalid("bad_logits", "the only token", "NothingLeft", logits=[1], history=[0, 0, 0])
    file.invalid("bad_logits", "every token", "NothingLeft", logits=[1, 2], history=[1, 0], ngram_size=1)
    file.invalid("bad_logits", "the last one left", "NothingLeft", logits=[1, -inf], history=[0, 0, 0])
    two = [[1, 0, 1], [0, 1, 0]]
    file.invalid(
        "bad_logits", "in the second row", "NothingLeft", logits=[[1, 2], [-inf, 2]], history=two, ngram_size=2
    )
    file.bad_history()
    file.bad_counts("ngram_size", logits=[1, 2, 3], history=[0, 1, 0, 1])
    return file

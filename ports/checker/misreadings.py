"""What a profile may be taken for: other profiles, each with one mistake, named by what it looks like."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reference.operations import OPERATIONS, TIES, UNTIL
from reference.pipeline import Step
from reference.profiles import PROFILES, Profile, Row


def misreadings(profile: Profile) -> Iterator[Profile]:
    """Other engines with the settings of this one; then this one with its rows moved, missing or changed."""
    for other in PROFILES.values():
        if other.name != profile.name:
            yield Profile(f"the answer of PROFILES[{other.name!r}]", tuple(_renamed(other, profile)))
    for place, row in enumerate(profile.rows):
        before, after = profile.rows[:place], profile.rows[place + 1 :]
        for name, changed in _changed(row):
            yield Profile(name, (*before, changed, *after))
        for name, to in _places(profile.rows, place):
            yield Profile(name, (*(before + after)[:to], row, *(before + after)[to:]))
        yield Profile(f"{row.setting} ignored", before + after)


def steps(reading: Profile, settings: Mapping[str, Any]) -> list[Step]:
    """The steps by this reading, which may have no row for some of the settings."""
    return reading.steps(**{name: value for name, value in settings.items() if name in reading.defaults})


def _places(rows: tuple[Row, ...], place: int) -> Iterator[tuple[str, int]]:
    """Where else a row may stand, as its index among the others."""
    setting = rows[place].setting
    if place:
        yield f"{setting} before {rows[place - 1].setting}", place - 1
    if place > 1:
        yield f"{setting} before everything else", 0
    filters = [at for at, row in enumerate(rows) if row.step.startswith("keep_") and at != place]
    if 0 < filters[0] < place:
        yield f"{setting} before the filters", filters[0]
    if place + 2 < len(rows):
        yield f"{setting} after everything else", len(rows) - 1
    if place < filters[0] - 1:
        yield f"{setting} after the last penalty", filters[0] - 1


def _changed(row: Row) -> Iterator[tuple[str, Row]]:
    """The row with one of its details changed."""
    for option, words in (("until", UNTIL), ("ties", TIES)):
        if option in OPERATIONS[row.step].arguments:
            for word in words:
                # One of the lowest ids is right where any of the tied is.
                if word != row.always.get(option, words[0]) and (word, row.always.get(option)) != ("lowest_id", "any"):
                    yield f"{option}={word} in {row.setting}", replace(row, always={**row.always, option: word})
    if "history" in OPERATIONS[row.step].arguments:
        own = None if row.window else row.always.get("counts", "all")
        for counts in [one for one in ("all", "output", "prompt", 64, 20) if one != own]:
            yield f"{row.setting} of {_ids(counts)}", replace(row, window=None, always={**row.always, "counts": counts})
        if row.window:
            other = "all" if row.no_window == 0 else 0
            yield f"{row.window[0]} of 0 taken for {_ids(other)}", replace(row, no_window=other)
    if row.off:
        yield f"{row.setting}, where it is off, taken for the largest logit alone", replace(row, off=(), greedy=row.off)
    if row.greedy:
        yield f"{row.setting} off where it is greedy", replace(row, greedy=(), off=row.greedy)
    if row.least is not None:
        yield f"{row.setting} of 0 taken for off", replace(row, off=(*row.off, ("<=", 0.0)))
        yield f"{row.setting} without its least value", replace(row, least=None)
    if row.made(row.defaults):
        yield f"{row.setting} off where it is not given", replace(row, default=None)


def _ids(counts: int | str) -> str:
    words = {"all": "all ids", 0: "none of the ids"}
    return words.get(counts, f"the {counts}" if isinstance(counts, str) else f"the last {counts} ids")


def _renamed(other: Profile, profile: Profile) -> Iterator[Row]:
    """The rows of another engine that this one has settings for, with these."""
    left = list(profile.rows)
    for row in other.rows:
        same = [own for own in left if own.step == row.step]
        if same:
            own = next((one for one in same if one.always == row.always), same[0])
            left.remove(own)
            window = own.window if row.window else None
            always = {**row.always, "counts": row.window[1]} if row.window and not own.window else row.always
            yield replace(row, setting=own.setting, default=own.default, also=own.also, window=window, always=always)

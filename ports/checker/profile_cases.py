"""Settings on which an engine's order, its windows and its special values show, and random ones.

The engine's steps with these settings are the right answer  [PIPE-3]. XTC is off or certain, as an engine draws its own
numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import reference
from parity_tests import strategies
from parity_tests.judges.words import Verdict, Word
from reference.operations import OPERATIONS
from reference.pipeline import Step
from reference.profiles import PROFILES, Profile, Row

from .asking import confirmed
from .by_reference import guarded
from .port import Port

OPERATION = "apply_settings"
HOW_TO = f"add {OPERATION} to the port (ports/PROTOCOL.md, Settings)"
# Values of a setting by the argument that it becomes: those that do most, the first for every pair; and special ones.
_ON: dict[str, tuple[Any, ...]] = {
    "penalty": (1.75, 1.1, 0.5),
    "temperature": (2.0, 0.5, 0.8),
    "k": (4, 1, 40),
    "p": (0.7, 0.05, 0.25, 0.95),
    "mass": (0.6, 0.9),
    "cutoff": (0.05, 3e-4),
    "h": (0.5, 0.4),
    "n": (1.0, 0.5),
    "probability": (1.0,),
    "ngram_size": (2, 1, 3),
    "length": (99, 5),
    "banned": ([0, 5],),
    "biased": ({1: 3.0, 12: -2.0, 7: -np.inf},),
}
_SPECIAL: dict[str, tuple[Any, ...]] = {
    "penalty": (0.0, 1.0),
    "temperature": (0.0, 1.0, 0.005),
    "k": (0, -1),
    "p": (0.0, 1.0, 1.5),
    "mass": (0.0, 1.0),
    "cutoff": (0.0, 1.0),
    "h": (1.0,),
    "n": (0.0, -1.0),
    "probability": (0.0,),
    "ngram_size": (0,),
    "length": (0, 10, 11, 70, 71),
}
_END = [3]
_WINDOWS = (0, 2, 64)
SIZES = (24, 32_003, 128_256)


def run(port: Port) -> Iterator[Verdict]:
    """The cases made by hand; one that is not checked if the port has no such operation."""
    assert port.profile is not None
    if OPERATION not in port.operations:
        reason = f"the order of {port.profile.name}'s steps was not asked: {HOW_TO}"
        yield Verdict(operation=OPERATION, word=Word.NOT_CHECKED, reason=reason, phase="profile")
        return
    dtype = next(name for name in ("float32", *port.contract.dtypes) if name in port.contract.dtypes)
    for about, given in cases(port.profile, dtype):
        blank = Verdict(operation=OPERATION, word=Word.ERRORED, phase="profile", inputs=given)
        verdict = confirmed(lambda: asked(blank, port, given))  # noqa: B023 - called at once
        yield replace(verdict, case=about)


def cases(profile: Profile, dtype: str = "float32") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every case with what it is about, as arguments of the operation; without those that the engine's steps refuse."""
    off = {row.setting: value for row in profile.rows for value in [_off(row)] if value is not None}
    for about, settings, logits in _settings(profile):
        ids = _history(*logits.shape)
        given = {"logits": logits.astype(dtype), "profile": profile.name, "history": ids, "prompt_length": 60}
        chosen = (
            settings if about.startswith("no settings") else settings | {s: off[s] for s in off if s not in settings}
        )
        given["settings"] = {name: value for name, value in chosen.items() if value is not None}
        if _is_accepted(given):
            yield about, given


def _settings(profile: Profile) -> Iterator[tuple[str, dict[str, Any], np.ndarray]]:
    """What a case is about, its settings besides those that switch a step off, and its logits."""
    rng = np.random.default_rng(7)
    some = rng.standard_normal((8, 24)) * np.array([0.5, 1, 1, 2, 2, 3, 4, 6])[:, None]
    some[:, 11:15] += 1  # ids of the output are likely ones
    long = rng.standard_normal((2, 128))
    equal = np.where(np.arange(24) % 3 == 1, 1.0, -np.inf)[None]  # eight tokens: their probabilities are exact
    for row in profile.rows:
        if {"until", "ties"} & OPERATIONS[row.step].arguments.keys():
            yield f"{row.setting} of equal tokens", {row.setting: 3 if row.argument == "k" else 0.5}, equal
        yield f"{row.setting} alone", _on(row), some
        for value in _SPECIAL.get(row.argument, ()):
            yield f"{row.setting} = {value}", {**_on(row), row.setting: value}, some
        yield f"{row.setting} not given", {**_on(row), row.setting: None}, long
        for count in _WINDOWS if row.window else ():
            yield f"{row.window[0]} = {count}", {**_on(row), row.window[0]: count}, some  # type: ignore[index]
    for first, second in combinations(profile.rows, 2):
        yield f"{first.setting} and {second.setting}", {**_on(first), **_on(second)}, some
    yield "no settings", {}, long
    everything = {name: value for row in profile.rows for name, value in _on(row, mild=True).items()}
    for size in SIZES:
        yield f"every setting, V = {size:,}", everything, rng.standard_normal((1, size)) * 6 - 100
        yield f"no settings, V = {size:,}", {}, rng.standard_normal((1, size)) * 6 - 100


def _on(row: Row, mild: bool = False) -> dict[str, Any]:
    """Settings with which the engine takes this step: with a strong value, or the mildest."""
    value = _ON[row.argument][-1 if mild else 0]
    if row.argument == "p":  # a share of the whole, or of the largest
        value = 0.7 if "until" in OPERATIONS[row.step].arguments else 0.05 if mild else 0.25
    ends = {setting: _END for name, (setting, _) in row.also.items() if name == "end_ids"}
    return {row.setting: value, **ends}


def _off(row: Row) -> Any:
    """The value that switches a step off; None where that is to give none."""
    off = [limit for _, limit in row.off if row.default is not None]
    return off[0] if off else 1.0 if row.argument == "temperature" else None


def _history(rows: int, vocab_size: int) -> np.ndarray:
    """70 ids of each row, of which the last 10 are output: other ones in the first 6, the last 20 and the output."""
    parts = ((6, 0, 4), (44, 4, 10), (10, 8, 13), (10, 11, 15))
    rng = np.random.default_rng(vocab_size)
    ids = np.concatenate([rng.integers(low, high, (rows, count)) for count, low, high in parts], axis=-1)
    ids[:, [0, 30, 55, 62, -1]] = 9  # the last id stands in each part, with another one behind it
    return ids


def _is_accepted(given: Mapping[str, Any]) -> bool:
    try:
        reference.apply_settings(**given)
    except ValueError:
        return False
    return True


@st.composite
def arguments(draw: st.DrawFn, profile: Profile, dtypes: tuple[str, ...]) -> dict[str, Any]:
    """Random arguments: any of the values above for some of the settings, of any logits."""
    settings: dict[str, Any] = {}
    logits = draw(strategies.logits(dtypes))
    for row in profile.rows:
        if draw(st.booleans()) and logits.shape[-1] > _END[0]:
            value = draw(st.sampled_from(_ON[row.argument] + _SPECIAL.get(row.argument, ())))
            if isinstance(value, dict):
                value = {i: bias for i, bias in value.items() if i < logits.shape[-1]}
            settings |= {**_on(row), row.setting: [i for i in value if i < 4] if isinstance(value, list) else value}
        if row.window and draw(st.booleans()):
            settings[row.window[0]] = draw(st.sampled_from(_WINDOWS))
    history = draw(strategies.histories(logits))
    given = {"logits": logits, "profile": profile.name, "settings": settings, "history": history}
    given["prompt_length"] = draw(st.integers(0, history.shape[-1]))
    assume(_is_accepted(given))
    return given


def taken(steps: list[Step]) -> str:
    """The steps in words: `keep_top_k(k 4, ties any), apply_temperature(temperature 0.5)`."""
    said = (f"{name}({', '.join(f'{key} {value}' for key, value in given.items())})" for name, given in steps)
    return ", then ".join(said) or "none"


def asked(blank: Verdict, port: Port, given: dict[str, Any]) -> Verdict:
    """The verdict on one case; a bad one says which steps the engine takes."""
    verdict = guarded(blank, port, given)
    if verdict.word != Word.DIVERGED:
        return verdict
    profile = PROFILES[given["profile"]]
    steps = taken(profile.steps(**given["settings"]))
    inputs = {"settings": given["settings"]} | {name: v for name, v in verdict.inputs.items() if name != "steps"}
    reason = f"{verdict.reason}; {profile.name} takes the steps {steps}"
    return replace(verdict, rule="PIPE-3", reason=reason, inputs=inputs)

"""What engines answered beside what their profiles say  [PIPE-3]: whether it is the same, and tables of both.

A profile is judged like any implementation: where rounding alone decides which tokens are left, and where the engine
leaves open which of the tied, any right choice is the same (`parity_tests/judges/pipeline.py`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import reference
from parity_tests.verdict import BAD, compare
from reference.operations import OPERATIONS
from reference.pipeline import Step
from reference.profiles import PROFILES

from .settings import QUESTIONS, TOPICS, Question

WITH_IDS = ("counts", "bans")  # topics where the ids so far have a column
FEW = 5  # so many ids are listed

INTRO = """\
## The same settings to each engine

Which token ids are left to draw from or, for penalties, what the logits become. Everything else is switched off.
`4 × 0` are four logits of 0, `ln 0.5 0.25` logits of these probabilities. The settings have their common names here and
each engine's own in the [records](atlas/records). Empty: the engine has no such setting, or shows no logits.

Every answer is that of the engine's profile in [`profiles.py`](../reference/profiles.py), but for those with a number
in brackets, which is explained below the last table. Profiles do not say what is refused.
"""

_TYPICAL = "it keeps any of those that are equally far from the entropy, and one more at an exact sum (FILTER-5)"
# (profile, question) -> why the answer is another: what the rules of SPEC.md, of which profiles are made, do not say.
DIFFERS = {
    ("llama.cpp", "4 × 0; typical_p 0.25"): _TYPICAL,
    ("llama.cpp", "4 × 0; typical_p 0.5"): _TYPICAL,
    ("llama.cpp", "ln 0.4 0.2 0.2 0.2 0; typical_p 0.5"): "it takes a masked token for an entropy of nan (FILTER-5)",
    ("llama.cpp", "ln 0.4 0.2 0.2 0.2; xtc_threshold 0.15, xtc_probability 1"): (
        "it keeps one of those that tie as the least probable above the threshold (FILTER-9)"
    ),
    ("onnxruntime-genai", "3 2 1 0; top_p 0"): "where top_k is off too, it keeps one token",
}


def steps_of(profile: str, given: Mapping[str, Any]) -> list[Step]:
    """The steps of the profile with these settings, as a record has them."""
    return PROFILES[profile].steps(**given)


def agrees(profile: str, recorded: Mapping[str, Any], question: Question) -> bool:
    """Whether an answer is that of the profile. A refusal is none: profiles do not say what an engine refuses."""
    if "raises" in recorded:
        return True
    steps = steps_of(profile, recorded["given"])
    inputs: dict[str, Any] = {
        "logits": question.logits,
        "history": np.array([*question.prompt, *question.output], np.int64),
        "prompt_length": len(question.prompt),
        "uniform": np.array(0.0),
    }
    due = reference.process(steps=steps, **inputs)
    if question.values:
        found = np.array(recorded["values"], np.float32)
    else:  # of the tokens that are left, the logits as everything but the filters makes them
        others = [step for step in steps if OPERATIONS[step[0]].family != "filters" and step[0] != "keep_top_k"]
        unfiltered = reference.process(steps=others, **inputs)
        if (unfiltered[recorded["ids"]] == -np.inf).any():  # left, though banned
            return False
        left = np.isin(np.arange(len(question.logits)), recorded["ids"])
        found = np.where(left, unfiltered, np.float32(-np.inf))
    return compare("process", due, found, steps=steps, **inputs).word not in BAD


def tables(names: list[str], records: Mapping[str, Any]) -> Iterator[str]:
    """The section of the page: a table for each topic, with a column for each engine that answered any of it."""
    yield INTRO
    notes: list[str] = []
    for topic, (title, common) in TOPICS.items():
        asked = {key: question for key, question in QUESTIONS.items() if question.topic == topic}
        engines = [name for name in names if asked.keys() & records[name].get("settings", {}).keys()]
        rows = {
            key: [_cell(records[name], key, question, notes) for name in engines] for key, question in asked.items()
        }
        yield from (f"### {title}", "", *([common, ""] if common else []))
        told = ["settings", "ids so far"] if topic in WITH_IDS else ["settings"]
        yield " | ".join(["| logits", *told, *(records[n]["short"] for n in engines)]) + " |"
        yield "| --- |" + " --- |" * len([*told, *engines])
        for key, cells in rows.items():
            of, settings, history = asked[key].of, asked[key].asked, asked[key].history
            said = [of, settings, *([history] if topic in WITH_IDS else []), *cells]
            yield "|" + "".join(f" {cell} |" if cell else " |" for cell in said)
        yield ""
    for number, note in enumerate(notes, 1):
        yield f"{number}. {note}"
    if notes:
        yield ""


def _cell(record: Mapping[str, Any], key: str, question: Question, notes: list[str]) -> str:
    recorded = record["settings"].get(key)
    if recorded is None:
        return ""
    if "raises" in recorded:
        return "refused"
    if "values" in recorded:
        said = " ".join(f"{number:g}" for number in recorded["values"])
    else:
        ids = recorded["ids"]
        said = "all" if len(ids) == len(question.logits) else f"{len(ids)} ids"
        said = " ".join(map(str, ids)) if len(ids) <= min(FEW, len(question.logits) - 1) else said
    if agrees(record["profile"], recorded, question):
        return said
    note = f"{record['title']}: {DIFFERS.get((record['profile'], key), 'unexplained')}."
    if note not in notes:
        notes.append(note)
    return f"{said} ({notes.index(note) + 1})"

"""The same settings to every engine that has them: which tokens are left, or what the penalties make of the logits.

An adapter of an engine with a profile (`reference/profiles.py`) has these names besides those in `survey.py`:

- `PROFILE`: the name of its profile. `OFF`: the settings that switch off what is on by default there.
- `processed(logits, settings, prompt, output)`: one row of logits after everything that the engine does, before it
  draws, by its own settings; `prompt` and `output` are the token ids so far. Where an engine shows its draws alone, in
  its place `drawn`, the ids that come up, and `penalised`, the logits after the penalties, if it shows them.

Each answer is recorded with the engine's own settings, so that the profile can be asked the same  [PIPE-3].
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from reference.profiles import PROFILES, Profile

# What most engines call a setting -> the step of `reference/pipeline.py` and the argument that it sets.
_COMMON = ("vllm", "transformers", "llama.cpp")
SETTINGS = {row.setting: (row.step, row.argument) for name in _COMMON for row in PROFILES[name].rows} | {
    "eos_token_id": ("min_length", "end_ids"),
    "xtc_threshold": ("keep_xtc", "threshold"),
    "last_n": ("repetition_penalty", "counts"),
}


@dataclass(frozen=True)
class Question:
    """Logits, settings by their common names, and what to tell: the ids that are left, or all logits."""

    topic: str
    of: str  # the logits as the page shows them
    logits: np.ndarray
    settings: Mapping[str, Any]
    prompt: tuple[int, ...] = ()
    output: tuple[int, ...] = ()
    history: str = ""  # prompt and output as the page shows them
    values: bool = False

    @property
    def asked(self) -> str:
        """The settings in words: `top_k 3, top_p 0.65`."""
        return ", ".join(f"{name} {_shown(value)}" for name, value in self.settings.items())

    @property
    def key(self) -> str:
        """Under which its answers are recorded."""
        return "; ".join(filter(None, (self.of, self.asked, self.history)))


def _shown(value: Any) -> str:
    """One setting; a bias as `+5 for id 0`, ids as `1 2`."""
    if isinstance(value, Mapping):
        return " ".join(f"{b:+g} for id {i}" for i, b in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


def _row(*numbers: float) -> tuple[str, np.ndarray]:
    return " ".join(f"{number:g}" for number in numbers), np.array(numbers, np.float32)


def _equal(count: int, number: float) -> tuple[str, np.ndarray]:
    return f"{count} × {number:g}", np.full(count, number, np.float32)


def _ln(*shares: float) -> tuple[str, np.ndarray]:
    """Logits with these probabilities."""
    with np.errstate(divide="ignore"):
        return f"ln {' '.join(f'{share:g}' for share in shares)}", np.log(np.array(shares, np.float32))


def _each(topic: str, logits: tuple[str, np.ndarray], *settings: Mapping[str, Any], **more: Any) -> Iterator[Question]:
    for chosen in settings:
        yield Question(topic, *logits, chosen, **more)


def _long(count: int) -> dict[str, Any]:
    """A long prompt."""
    return {"prompt": (0, *[1] * count), "history": f"prompt 0, {count} × 1"}


_HALVES, _TENTHS = _ln(0.5, 0.25, 0.125, 0.125), _ln(0.4, 0.3, 0.2, 0.1)
_FOUR, _FALLING = _row(3, 2, 1, 0), _row(3, 2, 1, 0, -1)
_LONG_TAIL = ("ln 0.4 0.2 0.1, 30 × ln 0.01", np.log(np.array([0.4, 0.2, 0.1, *[0.01] * 30], np.float32)))
_SAID: dict[str, Any] = {"prompt": (0, 0, 1), "output": (2, 0), "history": "prompt 0 0 1, output 2 0"}
_COUNTED = ({"repetition_penalty": 64.0}, {"presence_penalty": 32.0}, {"frequency_penalty": 32.0})
_XTC = {"xtc_threshold": 0.15, "xtc_probability": 1.0}
_BIGRAM, _END = {"no_repeat_ngram_size": 2}, {"eos_token_id": [3]}
TOPICS = {  # topic -> heading, and what all its questions have in common
    "top_p": ("Top-p: at an exact sum, and at ties", ""),
    "ties": ("Other filters: at the edge, and at ties", ""),
    "order": ("In which order", ""),
    "penalties": ("Penalties: what they make of the logits", f"All with the {_SAID['history']}."),
    "counts": (
        "Which ids a penalty counts",
        "So large a penalty makes what it counts fall by top-p; what it does not count is left.",
    ),
    "bans": ("Bans: of repeated n-grams, of an early end, of given ids", ""),
    "special": ("What 0, -1 and values out of range mean", ""),
}
QUESTIONS: dict[str, Question] = {
    question.key: question
    for question in (
        *_each("top_p", _equal(4, 0), *({"top_p": p} for p in (0.25, 0.5, 0.75))),
        *_each("top_p", _HALVES, *({"top_p": p} for p in (0.5, 0.75, 0.875))),
        *_each("top_p", _equal(10, 0), {"top_p": 0.7}),
        *_each("ties", _row(1, 2, 2, 2, 0), {"top_k": 2}),
        *_each("ties", _row(3, 3, 2, 1), {"min_p": 1.0}),
        *_each("ties", _ln(0.5, 0.25, 0.25), {"min_p": 0.5}),
        *_each("ties", _equal(4, 0), *({"typical_p": mass} for mass in (0.25, 0.5))),
        *_each("ties", _ln(0.4, 0.2, 0.2, 0.2), {"typical_p": 0.5}),
        *_each("ties", _ln(0.4, 0.2, 0.2, 0.2, 0), {"typical_p": 0.5}),
        *_each("ties", _row(0, 0, 2, 2), *({"top_n_sigma": n} for n in (1.0, 2.0))),
        *_each("ties", _TENTHS, _XTC),
        *_each("ties", _ln(0.4, 0.2, 0.2, 0.2), _XTC),
        *_each("ties", _HALVES, {"epsilon_cutoff": 0.125}, {"eta_cutoff": 0.25}),
        *_each("ties", _equal(4, 0), {"top_h": 0.6}),
        *_each("order", _FALLING, *({"top_p": 0.9, "temperature": t} for t in (1.0, 2.0))),
        *_each("order", _FALLING, *({"min_p": 0.2, "temperature": t} for t in (1.0, 2.0))),
        *_each("order", _LONG_TAIL, {"top_k": 3, "top_p": 0.65}, {"top_p": 0.65}, {"min_p": 0.3, "top_p": 0.65}),
        *_each(
            "order",  # in the other order, other tokens are left
            _TENTHS,
            {"typical_p": 0.6, "temperature": 0.5},
            {"typical_p": 0.6, "top_k": 3},
            {"typical_p": 0.4, "top_p": 0.5},
            {"typical_p": 0.6, "min_p": 0.3},
            {"top_n_sigma": 1.5, "top_k": 3},
            {**_XTC, "temperature": 2.0},
            {**_XTC, "top_k": 3},
            {**_XTC, "min_p": 0.3},
            {"top_h": 0.6, "temperature": 0.5},
            {"top_h": 0.6, "top_k": 3},
            {"epsilon_cutoff": 0.15, "typical_p": 0.4},
        ),
        *_each("order", _FALLING, {"eta_cutoff": 0.35, "epsilon_cutoff": 0.15}),
        *_each(
            "penalties",
            _row(2, -2, 0, 1),
            {"repetition_penalty": 2.0},
            {"repetition_penalty": 2.0, "last_n": 2},
            {"presence_penalty": 0.5},
            {"frequency_penalty": 0.5},
            {"repetition_penalty": 2.0, "presence_penalty": 0.5},
            {"repetition_penalty": 2.0, "frequency_penalty": 0.25},
            {"repetition_penalty": 2.0, "logit_bias": {0: 5.0}},
            **_SAID,
            values=True,
        ),
        *(
            Question("counts", *_equal(v, 64), {**penalty, "top_p": 0.9}, **said)
            for penalty in _COUNTED
            for v, said in ((4, _SAID), (3, _long(30)), (3, _long(80)))
        ),
        *_each("bans", _equal(4, 0), _BIGRAM, prompt=(0, 1), output=(2, 0), history="prompt 0 1, output 2 0"),
        *_each("bans", _equal(4, 0), _BIGRAM, prompt=(2,), output=(0, 1, 0), history="prompt 2, output 0 1 0"),
        *_each("bans", _equal(4, 0), *({"min_length": n, **_END} for n in (3, 6)), **_SAID),
        *_each("bans", _equal(4, 0), {"min_new_tokens": 1, **_END}, prompt=(0, 0, 1), history="prompt 0 0 1"),
        *_each("bans", _equal(4, 0), {"suppress_tokens": [1, 2]}),
        *_each("special", _FOUR, {"temperature": 0.0}),
        *_each("special", _FOUR, *({"top_k": k} for k in (0, -1, 4, 5))),
        *_each("special", _FOUR, *({"top_p": p} for p in (0.0, 1.0, 1.5, -1.0))),
        *_each("special", _FOUR, {"top_k": 3, "top_p": 0.0}),
        *_each("special", _FOUR, *({"min_p": p} for p in (0.0, 1.5, -1.0))),
        *_each("special", _FOUR, *({"typical_p": mass} for mass in (0.0, 1.0, 1.5))),
        *_each("special", _FOUR, *({"top_n_sigma": n} for n in (0.0, -1.0))),
    )
}


def own_names(profile: Profile, question: Question) -> dict[str, str]:
    """What the engine calls the settings of this question; none if it lacks one."""
    names = {common: _own_name(profile, common) for common in question.settings}
    return {} if None in names.values() else {common: str(name) for common, name in names.items()}


def _own_name(profile: Profile, common: str) -> str | None:
    step, argument = SETTINGS[common]
    for row in profile.rows:
        if common == "min_new_tokens" != row.setting:  # others have it as a least length, which may count the prompt
            continue
        if row.step == step and row.argument == argument:
            return row.setting
        if row.step == step and argument in row.also:
            return row.also[argument][0]
        if row.step == step and argument == "counts" and row.window:
            return row.window[0]
    return None


def answers(module: ModuleType) -> dict[str, Any]:
    """Question -> the engine's own settings, and what it answered: ids, values, or the type of the error."""
    found: dict[str, Any] = {}
    for key, question in QUESTIONS.items():
        functions = ("processed", "penalised" if question.values else "drawn")
        ask = next((getattr(module, name) for name in functions if hasattr(module, name)), None)
        names = own_names(PROFILES[module.PROFILE], question)
        if ask and names:
            given = {**module.OFF, **{names[common]: value for common, value in question.settings.items()}}
            found[key] = {"given": given, **_answer(ask, given, question)}
    return found


def _answer(ask: Any, given: dict[str, Any], question: Question) -> dict[str, Any]:
    try:
        said = ask(question.logits.copy(), given, list(question.prompt), list(question.output))
    except Exception as error:
        return {"raises": type(error).__name__}
    if isinstance(said, list):
        return {"ids": said}
    if question.values:
        return {"values": [float(number) for number in said]}
    return {"ids": np.flatnonzero(said > -np.inf).tolist()}

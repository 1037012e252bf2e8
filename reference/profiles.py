"""Profiles: in which order engines apply their settings, where each filter stops, and which ids a penalty counts.

    >>> PROFILES["llama.cpp"].steps(temperature=0.8, top_k=0, top_p=0.95, min_p=0)  # 0: off
    [('keep_top_p', {'p': 0.95, 'ties': 'any'}), ('apply_temperature', {'temperature': 0.8})]

A profile is a list of rows in the engine's order: a step of `pipeline.py`, and the settings, by the engine's own names,
that its arguments come from. A setting that is not given has the engine's default. "Systems compared" in `SPEC.md` has
the versions, and how this is known  [PIPE-3].
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .operations import DEFAULTS, OPERATIONS
from .pipeline import Step, process

_HOLDS = {"==": operator.eq, "<=": operator.le, ">=": operator.ge, ">": operator.gt}
NONE = 1e-300  # a share that the first token reaches, whichever it is
Off = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Row:
    """One step, and the setting that its `argument` comes from, with the engine's default. None switches a step off.

    - `off`: at which values of the setting the engine leaves the step out.
    - `always`: arguments with fixed values. `also`: arguments from other settings, with their defaults.
    - `window`: the setting that says how many of the last ids count; `no_window` is what 0 and below mean there.
    - `greedy`: at which values only the largest logit is left.
    - `least`: smaller values mean this one. `yields_to`: the setting that, if it is given, takes its place.
    """

    step: str
    argument: str
    setting: str
    default: Any = None
    off: Off = ()
    always: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    window: tuple[str, int] | None = None
    no_window: int | str = 0
    greedy: Off = ()
    least: float | None = None
    yields_to: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings that this row reads."""
        others = [*self.also.values(), *([self.window] if self.window else [])]
        return {self.setting: self.default, **dict(others)}

    def made(self, settings: Mapping[str, Any]) -> list[Step]:
        """The step, unless it is off."""
        value = settings[self.setting]
        if self.yields_to and settings.get(self.yields_to) is not None:
            return []
        if value is None or value == [] or value == {} or _any_holds(self.off, value):
            return []
        if _any_holds(self.greedy, value):
            return [("keep_top_k", {"k": 1})]
        given = {self.argument: value, **{name: settings[setting] for name, (setting, _) in self.also.items()}}
        if isinstance(value, Mapping):  # from ids to biases; in JSON the ids are text
            given = {"biased": [int(i) for i in value], "biases": list(value.values())}
        elif self.least is not None:
            given[self.argument] = max(value, self.least)
        if "end_ids" in given:
            ends = given["end_ids"]
            given["end_ids"] = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        if self.window:
            last = settings[self.window[0]]
            given["counts"] = last if last > 0 else self.no_window
        return [(self.step, {**given, **self.always})]


def _any_holds(conditions: Off, value: Any) -> bool:
    return any(_HOLDS[sign](value, limit) for sign, limit in conditions)


@dataclass(frozen=True)
class Profile:
    """An engine's steps in its order."""

    name: str
    rows: tuple[Row, ...]

    @property
    def defaults(self) -> dict[str, Any]:
        """The engine's settings and their defaults."""
        return {setting: default for row in self.rows for setting, default in row.defaults.items()}

    def steps(self, **settings: Any) -> list[Step]:
        """The steps that the engine takes with these settings, for `process`.

        Raises: ValueError for a setting that the engine does not have.

        >>> PROFILES["mlx-lm"].steps(temp=0.5, top_p=0.9)
        [('keep_top_p', {'p': 0.9, 'ties': 'all'}), ('apply_temperature', {'temperature': 0.5})]
        """
        defaults = self.defaults
        for setting in settings:
            if setting not in defaults:
                raise ValueError(f"{setting} is no setting of {self.name}: it has {', '.join(defaults)}")
        return [step for row in self.rows for step in row.made({**defaults, **settings})]

    def options(self, step: str) -> dict[str, str]:
        """Where the engine's filter stops and which of the tied it keeps, by argument; empty if it has no such filter.

        >>> PROFILES["sglang"].options("keep_top_p")
        {'until': 'exceeded', 'ties': 'any'}
        """
        always = next((row.always for row in self.rows if row.step == step), None)
        if always is None:
            return {}
        names = [name for name in ("until", "ties") if name in OPERATIONS[step].arguments]
        return {name: always.get(name, DEFAULTS[name]) for name in names}


ANY, ALL, OUTPUT, STRICT = {"ties": "any"}, {"ties": "all"}, {"counts": "output"}, {"until": "exceeded"}
ZERO, ONE, TO_ZERO, FROM_ONE = (("==", 0),), (("==", 1),), (("<=", 0),), ((">=", 1),)
_BIAS = Row("logit_bias", "biased", "logit_bias")
_EOS, _STOP = {"end_ids": ("eos_token_id", None)}, {"end_ids": ("stop_token_ids", None)}
_XTC = Row("keep_xtc", "probability", "xtc_probability", 0.0, TO_ZERO, also={"threshold": ("xtc_threshold", 0.1)})

TRANSFORMERS = Profile(  # the fields of GenerationConfig, in the order of `generate(do_sample=True)`
    "transformers",
    (
        Row("repetition_penalty", "penalty", "repetition_penalty", 1.0, ONE),
        Row("no_repeat_ngram", "ngram_size", "no_repeat_ngram_size", 0, TO_ZERO),
        Row("min_length", "length", "min_length", 0, TO_ZERO, also=_EOS, yields_to="min_new_tokens"),
        Row("min_length", "length", "min_new_tokens", None, TO_ZERO, OUTPUT, _EOS),
        Row("ban", "banned", "suppress_tokens"),
        Row("apply_temperature", "temperature", "temperature", 1.0, ONE),
        Row("keep_top_h", "h", "top_h", None, (), ANY),
        Row("keep_top_k", "k", "top_k", 50, ZERO, ALL),
        Row("keep_top_p", "p", "top_p", 1.0, FROM_ONE, ANY, least=NONE),
        Row("keep_min_p", "p", "min_p"),
        Row("keep_typical", "mass", "typical_p", 1.0, FROM_ONE),
        Row("keep_epsilon", "cutoff", "epsilon_cutoff", 0.0, (*TO_ZERO, *FROM_ONE)),
        Row("keep_eta", "cutoff", "eta_cutoff", 0.0, (*TO_ZERO, *FROM_ONE)),
    ),
)
VLLM = Profile(  # its PyTorch path; Triton keeps exactly k, FlashInfer in top-p all that tie with the last one
    "vllm",
    (
        Row("min_length", "length", "min_tokens", 0, TO_ZERO, OUTPUT, _STOP),
        _BIAS,
        Row("repetition_penalty", "penalty", "repetition_penalty", 1.0, ONE),
        Row("frequency_penalty", "penalty", "frequency_penalty", 0.0, ZERO, OUTPUT),
        Row("presence_penalty", "penalty", "presence_penalty", 0.0, ZERO, OUTPUT),
        Row("apply_temperature", "temperature", "temperature", 1.0, greedy=ZERO, least=0.01),
        Row("keep_min_p", "p", "min_p", 0.0, (("<=", 1e-5),)),
        Row("keep_top_k", "k", "top_k", 0, TO_ZERO, ALL),
        Row("keep_top_p", "p", "top_p", 1.0, ONE, ANY),
    ),
)
SGLANG = Profile(  # its PyTorch backend: top-k and top-p look at the same distribution, as if top-p came first
    "sglang",
    (
        Row("frequency_penalty", "penalty", "frequency_penalty", 0.0, ZERO, OUTPUT),
        Row("presence_penalty", "penalty", "presence_penalty", 0.0, ZERO, OUTPUT),
        Row("min_length", "length", "min_new_tokens", 0, TO_ZERO, OUTPUT, _STOP),
        Row("repetition_penalty", "penalty", "repetition_penalty", 1.0, ONE, OUTPUT),
        _BIAS,
        Row("apply_temperature", "temperature", "temperature", 1.0, greedy=(("<=", 1e-6),)),
        Row("keep_top_p", "p", "top_p", 1.0, ONE, {**ANY, **STRICT}),
        Row("keep_top_k", "k", "top_k", -1, (("==", -1),), ANY),
        Row("keep_min_p", "p", "min_p", 0.0, TO_ZERO),
    ),
)
_LAST = ("repeat_last_n", 64)
LLAMA_CPP = Profile(  # the default chain of llama-server, by its names, without DRY
    "llama.cpp",
    (
        _BIAS,
        Row("repetition_penalty", "penalty", "repeat_penalty", 1.0, ONE, window=_LAST),
        Row("frequency_penalty", "penalty", "frequency_penalty", 0.0, ZERO, window=_LAST),
        Row("presence_penalty", "penalty", "presence_penalty", 0.0, ZERO, window=_LAST),
        Row("keep_top_n_sigma", "n", "top_n_sigma", -1.0, TO_ZERO),
        Row("keep_top_k", "k", "top_k", 40, TO_ZERO, ANY),
        Row("keep_typical", "mass", "typical_p", 1.0, FROM_ONE, least=NONE),
        Row("keep_top_p", "p", "top_p", 0.95, FROM_ONE, ANY, least=NONE),
        Row("keep_min_p", "p", "min_p", 0.05, TO_ZERO, greedy=((">", 1),)),
        _XTC,
        Row("apply_temperature", "temperature", "temperature", 0.8, greedy=TO_ZERO),
    ),
)
MLX_LM = Profile(  # `make_logits_processors` and `make_sampler`: the filters at a temperature of 1
    "mlx-lm",
    (
        _BIAS,
        *(
            Row(
                f"{kind}_penalty", "penalty", f"{kind}_penalty", None, ZERO, {}, {}, (f"{kind}_context_size", 20), "all"
            )
            for kind in ("repetition", "presence", "frequency")
        ),
        Row("keep_top_p", "p", "top_p", 0.0, (*TO_ZERO, *FROM_ONE), ALL),
        Row("keep_min_p", "p", "min_p", 0.0, ZERO),
        _XTC,
        Row("keep_top_k", "k", "top_k", 0, TO_ZERO, ANY),
        Row("apply_temperature", "temperature", "temp", 0.0, greedy=ZERO),
    ),
)
ONNXRUNTIME_GENAI = Profile(  # with a top_k: at top_k = 0 and top_p = 0 it keeps one token
    "onnxruntime-genai",
    (
        Row("min_length", "length", "min_length", 0, TO_ZERO, also=_EOS),
        Row("repetition_penalty", "penalty", "repetition_penalty", 1.0, ONE),
        Row("no_repeat_ngram", "ngram_size", "no_repeat_ngram_size", 0, TO_ZERO),
        Row("keep_top_k", "k", "top_k", 50, ZERO, ANY),
        Row("apply_temperature", "temperature", "temperature", 1.0, greedy=ZERO),
        Row("keep_top_p", "p", "top_p", 0.0, (*ZERO, *FROM_ONE), ANY),
    ),
)
CTRANSLATE2 = Profile(  # with include_prompt_in_result=False; otherwise the prompt counts too, but for its first id
    "ctranslate2",
    (
        Row("min_length", "length", "min_length", 0, TO_ZERO, OUTPUT, {"end_ids": ("end_token", None)}),
        Row("repetition_penalty", "penalty", "repetition_penalty", 1.0, ONE, OUTPUT),
        Row("no_repeat_ngram", "ngram_size", "no_repeat_ngram_size", 0, TO_ZERO, OUTPUT),
        Row("keep_top_k", "k", "sampling_topk", 1, ZERO, ANY),
        Row("apply_temperature", "temperature", "sampling_temperature", 1.0, greedy=ZERO),
        Row("keep_top_p", "p", "sampling_topp", 1.0, FROM_ONE, ANY),
    ),
)
OPENVINO_GENAI = Profile(  # below 0, its frequency and presence penalties raise a logit; as if top-p came before min-p
    "openvino-genai",
    (
        Row("min_length", "length", "min_new_tokens", 0, TO_ZERO, OUTPUT, _STOP),
        Row("repetition_penalty", "penalty", "repetition_penalty", 1.0, ONE),
        Row("presence_penalty", "penalty", "presence_penalty", 0.0, ZERO, OUTPUT),
        Row("frequency_penalty", "penalty", "frequency_penalty", 0.0, ZERO, OUTPUT),
        Row("keep_top_k", "k", "top_k", None, ZERO, ANY),
        Row("apply_temperature", "temperature", "temperature", 1.0),
        Row("keep_top_p", "p", "top_p", 1.0, ONE, {**ANY, **STRICT}),
        Row("keep_min_p", "p", "min_p", 0.0, ZERO),
    ),
)
_ALL = (TRANSFORMERS, VLLM, SGLANG, LLAMA_CPP, MLX_LM, ONNXRUNTIME_GENAI, CTRANSLATE2, OPENVINO_GENAI)
PROFILES = {profile.name: profile for profile in _ALL}


def apply_settings(
    logits: ArrayLike,
    profile: str,
    settings: Mapping[str, Any],
    history: ArrayLike | None = None,
    prompt_length: int = 0,
) -> np.ndarray:
    """The logits as an engine processes them, by its own settings: `(..., V), (..., n) -> (..., V)`  [PIPE-3].

    XTC has no number to draw with here, so its probability is 0 or 1; otherwise call `process` with a uniform.
    Raises: ValueError for a profile or a setting that does not exist; as `process`.

    >>> apply_settings(np.array([3.0, 2.0, 1.0]), "llama.cpp", {"temperature": 0.5, "top_k": 2})
    array([  6.,   4., -inf])
    """
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}: it must be one of {', '.join(PROFILES)}")
    steps = PROFILES[profile].steps(**settings)
    drawn = any(given.get("probability", 1) < 1 for _, given in steps)
    return process(logits, steps, history, prompt_length, None if drawn else np.zeros(np.shape(logits)[:-1]))


# What most engines call the setting of a step, with the step.
OPTIONS = {
    row.setting.replace("_", "-"): row.step
    for row in (*VLLM.rows, *TRANSFORMERS.rows, *LLAMA_CPP.rows)
    if row.argument in ("penalty", "temperature", "k", "p", "mass", "n") and row.setting != "repeat_penalty"
}

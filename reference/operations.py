"""Every operation of an LM head as data: its name, arguments, results, rules, refusals and defaults.

This is the only such list. The suite, the test vectors and their schemas, the protocol, the checker and the report all
derive theirs from it. `CONTRIBUTING.md` says how to add a row. A name means the same wherever it occurs: `temperature`
is always the number that logits are divided by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# The arguments that a request may leave out, and their values then (HEAD-1). An argument must have the type given here.
DEFAULTS: dict[str, Any] = {
    "temperature": 0.7,
    "k": 50,
    "ties": "lowest_id",
    "num_samples": 1,
    "epsilon": 1e-5,  # but 1e-6 in `rms_norm`
    "weight_offset": 0.0,
    "multiplier": 1.0,
    "divisor": 1.0,
    "cap": float("inf"),
    "p": 0.9,  # but 0.05 in `keep_min_p`
    "until": "reached",
    "mass": 0.9,
    "cutoff": 3e-4,
    "h": 0.4,
    "n": 1.0,
    "threshold": 0.1,
    "probability": 0.5,
    "penalty": 1.1,
    "ngram_size": 3,
    "length": 1,
    "ignore_index": -100,
    "steps": [],
    "prompt_length": 0,
    "runtime": "llama.cpp",
}

UNTIL = ("reached", "exceeded")  # whether a running sum of exactly p is enough: FILTER-2 and FILTER-3
TIES = ("lowest_id", "all")  # the two rules for ties at the k-th place: TOPK-2 and TOPK-7

# The codes of `ports/PROTOCOL.md`: what each code refuses, and the rules that say so.
REFUSALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "bad_dtype": ("integers or bools where floats belong, anything but integers where token ids do", ("HEAD-2",)),
    "bad_shape": (
        "last axes that do not match, a missing or an empty one, `noise` or `uniform` of another shape",
        ("LOGITS-4", "SOFTMAX-4", "CDF-3", "OUT-4", "OUT-7", "FILTER-11", "PENALTY-7", "LOGPROB-5"),
    ),
    "bad_logits": ("nan or +inf, or a row of only -inf, as a ban of every token leaves", ("SOFTMAX-4", "PENALTY-7")),
    "bad_temperature": ("nan, infinite, 0, negative, not a number, or so in the dtype of the logits", ("TEMP-2",)),
    "overflow": (
        "a quotient by the temperature, a running sum of probabilities, a norm, or a finished or penalised logit that "
        "overflows",
        ("TEMP-3", "CDF-4", "OUT-4", "OUT-7", "PENALTY-7"),
    ),
    "bad_k": ("below 1, or not an integer", ("TOPK-5",)),
    "bad_ties": ("neither `lowest_id` nor `all`", ("TOPK-7", "FILTER-11", "LOGPROB-5")),
    "bad_probs": ("negative, nan, infinite, or a row that sums to zero", ("DRAW-5", "CDF-4")),
    "bad_noise": ("negative, nan or infinite", ("DRAW-5",)),
    "bad_num_samples": ("below 1, not an integer, or more than the tokens of non-zero probability", ("DRAW-6",)),
    "bad_uniform": ("outside [0, 1), or nan", ("CDF-3", "FILTER-11")),
    "bad_seed": (
        "not an integer, or outside -2⁶³ to 2⁶⁴ - 1; of `draw_as` outside 0 to 2³² - 1, or none in that runtime",
        ("RNG-1", "STREAM-1"),
    ),
    "bad_hidden": ("nan or infinite", ("OUT-4",)),
    "bad_weight": ("a weight, a bias or a weight offset that is nan or infinite", ("OUT-4", "OUT-7")),
    "bad_epsilon": ("nan, infinite, 0, negative, not a number, or so in the compute dtype", ("OUT-4",)),
    "bad_scale": (
        "a multiplier, a divisor or a cap that is nan, 0, negative, not a number, or so in the compute dtype; "
        "an infinite multiplier or divisor",
        ("OUT-7",),
    ),
    "bad_share": (
        "`p`, `mass`, `cutoff`, `h`, `threshold` or `probability` outside its range, nan or not a number",
        ("FILTER-11",),
    ),
    "bad_until": ("neither `reached` nor `exceeded`", ("FILTER-11",)),
    "bad_n": ("nan, infinite, 0, negative or not a number", ("FILTER-11",)),
    "bad_penalty": (
        "not finite or not a number, also in the dtype of the logits; 0 or below for a repetition",
        ("PENALTY-7",),
    ),
    "bad_biases": ("nan, +inf, or more than one for an id", ("PENALTY-7",)),
    "bad_count": ("an n-gram size or a length below 1, or not an integer", ("PENALTY-7",)),
    "bad_token_ids": (
        "outside [0, V), or, of those that are scored, all ignored",
        ("PENALTY-7", "LOGPROB-5"),
    ),
    "bad_steps": (
        "no list of names with their arguments, a function or an argument that is not there, `counts` that is none of "
        "its values, a `prompt_length` beyond the history",
        ("PIPE-4",),
    ),
    "bad_runtime": ("no runtime whose stream is known", ("STREAM-1",)),
    "bad_bundle": ("a bundle that is missing, damaged, or of another format or version", ()),
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. Where `on` is "arrays", `reference` and `torch_impl` have a function with this name.

    One on a "profile" is asked by the rules of one engine, and has no vectors; `reference` alone has the function.

    - `arguments` and `results` map each name to its shape, or to a description.
    - `rule` defines the operation. It counts as broken where no rule is more precise, as by a result of a wrong shape.
    - `rules` are all rules that a result can break.
    - `file` names the vectors `{file}.json` and their schema; `family`, or else `file`, its tests, `test_{family}.py`.
    - `rounds`: results are judged within bounds. All others must be exact.
    - `exact_without` names the argument without which, that is at its default, the result must be exact all the same.
    - `own_defaults` are those that differ from DEFAULTS.
    - `parts` are the operations that this one is made of.
    """

    name: str
    on: Literal["arrays", "stream", "bundle", "profile"] = "arrays"
    arguments: Mapping[str, str]
    results: Mapping[str, str]
    rule: str = ""
    rules: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    file: str = ""
    family: str = ""
    rounds: bool = False
    exact_without: str = ""
    own_defaults: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    note: str = field(default="", repr=False)

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values that this operation takes, out of `values` by name.

        >>> OPERATIONS["top_k"].given({"logits": [1, 2], "k": 1, "temperature": 0.7})
        {'logits': [1, 2], 'k': 1}
        """
        names = [name for name in self.arguments if name in values]
        return {name: values[name] for name in names if name != "seed" or "noise" not in names}  # either will do

    @property
    def defaults(self) -> dict[str, Any]:
        """The values of those arguments that a request leaves out.

        >>> OPERATIONS["rms_norm"].defaults
        {'epsilon': 1e-06, 'weight_offset': 0.0}
        """
        return self.given({**DEFAULTS, **self.own_defaults})


_CONTEXT, _EMBEDDING, _ROWS = {"context": "(…, d)"}, {"embedding": "(V, d)"}, "(…, V)"
_NORM = {"epsilon": "", "weight_offset": ""}
_HISTORY = {"history": "(…, n)"}
_PENALISED = {**_HISTORY, "penalty": ""}


def _on_logits(
    name: str,
    family: str,
    rules: str,
    arguments: Mapping[str, str],
    results: Mapping[str, str],
    refusals: str = "",
    **others: Any,
) -> Operation:
    """A function of logits; the first of its rules defines it. `rules` and `refusals` are words between spaces."""
    first, *more = rules.split()
    return Operation(
        name=name,
        arguments={"logits": _ROWS, **arguments},
        results=results,
        rule=first,
        rules=(first, *more, "SOFTMAX-4"),
        refusals=("bad_dtype", "bad_shape", "bad_logits", *refusals.split()),
        file=name,
        family=family,
        **others,
    )


def _step(name: str, rules: str, arguments: Mapping[str, str], refusals: str, **others: Any) -> Operation:
    """A filter or a penalty: from logits to logits."""
    family, refused = ("filters", "FILTER-11") if rules.startswith("FILTER") else ("penalties", "PENALTY-7")
    return _on_logits(name, family, f"{rules} {refused}", arguments, {"logits": _ROWS}, refusals, **others)


_TABLE = (
    Operation(
        name="compute_logits",
        arguments={**_CONTEXT, **_EMBEDDING},
        results={"logits": _ROWS},
        rule="LOGITS-1",
        rules=("LOGITS-1", "LOGITS-2", "LOGITS-3", "LOGITS-4", "LOGITS-5"),
        refusals=("bad_dtype", "bad_shape"),
        file="logits",
        rounds=True,
    ),
    Operation(
        name="apply_temperature",
        arguments={"logits": _ROWS, "temperature": ""},
        results={"logits": _ROWS},
        rule="TEMP-1",
        rules=("TEMP-1", "TEMP-2", "TEMP-3", "SOFTMAX-4"),
        refusals=("bad_dtype", "bad_shape", "bad_logits", "bad_temperature", "overflow"),
        file="temperature",
    ),
    Operation(
        name="top_k",
        arguments={"logits": _ROWS, "k": ""},
        results={"values": "(…, min(k, V))", "token_ids": "(…, min(k, V))"},
        rule="TOPK-1",
        rules=("TOPK-1", "TOPK-2", "TOPK-3", "TOPK-4", "TOPK-5", "SOFTMAX-4"),
        refusals=("bad_dtype", "bad_shape", "bad_logits", "bad_k"),
        file="top_k",
    ),
    Operation(
        name="keep_top_k",
        arguments={"logits": _ROWS, "k": "", "ties": ""},
        results={"logits": _ROWS},
        rule="TOPK-6",
        rules=("TOPK-1", "TOPK-2", "TOPK-4", "TOPK-5", "TOPK-6", "TOPK-7", "SOFTMAX-4"),
        refusals=("bad_dtype", "bad_shape", "bad_logits", "bad_k", "bad_ties"),
        file="keep_top_k",
        parts=("top_k",),
    ),
    Operation(
        name="softmax",
        arguments={"logits": _ROWS},
        results={"probs": _ROWS},
        rule="SOFTMAX-1",
        rules=("SOFTMAX-1", "SOFTMAX-2", "SOFTMAX-3", "SOFTMAX-4"),
        refusals=("bad_dtype", "bad_shape", "bad_logits"),
        file="softmax",
        rounds=True,
    ),
    Operation(
        name="multinomial",
        arguments={"probs": _ROWS, "num_samples": "", "noise": _ROWS, "seed": ""},
        results={"token_ids": "(…, num_samples)"},
        rule="DRAW-1",
        rules=("DRAW-1", "DRAW-2", "DRAW-3", "DRAW-4", "DRAW-5", "DRAW-6", "RNG-5"),
        refusals=("bad_dtype", "bad_shape", "bad_probs", "bad_noise", "bad_num_samples", "bad_seed"),
        file="multinomial",
        parts=("torch_rng",),
        note="either `noise` (float32 where `probs` has 16 bits) or `seed`",
    ),
    Operation(
        name="inverse_cdf",
        arguments={"probs": _ROWS, "uniform": "(…)"},
        results={"token_ids": "(…)"},
        rule="CDF-1",
        rules=("CDF-1", "CDF-2", "CDF-3", "CDF-4"),
        refusals=("bad_dtype", "bad_shape", "bad_probs", "bad_uniform", "overflow"),
        file="inverse_cdf",
    ),
    Operation(
        name="lm_head",
        arguments={**_CONTEXT, **_EMBEDDING, "temperature": "", "k": ""},
        results={"probs": _ROWS},
        rule="HEAD-1",
        rules=("HEAD-1", "HEAD-2", "HEAD-3", "HEAD-4", "HEAD-5"),
        refusals=("bad_dtype", "bad_shape", "bad_logits", "bad_temperature", "overflow", "bad_k"),
        file="lm_head",
        rounds=True,
        parts=("compute_logits", "apply_temperature", "keep_top_k", "softmax"),
    ),
    Operation(
        name="torch_rng",
        on="stream",
        arguments={
            "seed": "",
            "calls": 'a list of `{"draw": "exponential" or "uniform", "dtype": …, "size": n}`',
        },
        results={"numbers": "a list of tensors, drawn one after the other from one stream"},
        rule="RNG-1",
        rules=("RNG-1", "RNG-2", "RNG-3", "RNG-4", "RNG-5"),
        refusals=("bad_seed",),
        file="torch_rng",
    ),
    Operation(
        name="layer_norm",
        arguments={"hidden": "(…, d)", "weight": "(d,)", "bias": "(d,)", **_NORM},
        results=_CONTEXT,
        rule="OUT-1",
        rules=("OUT-1", "OUT-3", "OUT-4"),
        refusals=("bad_dtype", "bad_shape", "bad_hidden", "bad_weight", "bad_epsilon", "overflow"),
        file="layer_norm",
        rounds=True,
    ),
    Operation(
        name="rms_norm",
        arguments={"hidden": "(…, d)", "weight": "(d,)", **_NORM},
        results=_CONTEXT,
        rule="OUT-2",
        rules=("OUT-2", "OUT-3", "OUT-4"),
        refusals=("bad_dtype", "bad_shape", "bad_hidden", "bad_weight", "bad_epsilon", "overflow"),
        file="rms_norm",
        rounds=True,
        own_defaults={"epsilon": 1e-6},
    ),
    Operation(
        name="finish_logits",
        arguments={"logits": _ROWS, "bias": "(V,)", "multiplier": "", "divisor": "", "cap": ""},
        results={"logits": _ROWS},
        rule="OUT-5",
        rules=("OUT-5", "OUT-6", "OUT-7", "SOFTMAX-4"),
        refusals=("bad_dtype", "bad_shape", "bad_logits", "bad_weight", "bad_scale", "overflow"),
        file="finish_logits",
        rounds=True,
        exact_without="cap",
    ),
    _step(
        "keep_top_p",
        "FILTER-2 FILTER-3 FILTER-1",
        {"p": "", "until": "", "ties": ""},
        "bad_share bad_until bad_ties",
    ),
    _step("keep_min_p", "FILTER-4 FILTER-1", {"p": ""}, "bad_share", own_defaults={"p": 0.05}),
    _step("keep_typical", "FILTER-5 FILTER-1", {"mass": ""}, "bad_share"),
    _step("keep_epsilon", "FILTER-6 FILTER-1", {"cutoff": ""}, "bad_share"),
    _step("keep_eta", "FILTER-6 FILTER-1", {"cutoff": ""}, "bad_share"),
    _step("keep_top_h", "FILTER-7 FILTER-1", {"h": ""}, "bad_share"),
    _step("keep_top_n_sigma", "FILTER-8 FILTER-1", {"n": ""}, "bad_n"),
    _step(
        "keep_xtc",
        "FILTER-9 FILTER-1",
        {"threshold": "", "probability": "", "uniform": "(…)"},
        "bad_share bad_uniform",
    ),
    _on_logits("greedy", "filters", "FILTER-10", {}, {"token_ids": "(…)"}),
    _step("repetition_penalty", "PENALTY-2 PENALTY-1", _PENALISED, "bad_token_ids bad_penalty overflow"),
    _step(
        "frequency_penalty",
        "PENALTY-3 PENALTY-1",
        _PENALISED,
        "bad_token_ids bad_penalty overflow",
        rounds=True,
        own_defaults={"penalty": 0.5},
    ),
    _step(
        "presence_penalty",
        "PENALTY-4 PENALTY-1",
        _PENALISED,
        "bad_token_ids bad_penalty overflow",
        own_defaults={"penalty": 0.5},
    ),
    _step("logit_bias", "PENALTY-5", {"biased": "(n,)", "biases": "(n,)"}, "bad_token_ids bad_biases overflow"),
    _step("ban", "PENALTY-6", {"banned": "(n,)"}, "bad_token_ids"),
    _step("no_repeat_ngram", "PENALTY-6 PENALTY-1", {**_HISTORY, "ngram_size": ""}, "bad_token_ids bad_count"),
    _step(
        "min_length",
        "PENALTY-6 PENALTY-1",
        {**_HISTORY, "length": "", "end_ids": "(m,)"},
        "bad_token_ids bad_count",
    ),
    _on_logits(
        "process",
        "pipeline",
        "PIPE-1 PIPE-2 PIPE-3 PIPE-4",
        {"steps": "a list of `[name, {argument: value, …}]`", **_HISTORY, "prompt_length": "", "uniform": "(…)"},
        {"logits": _ROWS},
        "bad_steps bad_temperature overflow bad_k bad_ties bad_uniform bad_weight bad_scale bad_share bad_until bad_n "
        "bad_penalty bad_biases bad_count bad_token_ids",
        rounds=True,
        exact_without="steps",
        note="`history` and `uniform` may be left out where no step takes them; a step is refused as its function is",
    ),
    _on_logits("log_probs", "log_probabilities", "LOGPROB-1 LOGPROB-5", {}, {"log_probs": _ROWS}, rounds=True),
    _on_logits(
        "top_log_probs",
        "log_probabilities",
        "LOGPROB-2 LOGPROB-1 LOGPROB-5",
        {"k": ""},
        {"log_probs": "(…, min(k, V))", "token_ids": "(…, min(k, V))"},
        "bad_k",
        rounds=True,
        parts=("top_k", "log_probs"),
        own_defaults={"k": 5},
    ),
    _on_logits(
        "rank",
        "log_probabilities",
        "LOGPROB-3 LOGPROB-5",
        {"token_ids": "(…)", "ties": ""},
        {"ranks": "(…)"},
        "bad_token_ids bad_ties",
    ),
    _on_logits(
        "cross_entropy",
        "log_probabilities",
        "LOGPROB-4 LOGPROB-5",
        {"token_ids": "(…)", "ignore_index": ""},
        {"loss": "()"},
        "bad_token_ids",
        rounds=True,
        parts=("log_probs",),
    ),
    Operation(
        name="draw_as",
        arguments={"probs": _ROWS, "runtime": "", "seed": ""},
        results={"token_ids": "(…)"},
        rule="STREAM-1",
        rules=tuple(f"STREAM-{n}" for n in range(1, 8)),
        refusals=("bad_dtype", "bad_shape", "bad_probs", "overflow", "bad_runtime", "bad_seed"),
        file="draw_as",
        family="streams",
    ),
    Operation(
        name="apply_settings",
        on="profile",
        arguments={
            "logits": _ROWS,
            "profile": "the name of an engine",
            "settings": "an object with the engine's settings by its own names",
            **_HISTORY,
            "prompt_length": "",
        },
        results={"logits": _ROWS},
        rule="PIPE-3",
        parts=("process",),
        note="asked with `--profile` alone",
    ),
    Operation(
        name="open_bundle",
        on="bundle",
        arguments={"path": "a folder in the [bundle format](../weights_export/FORMAT.md)"},
        results={"vocab_size": "", "hidden_size": "", "contexts": "how many"},
        refusals=("bad_bundle",),
    ),
    Operation(
        name="step",
        on="bundle",
        arguments={"context": "which one", "temperature": "", "k": "", "uniform": "a plain number"},
        results={"probs": "(V,)", "token_id": "by `inverse_cdf`"},
        rule="HEAD-1",
        parts=("lm_head", "inverse_cdf"),
        note="on the open bundle",
    ),
    Operation(
        name="sequence",
        on="bundle",
        arguments={
            "contexts": "a list of steps, each a list of contexts (the batch)",
            "temperature": "",
            "k": "",
            "seed": "",
        },
        results={"token_ids": "the same nested lists, drawn by `multinomial` from one stream (RNG-5)"},
        rule="RNG-5",
        parts=("lm_head", "multinomial"),
        note="on the open bundle",
    ),
)

OPERATIONS = {operation.name: operation for operation in _TABLE}
STAGES = tuple(operation.name for operation in _TABLE if operation.on == "arrays")  # functions of a head
CALLED = tuple(operation.name for operation in _TABLE if operation.on in ("arrays", "profile"))  # in Python
# The functions from logits to logits: what a pipeline is made of.
STEPS = tuple(
    op.name
    for op in _TABLE
    if op.on == "arrays"
    and "logits" in op.arguments
    and op.results == {"logits": _ROWS}
    and "steps" not in op.arguments
)
# Those where a tie at a border decides what is returned.
WITH_TIES = tuple(name for name in STAGES if {"k", "ties", "h"} & OPERATIONS[name].arguments.keys())
WITH_VECTORS = tuple(operation for operation in _TABLE if operation.file)

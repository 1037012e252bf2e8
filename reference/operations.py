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
    "bad_seed": ("not an integer, or outside -2⁶³ to 2⁶⁴ - 1", ("RNG-1",)),
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
    "bad_bundle": ("a bundle that is missing, damaged, or of another format or version", ()),
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. Where `on` is "arrays", `reference` and `torch_impl` have a function with this name.

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
    on: Literal["arrays", "stream", "bundle"] = "arrays"
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
        return {name: values[name] for name in self.arguments if name in values}

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
_BAD_LOGITS = ("bad_dtype", "bad_shape", "bad_logits")
_OF_STEPS = (
    *("bad_temperature", "overflow", "bad_k", "bad_ties", "bad_uniform", "bad_weight", "bad_scale"),
    *("bad_share", "bad_until", "bad_n", "bad_penalty", "bad_biases", "bad_count", "bad_token_ids"),
)
_OF_FILTERS, _OF_PENALTIES, _OF_LOG_PROBS = (
    ("FILTER-11", "SOFTMAX-4"),
    ("PENALTY-7", "SOFTMAX-4"),
    ("LOGPROB-5", "SOFTMAX-4"),
)

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
    Operation(
        name="keep_top_p",
        arguments={"logits": _ROWS, "p": "", "until": "", "ties": ""},
        results={"logits": _ROWS},
        rule="FILTER-2",
        rules=("FILTER-1", "FILTER-2", "FILTER-3", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share", "bad_until", "bad_ties"),
        file="keep_top_p",
        family="filters",
    ),
    Operation(
        name="keep_min_p",
        arguments={"logits": _ROWS, "p": ""},
        results={"logits": _ROWS},
        rule="FILTER-4",
        rules=("FILTER-1", "FILTER-4", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share"),
        file="keep_min_p",
        family="filters",
        own_defaults={"p": 0.05},
    ),
    Operation(
        name="keep_typical",
        arguments={"logits": _ROWS, "mass": "", "until": ""},
        results={"logits": _ROWS},
        rule="FILTER-5",
        rules=("FILTER-1", "FILTER-5", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share", "bad_until"),
        file="keep_typical",
        family="filters",
    ),
    Operation(
        name="keep_epsilon",
        arguments={"logits": _ROWS, "cutoff": ""},
        results={"logits": _ROWS},
        rule="FILTER-6",
        rules=("FILTER-1", "FILTER-6", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share"),
        file="keep_epsilon",
        family="filters",
    ),
    Operation(
        name="keep_eta",
        arguments={"logits": _ROWS, "cutoff": ""},
        results={"logits": _ROWS},
        rule="FILTER-6",
        rules=("FILTER-1", "FILTER-6", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share"),
        file="keep_eta",
        family="filters",
    ),
    Operation(
        name="keep_top_h",
        arguments={"logits": _ROWS, "h": ""},
        results={"logits": _ROWS},
        rule="FILTER-7",
        rules=("FILTER-1", "FILTER-7", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share"),
        file="keep_top_h",
        family="filters",
    ),
    Operation(
        name="keep_top_n_sigma",
        arguments={"logits": _ROWS, "n": ""},
        results={"logits": _ROWS},
        rule="FILTER-8",
        rules=("FILTER-1", "FILTER-8", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_n"),
        file="keep_top_n_sigma",
        family="filters",
    ),
    Operation(
        name="keep_xtc",
        arguments={"logits": _ROWS, "threshold": "", "probability": "", "uniform": "(…)"},
        results={"logits": _ROWS},
        rule="FILTER-9",
        rules=("FILTER-1", "FILTER-9", *_OF_FILTERS),
        refusals=(*_BAD_LOGITS, "bad_share", "bad_uniform"),
        file="keep_xtc",
        family="filters",
    ),
    Operation(
        name="greedy",
        arguments={"logits": _ROWS},
        results={"token_ids": "(…)"},
        rule="FILTER-10",
        rules=("FILTER-10", "SOFTMAX-4"),
        refusals=_BAD_LOGITS,
        file="greedy",
        family="filters",
    ),
    Operation(
        name="repetition_penalty",
        arguments={"logits": _ROWS, **_HISTORY, "penalty": ""},
        results={"logits": _ROWS},
        rule="PENALTY-2",
        rules=("PENALTY-1", "PENALTY-2", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_penalty", "overflow"),
        file="repetition_penalty",
        family="penalties",
    ),
    Operation(
        name="frequency_penalty",
        arguments={"logits": _ROWS, **_HISTORY, "penalty": ""},
        results={"logits": _ROWS},
        rule="PENALTY-3",
        rules=("PENALTY-1", "PENALTY-3", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_penalty", "overflow"),
        file="frequency_penalty",
        family="penalties",
        rounds=True,
        own_defaults={"penalty": 0.5},
    ),
    Operation(
        name="presence_penalty",
        arguments={"logits": _ROWS, **_HISTORY, "penalty": ""},
        results={"logits": _ROWS},
        rule="PENALTY-4",
        rules=("PENALTY-1", "PENALTY-4", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_penalty", "overflow"),
        file="presence_penalty",
        family="penalties",
        own_defaults={"penalty": 0.5},
    ),
    Operation(
        name="logit_bias",
        arguments={"logits": _ROWS, "biased": "(n,)", "biases": "(n,)"},
        results={"logits": _ROWS},
        rule="PENALTY-5",
        rules=("PENALTY-5", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_biases", "overflow"),
        file="logit_bias",
        family="penalties",
    ),
    Operation(
        name="ban",
        arguments={"logits": _ROWS, "banned": "(n,)"},
        results={"logits": _ROWS},
        rule="PENALTY-6",
        rules=("PENALTY-6", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids"),
        file="ban",
        family="penalties",
    ),
    Operation(
        name="no_repeat_ngram",
        arguments={"logits": _ROWS, **_HISTORY, "ngram_size": ""},
        results={"logits": _ROWS},
        rule="PENALTY-6",
        rules=("PENALTY-1", "PENALTY-6", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_count"),
        file="no_repeat_ngram",
        family="penalties",
    ),
    Operation(
        name="min_length",
        arguments={"logits": _ROWS, **_HISTORY, "length": "", "end_ids": "(m,)"},
        results={"logits": _ROWS},
        rule="PENALTY-6",
        rules=("PENALTY-1", "PENALTY-6", *_OF_PENALTIES),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_count"),
        file="min_length",
        family="penalties",
    ),
    Operation(
        name="process",
        arguments={
            "logits": _ROWS,
            "steps": "a list of `[name, {argument: value, …}]`",
            **_HISTORY,
            "prompt_length": "",
            "uniform": "(…)",
        },
        results={"logits": _ROWS},
        rule="PIPE-1",
        rules=("PIPE-1", "PIPE-2", "PIPE-3", "PIPE-4", "SOFTMAX-4"),
        refusals=(*_BAD_LOGITS, "bad_steps", *_OF_STEPS),
        file="process",
        family="pipeline",
        rounds=True,
        exact_without="steps",
        note="`history` and `uniform` may be left out where no step takes them; a step is refused as its function is",
    ),
    Operation(
        name="log_probs",
        arguments={"logits": _ROWS},
        results={"log_probs": _ROWS},
        rule="LOGPROB-1",
        rules=("LOGPROB-1", *_OF_LOG_PROBS),
        refusals=_BAD_LOGITS,
        file="log_probs",
        family="log_probabilities",
        rounds=True,
    ),
    Operation(
        name="top_log_probs",
        arguments={"logits": _ROWS, "k": ""},
        results={"log_probs": "(…, min(k, V))", "token_ids": "(…, min(k, V))"},
        rule="LOGPROB-2",
        rules=("LOGPROB-1", "LOGPROB-2", *_OF_LOG_PROBS),
        refusals=(*_BAD_LOGITS, "bad_k"),
        file="top_log_probs",
        family="log_probabilities",
        rounds=True,
        parts=("top_k", "log_probs"),
        own_defaults={"k": 5},
    ),
    Operation(
        name="rank",
        arguments={"logits": _ROWS, "token_ids": "(…)", "ties": ""},
        results={"ranks": "(…)"},
        rule="LOGPROB-3",
        rules=("LOGPROB-3", *_OF_LOG_PROBS),
        refusals=(*_BAD_LOGITS, "bad_token_ids", "bad_ties"),
        file="rank",
        family="log_probabilities",
    ),
    Operation(
        name="cross_entropy",
        arguments={"logits": _ROWS, "token_ids": "(…)", "ignore_index": ""},
        results={"loss": "()"},
        rule="LOGPROB-4",
        rules=("LOGPROB-4", *_OF_LOG_PROBS),
        refusals=(*_BAD_LOGITS, "bad_token_ids"),
        file="cross_entropy",
        family="log_probabilities",
        rounds=True,
        parts=("log_probs",),
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

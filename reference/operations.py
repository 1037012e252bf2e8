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
}

TIES = ("lowest_id", "all")  # the two rules for ties at the k-th place: TOPK-2 and TOPK-7

# The codes of `ports/PROTOCOL.md`: what each code refuses, and the rules that say so.
REFUSALS: dict[str, tuple[str, tuple[str, ...]]] = {
    "bad_dtype": ("a tensor of integers or bools where floats belong", ("HEAD-2",)),
    "bad_shape": (
        "last axes that do not match, a missing or an empty one, `noise` or `uniform` of another shape",
        ("LOGITS-4", "SOFTMAX-4", "CDF-3", "OUT-4", "OUT-7"),
    ),
    "bad_logits": ("nan or +inf, or a row of only -inf", ("SOFTMAX-4",)),
    "bad_temperature": ("nan, infinite, 0, negative, not a number, or so in the dtype of the logits", ("TEMP-2",)),
    "overflow": (
        "a quotient by the temperature, a running sum of probabilities, a norm or a finished logit that overflows",
        ("TEMP-3", "CDF-4", "OUT-4", "OUT-7"),
    ),
    "bad_k": ("below 1, or not an integer", ("TOPK-5",)),
    "bad_ties": ("neither `lowest_id` nor `all`", ("TOPK-7",)),
    "bad_probs": ("negative, nan, infinite, or a row that sums to zero", ("DRAW-5", "CDF-4")),
    "bad_noise": ("negative, nan or infinite", ("DRAW-5",)),
    "bad_num_samples": ("below 1, not an integer, or more than the tokens of non-zero probability", ("DRAW-6",)),
    "bad_uniform": ("outside [0, 1), or nan", ("CDF-3",)),
    "bad_seed": ("not an integer, or outside -2⁶³ to 2⁶⁴ - 1", ("RNG-1",)),
    "bad_hidden": ("nan or infinite", ("OUT-4",)),
    "bad_weight": ("a weight, a bias or a weight offset that is nan or infinite", ("OUT-4", "OUT-7")),
    "bad_epsilon": ("nan, infinite, 0, negative, not a number, or so in the compute dtype", ("OUT-4",)),
    "bad_scale": (
        "a multiplier, a divisor or a cap that is nan, 0, negative, not a number, or so in the compute dtype; "
        "an infinite multiplier or divisor",
        ("OUT-7",),
    ),
    "bad_bundle": ("a bundle that is missing, damaged, or of another format or version", ()),
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. Where `on` is "arrays", `reference` and `torch_impl` have a function with this name.

    - `arguments` and `results` map each name to its shape, or to a description.
    - `rule` defines the operation. It counts as broken where no rule is more precise, as by a result of a wrong shape.
    - `rules` are all rules that a result can break.
    - `file` names the vectors `{file}.json`, their schema, and `parity_tests/test_{file}.py`.
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
WITH_VECTORS = tuple(operation for operation in _TABLE if operation.file)

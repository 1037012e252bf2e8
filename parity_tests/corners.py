"""Cases where several things come together: real numbers in every dtype, and bad input away from the first row.

`sizes` takes one large dimension at a time, in whole numbers. What is computed in another dtype than it should be, and
what is checked in one row only, shows here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from reference.operations import DEFAULTS, OPERATIONS, STAGES

# Numbers that must not be nan.
NUMBERS = tuple(name for name, value in DEFAULTS.items() if isinstance(value, float) and name != "temperature")
Case = dict[str, Any]
V, D, ROWS = 4_101, 1_025, 3


def _values(rng: np.random.Generator, dtype: str, operation: str) -> dict[str, Any]:
    """Arguments by name, real numbers: V tokens, and D hidden dimensions for a few tokens."""
    logits = rng.standard_normal(V).astype(dtype)
    # The two largest differ in the last bits of the dtype; with ties="all" and in a cut, so much matters.
    logits[-1] = 8
    logits[-2] = np.nextafter(logits[-1], np.array(0, dtype)) if dtype in ("float32", "float64") else 7.75
    probs = np.abs(rng.standard_normal(V)).astype(dtype)
    return {
        "context": rng.standard_normal(D).astype(dtype),
        "embedding": rng.standard_normal((5, D)).astype(dtype),
        "logits": logits,
        "probs": probs,
        "noise": rng.standard_exponential(V).astype("float64" if dtype == "float64" else "float32"),
        "uniform": np.array(0.625, dtype),
        "runtime": "llama.cpp",
        "seed": 42,
        "temperature": 0.7 if dtype == "float64" else 1.5,
        "hidden": rng.standard_normal((2, D)).astype(dtype),
        "weight": rng.standard_normal(D).astype(dtype),
        "bias": rng.standard_normal(D if "hidden" in OPERATIONS[operation].arguments else V).astype(dtype),
        "epsilon": 1e-6,
        "weight_offset": 1.0,
        "multiplier": 0.3,
        "divisor": 0.7,
        "cap": 30.0,
        "p": 0.9,
        "until": "exceeded",
        "mass": 0.7,
        "cutoff": 1e-3,
        "h": 0.6,
        "n": 1.5,
        "threshold": 1e-3,
        "probability": 1.0,
        "penalty": 1.3,
        "history": rng.integers(0, V, 300),
        "biased": np.arange(0, V, 7),
        "biases": rng.standard_normal(-(-V // 7)).astype(dtype),
        "banned": np.arange(0, V, 5),
        "ngram_size": 1,
        "length": 301,
        "end_ids": np.arange(0, V, 3),
        "token_ids": np.array(V - 2),
        "ignore_index": -100,
        "steps": [
            ("repetition_penalty", {"penalty": 1.3}),
            ("frequency_penalty", {"penalty": 0.7, "counts": "output"}),
            ("apply_temperature", {"temperature": 0.7}),
            ("keep_top_p", {"p": 0.9}),
            ("keep_min_p", {"p": 0.02}),
        ],
        "prompt_length": 100,
    }


def real(operation: str, dtype: str) -> Iterator[Case]:
    """Arguments of an operation in real numbers, as `verdict.compare` takes them.

    Raises: KeyError for an unknown operation.
    """
    rng = np.random.default_rng(STAGES.index(operation))
    given = OPERATIONS[operation].given(_values(rng, dtype, operation))
    for k in (1, 50) if "k" in OPERATIONS[operation].arguments else (0,):
        yield {**given, "k": k} if k else given
    if "embedding" in given and dtype == "float64":  # one float64 factor is enough (HEAD-2)
        few = {"context": np.array([1.0], np.float32), "embedding": np.array([[0.1], [0.2]])}
        yield {**given, **few, "k": 2} if "k" in OPERATIONS[operation].arguments else few
    if "cap" in given:  # exact without one
        yield {**given, "cap": np.inf}
    if "bias" in given and dtype == "float64":
        yield {**given, **{name: given[name].astype(np.float32) for name in given.keys() & {"hidden", "logits"}}}
    if "logits" in given and "bias" not in given and dtype in ("float16", "bfloat16"):
        wide = np.zeros(65_537, np.float32)
        wide[-1] = 1
        yield {**given, "logits": wide.astype(dtype), **({"k": 1} if "k" in OPERATIONS[operation].arguments else {})}


def exact_heads() -> Iterator[Case]:
    """Arguments of `lm_head` with exact logits, at which a reciprocal or another order of the stages shows."""
    tie = np.float32(1.5002501)
    close = np.array([[tie], [np.nextafter(tie, np.float32(2))], [0]], np.float32)
    yield {"context": np.ones(1, np.float32), "embedding": close, "temperature": 1.5, "k": 1}
    far = np.array([[2.0**-100], [0]], np.float32)  # 1 / T overflows, the quotients do not
    yield {"context": np.ones(1, np.float32), "embedding": far, "temperature": 2.0**-130, "k": 2}


def bad(operation: str) -> Iterator[Case]:
    """Arguments that must be refused: bad in the last row or the last token alone, or bad where there are no rows."""
    logits, probs = np.zeros((ROWS, 71), np.float32), np.ones((ROWS, 71), np.float32)
    good = {
        "context": np.ones((ROWS, 2), np.float32),
        "embedding": np.ones((71, 2), np.float32),
        "logits": logits,
        "probs": probs,
        "noise": probs,
        "uniform": np.full(ROWS, 0.5, np.float32),
        "runtime": "llama.cpp",
        "seed": 42,
        "temperature": 1.0,
        "k": 3,
        "hidden": probs,
        "weight": probs[0],
        "bias": probs[0],
        "history": np.ones((ROWS, 4), np.int64),
        "token_ids": np.ones(ROWS, np.int64),
        "biased": np.array([1, 2]),
        "biases": probs[0][:2],
        "banned": np.array([1, 2]),
        "end_ids": np.array([1, 2]),
        **{name: DEFAULTS[name] for name in ("ngram_size", "length", "steps")},
        **{name: DEFAULTS[name] for name in NUMBERS},
    }
    given = OPERATIONS[operation].given(good)
    last: dict[str, tuple[float, ...]] = {
        "logits": (np.nan, np.inf),
        "probs": (np.nan, np.inf, -1.0),
        "noise": (np.nan, np.inf, -1.0),
        "uniform": (np.nan, 1.0, -0.5),
        **dict.fromkeys(("hidden", "weight", "bias"), (np.nan, np.inf, -np.inf)),
        "biases": (np.nan, np.inf),
        **dict.fromkeys(("history", "banned", "biased", "end_ids"), (-1, 71)),
        "token_ids": (-1, 71),
    }
    if "steps" in given:  # no step reads it
        del last["uniform"]
    for name in given.keys() & last.keys():
        for value in last[name]:
            changed = np.array(given[name])
            changed[(-1,) * changed.ndim] = value
            yield {**given, name: changed}
    if "logits" in given:
        masked = logits.copy()
        masked[-1] = -np.inf
        yield {**given, "logits": masked}
    no_rows = {
        name: value[:0] if isinstance(value, np.ndarray) and "…" in OPERATIONS[operation].arguments[name] else value
        for name, value in given.items()
    }
    for name, value in (("temperature", 0.0), ("k", 0), *((name, np.nan) for name in NUMBERS)):
        if name in given:
            yield {**no_rows, name: value}
            yield {**given, name: value}

"""Hypothesis strategies for the inputs of a head. They shrink to cases that a person can read.

    from hypothesis import given
    from parity_tests.strategies import logits

    @given(logits())
    def test_my_head(row): ...

Logits of real models are not standard normal numbers. They tie at the k-th place, most often in 16 bits; they may all
lie near -100; they spread over four orders of magnitude; some are masked. The strategies produce each of these on
purpose.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import reference
from reference.operations import OPERATIONS, STAGES, STEPS, UNTIL
from reference.streams import STREAMS
from reference.validation import COMPUTE_DTYPE

DTYPES = ("float32", "float64", "float16", "bfloat16")


@lru_cache(maxsize=None, typed=True)
def _one(*values: Any) -> st.SearchStrategy[Any]:
    """One of these values. Strategies are kept: to make and to validate one takes longer than to draw from it."""
    return st.sampled_from(values)


CROWD = 400  # the vocabulary size of rows with hundreds of ties: small rows do not reach every branch of a selection

temperatures = st.one_of(
    _one(1.0, 0.7, 0.5, 2.0),
    st.floats(min_value=-6, max_value=6).map(lambda exponent: float(f"{10.0**exponent:.3g}")),
)

scales = st.one_of(_one(1.0, 0.0625, 16.0, 0.7), st.floats(1e-3, 1e3))
caps = st.one_of(_one(np.inf, 30.0), st.floats(1e-2, 1e5))  # far below the logits and far above


def compute_dtype(array: np.ndarray) -> np.dtype:
    """The dtype that a head computes in and returns: float32 for 16-bit inputs, else that of the input (HEAD-2)."""
    return np.dtype(COMPUTE_DTYPE[array.dtype.name])


# The dtypes that are drawn at all, out of those that a test asks for: a head may have only some.
allowed: set[str] = set(DTYPES)


def _dtypes(draw: st.DrawFn, names: tuple[str, ...]) -> np.dtype:
    name = draw(_one(*([name for name in names if name in allowed] or names)))
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@cache
@st.composite
def batch_shapes(draw: st.DrawFn, max_axes: int = 3) -> tuple[int, ...]:
    """Leading axes: none, one or several. Some have length 0."""
    return tuple(draw(st.lists(_one(1, 2, 3, 0), max_size=max_axes)))


@cache
def ks(vocab_size: int) -> st.SearchStrategy[int]:
    """k at the edge cases 1, V - 1, V and above V, and anywhere in between."""
    corners = [1, max(1, vocab_size - 1), vocab_size, vocab_size + 1, 10 * vocab_size]
    return st.one_of(_one(*corners), st.integers(1, vocab_size))


@st.composite
def layouts(draw: st.DrawFn, array: np.ndarray) -> np.ndarray:
    """The same values in another memory layout: contiguous, strided, transposed, reversed, read-only."""
    layout = draw(_one("C", "F", "strided", "reversed", "read-only"))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), 7, dtype=array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    return array


def _seeded(draw: st.DrawFn) -> np.random.Generator:
    return np.random.default_rng(draw(st.integers(0, 2**16)))


@cache
@st.composite
def logits(
    draw: st.DrawFn,
    dtypes: tuple[str, ...] = DTYPES,
    max_vocab: int = 40,
    shapes: st.SearchStrategy[tuple[int, ...]] | None = None,
) -> np.ndarray:
    """Rows `(..., V)` of logits, finite or masked, with at least one finite logit in each row, in any memory layout.

    V is at most `max_vocab`. The exception is one of nine kinds of rows, which has CROWD tokens and hundreds of ties;
    it is left out if `max_vocab` is below CROWD / 10.
    """
    dtype = _dtypes(draw, dtypes)
    shape = (*draw(batch_shapes() if shapes is None else shapes), draw(st.integers(1, max_vocab)))
    crowd = ["crowd"] if max_vocab >= CROWD // 10 else []
    kinds = ["ties", "plain", "near -100", "spread", "equal", "subnormal", "zeros", "power of two", *crowd]
    kind = draw(_one(*kinds))
    if kind == "crowd":  # hundreds of tokens share three values
        shape = (*shape[:-1], CROWD)
        values = _seeded(draw).integers(-1, 2, shape).astype(dtype)
    elif kind == "ties":  # small integers: many tokens share a value, also at the k-th place
        values = np.array(draw(st.lists(st.integers(-3, 3), min_size=shape[-1], max_size=shape[-1])), dtype=dtype)
        values = np.broadcast_to(values, shape).copy()
    elif kind == "equal":
        values = np.full(shape, draw(_one(0.0, -100.0, 1.0)), dtype=dtype)
    elif kind == "zeros":  # +0 and -0 are equal
        values = np.where(_seeded(draw).random(shape) < 0.5, 0.0, -0.0).astype(dtype)
    elif kind == "power of two":  # equal tokens of probability 2**-m, the rest masked: sums of them are exact
        values = np.full(shape, -np.inf)
        some = _seeded(draw).permutation(shape[-1])[: 2 ** draw(st.integers(0, shape[-1].bit_length() - 1))]
        values[..., some] = draw(_one(0.0, -100.0, 3.0))
        return draw(layouts(values.astype(dtype)))
    else:
        noise = _seeded(draw).standard_normal(shape)
        scale, shift = {
            "plain": (5, 0),
            "near -100": (4, -100),
            "spread": (10_000, 0),
            "subnormal": (float(ml_dtypes.finfo(dtype).smallest_subnormal) * 8, 0),
        }[kind]
        values = (noise * scale + shift).astype(dtype)
    if draw(st.booleans()):  # a mask, which leaves at least one token
        keep = _seeded(draw).random(shape) < draw(_one(0.0, 0.1, 0.5, 0.9))
        keep[..., draw(st.integers(0, shape[-1] - 1))] = True
        values = np.where(keep, values, -np.inf).astype(dtype)
    return draw(layouts(values))


@cache
@st.composite
def factors(draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES, max_vocab: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """`context (..., d)` and `embedding (V, d)`: with outlier dimensions, equal rows (ties), in any memory layout."""
    dtype = _dtypes(draw, dtypes)
    d, v = draw(st.integers(1, 24)), draw(st.integers(1, max_vocab))
    rng = _seeded(draw)
    context = rng.standard_normal((*draw(batch_shapes()), d))
    embedding = rng.standard_normal((v, d)) * draw(_one(0.1, 1.0))
    if draw(st.booleans()):  # in hidden states of real models, a few dimensions are tens of times larger
        context[..., draw(st.integers(0, d - 1))] *= 60
    if draw(st.booleans()):
        embedding[draw(st.integers(0, v - 1))] = embedding[0]
    if draw(st.booleans()):  # with small whole numbers, products and sums are exact, and there are many ties
        context, embedding = np.rint(context), np.rint(embedding * 2)
    return draw(layouts(context.astype(dtype))), draw(layouts(embedding.astype(dtype)))


@cache
@st.composite
def probabilities(draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES, max_vocab: int = 40) -> np.ndarray:
    """Probabilities `(..., V)`: some are zero, at least one of each row is not. They need not sum to 1."""
    rows = draw(logits(dtypes, max_vocab))
    kind = draw(_one("softmax", "one-hot", "counts", "tiny"))
    finite = np.where(np.isfinite(rows), rows, 0)
    if kind == "counts":
        weights = np.rint(np.abs(finite) % 4)
    elif kind == "tiny":  # subnormal probabilities: p / E underflows
        weights = np.rint(np.abs(finite) % 4) * float(ml_dtypes.finfo(rows.dtype).smallest_subnormal)
    elif kind == "one-hot":
        weights = np.zeros(rows.shape)
    else:
        shifted = rows.astype(np.float64) - rows.max(axis=-1, keepdims=True)
        weights = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    weights = weights.astype(rows.dtype)
    empty = weights.max(axis=-1) == 0
    weights[empty, draw(st.integers(0, rows.shape[-1] - 1))] = (
        ml_dtypes.finfo(rows.dtype).smallest_subnormal if kind == "tiny" else 1
    )
    return draw(layouts(weights))


@cache
@st.composite
def hidden_states(draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES) -> np.ndarray:
    """Hidden states `(..., d)`: with outlier dimensions, zero and constant rows, rows far from 0, and tiny ones."""
    dtype, rng = _dtypes(draw, dtypes), _seeded(draw)
    values = rng.standard_normal((*draw(batch_shapes()), draw(st.integers(1, 40))))
    kind = draw(_one("plain", "outlier", "zeros", "constant", "far", "tiny", "whole"))
    if kind == "outlier":
        values[..., draw(st.integers(0, values.shape[-1] - 1))] *= 40
    elif kind == "zeros":
        values *= rng.integers(0, 2, (*values.shape[:-1], 1))
    elif kind == "constant":
        values[...] = draw(_one(1.0, -0.1, 1000.0))
    elif kind == "far":  # the mean is thousands of times the spread: a variance in one pass cancels
        values += draw(_one(100.0, -3000.0))
    elif kind == "tiny":  # the squares are as small as epsilon
        values *= draw(_one(1e-2, 1e-3, 1e-5))
    return draw(layouts(np.rint(values).astype(dtype) if kind == "whole" else values.astype(dtype)))


@st.composite
def norm_weights(draw: st.DrawFn, d: int, dtype: np.dtype) -> np.ndarray:
    """A weight `(d,)` around 0 or 1, with both signs."""
    return draw(layouts((draw(_one(0.0, 1.0)) + _seeded(draw).standard_normal(d)).astype(dtype)))


@st.composite
def biases(draw: st.DrawFn, n: int, dtype: np.dtype) -> np.ndarray:
    """A bias `(n,)`, or zeros."""
    return draw(layouts((draw(_one(0, 1, 8)) * _seeded(draw).standard_normal(n)).astype(dtype)))


# Shares of a total: sums of powers of two reach some of them exactly, and a small one is below 1 / V.
shares = st.one_of(
    _one(0.5, 0.25, 0.75, 0.875, 0.125, 0.9, 0.95, 0.05, 1e-3, 1e-6),
    st.floats(2.0**-20, 1, exclude_max=True, allow_subnormal=False),
)
whole_or_shares = st.one_of(st.just(1.0), shares)


@st.composite
def token_ids(draw: st.DrawFn, shape: tuple[int, ...], vocab_size: int) -> np.ndarray:
    """Ids in [0, V), some of them several times."""
    most = draw(_one(vocab_size, min(3, vocab_size)))
    return _seeded(draw).integers(0, most, shape)


@st.composite
def histories(draw: st.DrawFn, logits: np.ndarray) -> np.ndarray:
    """The ids so far of each row `(..., n)`, in any memory layout; some rows have none."""
    n = draw(_one(0, 1, 2, 5, 12))
    return draw(layouts(draw(token_ids((*logits.shape[:-1], n), logits.shape[-1]))))


@st.composite
def bans(draw: st.DrawFn, logits: np.ndarray) -> np.ndarray:
    """Ids `(n,)` without which every row has a token left."""
    ids = draw(token_ids((draw(_one(0, 1, 3)),), logits.shape[-1]))
    while len(ids) and (np.delete(logits, ids, axis=-1).max(axis=-1, initial=-np.inf) == -np.inf).any():
        ids = ids[:-1]
    return ids


@st.composite
def _repeats(draw: st.DrawFn, given: dict[str, Any]) -> dict[str, Any]:
    """An n-gram size, and the history again, or an empty one if that would ban every token of a row."""
    size = draw(st.integers(1, 4))
    try:
        reference.no_repeat_ngram(given["logits"], given["history"], size)
    except ValueError:
        return {"ngram_size": size, "history": given["history"][..., :0]}
    return {"ngram_size": size}


@st.composite
def _biases(draw: st.DrawFn, given: dict[str, Any]) -> dict[str, Any]:
    """Ids, each once, and a number for each, some of them -inf where that leaves a token."""
    rows = given["logits"]
    ids = np.unique(draw(token_ids((draw(st.integers(0, 4)),), rows.shape[-1])))
    numbers = (_seeded(draw).standard_normal(len(ids)) * 4).astype(compute_dtype(rows))
    numbers[np.isin(ids, draw(bans(rows)))] = -np.inf
    return {"biased": ids, "biases": numbers}


@st.composite
def pipelines(draw: st.DrawFn, given: dict[str, Any]) -> dict[str, Any]:
    """Up to five steps in any order, with what they need; steps that would leave no token are left out."""
    rows = given["logits"]
    history = draw(histories(rows))
    prompt_length = draw(st.integers(0, history.shape[-1]))
    uniform = draw(uniforms(rows.shape[:-1]))
    common: dict[str, Any] = {"history": history, "prompt_length": prompt_length, "uniform": uniform}
    steps: list[tuple[str, dict[str, Any]]] = []
    for name in draw(st.lists(_one(*(name for name in STEPS if name != "finish_logits")), max_size=5)):
        drawn = {**common, "logits": rows}
        for argument in OPERATIONS[name].arguments:
            if argument in _DRAWN and argument not in drawn:
                drawn |= _DRAWN[argument](draw, drawn, DTYPES)
        step = {a: drawn[a] for a in OPERATIONS[name].arguments if a in drawn and a not in (*common, "logits")}
        step = {a: value.tolist() if isinstance(value, np.ndarray) else value for a, value in step.items()}
        if "history" in OPERATIONS[name].arguments:
            step["counts"] = draw(_one("all", "prompt", "output", 0, 2, 64))
        try:
            reference.process(rows, [*steps, (name, step)], **common)
        except ValueError:  # a quotient that overflows, a ban of all that is left
            continue
        steps.append((name, step))
    return {"steps": steps, **common}


@cache
def uniforms(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """One uniform for each row: 0, the largest float32 and the largest float64 below 1, and anything between."""
    number = st.one_of(
        _one(0.0, 0.5, 1 - 2.0**-24, 1 - 2.0**-53),
        st.floats(0, 1, exclude_max=True, allow_subnormal=False),
    )
    size = int(np.prod(shape))
    return st.lists(number, min_size=size, max_size=size).map(lambda numbers: np.array(numbers).reshape(shape))


# Argument name -> how its value is drawn. `given` holds the arguments drawn before it; the new ones are returned.
_DRAWN: dict[str, Callable[[st.DrawFn, dict[str, Any], tuple[str, ...]], dict[str, Any]]] = {
    "context": lambda draw, given, dtypes: dict(zip(("context", "embedding"), draw(factors(dtypes)), strict=True)),
    "logits": lambda draw, given, dtypes: {"logits": draw(logits(dtypes))},
    "probs": lambda draw, given, dtypes: {"probs": draw(probabilities(dtypes))},
    "temperature": lambda draw, given, dtypes: {
        # Where logits are still to be computed, only temperatures at which no quotient can overflow.
        "temperature": draw(temperatures if "logits" in given else _one(0.1, 0.7, 1.0, 10.0))
    },
    "k": lambda draw, given, dtypes: {
        "k": draw(ks(given["logits"].shape[-1] if "logits" in given else len(given["embedding"])))
    },
    "uniform": lambda draw, given, dtypes: {"uniform": draw(uniforms(_rows(given).shape[:-1]))},
    "noise": lambda draw, given, dtypes: {
        "noise": _seeded(draw).standard_exponential(given["probs"].shape).astype(compute_dtype(given["probs"]))
    },
    "runtime": lambda draw, given, dtypes: {"runtime": draw(st.sampled_from([*STREAMS]))},
    "seed": lambda draw, given, dtypes: {} if "noise" in given else {"seed": draw(st.integers(1, 2**32 - 2))},
    "hidden": lambda draw, given, dtypes: {"hidden": draw(hidden_states(dtypes))},
    "weight": lambda draw, given, dtypes: {"weight": draw(norm_weights(*_last_axis(given)))},
    "bias": lambda draw, given, dtypes: {"bias": draw(biases(*_last_axis(given)))},
    "epsilon": lambda draw, given, dtypes: {"epsilon": draw(_one(1e-5, 1e-6, 1e-12, 1e-30, 0.5))},
    "weight_offset": lambda draw, given, dtypes: {"weight_offset": draw(_one(0.0, 1.0, 0.1))},
    "multiplier": lambda draw, given, dtypes: {"multiplier": draw(scales)},
    "divisor": lambda draw, given, dtypes: {"divisor": draw(scales)},
    "cap": lambda draw, given, dtypes: {"cap": draw(caps)},
    "p": lambda draw, given, dtypes: {"p": draw(whole_or_shares)},
    "h": lambda draw, given, dtypes: {"h": draw(whole_or_shares)},
    "threshold": lambda draw, given, dtypes: {"threshold": draw(whole_or_shares)},
    "probability": lambda draw, given, dtypes: {"probability": draw(whole_or_shares)},
    "mass": lambda draw, given, dtypes: {"mass": draw(shares)},
    "cutoff": lambda draw, given, dtypes: {"cutoff": draw(shares)},
    "until": lambda draw, given, dtypes: {"until": draw(_one(*UNTIL))},
    "n": lambda draw, given, dtypes: {"n": draw(_one(0.5, 1.0, 2.0, 0.1, 30.0))},
    "history": lambda draw, given, dtypes: {"history": draw(histories(given["logits"]))},
    "penalty": lambda draw, given, dtypes: {"penalty": draw(_one(1.0, 1.1, 1.3, 0.7, 2.0, 5.0))},
    "biased": lambda draw, given, dtypes: draw(_biases(given)),
    "banned": lambda draw, given, dtypes: {"banned": draw(bans(given["logits"]))},
    "end_ids": lambda draw, given, dtypes: {"end_ids": draw(bans(given["logits"]))},
    "ngram_size": lambda draw, given, dtypes: draw(_repeats(given)),
    "length": lambda draw, given, dtypes: {"length": draw(_one(1, 2, 5, 6, 13))},
    "token_ids": lambda draw, given, dtypes: {
        "token_ids": draw(token_ids(given["logits"].shape[:-1], given["logits"].shape[-1]))
    },
    "ignore_index": lambda draw, given, dtypes: {"ignore_index": -100} if assume(given["token_ids"].size) else {},
    "steps": lambda draw, given, dtypes: draw(pipelines(given)),
}


def _rows(given: dict[str, Any]) -> np.ndarray:
    """The rows that the operation is about."""
    rows: np.ndarray = given["probs"] if "probs" in given else given["logits"]
    return rows


def _last_axis(given: dict[str, Any]) -> tuple[int, np.dtype]:
    """The length and the dtype of the hidden states or logits drawn before."""
    rows = given["hidden"] if "hidden" in given else given["logits"]
    return rows.shape[-1], rows.dtype


@cache
@st.composite
def arguments(draw: st.DrawFn, operation: str, dtypes: tuple[str, ...] = DTYPES) -> dict[str, Any]:
    """Valid arguments of one operation, by name, as `verdict.compare` takes them: with `noise` instead of `rng`.

    Arguments that have no strategy, such as `ties`, are left out.
    Raises: ValueError for an operation that is not a function of a head.
    """
    if operation not in STAGES:
        raise ValueError(f"operation is {operation!r}: it must be one of {', '.join(STAGES)}")
    given: dict[str, Any] = {}
    for name in OPERATIONS[operation].arguments:
        if name in _DRAWN and name not in given:
            given |= _DRAWN[name](draw, given, dtypes)
    return given


class FixedNoise:
    """An `rng` that returns given noise, in order. With it, two draws can be compared on the same noise."""

    def __init__(self, noise: Any) -> None:
        self._left = np.asarray(noise).reshape(-1)

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        """The next numbers of the given noise."""
        count = int(np.prod(size))
        noise, self._left = self._left[:count], self._left[count:]
        return noise.astype(dtype).reshape(size)

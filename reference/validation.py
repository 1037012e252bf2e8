"""What the head refuses, in one place, so that the arithmetic in `head.py` reads without interruption.

A `check_...` function takes an argument as the caller gave it and returns it ready to compute with, or raises:
`TypeError` for the wrong kind of thing, `ValueError` for the wrong value. The message names the argument, the value,
where it stands and what to do. The rules are those of `SPEC.md`.
"""

import math
from functools import cache
from numbers import Integral, Real
from types import ModuleType
from typing import Any, Protocol

import numpy as np

# 16-bit floats are storage formats here: computed in float32 (HEAD-2).
COMPUTE_DTYPE = {"float16": np.float32, "bfloat16": np.float32, "float32": np.float32, "float64": np.float64}


@cache
def _compute_dtype(dtype: np.dtype) -> np.dtype | None:
    """The dtype to compute in; None for what is not a float."""
    return np.dtype(COMPUTE_DTYPE[dtype.name]) if dtype.name in COMPUTE_DTYPE else None


def _check_floats(name: str, values: Any) -> tuple[np.ndarray, np.dtype]:
    """`values` as an array of at least one axis, in the dtype that they are stored in, and the one to compute in."""
    if isinstance(values, np.ndarray) and hasattr(values, "mask"):  # np.ma, without importing it
        raise TypeError(f"{name} is a masked array, whose mask would be lost: write -inf for masked logits instead")
    array = np.asarray(values)
    dtype = _compute_dtype(array.dtype)
    if dtype is None:
        raise TypeError(f"{name} has dtype {array.dtype}: convert it to float32 or float64")
    if array.ndim == 0:
        raise ValueError(f"{name} is a single number, {array}: it needs at least one axis")
    return array, dtype


def check_stored_factors(context: Any, embedding: Any) -> tuple[np.ndarray, np.ndarray, np.dtype]:
    """The two factors of the logits as stored, `(..., d)` and `(V, d)`, and the dtype to compute in: the wider one."""
    (context, dtype), (embedding, other) = _check_floats("context", context), _check_floats("embedding", embedding)
    if embedding.ndim != 2 or embedding.shape[0] == 0:
        raise ValueError(f"embedding has shape {embedding.shape}: it must be (V, d), one row per token and V >= 1")
    if context.shape[-1] != embedding.shape[1]:
        raise ValueError(
            f"context has d = {context.shape[-1]} (shape {context.shape}) but embedding has d = {embedding.shape[1]} "
            f"(shape {embedding.shape}): both need the same last axis; pass the embedding as (V, d), not its transpose"
        )
    return context, embedding, np.promote_types(dtype, other)


def check_factors(context: Any, embedding: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of the logits in the dtype to compute in."""
    context, embedding, dtype = check_stored_factors(context, embedding)
    return context.astype(dtype, copy=False), embedding.astype(dtype, copy=False)


def check_vocabulary(name: str, values: Any) -> np.ndarray:
    """`values` as `(..., V)`, V >= 1, in C order, so that sums run along memory and no bit depends on the layout."""
    array, dtype = _check_floats(name, values)
    array = np.asarray(array, dtype, order="C")
    if array.shape[-1] == 0:
        raise ValueError(f"{name} has shape {array.shape}: the last axis, the vocabulary, is empty")
    return array


def place(name: str, index: Any) -> str:
    """An element as a person writes it: `logits[2, 417]`."""
    return f"{name}[{', '.join(str(i) for i in index)}]" if len(index) else name


def check_logits(values: Any, name: str = "logits") -> np.ndarray:
    """Logits `(..., V)`: finite or -inf, and in each row at least one finite."""
    array = check_vocabulary(name, values)
    largest = array.max(axis=-1)  # nan if the row has a nan, inf if it has an inf, -inf if it has nothing else
    if not np.isfinite(largest).all():
        rows, shape = array.reshape(-1, array.shape[-1]), array.shape[:-1]
        check_block(rows, largest.reshape(-1), 0, shape, name)
        check_some_finite(largest.reshape(-1) > -np.inf, shape, name)
    return array


def check_block(logits: np.ndarray, largest: np.ndarray, start: int, shape: tuple[int, ...], name: str) -> None:
    """Refuses nan and +inf in a block `(N, width)` of logits, the ids from `start` on, with the place in `(*shape, V)`.

    `largest` `(N,)` are the maxima of its rows.
    """
    bad = ~(largest < np.inf)  # written so that nan is bad
    if bad.any():
        row = int(np.argmax(bad))
        column = int(np.argmax(~(logits[row] < np.inf)))
        index = (*(int(i) for i in np.unravel_index(row, shape)), start + column)
        raise ValueError(
            f"{place(name, index)} is {logits[row, column]}: it must be finite, or -inf for a masked token; "
            "look for nan, inf or an overflow in the context, the embedding or the mask, or for a tiny temperature"
        )


def check_some_finite(alive: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    """Refuses rows of which no logit is finite: `alive` `(N,)` is false for them."""
    if not alive.all():
        row = np.unravel_index(int(np.argmin(alive)), shape)
        raise ValueError(f"{place(name, row)} is -inf for every token: leave at least one token unmasked")


def check_scaled(values: np.ndarray, divisor: Any) -> np.ndarray:
    """Logits after the division; refused where a tiny temperature made them overflow."""
    return check_logits(values, f"(logits / temperature={divisor})")


def check_temperature(value: Any, dtype: np.dtype) -> np.floating:
    """The temperature as a number of the logits' dtype, in which it must be finite and above zero."""
    return check_positive("temperature", value, dtype, "; for greedy decoding take the argmax of the logits instead")


def check_positive(name: str, value: Any, dtype: np.dtype, advice: str = "") -> np.floating:
    """A number in `dtype`, in which it must be finite and above zero; `advice` ends the message."""
    rounded = in_dtype(name, value, dtype)
    if not 0 < rounded < np.inf:
        raise bad_number(name, value, rounded, f"finite and > 0{advice}")
    return rounded


def in_dtype(name: str, value: Any, dtype: np.dtype) -> np.floating:
    """One real number, rounded to `dtype`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}: it must be one real number")
    try:
        with np.errstate(all="ignore"):
            rounded: np.floating = dtype.type(value)
    except OverflowError:  # a Python integer beyond float64
        rounded = dtype.type(math.inf if value == abs(value) else -math.inf)
    return rounded


def bad_number(name: str, value: Any, rounded: np.floating, needed: str) -> ValueError:
    """The refusal of a number, which says what it was rounded to, if that is another."""
    as_rounded = f" ({rounded} in {rounded.dtype})" if value == value != float(rounded) else ""
    return ValueError(f"{name} is {shown(value)}{as_rounded}: it must be {needed}")


def check_count(name: str, value: Any) -> int:
    """An integer >= 1: how many tokens to keep or to draw."""
    number = check_integer(name, value)
    if number < 1:
        hint = " (to keep every token pass k = V)" if name == "k" else ""
        raise ValueError(f"{name} is {shown(number)}: it must be at least 1{hint}")
    return number


def check_integer(name: str, value: Any) -> int:
    """A Python or NumPy integer; not a bool, and not an array or tensor of one number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}: it must be an integer")
    return int(value)


def shown(number: Any) -> str:
    """A number in a message: Python writes no integer of more than 4,300 digits."""
    try:
        return str(number)
    except ValueError:
        return f"an integer of {number.bit_length():,} bits"


def _check_non_negative(name: str, array: np.ndarray) -> np.ndarray:
    """Refuses nan, infinity and numbers below zero."""
    if array.size and not (array.min() >= 0 and array.max() < np.inf):  # written so that nan is refused
        index = tuple(np.argwhere(~((array >= 0) & (array < np.inf)))[0])
        raise ValueError(f"{place(name, index)} is {array[index]}: it must be finite and >= 0")
    return array


class ExponentialSource(Protocol):
    """What the race is run with: a `numpy.random.Generator` or a `TorchGenerator`."""

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        """Standard exponential noise of shape `size`."""


def check_generator(rng: Any) -> ExponentialSource:
    """The source of randomness; NumPy's legacy `RandomState` cannot draw float32."""
    if not hasattr(rng, "standard_exponential") or isinstance(rng, (np.random.RandomState, type, ModuleType)):
        raise TypeError(
            f"rng has type {type(rng).__name__}: it must have standard_exponential(size=..., dtype=...), "
            "as numpy.random.default_rng(seed) and TorchGenerator(seed) do"
        )
    source: ExponentialSource = rng
    return source


def check_noise(values: Any, probs: np.ndarray) -> np.ndarray:
    """What `rng` gave: one finite number >= 0 for each element of `probs`."""
    array = np.asarray(values)
    if array.shape != probs.shape:
        raise ValueError(f"noise has shape {array.shape}: rng must give one number per element of probs, {probs.shape}")
    return _check_non_negative("noise", array)


def check_probabilities(values: Any, num_samples: int = 1) -> np.ndarray:
    """Weights `(..., V)`: finite, >= 0, and in each row at least `num_samples` above zero. They need not sum to 1."""
    probs = _check_non_negative("probs", check_vocabulary("probs", values))
    available = np.count_nonzero(probs, axis=-1)
    if (available < num_samples).any():
        row = tuple(np.argwhere(available < num_samples)[0])
        if available[row] == 0:
            raise ValueError(f"{place('probs', row)} sums to zero: at least one token needs a probability above zero")
        tokens = f"{available[row]} token{'s' if available[row] > 1 else ''}"
        raise ValueError(
            f"num_samples is {num_samples} but {place('probs', row)} has only {tokens} of non-zero probability: "
            "draw fewer, or keep more tokens (a larger k)"
        )
    return probs


def check_uniform(values: Any, batch_shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [0, 1), one per row, in float64."""
    array = np.asarray(values)
    if array.dtype.name not in COMPUTE_DTYPE:
        raise TypeError(f"uniform has dtype {array.dtype}: convert it to float32 or float64")
    if array.shape != batch_shape:
        raise ValueError(f"uniform has shape {array.shape}: it must be {batch_shape}, one number per row of probs")
    bad = ~((array >= 0) & (array < 1))
    if bad.any():
        index = tuple(np.argwhere(bad)[0])
        raise ValueError(f"{place('uniform', index)} is {array[index]}: it must be in [0, 1)")
    return array.astype(np.float64)


def check_total(running: np.ndarray) -> np.ndarray:
    """Running sums `(..., V)` of the probabilities; refused where the last, the total, overflows."""
    finite = np.isfinite(running[..., -1])
    if not finite.all():
        row = tuple(np.argwhere(~finite)[0])
        raise ValueError(f"the sum of {place('probs', row)} overflows: divide the row by its largest value first")
    return running


def check_token_ids(values: Any, shape: tuple[int, ...], vocab_size: int, of: str = "context vector") -> np.ndarray:
    """Integers in [0, V), one for each of what has that shape, as int64."""
    array = check_integers("token_ids", np.asarray(values))
    if array.shape != shape:
        raise ValueError(f"token_ids has shape {array.shape}: it must be {shape}, one id per {of}")
    return check_range("token_ids", array, vocab_size, "leave out positions without a token")


def check_integers(name: str, array: np.ndarray) -> np.ndarray:
    """Token ids of whatever shape, as they are."""
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} has dtype {array.dtype}: token ids are integers")
    return array


def check_range(name: str, ids: np.ndarray, vocab_size: int, advice: str) -> np.ndarray:
    """Token ids in [0, V), as int64."""
    bad = (ids < 0) | (ids >= vocab_size)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{place(name, index)} is {ids[index]}: it must be in [0, {vocab_size}), the vocabulary; {advice}"
        )
    return ids.astype(np.int64)


def check_ascending(token_ids: np.ndarray, probs: np.ndarray) -> None:
    """Refuses ids `(..., k)` of which one is less than the one before it, or the same with a probability above zero."""
    step = np.diff(token_ids)
    bad = (step < 0) | ((step == 0) & (probs[..., 1:] > 0))
    if bad.any():
        *row, last = (int(i) for i in np.argwhere(bad)[0])
        advice = "ids must ascend; sort them and their probabilities"
        if step[(*row, last)] == 0:
            advice = "an id may stand once; add its probabilities"
        raise ValueError(
            f"{place('token_ids', (*row, last + 1))} is {token_ids[(*row, last + 1)]}, after "
            f"{token_ids[(*row, last)]}: {advice}"
        )


def check_norm(
    hidden: Any, weight: Any, bias: Any, epsilon: Any, weight_offset: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.floating]:
    """Hidden states `(..., d)`, the weight with its offset and the bias `(d,)`, and epsilon, in the compute dtype."""
    hidden, weight, bias, dtype = _with_vectors("hidden", hidden, weight=weight, bias=bias)
    _check_finite("hidden", hidden, "it must be finite; look for nan, inf or an overflow in the layers before")
    with np.errstate(all="ignore"):  # refused in the next line
        factor = weight + check_finite_number("weight_offset", weight_offset, dtype)
    return hidden, _check_finite("weight_offset + weight", factor), bias, check_positive("epsilon", epsilon, dtype)


def check_finite_number(name: str, value: Any, dtype: np.dtype) -> np.floating:
    """A number in `dtype`, in which it must be finite."""
    rounded = in_dtype(name, value, dtype)
    if not np.isfinite(rounded):
        raise bad_number(name, value, rounded, "finite")
    return rounded


def _with_vectors(name: str, values: Any, **vectors: Any) -> tuple[Any, ...]:
    """`values` `(..., n)`, `vectors` `(n,)` or None, all in the widest of their compute dtypes, which comes last."""
    rows, dtype = _check_floats(name, values)
    if rows.shape[-1] == 0:
        raise ValueError(f"{name} has shape {rows.shape}: its last axis is empty")
    given: list[np.ndarray | None] = []
    for called, vector in vectors.items():
        if vector is not None:
            vector, other = _check_floats(called, vector)
            dtype = np.promote_types(dtype, other)
            if vector.shape != rows.shape[-1:]:
                one = f"one number for each of the last axis of {name} (shape {rows.shape})"
                raise ValueError(f"{called} has shape {vector.shape}: it must be {rows.shape[-1:]}, {one}")
            _check_finite(called, vector)
        given.append(vector)
    converted = (vector if vector is None else vector.astype(dtype) for vector in given)
    return np.asarray(rows, dtype, order="C"), *converted, dtype


def _check_finite(
    name: str, array: np.ndarray, words: str = "it must be finite; look for a damaged checkpoint"
) -> np.ndarray:
    """Refuses nan and infinity."""
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{place(name, index)} is {array[index]}: {words}")
    return array


def check_normed(normed: np.ndarray, mean_square: np.ndarray) -> np.ndarray:
    """The result `(..., d)` of a norm; refused where it overflows, or where the mean of the squares `(..., 1)` does."""
    for name, array in (("the mean square of hidden", mean_square[..., 0]), ("the norm of hidden", normed)):
        _check_finite(name, array, "it overflows: use float64, or look for huge numbers in hidden or weight")
    return normed


def check_finish(
    logits: Any, bias: Any, multiplier: Any, divisor: Any, cap: Any
) -> tuple[np.ndarray, np.ndarray | None, np.floating, np.floating, np.floating]:
    """Logits `(..., V)` and their bias `(V,)` in the compute dtype, and the numbers rounded to it."""
    logits, bias, dtype = _with_vectors("logits", check_logits(logits), bias=bias)
    scales = (check_positive("multiplier", multiplier, dtype), check_positive("divisor", divisor, dtype))
    limit = in_dtype("cap", cap, dtype)
    if not limit > 0:  # written so that nan is refused
        raise bad_number("cap", cap, limit, "> 0; for no cap pass inf")
    return logits, bias, *scales, limit


def check_finished(
    finished: np.ndarray, logits: np.ndarray, start: int = 0, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """Logits after the bias and the scale; refused where a finite one has become infinite.

    A block `(N, width)` has the ids from `start` on of logits `(*shape, V)`.
    """
    bad = np.isinf(finished) & np.isfinite(logits)
    if bad.any():
        *rows, column = index = tuple(int(i) for i in np.argwhere(bad)[0])
        if shape is not None:
            rows = [int(i) for i in np.unravel_index(rows[0], shape)]
        name = place("((logits + bias) * multiplier / divisor)", (*rows, start + column))
        raise ValueError(
            f"{name} is {finished[index]}: it overflows; look for a huge logit or bias, or for a scale that is inverted"
        )
    return finished

"""What the PyTorch head refuses: the rules and the words of SPEC.md, checked on the device that holds the tensor.

`TypeError` for the wrong kind of thing, `ValueError` for the wrong value; the message names the argument, the value,
its place and what to do. Nothing is imported from the NumPy reference: the two are tested against each other.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

# 16-bit floats are storage formats here: computed in float32 (HEAD-2).
COMPUTE_DTYPE = dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), torch.float32)
COMPUTE_DTYPE[torch.float64] = torch.float64
QUOTIENT = "(logits / temperature={})"  # the name under which scaled logits are refused
INTEGERS = "token ids are integers"


def place(name: str, index: Sequence[int]) -> str:
    """An element as a person writes it: `logits[2, 417]`."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def first(mask: Tensor) -> tuple[int, ...]:
    """The index of the first true element of `mask`."""
    return tuple(mask.nonzero()[0].tolist())


def _check_floats(name: str, values: Any) -> Tensor:
    """A tensor of at least one axis, in the dtype to compute in."""
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} has type {type(values).__name__}: it must be a torch.Tensor")
    if values.dtype not in COMPUTE_DTYPE:
        raise TypeError(f"{name} has dtype {values.dtype}: convert it to float32 or float64")
    if values.dim() == 0:
        raise ValueError(f"{name} is a single number, {values.item()}: it needs at least one axis")
    return values.to(COMPUTE_DTYPE[values.dtype])


def check_factors(context: Any, embedding: Any) -> tuple[Tensor, Tensor]:
    """The two factors of the logits, shapes `(..., d)` and `(V, d)`, in one dtype."""
    context, embedding = _check_floats("context", context), _check_floats("embedding", embedding)
    if embedding.dim() != 2 or embedding.shape[0] == 0:
        raise ValueError(
            f"embedding has shape {tuple(embedding.shape)}: it must be (V, d), one row per token and V >= 1"
        )
    if context.shape[-1] != embedding.shape[1]:
        raise ValueError(
            f"context has d = {context.shape[-1]} (shape {tuple(context.shape)}) but embedding has "
            f"d = {embedding.shape[1]} (shape {tuple(embedding.shape)}): both need the same last axis; "
            "pass the embedding as (V, d), not its transpose"
        )
    dtype = torch.promote_types(context.dtype, embedding.dtype)
    return context.to(dtype), embedding.to(dtype)


def check_vocabulary(name: str, values: Any) -> Tensor:
    """Floats `(..., V)` with V >= 1, in the dtype to compute in; their values are not looked at."""
    tensor = _check_floats(name, values)
    if tensor.shape[-1] == 0:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: the last axis, the vocabulary, is empty")
    return tensor.contiguous()


def _not_finite(name: str, index: Sequence[int], value: Tensor) -> ValueError:
    return ValueError(
        f"{place(name, index)} is {value.item()}: it must be finite, or -inf for a masked token; "
        "look for nan, inf or an overflow in the context, the embedding or the mask, or for a tiny temperature"
    )


def check_logits(values: Any, name: str = "logits") -> Tensor:
    """Logits `(..., V)`: finite or -inf, and in each row at least one finite."""
    tensor = check_vocabulary(name, values)
    largest = tensor.amax(dim=-1)  # nan if the row has a nan, inf if it has an inf, -inf if it has nothing else
    if not largest.isfinite().all():
        row = first(~largest.isfinite())
        if largest[row] == -math.inf:
            check_some_unmasked(largest > -math.inf, name)  # raises, and for this row: all before it are finite
        index = (*row, *first(~(tensor[row] < math.inf)))
        raise _not_finite(name, index, tensor[index])
    return tensor


def check_block(block: Tensor, start: int, shape: Sequence[int], name: str = "logits") -> None:
    """Refuses nan and +inf in some columns `(N, width)` of the logits `(*shape, V)`, those from token id `start` on."""
    if block.numel() and not (block.amax(dim=1) < math.inf).all():
        row, column = first(~(block < math.inf))
        rows = torch.unravel_index(torch.tensor(row), tuple(shape))
        raise _not_finite(name, (*map(int, rows), start + column), block[row, column])


def check_some_unmasked(alive: Tensor, name: str = "logits") -> None:
    """Refuses rows of logits of which none is finite: `alive` `(...)` is false for them."""
    if not alive.all():
        raise ValueError(f"{place(name, first(~alive))} is -inf for every token: leave at least one token unmasked")


def check_temperature(value: Any, like: Tensor) -> Tensor:
    """The temperature as `check_positive` returns it."""
    return check_positive("temperature", value, like, "; for greedy decoding take the argmax of the logits instead")


def check_positive(name: str, value: Any, like: Tensor, advice: str = "") -> Tensor:
    """A number as a 0-d tensor on the device and in the dtype of `like`, in which it must be finite and > 0."""
    number = in_dtype(name, value, like)
    if not 0 < number < math.inf:
        raise bad_number(name, value, number, f"finite and > 0{advice}")
    return number


def check_finite_number(name: str, value: Any, like: Tensor) -> Tensor:
    """A number as a 0-d tensor on the device and in the dtype of `like`, in which it must be finite."""
    number = in_dtype(name, value, like)
    if not number.isfinite():
        raise bad_number(name, value, number, "finite")
    return number


def in_dtype(name: str, value: Any, like: Tensor) -> Tensor:
    """One real number as a 0-d tensor on the device and in the dtype of `like`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}: it must be one real number")
    try:
        return torch.tensor(float(value), dtype=like.dtype, device=like.device)
    except OverflowError:  # a Python integer beyond float64
        return torch.tensor(math.inf if value == abs(value) else -math.inf, dtype=like.dtype, device=like.device)


def bad_number(name: str, value: Any, number: Tensor, needed: str) -> ValueError:
    """The refusal of a number, which says what it was rounded to, if that is another."""
    rounded = number.item()
    as_rounded = f" ({rounded} in {number.dtype})" if value == value != rounded else ""
    return ValueError(f"{name} is {shown(value)}{as_rounded}: it must be {needed}")


def check_count(name: str, value: Any) -> int:
    """An integer >= 1: how many tokens to keep or to draw."""
    number = check_integer(name, value)
    if number < 1:
        hint = " (to keep every token pass k = V)" if name == "k" else ""
        raise ValueError(f"{name} is {shown(number)}: it must be at least 1{hint}")
    return number


def check_integer(name: str, value: Any) -> int:
    """One integer; not a bool, and not an array or tensor of one number."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} is {value!r}: it must be an integer")
    return int(value)


def shown(number: Any) -> str:
    """A number in a message: Python writes no integer of more than 4,300 digits."""
    try:
        return str(number)
    except ValueError:
        return f"an integer of {number.bit_length():,} bits"


def check_probabilities(values: Any, num_samples: int = 1) -> Tensor:
    """Weights `(..., V)`: finite, >= 0, and in each row at least `num_samples` above zero. They need not sum to 1."""
    probs = check_vocabulary("probs", values)
    good = (probs >= 0) & (probs < math.inf)  # false for nan
    if not good.all():
        index = first(~good)
        raise ValueError(f"{place('probs', index)} is {probs[index].item()}: it must be finite and >= 0")
    available = torch.count_nonzero(probs, dim=-1)
    if (available < num_samples).any():
        row = first(available < num_samples)
        if available[row] == 0:
            raise ValueError(f"{place('probs', row)} sums to zero: at least one token needs a probability above zero")
        tokens = "1 token" if available[row] == 1 else f"{available[row].item()} tokens"
        raise ValueError(
            f"num_samples is {num_samples} but {place('probs', row)} has only {tokens} of non-zero probability: "
            "draw fewer, or keep more tokens (a larger k)"
        )
    return probs


def check_generator(rng: Any) -> torch.Generator:
    """The source of randomness: always an argument, never PyTorch's hidden global one."""
    if not isinstance(rng, torch.Generator):
        raise TypeError(f"rng has type {type(rng).__name__}: it must be a torch.Generator on the device of probs")
    return rng


def as_tensor(name: str, values: Any, like: Tensor | None, needed: str) -> Tensor:
    """`values` as a tensor; if it is none yet, on the device of `like`, Python's floats in float64.

    PyTorch would round these to its default dtype, which is whatever the caller has set.
    """
    if isinstance(values, Tensor):
        return values
    device = None if like is None else like.device
    try:
        tensor = torch.as_tensor(values, device=device)
        of_python = tensor.is_floating_point() and not hasattr(values, "dtype")
        return torch.as_tensor(values, dtype=torch.float64, device=device) if of_python else tensor
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} has type {type(values).__name__}: {needed}") from None


def check_uniform(values: Any, probs: Tensor) -> Tensor:
    """Numbers in [0, 1), one per row of `probs`, in float64."""
    tensor = as_tensor("uniform", values, probs, "it must be a torch.Tensor")
    if tensor.dtype not in COMPUTE_DTYPE:
        raise TypeError(f"uniform has dtype {tensor.dtype}: convert it to float32 or float64")
    if tensor.shape != probs.shape[:-1]:
        raise ValueError(
            f"uniform has shape {tuple(tensor.shape)}: it must be {tuple(probs.shape[:-1])}, "
            "one number per row of probs"
        )
    good = (tensor >= 0) & (tensor < 1)
    if not good.all():
        index = first(~good)
        raise ValueError(f"{place('uniform', index)} is {tensor[index].item()}: it must be in [0, 1)")
    return tensor.double()


def check_total(values: Tensor) -> Tensor:
    """Running sums `(..., V)` of the probabilities; refused where the last, the total, overflows."""
    finite = values[..., -1].isfinite()
    if not finite.all():
        row = first(~finite)
        raise ValueError(f"the sum of {place('probs', row)} overflows: divide the row by its largest value first")
    return values


def check_token_ids(values: Any, shape: Sequence[int], vocab_size: int, of: str = "context vector") -> Tensor:
    """Integers in [0, V), one for each of what has that shape, as int64."""
    tensor = check_integers("token_ids", as_tensor("token_ids", values, None, INTEGERS))
    if tensor.shape != tuple(shape):
        raise ValueError(f"token_ids has shape {tuple(tensor.shape)}: it must be {tuple(shape)}, one id per {of}")
    check_range("token_ids", tensor, vocab_size, "leave out positions without a token")
    return tensor


def check_integers(name: str, tensor: Tensor) -> Tensor:
    """A tensor of integers, as int64: in a narrower dtype PyTorch would wrap what they are compared with."""
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex or tensor.dtype == torch.bool:
        raise TypeError(f"{name} has dtype {tensor.dtype}: {INTEGERS}")
    return tensor.long()


def check_range(name: str, ids: Tensor, vocab_size: int, advice: str) -> None:
    """Refuses ids outside [0, V)."""
    bad = (ids < 0) | (ids >= vocab_size)
    if bad.any():
        index = first(bad)
        raise ValueError(
            f"{place(name, index)} is {ids[index].item()}: it must be in [0, {vocab_size}), the vocabulary; {advice}"
        )


def check_ascending(token_ids: Tensor, probs: Tensor) -> None:
    """Refuses ids `(..., k)` of which one is less than the one before it, or the same with a probability above zero."""
    step = token_ids.diff(dim=-1)
    bad = (step < 0) | ((step == 0) & (probs[..., 1:] > 0))
    if bad.any():
        *row, last = first(bad)
        before, after = token_ids[(*row, last)].item(), token_ids[(*row, last + 1)].item()
        advice = "an id may stand once; add its probabilities"
        if before > after:
            advice = "ids must ascend; sort them and their probabilities"
        raise ValueError(f"{place('token_ids', (*row, last + 1))} is {after}, after {before}: {advice}")


def check_norm(
    hidden: Any, weight: Any, bias: Any, epsilon: Any, weight_offset: Any
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Hidden states `(..., d)`, the weight with its offset and the bias `(d,)`, and epsilon, in the compute dtype."""
    hidden, weight, bias = _with_vectors("hidden", hidden, weight=weight, bias=bias)
    _check_finite("hidden", hidden, "it must be finite; look for nan, inf or an overflow in the layers before")
    factor = weight + check_finite_number("weight_offset", weight_offset, hidden)
    factor = _check_finite("weight_offset + weight", factor)
    return hidden, factor, bias, check_positive("epsilon", epsilon, hidden)


def _with_vectors(name: str, values: Any, **vectors: Any) -> list[Any]:
    """`values` `(..., n)` and `vectors` `(n,)` or None, all in the widest of their compute dtypes."""
    rows = _check_floats(name, values)
    if rows.shape[-1] == 0:
        raise ValueError(f"{name} has shape {tuple(rows.shape)}: its last axis is empty")
    given: list[Tensor | None] = [rows]
    dtype = rows.dtype
    for called, vector in vectors.items():
        if vector is not None:
            vector = _check_floats(called, vector)
            dtype = torch.promote_types(dtype, vector.dtype)
            if vector.shape != rows.shape[-1:]:
                raise ValueError(
                    f"{called} has shape {tuple(vector.shape)}: it must be {tuple(rows.shape[-1:])}, "
                    f"one number for each of the last axis of {name} (shape {tuple(rows.shape)})"
                )
            _check_finite(called, vector)
        given.append(vector)
    return [tensor if tensor is None else tensor.to(dtype) for tensor in given]


def _check_finite(name: str, tensor: Tensor, words: str = "it must be finite; look for a damaged checkpoint") -> Tensor:
    """Refuses nan and infinity."""
    if not tensor.isfinite().all():
        index = first(~tensor.isfinite())
        raise ValueError(f"{place(name, index)} is {tensor[index].item()}: {words}")
    return tensor


OVERFLOWS = "it overflows: use float64, or look for huge numbers in hidden or weight"


def check_mean_square(mean_square: Tensor) -> None:
    """Refuses rows of which the mean of the squares `(...)` overflows, and the norm would be 0."""
    _check_finite("the mean square of hidden", mean_square, OVERFLOWS)


def check_normed(normed: Tensor) -> Tensor:
    """The result of a norm; refused where it overflows."""
    return _check_finite("the norm of hidden", normed, OVERFLOWS)


def check_finish(
    logits: Any, bias: Any, multiplier: Any, divisor: Any, cap: Any
) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:
    """Logits `(..., V)` and their bias `(V,)` in the compute dtype, and the numbers as tensors of that dtype."""
    logits, bias = _with_vectors("logits", check_logits(logits), bias=bias)
    scales = (check_positive("multiplier", multiplier, logits), check_positive("divisor", divisor, logits))
    limit = in_dtype("cap", cap, logits)
    if not limit > 0:  # written so that nan is refused
        raise bad_number("cap", cap, limit, "> 0; for no cap pass inf")
    return logits, bias, *scales, limit


def check_finished(finished: Tensor, logits: Tensor, start: int = 0, shape: Sequence[int] | None = None) -> None:
    """Refuses a finite logit that has become infinite under the bias and the scale.

    A block `(N, width)` has the ids from `start` on of logits `(*shape, V)`.
    """
    bad = finished.isinf() & logits.isfinite()
    if bad.any():
        *rows, column = index = first(bad)
        if shape is not None:
            rows = [int(i) for i in torch.unravel_index(torch.tensor(rows[0]), tuple(shape))]
        name = place("((logits + bias) * multiplier / divisor)", (*rows, start + column))
        raise ValueError(
            f"{name} is {finished[index].item()}: it overflows; "
            "look for a huge logit or bias, or for a scale that is inverted"
        )

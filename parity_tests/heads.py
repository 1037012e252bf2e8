"""The implementations under test, each behind the same functions on NumPy arrays."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import reference
import torch_impl
from reference.operations import STAGES, TIES


@dataclass(frozen=True, repr=False)
class Head:
    """An LM head, its operations by name: `head.softmax(logits)`, with the arguments and refusals of the reference.

    `torch_rng` takes a seed and gives what `multinomial` takes as `rng`.
    """

    name: str
    operations: Mapping[str, Callable[..., Any]]
    takes_noise: bool = True  # whether `multinomial` can be handed noise through `rng`
    our_words: bool = True  # whether its refusals are worded as ours are
    absent: tuple[str, ...] = ()  # the operations that it does not have
    ties: tuple[str, ...] = TIES  # what its `keep_top_k` takes

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            return self.__dict__["operations"][name]
        except KeyError:
            raise AttributeError(f"a head has no {name}") from None

    def __repr__(self) -> str:
        return self.name

    def but(self, name: str, **operations: Callable[..., Any]) -> "Head":
        """Another head, called `name`: this one with some operations replaced."""
        return replace(self, name=name, operations={**self.operations, **operations})

    def drawing_its_own_noise(self) -> "Head":
        """The same, said not to take noise through `rng`."""
        return replace(self, takes_noise=False)

    def composed(self) -> "Head":
        """The same, its `lm_head` made of its own stages."""

        def lm_head(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> Any:
            scaled = self.apply_temperature(self.compute_logits(context, embedding), temperature)
            return self.softmax(self.keep_top_k(scaled, k))

        return self.but(self.name, lm_head=lm_head)


def keeps_with(top_k: Callable[..., Any]) -> Callable[..., Any]:
    """`keep_top_k` that keeps what this `top_k` selects."""

    def keep_top_k(logits: Any, k: int, ties: Any = "lowest_id") -> Any:
        kept = np.array(reference.keep_top_k(logits, k, ties))
        if ties == "lowest_id":
            values, token_ids = top_k(logits, k)
            kept.fill(-np.inf)
            np.put_along_axis(kept, token_ids, values, axis=-1)
        return kept

    return keep_top_k


def to_torch(array: Any) -> Any:
    """A tensor with the same values, and the same memory layout where PyTorch can have it; other objects unchanged."""
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype == ml_dtypes.bfloat16:
        return to_torch(array.view(np.int16)).view(torch.bfloat16)
    if array.flags.writeable and all(stride >= 0 for stride in array.strides):
        return torch.from_numpy(array)
    return torch.tensor(array.copy())


def to_numpy(result: Any) -> Any:
    """Back to NumPy; tuples element by element."""
    if isinstance(result, tuple):
        return tuple(to_numpy(part) for part in result)
    return result.numpy() if isinstance(result, torch.Tensor) else result


def on_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function on tensors as a function on arrays."""

    def on_arrays(*args: Any, **kwargs: Any) -> Any:
        return to_numpy(function(*map(to_torch, args), **{name: to_torch(value) for name, value in kwargs.items()}))

    return on_arrays


def torch_generator(seed: int) -> torch.Generator:
    """What the mirror draws from."""
    return torch.Generator().manual_seed(seed)


REFERENCE = Head(
    "reference", {**{name: getattr(reference, name) for name in STAGES}, "torch_rng": reference.TorchGenerator}
)
MIRROR = Head(
    "torch_impl",
    {**{name: on_tensors(getattr(torch_impl, name)) for name in STAGES}, "torch_rng": torch_generator},
    takes_noise=False,
)

NO_HEAD = (ImportError, AttributeError, SyntaxError, TypeError)  # what `from_name` raises


def from_name(name: str) -> Head:
    """The head called `MODULE` or `MODULE:OBJECT`: a `Head`, or anything that has functions of `reference.head`.

    Its functions take the arguments of the reference by the same names, with the same defaults; `ties` of `keep_top_k`
    may be left out. Tests of a function that it lacks are skipped and say so. `generator` (or `TorchGenerator`) and
    `takes_noise` may be given as in `Head`.
    Raises: ImportError, AttributeError or SyntaxError if there is no such object, TypeError if it has none of the
    functions, or one with other arguments.
    """
    module, _, path = name.partition(":")
    if "/" in module or module.endswith(".py"):
        dotted = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ImportError(f"{module} is a path: name the module from the current folder, as {dotted}")
    found = importlib.import_module(module)
    for attribute in path.split(".") if path else ():
        found = getattr(found, attribute)
    if isinstance(found, Head):
        return found
    given = {operation: getattr(found, operation) for operation in STAGES if hasattr(found, operation)}
    if not given:
        raise TypeError(f"head {name!r} has none of the functions {', '.join(STAGES)}")
    for operation, function in given.items():
        _refuse_other_arguments(operation, function)
    ties: tuple[str, ...] = TIES
    if "keep_top_k" in given and not _accepts(given["keep_top_k"], ["logits", "k", "ties"]):
        ties, given["keep_top_k"] = ("lowest_id",), _without_ties(given["keep_top_k"], name)
    for called in ("generator", "TorchGenerator"):  # the second as `reference` calls it
        if hasattr(found, called):
            given.setdefault("torch_rng", getattr(found, called))
    absent = tuple(operation for operation in REFERENCE.operations if operation not in given)
    # Without a stream of its own it draws from the reference's: `multinomial` is judged all the same.
    given |= {operation: _missing(name, operation) for operation in absent if operation != "torch_rng"}
    given.setdefault("torch_rng", reference.TorchGenerator)
    takes_noise = getattr(found, "takes_noise", True)
    return Head(name, given, takes_noise, our_words=False, absent=absent, ties=ties)


def _accepts(function: Callable[..., Any], names: list[str]) -> bool:
    """Whether it can be called with these arguments by name, and with no others."""
    try:
        inspect.signature(function).bind(**dict.fromkeys(names))
    except TypeError:
        return False
    except ValueError:  # a function in C may not say what it takes
        return True
    return True


def _refuse_other_arguments(name: str, function: Callable[..., Any]) -> None:
    """Raises TypeError unless `function` can be called as the reference's is: by name, with the same defaults."""
    wanted = inspect.signature(getattr(reference, name)).parameters.values()
    required = [p.name for p in wanted if p.default is p.empty]
    if not (_accepts(function, required) and _accepts(function, [p.name for p in wanted if p.name != "ties"])):
        found = inspect.signature(function) if callable(function) else f"nothing, it has type {type(function).__name__}"
        arguments = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in wanted)
        raise TypeError(f"{name} takes {found}: it must take, by these names, ({arguments})")


def _without_ties(keep_top_k: Callable[..., Any], name: str) -> Callable[..., Any]:
    def lowest_id_alone(logits: Any, k: int, ties: str = "lowest_id") -> Any:
        if ties != "lowest_id":
            pytest.skip(f"{name} has no ties={ties!r}")
        return keep_top_k(logits, k)

    return lowest_id_alone


def _missing(name: str, function: str) -> Callable[..., Any]:
    def skip(*_: Any, **__: Any) -> Any:
        pytest.skip(f"{name} has no {function}")

    return skip

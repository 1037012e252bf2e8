"""The implementations under test. All of them have the same functions, on NumPy arrays."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import currently_in_test_context, reject

import reference
import torch_impl
from reference.operations import CALLED, DEFAULTS, OPERATIONS, STAGES

from .contract import OPTIONS, SPECIFIED, Contract


@dataclass(frozen=True, repr=False)
class Head:
    """An LM head with its operations by name: `head.softmax(logits)` takes and refuses the same as the reference's.

    `torch_rng` takes a seed and returns a source of noise that `multinomial` takes as `rng`.
    """

    name: str
    operations: Mapping[str, Callable[..., Any]]
    takes_noise: bool = True  # whether `multinomial` takes its noise from any `rng` that it is given
    our_words: bool = True  # whether its error messages are those of the reference
    absent: tuple[str, ...] = ()  # the operations that it does not have
    contract: Contract = SPECIFIED  # what it declares where runtimes differ on purpose

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            return self.__dict__["operations"][name]
        except KeyError:
            raise AttributeError(f"a head has no {name}") from None

    def __repr__(self) -> str:
        return self.name

    @property
    def ties(self) -> tuple[str, ...]:
        """The tie rules that it follows. If there are several, its `keep_top_k` takes them as `ties`."""
        return self.contract.ties

    def but(self, name: str, **operations: Callable[..., Any]) -> "Head":
        """A head called `name`: this one with some operations replaced."""
        return replace(self, name=name, operations={**self.operations, **operations})

    def drawing_its_own_noise(self) -> "Head":
        """The same head, marked as one that does not take noise through `rng`."""
        return replace(self, takes_noise=False)

    def composed(self) -> "Head":
        """The same head, with an `lm_head` made of its own stages."""

        def lm_head(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> Any:
            scaled = self.apply_temperature(self.compute_logits(context, embedding), temperature)
            return self.softmax(self.keep_top_k(scaled, k))

        return self.but(self.name, lm_head=lm_head)


def keeps_with(top_k: Callable[..., Any]) -> Callable[..., Any]:
    """A `keep_top_k` that keeps the tokens that this `top_k` selects."""

    def keep_top_k(logits: Any, k: int, ties: Any = "lowest_id") -> Any:
        kept = np.array(reference.keep_top_k(logits, k, ties))
        if ties == "lowest_id":
            values, token_ids = top_k(logits, k)
            kept.fill(-np.inf)
            np.put_along_axis(kept, token_ids, values, axis=-1)
        return kept

    return keep_top_k


def to_torch(array: Any) -> Any:
    """A tensor with the same values and, if PyTorch allows, the same memory layout. Other objects are unchanged."""
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype == ml_dtypes.bfloat16:
        return to_torch(array.view(np.int16)).view(torch.bfloat16)
    if array.flags.writeable and all(stride >= 0 for stride in array.strides):
        return torch.from_numpy(array)
    return torch.tensor(array.copy())


def to_numpy(result: Any) -> Any:
    """The array of a tensor, also inside a tuple. Other objects are unchanged."""
    if isinstance(result, tuple):
        return tuple(to_numpy(part) for part in result)
    return result.numpy() if isinstance(result, torch.Tensor) else result


def on_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function on tensors as a function on arrays."""

    def on_arrays(*args: Any, **kwargs: Any) -> Any:
        return to_numpy(function(*map(to_torch, args), **{name: to_torch(value) for name, value in kwargs.items()}))

    return on_arrays


def torch_generator(seed: int) -> torch.Generator:
    """The generator that the mirror draws from."""
    return torch.Generator().manual_seed(seed)


def functions_of(found: Any) -> dict[str, Callable[..., Any]]:
    """Those functions of a head that a module or another object has, by name."""
    return {operation: getattr(found, operation) for operation in CALLED if hasattr(found, operation)}


REFERENCE = Head("reference", {**functions_of(reference), "torch_rng": reference.TorchGenerator})
_ON_ARRAYS = {name: on_tensors(function) for name, function in functions_of(torch_impl).items()}
MIRROR = Head("torch_impl", {**_ON_ARRAYS, "torch_rng": torch_generator}, takes_noise=False)

NO_HEAD = (ImportError, AttributeError, SyntaxError, TypeError, ValueError)  # the errors that `from_name` raises


def from_name(name: str) -> Head:
    """The head called `MODULE` or `MODULE:OBJECT`: a `Head`, or any object with functions of `reference.head`.

    Each function must take the arguments of the reference by the same names, with the same defaults. Only `ties` and
    `until` may be missing. Tests of a missing function are skipped with a message. The object may also
    have `generator` (or `TorchGenerator`), which becomes `torch_rng`, and `takes_noise`; see `Head`. A mapping
    `contract` declares what it does where runtimes differ on purpose; see `contract.Contract`.
    Raises: ImportError, AttributeError or SyntaxError if there is no such object; TypeError if it has none of the
    functions, or one with other arguments; ValueError for a contract that is none.
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
    given = functions_of(found)
    if not given:
        raise TypeError(f"head {name!r} has none of the functions {', '.join(STAGES)}")
    for operation, function in given.items():
        _refuse_other_arguments(operation, function)
    lacking = {operation: _options_it_lacks(operation, function) for operation, function in given.items()}
    first: dict[str, Any] = {option: (DEFAULTS[option],) for options in lacking.values() for option in options}
    default = replace(SPECIFIED, **first)
    said = getattr(found, "contract", {})
    if not isinstance(said, Mapping) or not set(said) <= set(vars(SPECIFIED)):
        raise ValueError(f"contract is {said!r}: it must be a dictionary with keys from {', '.join(vars(SPECIFIED))}")
    try:
        contract = Contract.read(said, default)
    except ValueError as error:
        raise ValueError(f"contract: {error}") from None
    for operation, options in lacking.items():
        if options:
            given[operation] = _without_options(operation, given[operation], options, name, contract)
    if set(contract.dtypes) != set(SPECIFIED.dtypes):
        given = {operation: _of_its_dtypes(function, name, contract.dtypes) for operation, function in given.items()}
    for called in ("generator", "TorchGenerator"):  # the second is the name in `reference`
        if hasattr(found, called):
            given.setdefault("torch_rng", getattr(found, called))
    absent = tuple(operation for operation in REFERENCE.operations if operation not in given)
    # A head without a random stream of its own gets that of the reference, so that `multinomial` can be judged.
    given |= {operation: _missing(name, operation) for operation in absent if operation != "torch_rng"}
    given.setdefault("torch_rng", np.random.default_rng if contract.stream == "own" else reference.TorchGenerator)
    takes_noise = getattr(found, "takes_noise", True)
    return Head(name, given, takes_noise, our_words=False, absent=absent, contract=contract)


def _accepts(function: Callable[..., Any], names: list[str]) -> bool:
    """Whether the function can be called with exactly these arguments, by name."""
    try:
        inspect.signature(function).bind(**dict.fromkeys(names))
    except TypeError:
        return False
    except ValueError:  # a function written in C may have no signature to look at
        return True
    return True


def _refuse_other_arguments(name: str, function: Callable[..., Any]) -> None:
    """Raise TypeError unless `function` can be called like the reference's: by name, leaving out what has a default."""
    wanted = inspect.signature(getattr(reference, name)).parameters.values()
    required = [p.name for p in wanted if p.default is p.empty]
    if not (_accepts(function, required) and _accepts(function, [p.name for p in wanted if p.name not in OPTIONS])):
        found = f"takes {inspect.signature(function)}" if callable(function) else f"has type {type(function).__name__}"
        arguments = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in wanted)
        raise TypeError(f"{name} {found}: it must take, by these names, ({arguments})")


def _options_it_lacks(name: str, function: Callable[..., Any]) -> list[str]:
    """Those of OPTIONS that the operation has and the function does not take."""
    arguments = [p for p in inspect.signature(getattr(reference, name)).parameters if p not in OPTIONS]
    options = [option for option in OPTIONS if option in OPERATIONS[name].arguments]
    return [option for option in options if not _accepts(function, [*arguments, option])]


def _without_options(
    operation: str, function: Callable[..., Any], options: list[str], name: str, contract: Contract
) -> Callable[..., Any]:
    """The function as one that takes these options, where they have a value that the head has."""
    signature = inspect.signature(getattr(reference, operation))

    def of_one_kind(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        for option in options:
            value = arguments.pop(option, DEFAULTS[option])
            if value not in getattr(contract, option) and "any" not in getattr(contract, option):
                pytest.skip(f"{name} has no {option}={value!r}")
        return function(**arguments)

    return of_one_kind


def _of_its_dtypes(function: Callable[..., Any], name: str, dtypes: tuple[str, ...]) -> Callable[..., Any]:
    """The function; a test that asks it about another dtype is skipped, a random case of that kind passed over."""

    def in_its_dtypes(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            dtype = value.dtype.name if isinstance(value, np.ndarray) else ""
            if dtype in SPECIFIED.dtypes and dtype not in dtypes:
                if currently_in_test_context():
                    reject()
                pytest.skip(f"{name} has no {dtype}")
        return function(*args, **kwargs)

    return in_its_dtypes


def _missing(name: str, function: str) -> Callable[..., Any]:
    def skip(*_: Any, **__: Any) -> Any:
        pytest.skip(f"{name} has no {function}")

    return skip

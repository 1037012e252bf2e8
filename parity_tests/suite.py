"""Runs the suite's tests of one stage on any head, inside this process. Mutants and variants are judged this way.

`run(stages, head)` calls the same test functions that pytest collects, with `head` as the fixture of that name. It
stops at the first test that fails. Hypothesis runs 20 fixed examples for each test and does not shrink.
"""

import importlib.util
import inspect
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

from reference.operations import WITH_VECTORS

from .heads import Head
from .judges.words import UnusualWarning
from .local_torch_rng import local_stream_is_mt19937

MODULES = {operation.name: f"test_{operation.family or operation.file}" for operation in WITH_VECTORS}
COMMON = ("test_refusals", "test_lm_head")  # the refusals of each operation, and what holds for all operations

settings.register_profile(
    "suite",
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,  # one failure is enough to reject a head
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Failure:
    """The first check that a head failed: its name, the rules that it tests, and its message."""

    test: str
    rules: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{self.test} ({', '.join(self.rules)}): {self.message}"


@dataclass(frozen=True)
class Check:
    """One test function with all its parameters but the head."""

    name: str
    rules: tuple[str, ...]
    call: Callable[[Head], Any]
    random: bool  # whether Hypothesis draws its cases
    operations: frozenset[str]  # those of its module that its parameters name, and that alone it calls


@cache
def gpt2_shaped() -> tuple[np.ndarray, np.ndarray]:
    """`context (64, 768)` and `embedding (50_257, 768)` like GPT-2's: a few hidden dimensions are 40 times as large."""
    rng = np.random.default_rng(768)
    context = rng.standard_normal((64, 768), dtype=np.float32) * 2
    context[:, [138, 378, 447]] *= 40
    embedding = rng.standard_normal((50_257, 768), dtype=np.float32) * np.float32(0.14)
    return context, embedding


@cache
def _fewer_tokens() -> tuple[np.ndarray, np.ndarray]:
    """Every tenth of these tokens: the sums are as long and the rounding errors as large, in a tenth of the time."""
    context, embedding = gpt2_shaped()
    return context, embedding[::10].copy()


FIXTURES: dict[str, Callable[[], Any]] = {"gpt2_shaped": _fewer_tokens}


@cache
def _module(name: str) -> ModuleType:
    """A copy of a test module, under the Hypothesis profile of this suite.

    `@given` takes the settings of the profile that is loaded while it decorates, and keeps them. The module that pytest
    has imported is therefore bound to pytest's profile, with many examples and shrinking. For one head that is right;
    for every mutant it would take far too long. So the module is executed again while the profile "suite" is loaded.
    This copy does not enter `sys.modules`, so the tests that pytest runs keep their own settings.
    """
    spec = importlib.util.find_spec(f"{__package__}.{name}")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    before = settings.get_current_profile_name()
    settings.load_profile("suite")
    try:
        spec.loader.exec_module(module)
    finally:
        settings.load_profile(before)
    return module


@cache
def checks(module_name: str) -> tuple[Check, ...]:
    """The tests of a module that take a `head` or a `generator`, once for each set of their parameters.

    Tests that need another fixture than those in `FIXTURES` are left out.
    """
    return tuple(_checks(module_name))


def _checks(module_name: str) -> Iterator[Check]:
    for name, function in vars(_module(module_name)).items():
        parameters = set(inspect.signature(function).parameters) if name.startswith("test_") else set()
        if not parameters & {"head", "generator"}:
            continue
        marks = getattr(function, "pytestmark", [])
        if any(mark.name == "usefixtures" for mark in marks) and not local_stream_is_mt19937():
            continue
        rules = tuple(rule for mark in marks if mark.name == "spec" for rule in mark.args)
        for arguments in _parameters(marks):
            needed = parameters - arguments.keys() - {"head", "generator"}
            if needed <= FIXTURES.keys():
                call = _caller(function, parameters, arguments, needed)
                named = frozenset(v for v in arguments.values() if isinstance(v, str) and MODULES.get(v) == module_name)
                yield Check(f"{module_name}.{name}", rules, call, is_hypothesis_test(function), named)


def _caller(
    function: Callable[..., Any], parameters: set[str], arguments: dict[str, Any], fixtures: set[str]
) -> Callable[[Head], Any]:
    def call(head: Head) -> Any:
        values = {**arguments, **{name: FIXTURES[name]() for name in fixtures}}
        if "head" in parameters:
            values["head"] = head
        if "generator" in parameters:
            values["generator"] = head.torch_rng
        return function(**values)

    return call


def _parameters(marks: list[Any]) -> Iterator[dict[str, Any]]:
    """The keyword arguments of each case: the product of all `parametrize` marks."""
    axes = []
    for mark in marks:
        if mark.name == "parametrize":
            names, values = mark.args[:2]
            names = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
            axes.append([dict(zip(names, v if len(names) > 1 else (v,), strict=True)) for v in values])
    for combination in itertools.product(*axes):
        yield {name: value for part in combination for name, value in part.items()}


def run(stages: str | Iterable[str], head: Head, first: str = "") -> Failure | None:
    """The first failure in the checks of one or more `stages`, or None if the head passes them all.

    A stage is the name of an operation that has vectors. Checks whose parameters name another one are left out. A
    result that is only unusual counts as a failure. The checks that test the rule `first` run first, those by hand
    before random ones: a mutant of this rule then fails soon.
    Raises: ValueError for an unknown stage.
    """
    stages = [stages] if isinstance(stages, str) else list(stages)
    for stage in stages:
        if stage not in MODULES:
            raise ValueError(f"stage is {stage!r}: it must be one of {', '.join(MODULES)}")
    modules = dict.fromkeys([*(MODULES[stage] for stage in stages), *COMMON])
    todo = [check for module in modules for check in checks(module) if check.operations <= {*stages}]
    for check in sorted(todo, key=lambda check: (first not in check.rules, check.random)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UnusualWarning)
                check.call(head)
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception) as error:
            return Failure(check.name, check.rules, f"{type(error).__name__}: {error}")
    return None

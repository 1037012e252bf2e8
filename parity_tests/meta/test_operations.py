"""The table of operations is complete, and the only one: nothing else lists them."""

import ast
import inspect
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import reference
import torch_impl
from reference.operations import DEFAULTS, OPERATIONS, REFUSALS, STAGES, TIES, WITH_VECTORS

from .. import suite, verdict
from .test_spec import RULES

ROOT = Path(reference.__file__).parents[1]
# Where the operations themselves are: the table, the packages that export their own functions of these names, the
# bounds among them, and the classes of Transformers that compute some of them.
PACKAGES = ("reference", "reference/bounds", "torch_impl")
CLASSES = "parity_tests/engine_variants.py"
IMPLEMENTATIONS = {"reference/operations.py", CLASSES, *(f"{package}/__init__.py" for package in PACKAGES)}
FIELDS = "ports/ask/dialect.py"  # of a server's requests: some have the names of operations


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("package", [reference, torch_impl], ids=lambda package: package.__name__)
def test_each_is_a_function_with_these_arguments_and_defaults(package: object, name: str) -> None:
    parameters = inspect.signature(getattr(package, name)).parameters
    randomness = {"noise", "seed"}  # in Python an `rng` hands out either
    handed = randomness if randomness <= OPERATIONS[name].arguments.keys() else set()
    assert [p for p in parameters if p != "rng"] == [a for a in OPERATIONS[name].arguments if a not in handed]
    assert ("rng" in parameters) == bool(handed)
    for parameter in parameters.values():
        assert parameter.default in (parameter.empty, OPERATIONS[name].defaults.get(parameter.name)), parameter


def test_each_has_what_the_suite_needs() -> None:
    assert verdict.JUDGES.keys() == set(STAGES)
    for operation in WITH_VECTORS:
        assert list(suite.checks(suite.MODULES[operation.name])), operation.name
    for operation in OPERATIONS.values():
        assert set(operation.parts) <= OPERATIONS.keys()
        assert set(operation.refusals) <= REFUSALS.keys()


def test_rules_are_those_of_the_spec() -> None:
    assert {rule for operation in OPERATIONS.values() for rule in operation.rules} == set(RULES)
    assert {operation.rule for operation in OPERATIONS.values()} - {""} <= set(RULES)
    assert {rule for _, rules in REFUSALS.values() for rule in rules} <= set(RULES)


def test_it_needs_the_standard_library_alone() -> None:
    source = (ROOT / "reference" / "operations.py").read_text("utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert modules == {"collections.abc", "dataclasses", "typing"}
    assert TIES[0] == DEFAULTS["ties"]


def texts(nodes: Iterable[ast.AST | None]) -> list[str]:
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def lists(source: str) -> Iterator[tuple[int, list[str]]]:
    """Line and names of every place that lists three operations or more.

    That is a literal whose elements or keys they are, a class with fields of their names, and a function that compares
    with their names one after the other. A list of hand-made cases that begin with an operation's name does not count.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            found = texts(node.elts)
        elif isinstance(node, ast.Dict):
            found = texts(node.keys)
        elif isinstance(node, ast.ClassDef):
            found = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        elif isinstance(node, ast.FunctionDef):
            sides = [side for n in ast.walk(node) if isinstance(n, ast.Compare) for side in (n.left, *n.comparators)]
            found = texts(e for side in sides for e in getattr(side, "elts", [side]))
        else:
            continue
        names = sorted(set(found) & {operation.name for operation in WITH_VECTORS})
        if len(names) > 2:
            yield node.lineno, names


def test_nothing_else_lists_operations() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [
        name
        for name in tracked.stdout.splitlines()
        if name not in {*IMPLEMENTATIONS, FIELDS} and (ROOT / name).is_file()
    ]
    assert len(files) > 100
    places = [(name, *place) for name in files for place in lists((ROOT / name).read_text("utf-8"))]
    assert not places, "derive it from reference/operations.py"


@pytest.mark.parametrize(
    "source",
    [
        "STAGES = ('softmax', 'top_k', 'lm_head')",
        "RULE = {'softmax': 1, 'top_k': 2, 'lm_head': 3}",
        "class Head:\n    softmax: int\n    top_k: int\n    lm_head: int",
        "def f(x):\n    if x == 'softmax':\n        return 1\n    if x in ('top_k', 'lm_head'):\n        return 2",
    ],
)
def test_a_list_would_be_found(source: str) -> None:
    assert [" ".join(names) for _, names in lists(source)] == ["lm_head softmax top_k"]

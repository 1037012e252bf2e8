"""SPEC.md and the tests agree: every rule has a test, and rules that a test or a docstring names exist."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import parity_tests
import reference

from .. import suite

RULES = re.findall(r"^### ([A-Z]+-\d+)", Path(reference.__file__).with_name("SPEC.md").read_text("utf-8"), re.MULTILINE)


def rules_of_tests() -> Iterator[tuple[str, str]]:
    """(test, rule) for every `spec` marker in `parity_tests`."""
    root = Path(parity_tests.__file__).parent
    for path in sorted(root.rglob("test_*.py")):
        module = importlib.import_module(".".join(["parity_tests", *path.relative_to(root).with_suffix("").parts]))
        of_module = getattr(module, "pytestmark", [])
        for name, function in vars(module).items():
            if name.startswith("test_"):
                marks = [
                    *getattr(function, "pytestmark", []),
                    *(of_module if isinstance(of_module, list) else [of_module]),
                ]
                for rule in (rule for mark in marks if mark.name == "spec" for rule in mark.args):
                    yield f"{path.stem}.{name}", rule


def test_rules_are_numbered_without_gaps() -> None:
    assert len(RULES) == len(set(RULES)) > 30
    for stage in {rule.split("-")[0] for rule in RULES}:
        numbers = [int(rule.split("-")[1]) for rule in RULES if rule.split("-")[0] == stage]
        assert numbers == list(range(1, len(numbers) + 1)), stage


def test_every_rule_has_a_test() -> None:
    assert set(RULES) - {rule for _, rule in rules_of_tests()} == set()


def test_every_test_of_a_head_names_its_rules() -> None:
    of_heads = {
        check.name for module in sorted({*suite.MODULES.values(), *suite.COMMON}) for check in suite.checks(module)
    }
    assert len(of_heads) > 60
    assert of_heads - {test for test, _ in rules_of_tests()} == set()


def test_every_test_names_rules_that_exist() -> None:
    assert {(test, rule) for test, rule in rules_of_tests() if rule not in RULES} == set()


def test_code_cites_rules_that_exist() -> None:
    root = Path(reference.__file__).parent.parent
    files = [path for folder in ("reference", "torch_impl", "parity_tests") for path in (root / folder).rglob("*.py")]
    assert len(files) > 20
    pattern = re.compile(rf"\b(?:{'|'.join(sorted({rule.split('-')[0] for rule in RULES}))})-\d+\b")
    for path in files:
        assert set(pattern.findall(path.read_text("utf-8"))) <= set(RULES), path

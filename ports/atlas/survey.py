"""Runs one implementation on every vector and on random cases, and records what it does at each rule of SPEC.md.

An implementation is called through an adapter: a module of `adapters` with any of the functions of `reference.head`,
and these names:

- `TITLE`, `SHORT`, `PACKAGES`: its name, the heading of its column, and the packages whose versions are recorded.
- `DTYPES`: the dtypes that it can take; all four by default.
- `TIES = "all"` if it follows TOPK-7. `keep_top_k` has no argument `ties` here, as most implementations know one rule.
  `TIES_OF` names the rule of other functions, "any" where any of the tied stay, such as `{"keep_top_p": "any"}`.
- `POINTERS = True` if it takes one row of floats and nothing else, like a C function. The adapter calls it row by row,
  so HEAD-2 to HEAD-4 do not apply.
- `draw(logits) -> id`: draws one token from its own random stream, for `questions.py`.
- `PROFILE` and what goes with it, for an engine that has a profile: see `settings.py`.

An adapter adds no decisions and no checks of its own: the atlas must show the implementation, not the adapter.
"""

import importlib
import platform
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import reference
from parity_tests.judges.words import BAD, Word, brief
from reference.operations import OPERATIONS

from ..checker import random_cases, vector_cases
from ..checker.port import Port
from ..vectors import load_all
from . import questions, settings
from .calls import Known, ports_of
from .evidence import Finding, blamed, of_vector, raised

PLATFORM = f"{platform.system()} {platform.machine()}"
SPEC = Path(reference.__file__).with_name("SPEC.md")
EXAMPLES = 60  # random cases for each stage, as many as the checker runs by default
# The size of a random case, larger than that of any vector. A vector has a comment and stays the same, while the random
# case that fails may depend on the last bits of the processor. So the page shows a vector whenever one differs.
RANDOM = 10**6


def adapter(name: str) -> ModuleType:
    """The module of an adapter. Raises: ImportError if the implementation is not installed."""
    return importlib.import_module(f"{__package__}.adapters.{name}")


def versions(module: ModuleType) -> dict[str, str]:
    """The versions of the adapter's packages, without a local label such as `+cpu`."""
    return {package: metadata.version(package).partition("+")[0] for package in module.PACKAGES}


def profiled(module: ModuleType) -> bool:
    """Whether it is an engine with a profile, which can be asked what its settings do."""
    return hasattr(module, "PROFILE")


def survey(name: str, date: str) -> dict[str, Any]:
    """The record of one implementation, as plain data."""
    module = adapter(name)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # bad input causes many; the record says what was answered
        found = list(findings(module))
        answers = questions.answers(module)
        of_engine = {"profile": module.PROFILE, "settings": settings.answers(module)} if profiled(module) else {}
    rules: dict[str, Any] = {}
    for rule in sorted({finding.rule for finding in found}, key=_order):
        of_rule = [finding for finding in found if finding.rule == rule]
        differing = sorted((f for f in of_rule if f.difference), key=lambda f: f.size)
        rules[rule] = {"cases": len(of_rule), "differ": len(differing)}
        if differing:
            rules[rule] |= {"in": list(dict.fromkeys(f.op for f in differing)), "smallest": differing[0].difference}
    return {
        "name": name,
        "title": module.TITLE,
        "short": module.SHORT,
        "about": " ".join((module.__doc__ or "").split()),
        "versions": versions(module),
        "platform": PLATFORM,
        "date": date,
        "rules": rules,
        "answers": answers,
        **of_engine,
    }


def _order(rule: str) -> int:
    """The position of a rule in SPEC.md, as a sort key."""
    return SPEC.read_text("utf-8").index(f"### {rule} ")


def findings(module: ModuleType) -> Iterator[Finding]:
    """The findings about all of its functions."""
    for port in ports_of(module):
        yield from _findings(port, getattr(module, "POINTERS", False))


def _findings(port: Port, pointers: bool) -> Iterator[Finding]:
    """The findings from all vectors, then from the random cases.

    A random search stops at its first failure. If the vectors have shown that an operation fails on batches, nearly
    every random case would only show that again. So the vectors also collect what is known, and the random cases avoid
    it.
    """
    narrow: set[str] = set()  # dtypes that are answered in another dtype
    refused: set[str] = set()  # operations that refuse some good input
    batches: set[str] = set()  # operations that treat a batch unlike its rows
    for case, verdict in vector_cases.run(port, [case for file in load_all() for case in file.cases], "vectors"):
        if verdict.word == Word.NOT_CHECKED:
            continue
        for finding in of_vector(case, verdict, blamed(case, verdict, port)):
            if not (pointers and finding.rule in ("HEAD-2", "HEAD-3", "HEAD-4")):
                yield finding
            if finding.refuses:
                refused.add(case.op)
            if finding.difference and finding.rule == "HEAD-4":
                batches.add(case.op)
            if finding.rule == "HEAD-2" and finding.difference and case.result != "invalid":
                narrow |= {value["dtype"] for value in case.inputs.values() if isinstance(value, dict)}
    # 16-bit floats are left out of the random cases: most implementations answer them in 16 bits, against HEAD-2.
    dtypes = tuple(name for name in ("float32", "float64") if name in port.contract.dtypes and name not in narrow)
    # Random heads often tie at the cut. There a head that follows TOPK-7 is right to differ from the reference.
    operations = tuple(op for op in port.operations if op != "lm_head" or port.contract.ties != ("all",))
    contract = replace(port.contract, dtypes=dtypes or ("float32",))
    quiet = replace(port, contract=contract, operations=operations, call=Known(port.call, refused, batches))
    for verdict in random_cases.run(quiet, EXAMPLES):
        if verdict.word in BAD:
            # No rule, or HEAD-5: good input got no answer at all. Then the rule that defines the operation is broken.
            rule = verdict.rule if verdict.rule not in ("", "HEAD-5") else OPERATIONS[verdict.operation].rule
            call = f"`{verdict.operation}({verdict.about})`"
            if isinstance(verdict.actual, Exception):
                difference = f"{call} {raised(verdict.actual)}"
            else:
                actual = f"; gives {brief(verdict.actual)}; the rule: {brief(verdict.expected)}"
                difference = f"{call} {verdict.reason}{actual}"
            yield Finding(rule, verdict.operation, difference, RANDOM)

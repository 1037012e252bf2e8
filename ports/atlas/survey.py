"""One implementation held against every vector and the checker's random cases: what came of each rule of SPEC.md.

An adapter is a module of `adapters` with any of the functions of `reference.head`, and

- `TITLE`, `SHORT`, `PACKAGES`: its name, the column's, and the distributions whose versions are recorded;
- `DTYPES`: the dtypes it can be handed, all four if not given;
- `TIES = "all"` if it follows TOPK-7; its `keep_top_k` has no `ties`: most have one rule;
- `POINTERS = True` for what is handed one row of floats and nothing else, as a C function is: HEAD-2 to HEAD-4 say
  nothing of it, and the adapter calls it row by row;
- `draw(logits) -> id`: one token by its own random stream, for `questions.py`.

It settles nothing and checks nothing that the implementation leaves alone.
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
from ..vectors import load_all
from . import questions
from .calls import Known, port_of
from .evidence import Finding, blamed, of_vector, raised

PLATFORM = f"{platform.system()} {platform.machine()}"
SPEC = Path(reference.__file__).with_name("SPEC.md")
EXAMPLES = 60  # random cases a stage, as many as the checker's default
RANDOM = 10**6  # the size of a random case: a vector, if there is one, is shown in its place


def adapter(name: str) -> ModuleType:
    """The module. Raises: ImportError if what it adapts is not installed."""
    return importlib.import_module(f"{__package__}.adapters.{name}")


def versions(module: ModuleType) -> dict[str, str]:
    """Of the packages that are adapted, without a local label such as `+cpu`."""
    return {package: metadata.version(package).partition("+")[0] for package in module.PACKAGES}


def survey(name: str, date: str) -> dict[str, Any]:
    """The record of one implementation, plain data."""
    module = adapter(name)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of bad input that is answered: what is answered is recorded
        found = list(findings(module))
        answers = questions.answers(module)
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
    }


def _order(rule: str) -> int:
    """The place of a rule in SPEC.md."""
    return SPEC.read_text("utf-8").index(f"### {rule} ")


def findings(module: ModuleType) -> Iterator[Finding]:
    """What every vector and the random cases say of it."""
    port = port_of(module)
    # What random cases would only find again: dtypes answered in another one, refusals of good input, batches.
    narrow: set[str] = set()
    refused: set[str] = set()
    batches: set[str] = set()
    for case, verdict in vector_cases.run(port, [case for file in load_all() for case in file.cases], "vectors"):
        if verdict.word == Word.NOT_CHECKED:
            continue
        for finding in of_vector(case, verdict, blamed(case, verdict, port)):
            if not (getattr(module, "POINTERS", False) and finding.rule in ("HEAD-2", "HEAD-3", "HEAD-4")):
                yield finding
            if finding.refuses:
                refused.add(case.op)
            if finding.difference and finding.rule == "HEAD-4":
                batches.add(case.op)
            if finding.rule == "HEAD-2" and finding.difference and case.result != "invalid":
                narrow |= {value["dtype"] for value in case.inputs.values() if isinstance(value, dict)}
    dtypes = tuple(name for name in ("float32", "float64") if name in port.dtypes and name not in narrow)
    operations = tuple(op for op in port.operations if op != "lm_head" or port.ties != ("all",))
    quiet = replace(port, dtypes=dtypes or ("float32",), operations=operations, call=Known(port.call, refused, batches))
    for verdict in random_cases.run(quiet, EXAMPLES):
        if verdict.word in BAD:
            rule = verdict.rule if verdict.rule not in ("", "HEAD-5") else OPERATIONS[verdict.operation].rule
            call = f"`{verdict.operation}({verdict.about})`"
            if isinstance(verdict.actual, Exception):
                difference = f"{call} {raised(verdict.actual)}"
            else:
                actual = f"; gives {brief(verdict.actual)}; the rule: {brief(verdict.expected)}"
                difference = f"{call} {verdict.reason}{actual}"
            yield Finding(rule, verdict.operation, difference, RANDOM)

"""Cases of a real model's sizes, made here and not stored: one large dimension each, all else small."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from parity_tests import corners, sizes
from parity_tests.judges.words import Verdict, Word
from reference.operations import STAGES

from .asking import confirmed
from .by_reference import guarded
from .port import Port


def run(port: Port) -> Iterator[Verdict]:
    """Every case of every function of the port: large ones in one dtype, real numbers in each, and bad input."""
    dtypes = port.contract.dtypes
    dtype = next(name for name in ("float32", *dtypes) if name in dtypes)
    for operation in STAGES:
        if operation not in port.operations:
            continue
        for about, case in sizes.labelled(operation, dtype):
            yield from _each_rule(port, operation, case, about)
        for each in dtypes:
            for case in corners.real(operation, each):
                yield from _each_rule(port, operation, case, f"real numbers in {each}")
        if operation == "lm_head":
            for case in corners.exact_heads():
                yield from _each_rule(port, operation, case, "exact logits")
        for case in corners.bad(operation) if port.contract.refusals == "all" else ():
            yield from _each_rule(port, operation, case, "bad in the last row or token, or without rows")


def _each_rule(port: Port, operation: str, case: sizes.Case, about: str) -> Iterator[Verdict]:
    """The verdict on a case under each of the port's rules for ties."""
    if "uniform" in case and "float64" not in port.contract.dtypes:
        kind = case["probs" if "probs" in case else "logits"].dtype
        below_1 = np.nextafter(np.array(1, kind), np.array(0, kind))
        case = {**case, "uniform": np.minimum(case["uniform"].astype(kind), below_1)}
    for rule in port.contract_of(operation).tie_arguments(operation):
        given = {**case, **rule}
        if port.contract.leaves_open(given):
            continue
        blank = Verdict(operation=operation, word=Word.ERRORED, phase="sizes")
        verdict = confirmed(lambda: guarded(blank, port, given))  # noqa: B023 - called at once
        yield replace(verdict, case=about)


def from_some_size_on(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """For each operation that is right at small sizes and wrong at larger ones: from which size on."""
    right: dict[tuple[str, str], dict[float, bool]] = {}  # (operation, what is large) -> its size -> no verdict is bad
    for verdict in verdicts:
        if verdict.phase == "sizes" and verdict.word not in (Word.NOT_CHECKED, Word.ERRORED) and " = " in verdict.case:
            letter, _, size = verdict.case.partition(" = ")
            of_letter = right.setdefault((verdict.operation, letter), {})
            number = float(size.replace(",", ""))
            of_letter[number] = of_letter.get(number, True) and verdict.conforms
    found: dict[str, str] = {}
    for (operation, letter), conforms in right.items():
        wrong = min((size for size, good in conforms.items() if not good), default=0.0)
        smaller = max((size for size, good in conforms.items() if good and size < wrong), default=0.0)
        if smaller and letter != "T":
            text = f"not recognised: right up to {letter} = {smaller:,.0f}, wrong at {letter} = {wrong:,.0f}"
            found.setdefault(operation, text)
    return found

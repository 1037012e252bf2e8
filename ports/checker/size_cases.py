"""Cases of a real model's sizes, made here and not stored: one large dimension each, all else small."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from parity_tests import sizes
from parity_tests.judges.words import Verdict, Word
from reference.operations import OPERATIONS, STAGES

from .asking import confirmed
from .by_reference import guarded
from .port import Port


def run(port: Port) -> Iterator[Verdict]:
    """Every case of every function of the port, in float32 if it has that."""
    dtype = next(name for name in ("float32", *port.contract.dtypes) if name in port.contract.dtypes)
    for operation in STAGES:
        if operation not in port.operations:
            continue
        several = "ties" in OPERATIONS[operation].arguments
        for rule in [{"ties": rule} for rule in port.contract.ties if rule != "any"] or [{}] if several else [{}]:
            blank = Verdict(operation=operation, word=Word.ERRORED, phase="sizes")
            for about, case in sizes.labelled(operation, dtype):
                if "uniform" in case and "float64" not in port.contract.dtypes:
                    below_one = np.nextafter(np.array(1, dtype), np.array(0, dtype))
                    case["uniform"] = np.minimum(case["uniform"].astype(dtype), below_one)
                verdict = confirmed(lambda: guarded(blank, port, {**case, **rule}))  # noqa: B023 - called at once
                yield replace(verdict, case=about)


def from_some_size_on(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """For each operation that is right at small sizes and wrong at larger ones: from which size on."""
    right: dict[tuple[str, str], dict[float, bool]] = {}  # (operation, what is large) -> its size -> no verdict is bad
    for verdict in verdicts:
        if verdict.phase == "sizes" and verdict.word != Word.NOT_CHECKED:
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

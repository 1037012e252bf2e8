"""Cases of a real model's sizes, made here and not stored: one large dimension each, all else small."""

from collections.abc import Iterator

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
            for case in sizes.cases(operation, dtype):
                if "uniform" in case and "float64" not in port.contract.dtypes:
                    case["uniform"] = case["uniform"].astype(dtype)
                yield confirmed(lambda: guarded(blank, port, {**case, **rule}))  # noqa: B023 - called at once

"""Cases of a real model's sizes, made here and not stored: one large dimension each, all else small."""

from collections.abc import Iterator
from dataclasses import replace

from parity_tests import sizes
from parity_tests.verdict import Verdict, Word
from reference.operations import OPERATIONS, STAGES

from .errors import BrokenError, SkippedError
from .port import FLOATS, Port
from .random_cases import one


def run(port: Port) -> Iterator[Verdict]:
    """Every case of every function of the port, in the first dtype that it has."""
    dtype = next((name for name in FLOATS[::-1] if name in port.dtypes and name != "float64"), "float64")
    for operation in STAGES:
        if operation not in port.operations:
            continue
        for rule in [{"ties": rule} for rule in port.ties] if "ties" in OPERATIONS[operation].arguments else [{}]:
            for case in sizes.cases(operation, dtype):
                yield _verdict(port, operation, {**case, **rule})


def _verdict(port: Port, operation: str, case: sizes.Case) -> Verdict:
    blank = Verdict(operation=operation, word=Word.ERRORED, phase="sizes", inputs=case)
    try:
        return one(port, operation, case, "sizes")
    except SkippedError as reason:
        return replace(blank, word=Word.NOT_CHECKED, reason=str(reason))
    except BrokenError as error:
        return replace(blank, reason=str(error), actual=error)

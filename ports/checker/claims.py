"""What a port's contract claims: a right draw though its random stream is its own, and batches that change no bit.

Both are judged here because no single answer shows them.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from parity_tests.judges.words import Verdict, Word, same_bits
from reference.operations import OPERATIONS, STAGES

from .asking import confirmed
from .errors import BrokenError, ErroredError, RefusedError, SkippedError
from .judge import form_fault
from .port import Port

SIGNIFICANCE = 1e-9  # on fixed seeds: a right draw fails once in 10^9 runs of the test, and a wrong one always
ROWS, SEEDS = 2_000, 5
WEIGHTS = (4.0, 0.0, 1.0, 2.5, 0.0, 0.5, 8.0, 0.0)
BATCHES = (1, 2, 3, 8, 17, 64, 600)


def run(port: Port) -> Iterator[Verdict]:
    """The checks of what the port's contract claims."""
    if port.contract.stream == "own" and "multinomial" in port.operations:
        for num_samples in (1, 2):
            yield _asked("multinomial", partial(_in_distribution, port, num_samples))
    if port.contract.batch_invariant:
        for operation in STAGES:
            if operation in port.operations and operation != "multinomial":
                yield _asked(operation, partial(_in_every_batch, port, operation))


def _asked(operation: str, ask: Callable[[], Verdict]) -> Verdict:
    blank = Verdict(operation=operation, word=Word.ERRORED, phase="claims")

    def verdict() -> Verdict:
        try:
            return ask()
        except SkippedError as reason:
            return replace(blank, word=Word.NOT_CHECKED, reason=str(reason))
        except (BrokenError, ErroredError, RefusedError, ValueError, TypeError) as error:
            return replace(blank, reason=str(error), actual=error)

    return confirmed(verdict)


def _in_distribution(port: Port, num_samples: int) -> Verdict:
    """Ids drawn from seeds: their frequencies by a G-test, of the first draw and of the pair of the first two.

    Without replacement, the pair (i, j) comes with probability `p_i p_j / (1 - p_i)`  [DRAW-1, DRAW-3].
    """
    from scipy import stats  # takes half a second to import

    weights = np.array(WEIGHTS)
    probs = np.tile(weights.astype(_dtype(port)), (ROWS, 1))
    drawn = []
    for seed in range(SEEDS):
        result = port.call("multinomial", {"probs": probs, "num_samples": num_samples, "seed": seed})
        fault = form_fault(result, ["token_ids"])
        if fault or result["token_ids"].shape != (ROWS, num_samples):
            reason = fault or f"token_ids has shape {list(result['token_ids'].shape)}, not {[ROWS, num_samples]}"
            return Verdict(operation="multinomial", word=Word.ERRORED, phase="claims", reason=reason)
        drawn.append(result["token_ids"])
    ids = np.concatenate(drawn).astype(np.int64)
    inputs = {"probs": weights, "num_samples": num_samples, "seeds": f"0 to {SEEDS - 1}", "rows": ROWS}
    bad = Verdict(operation="multinomial", word=Word.DIVERGED, phase="claims", rule="DRAW-1", inputs=inputs)
    outside = (ids < 0) | (ids >= len(weights))
    if outside.any() or (weights[ids] == 0).any():
        return replace(bad, rule="DRAW-2", reason="drew a token that is not possible", actual=np.unique(ids))
    p = weights / weights.sum()
    expected: dict[tuple[int, ...], float] = {(i,): p[i] for i in np.flatnonzero(p).tolist()}
    if num_samples == 2:
        expected = {(i, j): p[i] * p[j] / (1 - p[i]) for (i,) in expected for (j,) in expected if i != j}
    counts = np.array([np.sum((ids == key).all(axis=-1)) for key in expected])
    if counts.sum() != len(ids):
        return replace(bad, rule="DRAW-3", reason="drew a token twice", actual=counts)
    due = np.array(list(expected.values())) * len(ids)
    chance = float(stats.power_divergence(counts, due, lambda_="log-likelihood").pvalue)
    if chance < SIGNIFICANCE:
        odds = f"{1 / max(chance, 1e-300):.0e}"
        reason = f"the frequencies are not those of the weights: a right draw gives such once in {odds} times"
        return replace(bad, reason=reason, actual=counts, expected=np.rint(due).astype(int))
    return Verdict(operation="multinomial", word=Word.WITHIN_BOUND, phase="claims")


def _in_every_batch(port: Port, operation: str) -> Verdict:
    """The same row alone, and first, last and in the middle of each batch: its results must have the same bits."""
    rng = np.random.default_rng(0)
    one, others = (_arguments(rng, port, operation, rows) for rows in (1, max(BATCHES)))
    alone: dict[str, np.ndarray] = {}
    for batch in BATCHES:
        for place in sorted({0, batch // 2, batch - 1}):
            given = {name: value[:batch].copy() if name in one[1] else value for name, value in others[0].items()}
            for name in one[1]:
                given[name][place] = one[0][name][0]
            given |= {name: one[0][name] for name in one[0] if name not in one[1]}
            result = port.call(operation, given)
            fault = form_fault(result, OPERATIONS[operation].results)
            if fault:
                return Verdict(operation=operation, word=Word.ERRORED, phase="claims", reason=fault)
            for name, values in result.items():
                alone.setdefault(name, values[place])
                if not same_bits(np.asarray(values[place]), np.asarray(alone[name])):
                    reason = f"{name} of the same row has other bits at place {place} of a batch of {batch}"
                    return Verdict(
                        operation=operation,
                        word=Word.DIVERGED,
                        phase="claims",
                        rule="HEAD-4",
                        reason=f"its contract claims the same bits in every batch, but {reason}",
                        actual=values[place],
                        expected=alone[name],
                        inputs={name: value[place] for name, value in given.items() if name in one[1]},
                    )
    return Verdict(operation=operation, word=Word.IDENTICAL, phase="claims")


def _arguments(rng: np.random.Generator, port: Port, operation: str, rows: int) -> tuple[dict[str, Any], list[str]]:
    """Arguments of an operation for so many rows, and the names of those that have rows."""
    kind = _dtype(port)
    logits = (rng.standard_normal((rows, 65)) * 5).astype(kind)
    values = {
        "context": rng.standard_normal((rows, 33)).astype(kind),
        "embedding": np.random.default_rng(33).standard_normal((65, 33)).astype(kind),
        "logits": logits,
        "probs": np.abs(logits),
        "uniform": rng.random(rows).astype(kind) * np.array(0.999, kind),
        "temperature": 0.7,
        "k": 20,
    }
    given = OPERATIONS[operation].given(values)
    return given, [name for name, value in given.items() if name != "embedding" and isinstance(value, np.ndarray)]


def _dtype(port: Port) -> np.dtype[Any]:
    return np.dtype("float64" if port.contract.dtypes == ("float64",) else "float32")

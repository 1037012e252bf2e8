"""How fast the heads are: `python -m parity_tests bench`; `BENCHMARKS.md` is what `make bench` writes with it.

candidates.py   what is timed: whole steps, single stages, and the limits of the machine
measure.py      how: in one process, round by round in random order, medians and spread; peak memory
growth.py       time against V, d, batch and k, with fitted exponents and a plot
scaling.py      the cost model of the split vocabulary, and ranks on this machine against it
page.py         tables, goals, BENCHMARKS.md
"""

import argparse
import json
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyperf
import torch

from reference import scoring

from . import candidates, growth, page, scaling
from .measure import measure, order_effect, peak_memory


def main(options: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for; 2 for arguments that make no sense."""
    try:
        vocab_size, hidden_size = candidates.SHAPES.get(options.shape) or map(int, options.shape.split(","))
        batches = [int(batch) for batch in options.batch.split(",")]
        if min(vocab_size, hidden_size, options.threads, options.rounds, *batches) < 1:
            raise ValueError("sizes, threads and rounds are at least 1")
    except ValueError as error:
        shapes = ", ".join(candidates.SHAPES)
        print(f"bench: {error}: --shape is {shapes} or V,d and --batch B,...", file=sys.stderr)
        return 2
    if options.scaling:
        print(scaling.table())
        return 0
    torch.set_num_threads(options.threads)
    measured = page.Measured(vocab_size, hidden_size, options.threads, options.rounds, options.line)
    for batch in batches:
        rounds = max(3, options.rounds if batch < 32 else options.rounds // 3)
        _batch(measured, batch, rounds)
        tables = page.step_table(measured, batch), page.stage_table(measured, batch)
        print(f"batch {batch}", *tables, sep="\n\n", end="\n\n", flush=True)
    if options.plot or options.markdown:
        measured.growth = growth.growth(options.threads, 5)
        if options.plot:
            growth.plot(measured.growth, Path(options.plot))
    if options.markdown:
        _whole(measured)
        Path(options.markdown).write_text(page.markdown(measured, options.plot), "utf-8")
    if options.json:
        Path(options.json).unlink(missing_ok=True)
        _suite(measured).dump(options.json)
    return 0


def _batch(measured: page.Measured, batch: int, rounds: int) -> None:
    inputs = candidates.Inputs(batch, measured.vocab_size, measured.hidden_size)
    steps = candidates.steps(inputs, measured.threads)
    single = {**candidates.stages(inputs, measured.threads), **candidates.limits(inputs, measured.threads)}
    # One measurement for all, so that a goal's two figures met the same machine.
    both = measure({**steps, **single}, rounds)
    measured.steps[batch] = {name: both[name] for name in steps}
    measured.stages[batch] = {name: both[name] for name in single}
    measured.memory[batch] = {name: peak_memory(function) for name, function in steps.items()}


def _whole(measured: page.Measured) -> None:
    """What only the page needs: scoring, the order of the candidates, ranks."""
    inputs = candidates.Inputs(1, measured.vocab_size, measured.hidden_size)
    measured.order = order_effect(candidates.steps(inputs, measured.threads), measured.rounds)
    measured.scoring = _scoring(measured)
    with tempfile.TemporaryDirectory() as folder:
        measured.ranks = scaling.measured(
            Path(folder), measured.vocab_size, measured.hidden_size, 1, candidates.K, measured.rounds, measured.threads
        )


def _scoring(measured: page.Measured) -> dict[str, Any]:
    inputs = candidates.Inputs(1_024, measured.vocab_size, measured.hidden_size)
    token_ids = np.random.default_rng(1).integers(0, measured.vocab_size, 1_024)

    def plain() -> np.ndarray:
        logits = inputs.context @ inputs.embedding.T
        logits = logits - logits.max(axis=1, keepdims=True)
        return np.take_along_axis(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), token_ids[:, None], 1)

    functions = {
        "product": lambda: inputs.context @ inputs.embedding.T,
        "log_probs": lambda: scoring.log_probs(inputs.context, inputs.embedding, token_ids),
        "plain": plain,
    }
    result: dict[str, Any] = measure(functions, 5)
    for name, key in (("product", "product_peak"), ("log_probs", "peak"), ("plain", "plain_peak")):
        tracemalloc.start()
        functions[name]()
        result[key] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return result


def _suite(measured: page.Measured) -> pyperf.BenchmarkSuite:
    """All timings in pyperf's format, for `python -m pyperf stats` and `compare_to`."""
    benchmarks = []
    for kind, groups in (("step", measured.steps), ("stage", measured.stages)):
        for batch, group in groups.items():
            for name, benchmark in group.items():
                about = {"name": f"{kind}, batch {batch}: {name}", "unit": "second", "batch": batch}
                about |= {"vocab_size": measured.vocab_size, "hidden_size": measured.hidden_size}
                about |= {"threads": measured.threads, "peak_memory": json.dumps(measured.memory[batch].get(name))}
                run = pyperf.Run(list(benchmark.get_values()), metadata=about, collect_metadata=False)
                benchmarks.append(pyperf.Benchmark([run]))
    return pyperf.BenchmarkSuite(benchmarks)

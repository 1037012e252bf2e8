"""How fast the heads are: `python -m parity_tests bench`. `make bench` writes `BENCHMARKS.md` with it.

candidates.py   what is timed: whole steps, single stages, and the limits of the machine
measure.py      how it is timed: in one process, in random order each round; medians, spread, peak memory
growth.py       how time grows with V, d, batch and k, as fitted exponents
sampling.py     from given logits to tokens, beside other engines
page.py         tables, goals, BENCHMARKS.md, and pyperf's format
"""

import argparse
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import torch

from reference import scoring

from . import candidates, growth, page, sampling
from .measure import measure, peak_memory


def main(options: argparse.Namespace) -> int:
    """Measure, print, and write the files that were asked for. Returns 2 for arguments that make no sense."""
    try:
        vocab_size, hidden_size = candidates.SHAPES.get(options.shape) or map(int, options.shape.split(","))
        batches = [int(batch) for batch in options.batch.split(",")]
        if min(vocab_size, hidden_size, options.threads, options.rounds, *batches) < 1:
            raise ValueError("sizes, threads and rounds must be at least 1")
        graph = options.onnx.read_bytes() if options.onnx else None
    except OSError as error:
        print(f"bench: --onnx {options.onnx}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        shapes = ", ".join(candidates.SHAPES)
        print(f"bench: {error}: --shape is {shapes} or V,d and --batch B,...", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    measured = page.Measured(vocab_size, hidden_size, options.threads, options.rounds, options.line)
    for batch in batches:
        _batch(measured, batch, max(3, options.rounds if batch < 32 else options.rounds // 3), graph)
        tables = page.step_table(measured, batch), page.stage_table(measured, batch)
        print(f"batch {batch}", *tables, sep="\n\n", end="\n\n", flush=True)
    if options.markdown:
        measured.growth = {axis: growth.exponents(axis, options.threads, 5) for axis in growth.GRID}
        _scoring(measured)
        for size in sampling.SIZES:
            measured.sampling[size] = measure(sampling.samplers(*size, measured.threads), max(3, options.rounds // 3))
        Path(options.markdown).write_text(page.markdown(measured), "utf-8")
    if options.json:
        Path(options.json).unlink(missing_ok=True)
        page.suite(measured).dump(options.json)
    return 0


def _batch(measured: page.Measured, batch: int, rounds: int, graph: bytes | None) -> None:
    inputs = candidates.Inputs(batch, measured.vocab_size, measured.hidden_size)
    steps = candidates.steps(inputs, measured.threads, graph)
    single = {**candidates.stages(inputs, measured.threads), **candidates.limits(inputs, measured.threads)}
    # All are measured together, so that both figures of a goal come from the machine in the same state.
    both = measure({**steps, **single}, rounds)
    measured.steps[batch] = {name: both[name] for name in steps}
    measured.stages[batch] = {name: both[name] for name in single}
    measured.memory[batch] = peak_memory(steps)


def _scoring(measured: page.Measured) -> None:
    inputs = candidates.Inputs(1_024, measured.vocab_size, measured.hidden_size)
    context, embedding = inputs.context, inputs.embedding
    token_ids = np.random.default_rng(1).integers(0, measured.vocab_size, 1_024)

    def plain() -> np.ndarray:
        logits = context @ embedding.T
        logits = logits - logits.max(axis=1, keepdims=True)
        return np.take_along_axis(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), token_ids[:, None], 1)

    functions: candidates.Functions = {
        "the plain product": lambda: context @ embedding.T,
        "`scoring.log_probs`, in blocks of the vocabulary": lambda: scoring.log_probs(context, embedding, token_ids),
        "all logits, then log-softmax": plain,
    }
    for name, seconds in measure(functions, 5).items():
        tracemalloc.start()
        functions[name]()
        measured.scoring[name] = seconds, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

"""How fast the heads are, from context vector to drawn token, all in one process and in turn, as ratios.

The candidates are timed round by round, in another order each time, so that a machine that drifts hurts all alike;
each runs once untimed before it is timed, as in a loop over tokens. Figures are medians. The limit for one vector is
reading the embedding once from memory: the plain product is timed too.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import reference
import torch_impl


def lesson(context: torch.Tensor, embedding: torch.Tensor, temperature: float = 0.7, k: int = 50) -> torch.Tensor:
    """What a PyTorch user writes: the lesson's pipeline with its scatter on the last axis."""
    logits = torch.nn.functional.linear(context, embedding)
    scaled = logits / temperature
    values, token_ids = torch.topk(scaled, k)
    filtered = torch.full_like(logits, -torch.inf).scatter_(-1, token_ids, values)
    return torch.multinomial(torch.softmax(filtered, dim=-1), 1)


def candidates(batch: int, vocab_size: int, hidden_size: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; the stages of the reference each on the input they meet in the whole step."""
    rng = np.random.default_rng(0)
    context = rng.standard_normal((batch, hidden_size), dtype=np.float32) * 2
    embedding = rng.standard_normal((vocab_size, hidden_size), dtype=np.float32) * np.float32(0.14)
    h, w = torch.from_numpy(context), torch.from_numpy(embedding)
    seeded, numpys, torchs = reference.TorchGenerator(0), np.random.default_rng(0), torch.Generator().manual_seed(0)
    logits = reference.compute_logits(context, embedding)
    scaled = reference.apply_temperature(logits, 0.7)
    kept = reference.keep_top_k(scaled, 50)
    probs = reference.softmax(kept)
    return {
        "reference": lambda: reference.multinomial(reference.lm_head(context, embedding), rng=seeded),
        "reference, NumPy's noise": lambda: reference.multinomial(reference.lm_head(context, embedding), rng=numpys),
        "mirror": lambda: torch_impl.multinomial(torch_impl.lm_head(h, w), rng=torchs),
        "lesson in PyTorch": lambda: lesson(h, w),
        "- product alone": lambda: context @ embedding.T,
        "- compute_logits": lambda: reference.compute_logits(context, embedding),
        "- apply_temperature": lambda: reference.apply_temperature(logits, 0.7),
        "- keep_top_k": lambda: reference.keep_top_k(scaled, 50),
        "- softmax": lambda: reference.softmax(kept),
        "- multinomial": lambda: reference.multinomial(probs, rng=seeded),
        "-   its noise": lambda: seeded.standard_exponential(probs.shape, np.float32),
    }


def measure(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    order, shuffle = list(functions), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            functions[name]()
            start = time.perf_counter()
            functions[name]()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main(options: argparse.Namespace) -> int:
    """Print a table for each batch size, or JSON."""
    torch.set_num_threads(options.threads)
    vocab_size, hidden_size = map(int, options.shape.split(","))
    results = {
        int(batch): measure(candidates(int(batch), vocab_size, hidden_size), options.rounds)
        for batch in options.batch.split(",")
    }
    if options.json:
        print(json.dumps({"shape": [vocab_size, hidden_size], "threads": options.threads, "ms": results}, indent=2))
        return 0
    console = Console(highlight=False)
    for batch, medians in results.items():
        title = f"V = {vocab_size:,}, d = {hidden_size}, batch {batch}, float32, {options.threads} threads"
        table = Table(title=title, title_justify="left")
        table.add_column("context vector to drawn token")
        for name in ("ms", "x lesson's time", "x product"):
            table.add_column(name, justify="right")
        for name, ms in medians.items():
            ratio = "" if name.startswith("-") else f"{ms / medians['lesson in PyTorch']:.2f}"
            table.add_row(name, f"{ms:.2f}", ratio, f"{ms / medians['- product alone']:.2f}")
        console.print(table)
        faster = medians["lesson in PyTorch"] / medians["reference"]
        after = (medians["reference"] - medians["- product alone"]) / medians["- product alone"]
        console.print(
            f"the reference is {faster:.2f} times as fast as the lesson; after the product: {after:.0%} of it\n"
        )
    return 0

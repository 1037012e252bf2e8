"""The cost of one step with the vocabulary split over ranks: a model, and ranks on this machine against it.

    python -m parity_tests bench --scaling    the table of torch_impl/SCALING.md

A step on R ranks takes, `rows = V / R`:

    product    max(rows d s / read, 2 b rows d / rate)     each rank reads its rows once, for b context vectors
    cut        b rows cut                                  comparisons over this rank's logits
    noise      b V noise                                   every rank makes all of it: this does not shrink with R
    gather     2 (R - 1) latency + (R - 1) (H + b k (8 + s)) / network    a ring: header, then candidates
    merge      b R k merge

`SCALING.md` explains each term.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch_impl.vocab_parallel import HEADER

from ..meta import ranks


@dataclass(frozen=True)
class Machine:
    """What a model needs to know of the ranks: bytes, operations and seconds."""

    read: float  # bytes a second that a rank reads from memory
    rate: float  # operations a second of its matrix product
    cut: float  # seconds for one logit: division, checks, selection
    noise: float  # seconds for one number of the stream
    latency: float  # seconds for one message to a neighbour
    network: float  # bytes a second between neighbours
    merge: float  # seconds for one candidate
    fixed: float = 0.0  # seconds a step takes beside


# Assumed, not measured: a server with 200 GB/s and 5 TFLOP/s a rank, 10 us and 100 Gbit/s between neighbours.
CLUSTER = Machine(2e11, 5e12, 2e-10, 8e-9, 1e-5, 1.25e10, 2e-8)
PAPER = {"vocab_size": 256_000, "d": 16_384, "k": 50}
RANKS = (8, 16, 32, 64, 128, 256, 512, 1_024)


def predict(
    machine: Machine, world: int, vocab_size: int, d: int, batch: int, k: int, itemsize: int = 4
) -> dict[str, float]:
    """Seconds by term, `total` among them; bytes this rank holds and sends."""
    rows = -(-vocab_size // world)
    sent = HEADER + batch * k * (8 + 4)
    terms = {
        "product": max(rows * d * itemsize / machine.read, 2 * batch * rows * d / machine.rate),
        "cut": batch * rows * machine.cut,
        "noise": batch * vocab_size * machine.noise,
        "gather": (world - 1) * (2 * machine.latency + sent / machine.network),
        "merge": batch * world * k * machine.merge + machine.fixed,
    }
    return {**terms, "total": sum(terms.values()), "bytes held": rows * d * itemsize, "bytes sent": sent}


def table() -> str:
    """The paper's table: V = 256,000, d = 16,384, float32, k = 50, on the assumed cluster."""
    lines = [
        "| ranks | batch | GB a rank | bytes sent a rank | product | cut | noise | gather | merge | step, ms |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for batch in (1, 64):
        for world in RANKS:
            p = predict(CLUSTER, world, batch=batch, **PAPER)
            terms = " | ".join(f"{p[name] * 1e3:.3f}" for name in ("product", "cut", "noise", "gather", "merge"))
            held, sent = f"{p['bytes held'] / 1e9:.3f}", f"{int(p['bytes sent']):,}"
            lines.append(f"| {world:,} | {batch} | {held} | {sent} | {terms} | {p['total'] * 1e3:.2f} |")
    return "\n".join(lines)


def measured(
    folder: Path, vocab_size: int, d: int, batch: int, k: int, rounds: int, cores: int
) -> list[dict[str, Any]]:
    """Steps on 1, 2 and 4 ranks of this machine beside the prediction, in seconds.

    The terms are calibrated on one rank, and the gather on two ranks with next to nothing to compute; 2 and 4 ranks
    are then predicted. More ranks than cores wait for each other, so their computing takes `ranks / cores` as long.
    """
    import torch

    def median(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    def step(world: int, name: str, vocab_size: int, d: int) -> tuple[float, float]:
        case = {"vocab_size": vocab_size, "d": d, "batch": batch, "k": k, "rounds": rounds}
        lefts = ranks.run(world, "timing", folder / name, **case)
        steps, products = zip(*(left["returned"] for left in lefts), strict=True)
        return max(map(median, steps)), max(map(median, products))  # a step ends with its slowest rank

    one, product = step(1, "one", vocab_size, d)
    small = [step(world, f"small{world}", 64 * world, 8)[0] for world in (1, 2, 4)]
    rng, start = torch.Generator().manual_seed(0), torch.empty(vocab_size)
    noise = median([_seconds(lambda: start.exponential_(generator=rng)) for _ in range(rounds)])
    rest = max(0.0, one - product - batch * noise - small[0])  # the cut
    result = []
    for place, world in enumerate((1, 2, 4)):
        busy = max(1.0, world / cores)
        predicted = (product + rest) / world * busy + batch * noise * busy + small[place]
        took = one if world == 1 else step(world, f"ranks{world}", vocab_size, d)[0]
        result.append({"ranks": world, "predicted": predicted, "measured": took})
    return result


def _seconds(function: Any) -> float:
    import time

    start = time.perf_counter()
    function()
    return time.perf_counter() - start

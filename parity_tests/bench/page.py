"""What was measured, as tables: on the terminal, and as BENCHMARKS.md, which no hand writes."""

import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyperf

from . import growth as growing
from .candidates import SQUARE
from .measure import spread

PACKAGES = ("numpy", "torch", "transformers", "onnxruntime", "pyperf")


@dataclass
class Measured:
    """Everything that one run of the command measured; times in seconds, memory in bytes."""

    vocab_size: int
    hidden_size: int
    threads: int
    rounds: int
    command: str
    steps: dict[int, dict[str, pyperf.Benchmark]] = field(default_factory=dict)  # by batch
    stages: dict[int, dict[str, pyperf.Benchmark]] = field(default_factory=dict)
    memory: dict[int, dict[str, int | None]] = field(default_factory=dict)
    order: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    scoring: dict[str, Any] = field(default_factory=dict)
    growth: growing.Growth | None = None
    ranks: list[dict[str, Any]] = field(default_factory=list)

    def limit(self, batch: int) -> float:
        """Seconds in which no head can be faster: the embedding read once, and the product at BLAS's peak rate."""
        operations = 2 * batch * self.vocab_size * self.hidden_size
        return max(self.reading(batch), operations / self.peak_rate(batch))

    def reading(self, batch: int) -> float:
        """Seconds of whatever read the embedding fastest: the dot products, a product of a head, or a whole step."""
        readers = [*self.steps[batch].values(), self.stages[batch]["read"]]
        readers += [timed for name, timed in self.stages[batch].items() if name.startswith("product: ")]
        return min(timed.median() for timed in readers)

    def peak_rate(self, batch: int) -> float:
        """Operations a second of a large square product."""
        return 2 * SQUARE**3 / self.stages[batch]["square"].median()


def machine() -> str:
    """Processor, cores, memory cache and system, as far as the system tells."""
    about = pyperf.Run([1.0], metadata={"name": "machine"}, collect_metadata=True).get_metadata()
    names = ("cpu_model_name", "cpu_count", "platform")
    told = [f"{name.replace('_', ' ')} {about[name]}" for name in names if name in about]
    cache = "/sys/devices/system/cpu/cpu0/cache/index3/size"
    if os.path.exists(cache):
        told.append(f"third-level cache {Path(cache).read_text().strip()}")
    return "; ".join(told) or platform.platform()


def versions() -> str:
    """Python and the packages that are timed, with JAX if it is there."""
    from importlib.util import find_spec

    packages = [*PACKAGES, *(["jax"] if find_spec("jax") else [])]
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])


def _mb(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f}"


def step_table(measured: Measured, batch: int) -> str:
    """Whole steps: time, spread, ratio to the reference, fraction of the limit, peak memory."""
    steps, limit = measured.steps[batch], measured.limit(batch)
    lines = [
        "| from context vector to token | ms | ± | x reference | of the limit | peak MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, benchmark in steps.items():
        ms, ratio = benchmark.median(), benchmark.median() / steps["reference"].median()
        memory = _mb(measured.memory[batch].get(name))
        lines.append(
            f"| {name} | {ms * 1e3:.2f} | {spread(benchmark) * 1e3:.2f} | {ratio:.2f} | {limit / ms:.0%} | {memory} |"
        )
    return "\n".join(lines)


def stage_table(measured: Measured, batch: int) -> str:
    """Single stages, and the two limits."""
    stages = measured.stages[batch]
    product = stages["product: NumPy"].median()
    lines = ["| stage | ms | ± | of NumPy's product |", "| --- | ---: | ---: | ---: |"]
    for name, benchmark in stages.items():
        if name not in ("read", "square"):
            ms = benchmark.median()
            lines.append(f"| {name} | {ms * 1e3:.3f} | {spread(benchmark) * 1e3:.3f} | {ms / product:.1%} |")
    lines.append(f"| limit: the embedding read once | {measured.reading(batch) * 1e3:.3f} | | |")
    rate = measured.peak_rate(batch)
    peak = 2 * batch * measured.vocab_size * measured.hidden_size / rate
    lines.append(f"| limit: the product at BLAS's peak, {rate / 1e9:.0f} GFLOP/s | {peak * 1e3:.3f} | | |")
    return "\n".join(lines)


def goals(measured: Measured) -> list[tuple[str, float, float, str]]:
    """What was aimed at at GPT-2's shape: words, goal, measured figure, and "at most" or "at least"."""
    rows: list[tuple[str, float, float, str]] = []
    for noise, suffix in (("PyTorch's noise", ""), ("NumPy's noise", ", NumPy's noise")):
        for batch, stages in measured.stages.items():
            steps, product = measured.steps[batch], stages["product: NumPy"].median()
            own = steps[f"fast path{suffix}"].median()
            after = (stages["fast path: survivors"].median() + stages[f"fast path: draw{suffix}"].median()) / product
            if batch == 1:
                read = measured.reading(batch)
                rows.append((f"batch 1, {noise}: the step, x reading the embedding once", 1.10, own / read, "at most"))
                rows.append((f"batch 1, {noise}: all after the product, of the product", 0.04, after, "at most"))
                checks = stages["fast path: checks of the input"].median() / own
                rows.append((f"batch 1, {noise}: checks of the input, of the step", 0.01, checks, "at most"))
            if batch == 64:
                rows.append((f"batch 64, {noise}: all after the product, of the product", 0.15, after, "at most"))
            if batch in (1, 8, 64):
                faster = steps["lesson"].median() / own
                goal = 1.8 if batch == 1 else 3.0
                rows.append((f"batch {batch}, {noise}: x as fast as the lesson's pipeline", goal, faster, "at least"))
    if measured.scoring:
        slower = measured.scoring["log_probs"].median() / measured.scoring["product"].median()
        rows.append(("scoring 1,024 positions, x the plain product", 1.2, slower, "at most"))
        rows.append(
            ("scoring 1,024 positions, peak MB beside the embedding", 400, measured.scoring["peak"] / 1e6, "at most")
        )
    return rows


def goal_table(measured: Measured) -> str:
    """The goals, and which were met."""
    lines = ["| goal | | aimed at | measured | |", "| --- | --- | ---: | ---: | --- |"]
    for words, goal, figure, sense in goals(measured):
        met = figure <= goal if sense == "at most" else figure >= goal
        lines.append(f"| {words} | {sense} | {goal:g} | {figure:.3g} | {'met' if met else 'missed'} |")
    return "\n".join(lines)


def markdown(measured: Measured, plot: str | None) -> str:
    """The page."""
    v, d = measured.vocab_size, measured.hidden_size
    parts = [
        "# Benchmarks",
        "Written by one command, every figure from the same run; do not edit.\n\n"
        f"    {measured.command}\n\n{machine()}\n\n{versions()}\n\n"
        f"V = {v:,}, d = {d:,}, float32, {measured.threads} threads, temperature 0.7, k = 50. Medians of "
        f"{measured.rounds} rounds and ± their median absolute deviation, all candidates in one process and in another "
        "order each round. `reference` and `fast path` draw PyTorch's noise, V numbers a row, if NumPy's is not named. "
        "The limit is the longer of two times: reading the embedding once, by whatever was fastest (a dot product in "
        "each thread, a product or a step below), and the product at the rate of a large square one. Peak memory is "
        "what a call adds to the process at its highest.",
    ]
    for batch in measured.steps:
        parts += [f"## Batch {batch}", step_table(measured, batch), stage_table(measured, batch)]
        products = {n.split(": ")[1]: b.median() for n, b in measured.stages[batch].items() if n.startswith("product")}
        parts.append(f"The fastest product at this batch is that of {min(products, key=products.__getitem__)}.")
    if measured.scoring:
        s = measured.scoring
        parts += [
            "## Scoring 1,024 positions",
            "| | ms | ± | peak MB beside the inputs |\n| --- | ---: | ---: | ---: |\n"
            + "\n".join(
                f"| {words} | {s[name].median() * 1e3:.0f} | {spread(s[name]) * 1e3:.0f} | {s[memory] / 1e6:.1f} |"
                for words, name, memory in (
                    ("the plain product", "product", "product_peak"),
                    ("`scoring.log_probs`, in blocks of the vocabulary", "log_probs", "peak"),
                    ("all logits, then log-softmax", "plain", "plain_peak"),
                )
            ),
        ]
    if measured.order:
        parts += [
            "## The order of the candidates",
            "Medians at batch 1 with the same order in every round, forwards and backwards. Were a library's threads "
            "to go on spinning after its call, the candidates after it would be slower one way than the other.\n\n"
            "| | forwards, ms | backwards, ms | ± |\n| --- | ---: | ---: | ---: |\n"
            + "\n".join(
                f"| {name} | {a * 1e3:.2f} | {b * 1e3:.2f} | {c * 1e3:.2f} |"
                for name, (a, b, c) in measured.order.items()
            ),
            "Further apart than three times their ±: "
            + (", ".join(name for name, (a, b, c) in measured.order.items() if abs(a - b) > 3 * c) or "none")
            + ".",
        ]
    if measured.growth:
        base = ", ".join(f"{name} = {value:,}" for name, value in growing.BASE.items())
        header = "| | " + " | ".join(f"{axis} {points[0]:,} to {points[-1]:,}" for axis, points in growing.GRID.items())
        lines = [header + " |", "| --- |" + " ---: |" * len(growing.GRID)]
        for name in growing.SHOWN:
            slopes = [growing.exponent(growing.GRID[axis], measured.growth[axis][name]) for axis in growing.GRID]
            lines.append(f"| {name} | " + " | ".join(f"{slope:.2f}" for slope in slopes) + " |")
        words = f"The exponent of time along one axis, the others at {base}: 1 is linear, 0 does not grow."
        parts += ["## Growth", words + (f"\n\n![growth]({plot})" if plot else ""), "\n".join(lines)]
    if measured.ranks:
        parts += [
            "## The vocabulary split over ranks of this machine",
            "One thread a rank, batch 1; predicted by the model of [SCALING.md](torch_impl/SCALING.md) from figures of "
            "one rank and of gathers with next to nothing to compute.\n\n"
            "| ranks | predicted, ms | measured, ms | measured / predicted |\n| ---: | ---: | ---: | ---: |\n"
            + "\n".join(
                f"| {r['ranks']} | {r['predicted'] * 1e3:.2f} | {r['measured'] * 1e3:.2f} "
                f"| {r['measured'] / r['predicted']:.2f} |"
                for r in measured.ranks
            ),
        ]
    if measured.scoring:
        parts += ["## Goals", goal_table(measured), WHY]
    return "\n\n".join(parts) + "\n"


WHY = """What stands in the way where a goal is missed:

- *PyTorch's noise.* The same tokens from the same seed need V numbers of a Mersenne Twister for each row, in order, and
  NumPy offers no way to its later numbers but making those before. The row `fast path: draw` is nearly that alone;
  `fast path: draw, NumPy's noise` is what is left without it.
- *The product.* No head is faster than its product: compare `lesson` with `product: PyTorch`, and `fast path` with
  `product: NumPy`. Which library's product is the fastest stands below each table.
- *Small operations.* After the cut some dozens of calls on arrays of about k numbers remain, each of which costs about
  what NumPy takes to begin one, whatever the array's size; where the product is fast, they weigh more.
- *Exponentials.* Scoring takes one exponential for each logit, in one thread, beside the product in all.
- *Reading.* Where the third-level cache holds much of the embedding, reading it once is faster than from memory, and
  the product is then bound by arithmetic and not by reading."""

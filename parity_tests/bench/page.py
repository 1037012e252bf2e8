"""The results: tables on the terminal, BENCHMARKS.md (which is never edited by hand), and pyperf's format."""

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pyperf  # type: ignore[import-untyped]

from . import growth
from .candidates import SQUARE, WHOLE_HEAD
from .measure import Timings, spread
from .sampling import COMPILED, OURS


@dataclass
class Measured:
    """Everything that one run of the command measured: times in seconds, memory in bytes."""

    vocab_size: int
    hidden_size: int
    threads: int
    rounds: int
    command: str
    steps: dict[int, Timings] = field(default_factory=dict)  # by batch
    stages: dict[int, Timings] = field(default_factory=dict)
    memory: dict[int, dict[str, int | None]] = field(default_factory=dict)
    scoring: dict[str, tuple[list[float], int]] = field(default_factory=dict)  # plain product, in blocks, all logits
    growth: dict[str, dict[str, float]] = field(default_factory=dict)
    sampling: dict[tuple[int, int], Timings] = field(default_factory=dict)  # by V and rows

    def operations(self, batch: int) -> int:
        """The number of multiplications and additions in the product."""
        return 2 * batch * self.vocab_size * self.hidden_size

    def limit(self, batch: int) -> float:
        """Seconds that no head can beat: the embedding read once, or the product at the highest rate of all."""
        return max(self.reading(batch), self.operations(batch) / self.peak_rate(batch))

    def reading(self, batch: int) -> float:
        """The shortest time in which anything read the embedding: the dot products, a product, or a whole step."""
        return min(median(self.stages[batch]["read"]), self._fastest(batch))

    def peak_rate(self, batch: int) -> float:
        """The most operations per second: in a large square product, or in the fastest product or step here."""
        return max(2 * SQUARE**3 / median(self.stages[batch]["square"]), self.operations(batch) / self._fastest(batch))

    def _fastest(self, batch: int) -> float:
        products = [times for name, times in self.stages[batch].items() if name.startswith("product: ")]
        return min(map(median, [*self.steps[batch].values(), *products]))


def machine() -> str:
    """Processor, cores, cache, system and versions, as far as they can be found out."""
    about = pyperf.Run([1.0], metadata={"name": "machine"}, collect_metadata=True).get_metadata()
    known = [f"{n.replace('_', ' ')} {about[n]}" for n in ("cpu_model_name", "cpu_count", "platform") if n in about]
    cache = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    known += [f"third-level cache {cache.read_text().strip()}"] if cache.exists() else []
    versions = [f"{name} {version(name)}" for name in ("numpy", "torch", "transformers", "onnxruntime", "pyperf")]
    return f"{'; '.join(known)}\n\nPython {platform.python_version()}, {', '.join(versions)}"


def _table(*columns: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ms(seconds: list[float], digits: int = 2) -> tuple[str, str]:
    """Median and spread."""
    return f"{median(seconds) * 1e3:.{digits}f}", f"{spread(seconds) * 1e3:.{digits}f}"


def step_table(measured: Measured, batch: int) -> str:
    """Whole steps: time, spread, ratio to the reference, share of the limit, peak memory."""
    steps, limit = measured.steps[batch], measured.limit(batch)
    rows = []
    for name, times in steps.items():
        ms, peak = median(times), measured.memory[batch][name]
        memory = "-" if peak is None else f"{peak / 1e6:.1f}"
        rows.append([name, *_ms(times), f"{ms / median(steps['reference']):.2f}", f"{limit / ms:.0%}", memory])
    return _table("from context vector to token", "ms", "±", "x reference", "of the limit", "peak MB", rows=rows)


def stage_table(measured: Measured, batch: int) -> str:
    """Single stages, and the two limits."""
    stages = measured.stages[batch]
    product = median(stages["product: NumPy"])
    rows = [
        [name, *_ms(times, 3), f"{median(times) / product:.1%}"]
        for name, times in stages.items()
        if name not in ("read", "square")
    ]
    rows.append(["limit: the embedding read once", f"{measured.reading(batch) * 1e3:.3f}", "", ""])
    rate = measured.peak_rate(batch)
    peak = f"{measured.operations(batch) / rate * 1e3:.3f}"
    rows.append([f"limit: the product at {rate / 1e9:.0f} GFLOP/s, the highest rate", peak, "", ""])
    return _table("stage", "ms", "±", "of NumPy's product", rows=rows)


def sampling_table(measured: Measured) -> str:
    """From given logits to tokens, in milliseconds: a row for each candidate, a column for each size."""
    sizes = measured.sampling
    names = list(dict.fromkeys(name for times in sizes.values() for name in times))
    columns = [f"V = {v:,}, {rows} row{'s' * (rows > 1)}" for v, rows in sizes]
    rows = [[name, *(_ms(times[name])[0] for times in sizes.values())] for name in names]
    return _table("from logits to token, ms", *columns, rows=rows)


def gaps(measured: Measured) -> str:
    """How many times as fast as the fastest of ours each compiled engine is, by size."""
    lines = []
    for name in COMPILED:
        if all(name in times for times in measured.sampling.values()):
            ratios = [
                min(median(times[own]) for own in OURS) / median(times[name]) for times in measured.sampling.values()
            ]
            lines.append(f"{name}: {', '.join(f'{ratio:.2g}' for ratio in ratios)}")
    missing = [name for name in COMPILED if not any(line.startswith(name) for line in lines)]
    skipped = f" Not installed here, so not timed: {', '.join(missing)}." if missing else ""
    return (
        "The time of the fastest of ours, divided by that of each compiled engine, at the four sizes; above 1 the "
        f"engine is faster. {'; '.join(lines)}.{skipped}"
    )


GOALS = (  # for GPT-2's shape: what is compared, whether the goal is a maximum or a minimum, and the goal by batch
    ("the step, x reading the embedding once", "at most", {1: 1.1}),
    ("all after the product, of the product", "at most", {1: 0.04, 64: 0.15}),
    ("all after the product, with top-p and min-p, of the product", "at most", {1: 0.08}),
    ("x as fast as the lesson's pipeline", "at least", {1: 1.8, 8: 3, 64: 3}),
)


def _goal(words: str, sense: str, goal: float, figure: float) -> list[str]:
    met = figure <= goal if sense == "at most" else figure >= goal
    return [words, sense, f"{goal:g}", f"{figure:.3g}", "met" if met else "missed"]


MIRROR_GOALS = (  # of `torch_impl.fast`, with the tokens of `torch.multinomial` and without
    ("fast mirror", {1: 1.05, 8: 1.1, 64: 1.5}),
    ("fast mirror, k numbers", {1: 1.1, 8: 1.25, 64: 2}),
)


def _mirror_goals(measured: Measured) -> list[list[str]]:
    rows = []
    for name, goals in MIRROR_GOALS:
        for batch in (batch for batch in goals if batch in measured.steps):
            ratio = median(measured.steps[batch]["lesson"]) / median(measured.steps[batch][name])
            rows.append(_goal(f"batch {batch}, {name}: x as fast as the lesson", "at least", goals[batch], ratio))
    for batch in {64} & measured.stages.keys():
        of = {name: median(times) for name, times in measured.stages[batch].items()}
        after = (of["fast mirror: survivors"] + of["fast mirror: draw, k numbers"]) / of["product: PyTorch"]
        words = f"batch {batch}, fast mirror, k numbers: all after the product, of PyTorch's product"
        rows.append(_goal(words, "at most", 0.1, after))
    return rows


def goal_table(measured: Measured) -> str:
    """The goals, the measured values, and which goals were met."""
    rows = []
    for noise, suffix in (("PyTorch's noise", ""), ("NumPy's noise", ", NumPy's noise")):
        for batch, stages in measured.stages.items():
            medians = {name: median(times) for name, times in (stages | measured.steps[batch]).items()}
            own, reading = medians[f"fast path{suffix}"], measured.reading(batch)
            after, filtered = (
                (medians[stage] + medians[f"fast path: draw{suffix}"]) / medians["product: NumPy"]
                for stage in ("fast path: survivors", "fast path: survivors, then top-p and min-p")
            )
            figures = own / reading, after, filtered, medians["lesson"] / own
            for (words, sense, goals), figure in zip(GOALS, figures, strict=True):
                if batch in goals:
                    rows.append(_goal(f"batch {batch}, {noise}: {words}", sense, goals[batch], figure))
    rows += _mirror_goals(measured)
    (product, _), (in_blocks, peak), _ = ((median(times), peak) for times, peak in measured.scoring.values())
    rows.append(_goal("scoring 1,024 positions, x the plain product", "at most", 1.2, in_blocks / product))
    rows.append(_goal("scoring 1,024 positions, peak MB on top of the inputs", "at most", 400, peak / 1e6))
    return _table("goal", "", "aimed at", "measured", "", rows=rows)


def markdown(measured: Measured) -> str:
    """The page BENCHMARKS.md. Everything must have been measured."""
    parts = [
        "# Benchmarks",
        "Written by one command, every figure from the same run; do not edit.\n\n"
        f"    {measured.command}\n\n{machine()}\n\n"
        f"V = {measured.vocab_size:,}, d = {measured.hidden_size:,}, float32, {measured.threads} threads, temperature "
        "0.7, k = 50, where named top-p 0.95 and min-p 0.05. "
        f"Medians of {measured.rounds} rounds and ± their median absolute deviation, all candidates in "
        "one process and in another order each round. `reference` and `fast path` draw PyTorch's noise, V numbers"
        " a row, unless NumPy's is named; `fast path` is `reference.fast`, `mirror` is `torch_impl`, `fast mirror` is"
        " `torch_impl.fast`, which draws the tokens of `torch.multinomial`, or takes k numbers a row; `lesson` is what"
        f" a PyTorch user would write, and `{WHOLE_HEAD}` the graph of `ports/onnx`, which keeps every rule. The"
        " limit is the longer of two times: reading the embedding once, and the product at the highest rate, each"
        " by whatever was fastest: a dot product in each thread, a large square product, or a product or a step"
        " below. Peak memory is what a call adds to the process at its highest.",
    ]
    for batch, stages in measured.stages.items():
        parts += [f"## Batch {batch}", step_table(measured, batch), stage_table(measured, batch)]
        products = {name.split(": ")[1]: median(stages[name]) for name in stages if name.startswith("product")}
        parts.append(f"The fastest product at this batch is that of {min(products, key=products.__getitem__)}.")
    scored = [[name, *_ms(times, 0), f"{peak / 1e6:.1f}"] for name, (times, peak) in measured.scoring.items()]
    parts += ["## Scoring 1,024 positions", _table("", "ms", "±", "peak MB on top of the inputs", rows=scored)]
    parts += ["## Sampling alone", SAMPLING, sampling_table(measured), gaps(measured)]
    base = ", ".join(f"{name} = {value:,}" for name, value in growth.BASE.items())
    axes = [f"{axis} {points[0]:,} to {points[-1]:,}" for axis, points in growth.GRID.items()]
    slopes = [[name, *(f"{measured.growth[axis][name]:.2f}" for axis in growth.GRID)] for name in growth.SHOWN]
    parts += [
        "## Growth",
        f"The exponent of time along one axis, the others at {base}: 1 is linear, 0 does not grow.",
        _table("", *axes, rows=slopes),
    ]
    return "\n\n".join([*parts, "## Goals", goal_table(measured), WHY]) + "\n"


def suite(measured: Measured) -> Any:
    """All timings as a `pyperf.BenchmarkSuite`, for `python -m pyperf stats` and `compare_to`."""
    shape = {"vocab_size": measured.vocab_size, "hidden_size": measured.hidden_size, "threads": measured.threads}
    benchmarks = []
    for kind, groups in (("step", measured.steps), ("stage", measured.stages)):
        for batch, group in groups.items():
            for name, times in group.items():
                about = {**shape, "name": f"{kind}, batch {batch}: {name}", "unit": "second", "batch": batch}
                about["peak_memory"] = json.dumps(measured.memory[batch].get(name))
                benchmarks.append(pyperf.Benchmark([pyperf.Run(times, metadata=about, collect_metadata=False)]))
    return pyperf.BenchmarkSuite(benchmarks)


SAMPLING = """From logits that are there to a token for each row, as in a loop whose product somebody else computes."""

WHY = """Why goals are missed:

- *PyTorch's noise.* The same tokens from the same seed need V numbers of a Mersenne Twister for each row, in order, and
  NumPy can reach a later number only by making those before it. The row `fast path: draw` is almost all that;
  `fast path: draw, NumPy's noise` is what is left without it.
- *The product.* No head is faster than its product: compare `lesson` with `product: PyTorch`, and `fast path` with
  `product: NumPy`. Whose product is fastest is said below each table.
- *Small operations.* After the cut there are still dozens of calls on arrays of about k numbers. Each costs about what
  NumPy takes to begin one, whatever the array's size; the faster the product, the more they weigh.
- *Exponentials.* Scoring takes one exponential for each logit, in one thread, while the product uses all threads.
- *Reading.* Where the third-level cache holds much of the embedding, reading it once is faster than from memory, and
  the product is then limited by arithmetic and not by reading."""

"""`python -m parity_tests side-by-side`: see the heads agree; `report`: on a whole grid; `bench`: how fast.

`profiles`: the same settings in every engine's order; `seeds`: the same seed in every runtime; `judge`: whether a file
of logits comes from a right head; `mutants`: which test catches which known mistake.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference.profiles import OPTIONS as SETTINGS
from reference.version import VERSION

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m parity_tests", description=__doc__)
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    side = commands.add_parser("side-by-side", help="one prompt by NumPy, PyTorch and Transformers")
    side.add_argument("prompt", nargs="?", help="default: a line that the embedded model knows")
    side.add_argument("--temperature", type=float, default=0.7, metavar="T", help="above 0 (default 0.7)")
    side.add_argument("--top-k", type=int, default=50, metavar="K", help="how many tokens survive (default 50)")
    side.add_argument("--seed", type=int, default=0, metavar="S", help="of the draws (default 0)")
    side.add_argument("--tokens", type=int, default=1, metavar="N", help="how many tokens to generate (default 1)")
    profiles = commands.add_parser("profiles", help="which tokens survive the same settings in each engine")
    profiles.add_argument("prompt", nargs="?", help="default: a line that the embedded model knows")
    for option in SETTINGS:
        kind = int if option == "top-k" else float
        profiles.add_argument(f"--{option}", type=kind, metavar="X", help="off unless it is given")
    seeds = commands.add_parser("seeds", help="which token each runtime draws from the same seed, and why")
    seeds.add_argument("prompt", nargs="?", help="default: a line that the embedded model knows")
    seeds.add_argument("--seed", type=int, default=42, metavar="S", help="from 0 to 2^32 - 1 (default 42)")
    seeds.add_argument("--temperature", type=float, default=0.7, metavar="T", help="above 0 (default 0.7)")
    seeds.add_argument("--top-k", type=int, default=50, metavar="K", help="how many tokens survive (default 50)")
    for parser_of_model in (side, profiles, seeds):
        parser_of_model.add_argument(
            "--model",
            default="tiny",
            metavar="MODEL",
            help="a folder, a .gguf file, smollm2 or a Hub id (default: tiny, the embedded GPT-2)",
        )
        parser_of_model.add_argument("--json", action="store_true", help="print JSON")
    judge = commands.add_parser("judge", help="what a runtime wrote: right, in which precision, or which mistake")
    judge.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder written by python -m weights_export")
    judge.add_argument(
        "--logits", type=Path, required=True, metavar="FILE", help=".npy, .npz, .safetensors or bare (N, V)"
    )
    judge.add_argument("--dtype", metavar="DTYPE", help="of bare numbers: float32, float64, float16, bfloat16")
    judge.add_argument("--probs", type=Path, metavar="FILE", help="(N, V): after temperature, top-k and softmax")
    judge.add_argument("--tokens", type=Path, metavar="FILE", help="(N,): drawn by torch.multinomial from --seed")
    judge.add_argument("--temperature", type=float, default=0.7, metavar="T", help="of --probs, --tokens (default 0.7)")
    judge.add_argument("--top-k", type=int, default=50, metavar="K", help="of --probs, --tokens (default 50)")
    judge.add_argument("--seed", type=int, metavar="S", help="of --tokens")
    judge.add_argument(
        "--own-contexts", action="store_true", help="the file comes from a whole model, run on the prompts"
    )
    judge.add_argument("--float32", action="store_true", help="take no other precision for right")
    judge.add_argument("--json", action="store_true", help="print JSON")
    judge.add_argument("--html", metavar="FILE", help="write the table as a page, too")
    tolerances = commands.add_parser("tolerances", help="what each precision does to a bundle's logits and draws")
    tolerances.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder written by python -m weights_export")
    bench = commands.add_parser("bench", help="time the heads against each other, in one process")
    bench.add_argument(
        "--shape", default="gpt2", metavar="NAME", help="gpt2 (default), gpt2-xl, llama3, tiny, or two numbers: V,d"
    )
    bench.add_argument("--batch", default="1,8,64", metavar="B,...", help="batch sizes (default 1,8,64)")
    bench.add_argument("--threads", type=int, default=2, metavar="N", help="of every library (default 2)")
    bench.add_argument("--rounds", type=int, default=21, metavar="N", help="how often each is timed (default 21)")
    bench.add_argument("--onnx", type=Path, metavar="FILE", help="time this graph too, written by ports.onnx.build")
    bench.add_argument("--json", metavar="FILE", help="write all timings in pyperf's format")
    bench.add_argument("--markdown", metavar="FILE", help="measure all there is and write BENCHMARKS.md")
    report = commands.add_parser("report", help="the verdicts on a fixed grid, as a table and as a page")
    report.add_argument("--html", metavar="FILE", help="write the same figures, with plots, as one HTML file")
    report.add_argument(
        "--head", action="append", default=[], metavar="MODULE[:OBJECT]", help="judge this head too (see README)"
    )
    commands.add_parser("mutants", help="hold the suite against every known mistake; a table of what caught each")
    options = parser.parse_args(arguments)
    command = {
        "side-by-side": _side_by_side,
        "profiles": _profiles,
        "seeds": _seeds,
        "judge": _judge,
        "tolerances": _tolerances,
        "bench": _bench,
        "report": _report,
        "mutants": _mutants,
    }[options.command]
    try:
        return command(options)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        extra = "torch" if options.command in ("side-by-side", "profiles", "seeds") else "dev"
        print(f"{options.command}: this needs {package}: pip install '.[{extra}]' in a clone", file=sys.stderr)
        return 2


def _refuse_prompt(prompt: str | None) -> None:
    if prompt == "":
        raise ValueError("the prompt is empty: give at least one character")
    try:
        (prompt or "").encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the prompt is not UTF-8: give it as text") from None


def _refuse_at_once(options: argparse.Namespace) -> None:
    """What no model is needed for, before PyTorch and Transformers are imported, which takes seconds.

    Raises: as `side_by_side`.
    """
    import numpy as np

    import reference

    _refuse_prompt(options.prompt)
    if options.tokens < 1:
        raise ValueError(f"--tokens is {options.tokens}: it must be at least 1")
    logits = np.zeros(1, dtype=np.float32)
    reference.apply_temperature(logits, options.temperature)
    reference.top_k(logits, options.top_k)
    reference.TorchGenerator(options.seed)


@contextmanager
def _importing() -> Iterator[None]:
    """For PyTorch and Transformers: without looking for garbage among what is imported, now or at the end.

    That would take a third of the time of a short command.
    """
    gc.disable()
    try:
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        yield
    finally:
        gc.freeze()
        gc.enable()


def _print(found: Any, options: argparse.Namespace, show: Callable[[Any, "Console"], None]) -> None:
    """As JSON, or as tables for a person."""
    from .terminal import console

    if options.json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        show(found, console())


def _side_by_side(options: argparse.Namespace) -> int:
    from weights_export import checkpoint

    try:
        _refuse_at_once(options)
        checkpoint.find(options.model)
    except (OSError, ValueError) as error:
        print(f"side-by-side: {error}", file=sys.stderr)
        return 2
    with _importing():
        from .demo.side_by_side import show, side_by_side

    try:
        result = side_by_side(
            checkpoint.load(options.model),
            checkpoint.PROMPTS[0] if options.prompt is None else options.prompt,
            temperature=options.temperature,
            k=options.top_k,
            seed=options.seed,
            tokens=options.tokens,
        )
    except (OSError, ValueError) as error:
        print(f"side-by-side: {error}", file=sys.stderr)
        return 2
    _print(result, options, show)
    return 1 if result.diverged else 0


def _profiles(options: argparse.Namespace) -> int:
    from weights_export import checkpoint

    given = {name: getattr(options, name.replace("-", "_")) for name in SETTINGS}
    try:
        _refuse_prompt(options.prompt)
        checkpoint.find(options.model)
        with _importing():
            from .demo.profiles import compare, show

        prompt = checkpoint.PROMPTS[0] if options.prompt is None else options.prompt
        found = compare(
            checkpoint.load(options.model), prompt, {name: value for name, value in given.items() if value is not None}
        )
    except (OSError, ValueError) as error:
        print(f"profiles: {error}", file=sys.stderr)
        return 2
    _print(found, options, show)
    return 0


def _seeds(options: argparse.Namespace) -> int:
    from weights_export import checkpoint

    try:
        _refuse_prompt(options.prompt)
        if not 0 <= options.seed < 2**32:
            raise ValueError(f"--seed is {options.seed}: it must be from 0 to 2^32 - 1, which every runtime takes")
        checkpoint.find(options.model)
        with _importing():
            from .demo.seeds import compare, show

        prompt = checkpoint.PROMPTS[0] if options.prompt is None else options.prompt
        found = compare(checkpoint.load(options.model), prompt, options.seed, options.temperature, options.top_k)
    except (OSError, ValueError) as error:
        print(f"seeds: {error}", file=sys.stderr)
        return 2
    _print(found, options, show)
    return 0


def _judge(options: argparse.Namespace) -> int:
    from .files.command import judge

    try:
        return judge(options)
    except (OSError, ValueError) as error:
        print(f"judge: {error}", file=sys.stderr)
        return 2


def _tolerances(options: argparse.Namespace) -> int:
    from weights_export import open_bundle

    from .files.tolerances import lines, table
    from .terminal import console

    try:
        bundle = open_bundle(options.bundle)
        console().print(table(bundle, list(lines(bundle))))
    except (OSError, ValueError) as error:
        print(f"tolerances: {error}", file=sys.stderr)
        return 2
    return 0


def _bench(options: argparse.Namespace) -> int:
    # Read when NumPy and PyTorch are first imported. Idle threads must sleep at once: while those of one library wait
    # for work in a busy loop, as they do by default, they slow down whoever is timed next.
    threads = str(options.threads)
    os.environ |= {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    os.environ |= {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4", "KMP_BLOCKTIME": "0"}
    os.environ |= {"GOMP_SPINCOUNT": "0"}
    from .bench import main as bench

    options.line = "python -m parity_tests bench " + " ".join(sys.argv[2:])
    return bench(options)


def _report(options: argparse.Namespace) -> int:
    from transformers.utils import logging

    logging.disable_progress_bar()
    from .report import main as report

    return report(options.html, options.head)


def _mutants(_: argparse.Namespace) -> int:
    import numpy as np
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from .mutants import MUTANTS
    from .suite import MODULES, run
    from .terminal import console

    if find_spec(f"{__package__}.{MODULES['softmax']}") is None:
        print("mutants: this runs the suite's tests, which are not installed: run it in a clone", file=sys.stderr)
        return 2
    table, survivors = Table(), 0
    for column in ("stage", "mistake", "rule", "caught by"):
        table.add_column(column, overflow="fold")
    for mutant in track(MUTANTS, "mutants", console=Console(stderr=True)):
        with np.errstate(all="ignore"):  # some of the mistakes divide by zero
            failure = run(mutant.stage, mutant.head, first=mutant.rule)
        survivors += failure is None
        caught = failure.test.split(".")[1].removeprefix("test_") if failure else "NOTHING"
        table.add_row(mutant.stage, mutant.looks_like, mutant.rule, caught)
    console().print(table, f"{len(MUTANTS) - survivors} of {len(MUTANTS)} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())

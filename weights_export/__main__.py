"""`python -m weights_export MODEL -o DIR`: write a bundle; `verify DIR` and `show DIR` read one back."""

import argparse
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

COMMANDS = ("verify", "show")


def export_parser() -> argparse.ArgumentParser:
    """The options of an export."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_export",
        description=__doc__,
        epilog="A folder whose name is verify or show is written ./verify.",
    )
    add = parser.add_argument
    add("model", nargs="?", default="tiny", help="tiny (the embedded GPT-2), a checkpoint folder or a Hub id")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to create")
    add("--revision", metavar="REV", help="a branch, a tag or a commit of a Hub's model (default: its main branch)")
    add("--prompts", type=Path, metavar="FILE", help="one prompt a line, or a JSON list of texts in *.json")
    add("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="of the embedding")
    add("--rows", choices=("all", "vocab"), default="all", help="keep rows of the table that are no token's, or not")
    add("--format", choices=("safetensors", "npz", "bin"), default="safetensors", help="of the files with tensors")
    add("--head-only", action="store_true", help="no contexts and answers: of a Hub's weights fetch only the head")
    head = parser.add_mutually_exclusive_group()
    head.add_argument("--tied", action="store_true", default=None, help="the head is the token embedding, whatever ...")
    head.add_argument("--untied", action="store_true", help="... or lm_head.weight, whatever config.json says")
    add("--force", action="store_true", help="replace a bundle that is there")
    add("--offline", action="store_true", help="use what is in the Hub's cache and no network")
    add("--stats", action="store_true", help="print the time and the peak memory of this process")
    return parser


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in COMMANDS:
            return _read(arguments[0], arguments[1:])
        return _export(export_parser().parse_args(arguments))
    except BrokenPipeError:  # whoever read this has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        print(f"weights_export: this needs {package}: pip install '.[torch]' in a clone", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"weights_export: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("weights_export: interrupted, nothing was written", file=sys.stderr)
        return 130


def one_line(error: Exception) -> str:
    """What went wrong, on one line, with nothing in it that could steer a terminal."""
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return "".join(c if c.isprintable() else " " for c in text.replace("\n", " "))


def _export(options: argparse.Namespace) -> int:
    from . import staging

    start = time.monotonic()
    staging.check_target(options.output, options.force)  # before anything that takes time
    for line in staging.left_over(options.output):
        print(f"weights_export: {line}", file=sys.stderr)
    from .checkpoint import find
    from .export import Options, export
    from .progress import shown
    from .prompts import PROMPTS, read_prompts

    prompts = read_prompts(options.prompts) if options.prompts else PROMPTS
    tied = True if options.tied else False if options.untied else None
    settings = Options(
        output=options.output,
        prompts=prompts,
        container=options.format,
        dtype=options.dtype,
        rows=options.rows,
        head_only=options.head_only,
        force=options.force,
        tied=tied,
    )
    with staging.temporary(options.output) if options.head_only else nullcontext() as head_into:
        source = find(options.model, options.revision, options.offline, head_into)
        with shown() as report:
            export(source, settings, report)
    what = "no contexts" if options.head_only else f"{len(prompts)} prompts"
    print(f"{options.output}: a bundle of {source.name} with {what}")
    if options.stats:
        print(stats(time.monotonic() - start))
    return 0


def stats(seconds: float) -> str:
    """The time and the largest resident memory of this process so far, the interpreter and all libraries included."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # Linux; ru_maxrss there begins with what the parent process had
        peak = int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{seconds:.1f} s, peak memory {peak / 1e6:.0f} MB"


def _read(command: str, arguments: list[str]) -> int:
    from .bundle import open_bundle
    from .progress import shown
    from .show import show

    parser = argparse.ArgumentParser(prog=f"python -m weights_export {command}")
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder written by python -m weights_export")
    bundle = open_bundle(parser.parse_args(arguments).bundle)
    if command == "show":
        print(show(bundle), flush=True)
        return 0
    with shown() as report:
        bundle.verify(report)
        if bundle.manifest["prompts"]:
            bundle.reproduce(report)
    print(
        f"{bundle.folder}: whole, and its logits are reproduced"
        if bundle.manifest["prompts"]
        else f"{bundle.folder}: whole"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

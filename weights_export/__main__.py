"""`python -m weights_export MODEL -o DIR`: write a bundle; `verify DIR` and `show DIR` read one back."""

import argparse
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from reference.version import VERSION

from . import Bundle, open_bundle, staging
from .checkpoint import find
from .containers import CONTAINERS
from .export import Options, export
from .manifest import HEAD_DTYPES, VERSIONS
from .progress import shown
from .prompts import PROMPTS, read_prompts

WIDTH = 100  # of what `show` prints, in characters


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in ("verify", "show"):
            return _read(arguments[0], arguments[1:])
        return _export(arguments)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("weights_export: interrupted, nothing was written", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        message = f"this needs {package}: pip install '.[torch]' in a clone"
    except (OSError, ValueError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.strerror and error.errno is not None:
            message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    print("weights_export:", _line(message), file=sys.stderr)
    return 1


def _line(message: str) -> str:
    """A message on one line, without characters that could control a terminal."""
    return "".join(c if c.isprintable() else " " for c in message)


def _export(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m weights_export",
        description=__doc__,
        epilog="Write ./verify for a folder that is called verify or show.",
    )
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        default="tiny",
        help="tiny (the embedded GPT-2, the default), smollm2, a folder, a .gguf file or a Hub id",
    )
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to create")
    add("--revision", metavar="REV", help="a branch, tag or commit of a Hub's model (default: its main branch)")
    add("--prompts", type=Path, metavar="FILE", help="one prompt per line, or a JSON list of strings in *.json")
    add("--dtype", choices=HEAD_DTYPES, default="float32", help="of the embedding (default: float32)")
    add("--rows", choices=("all", "vocab"), default="all", help="keep the table's padding rows, or leave them out")
    add("--format", choices=CONTAINERS, default="safetensors", help="of the files with tensors")
    add("--head-only", action="store_true", help="no contexts and answers; of a Hub's model, fetch only the head")
    head = parser.add_mutually_exclusive_group()
    head.add_argument("--tied", action="store_true", help="export the token embedding as the head ...")
    head.add_argument("--untied", dest="tied", action="store_false", help="... or lm_head.weight; both overrule config")
    parser.set_defaults(tied=None)
    add(
        "--bundle-version",
        type=int,
        choices=VERSIONS,
        help="of the manifest: 2 holds a GPT-2's head, 3 any (default: 2 or 3); 4: more for judge",
    )
    add("--force", action="store_true", help="replace an existing bundle")
    add("--offline", action="store_true", help="use the Hub's cache and no network")
    add("--stats", action="store_true", help="print the time and the peak memory of this process")
    add("--version", action="version", version=VERSION)
    given = parser.parse_args(arguments)
    start = time.monotonic()
    staging.check_target(given.output, given.force)  # before anything that takes time
    for line in staging.left_over(given.output):
        print(f"weights_export: {line}", file=sys.stderr)
    prompts = read_prompts(given.prompts) if given.prompts else PROMPTS
    parts = {"container": given.format, "dtype": given.dtype, "rows": given.rows, "head_only": given.head_only}
    options = Options(given.output, prompts, **parts, force=given.force, tied=given.tied, version=given.bundle_version)
    with staging.temporary(given.output) if given.head_only else nullcontext() as head_into:
        source = find(given.model, given.revision, given.offline, head_into)
        with shown() as report:
            no_tokens = export(source, options, report)
    what = "no contexts" if given.head_only else f"{len(prompts)} prompts"
    print(f"{given.output}: a bundle of {source.name} with {what}" + (" and no tokens.json" if no_tokens else ""))
    if no_tokens:
        print(_line(f"no tokens.json, because {no_tokens}"))
    if given.stats:
        print(f"{time.monotonic() - start:.1f} s, peak memory {_peak_memory() / 1e6:.0f} MB")
    return 0


def _peak_memory() -> int:
    """The peak resident memory of this process in bytes, interpreter and libraries included."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss starts at what the parent process used
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _read(command: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m weights_export {command}")
    parser.add_argument("bundle", type=Path, metavar="DIR", help="a folder written by python -m weights_export")
    bundle = open_bundle(parser.parse_args(arguments).bundle)
    if command == "show":
        print(_description(bundle), flush=True)
        return 0
    with shown() as report:
        bundle.verify(report)
        if bundle.manifest["prompts"]:
            bundle.reproduce(report)
    print(f"{bundle.folder}: intact" + ("; logits reproduced" if bundle.manifest["prompts"] else ""))
    return 0


def _output_layer(bundle: Bundle) -> str:
    """The output layer in the order in which it is computed."""
    layer, norm = bundle.output_layer, bundle.output_layer.norm
    parts = []
    if norm is not None:
        offset = f", {norm.weight_offset:g} + weight" if norm.weight_offset else ""
        parts.append(f"{norm.kind} (epsilon {norm.epsilon:g}{offset})")
    parts.append("product with the embedding")
    parts += ["+ bias"] if bundle.bias is not None else []
    parts += [f"* {layer.multiplier:g}"] if layer.multiplier != 1 else []
    parts += [f"/ {layer.divisor:g}"] if layer.divisor != 1 else []
    parts += [f"soft cap {layer.cap:g}"] if layer.cap is not None else []
    return ", ".join(parts)


def _description(bundle: Bundle) -> str:
    """The manifest, the tensors, the prompts and some tokens as text; strings from the files are quoted."""
    m = bundle.manifest
    padding = m["embedding_rows"] - m["vocab_size"]
    lines = [
        f"{m['format']} {m['version']} of {m['model']!r}" + (f", revision {m['revision']!r}" if m["revision"] else ""),
        f"vocabulary    V = {m['vocab_size']:,} tokens" + (f", and {padding:,} padding rows" if padding else ""),
        f"hidden size   d = {m['hidden_size']:,}",
        f"embedding     {m['dtype']}, {'tied' if m['tied'] else 'not tied'} to the token embedding",
        f"output layer  {_output_layer(bundle)}",
        "",
        f"{'tensor':<20} {'dtype':<9} {'shape':<18} {'file':<22} {'first byte':>12}",
    ]
    for name, tensor in m["tensors"].items():
        shape = " x ".join(f"{n:,}" for n in tensor["shape"])
        lines.append(f"{name:<20} {tensor['dtype']:<9} {shape:<18} {tensor['file']:<22} {tensor['offset']:>12,}")
    lines += ["", f"{'file':<22} {'bytes':>14}  sha256"]
    lines += [f"{name:<22} {file['size']:>14,}  {file['sha256'][:16]}…" for name, file in m["files"].items()]
    if m["prompts"]:
        lines += ["", f"{'prompt':<6} {'tokens':>6}  text"]
        rows = [(len(prompt["token_ids"]), repr(prompt["text"])[: WIDTH - 16]) for prompt in bundle.prompts]
        lines += [f"{i:<6} {count:>6}  {text}" for i, (count, text) in enumerate(rows)]
    if "tokens.json" in m["files"]:
        tokens = ", ".join(f"{i} {raw!r}" for i, raw in enumerate(bundle.token_bytes[:4]))
        lines += ["", f"tokens        {tokens}, …; special: {sorted(bundle.special)[:4]}"]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m reference BUNDLE`: what each stage of the head does to one exported context vector.

Needs NumPy and safetensors, no PyTorch.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import TorchGenerator, apply_temperature, compute_logits, finish_logits, keep_top_k, multinomial, softmax, top_k
from .version import VERSION

SHOWN, BAR = 10, 30
NOTHING = {"multiplier": 1.0, "divisor": 1.0, "cap": None}  # the numbers of a head whose products are its logits
SHOWN_FILES = ("prompts.json", "tokens.json", "head.safetensors", "contexts.safetensors")


def _files(bundle: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The content of the files that are shown, by name, checked against the SHA-256 in `manifest.json`.

    And what `finish_logits` takes besides the bias: nothing where the model divides, multiplies and caps nothing.
    """
    path = bundle / "manifest.json"
    if not path.is_file():
        raise ValueError(
            f"{bundle} is not a bundle, a folder with a manifest.json: python -m weights_export tiny -o DIR writes one"
        )
    try:
        raw = path.read_bytes()
        manifest = json.loads(raw)
        start = raw.rindex(manifest["sha256"].encode())  # of its own bytes, with zeros in place of these 64 digits
        if hashlib.sha256(raw[:start] + b"0" * 64 + raw[start + 64 :]).hexdigest() != manifest["sha256"]:
            raise ValueError
        version, container, dtype, prompts = (manifest[key] for key in ("version", "container", "dtype", "prompts"))
        layer = NOTHING if version == 2 else manifest["output_layer"]
        finish = {name: layer[name] for name, none in NOTHING.items() if layer[name] not in (none, None)}
        digests = {name: file["sha256"] for name, file in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is not the manifest of a bundle: export it again") from None
    if version not in (2, 3, 4):
        raise ValueError(f"{bundle} has version {version} of the bundle's format: this command reads 2 to 4")
    if container != "safetensors" or dtype not in ("float32", "float16") or not prompts:
        why = "it has no prompts: leave out --head-only"
        if container != "safetensors":
            why = f"its tensors are in {container}: leave out --format"
        elif dtype not in ("float32", "float16"):
            why = f"its embedding is {dtype}: leave out --dtype"
        raise ValueError(f"{bundle} is not read by this command, because {why} and export it again")
    # Of version 3, a bundle need not have tokens.json: a tokenizer may put spaces of its own between tokens.
    shown = [name for name in SHOWN_FILES if name != "tokens.json" or version == 2 or name in digests]
    read = {name: (bundle / name).read_bytes() for name in shown}
    for name, content in read.items():
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise ValueError(
                f"{bundle / name} is damaged, or belongs to another bundle: its sha256 differs from the manifest's"
            )
    return read, finish


def _steps(finish: dict[str, Any]) -> str:
    """What happens to the products before they are logits, in words."""
    words = {"bias": "plus a bias", "multiplier": "times {:g}", "divisor": "divided by {:g}", "cap": "capped at ±{:g}"}
    return ", ".join(words[name].format(value) if name != "bias" else words[name] for name, value in finish.items())


def describe(
    bundle: Path, prompt: int = 0, temperature: float = 0.7, k: int = 50, seed: int = 0, shown: int = SHOWN
) -> str:
    """The stages as text, one section for each.

    Raises: OSError for a missing file; IndexError for a prompt that the bundle does not have; ValueError for a bundle
    that is damaged or of another kind; ModuleNotFoundError if safetensors is not installed; and as the stages do.
    """
    from safetensors.numpy import load

    read, finish = _files(bundle)
    prompts = json.loads(read["prompts.json"])
    tokens = json.loads(read["tokens.json"])["tokens"] if "tokens.json" in read else None
    if not 0 <= prompt < len(prompts):
        raise IndexError(f"prompt is {prompt}: this bundle has prompts 0 to {len(prompts) - 1}")
    head = load(read["head.safetensors"])
    if "bias" in head:
        finish = {"bias": head["bias"], **finish}
    context = load(read["contexts.safetensors"])["context"][prompt]

    def text(token_id: int) -> str:
        if tokens is None:
            return f"#{token_id}"
        return repr(bytes.fromhex(tokens[token_id]).decode("utf-8", errors="replace"))

    products = compute_logits(context, head["embedding"])
    logits = finish_logits(products, **finish)
    scaled = apply_temperature(logits, temperature)
    kept = keep_top_k(scaled, k)
    probs = softmax(kept)
    drawn = int(multinomial(probs, rng=TorchGenerator(seed))[0])
    survivors, shown_ids = np.count_nonzero(kept > -np.inf), top_k(logits, shown)[1]
    unfiltered = softmax(scaled)
    lines = [
        f"prompt {prompt}: {prompts[prompt]['text']!r}",
        "",
        f"context vector   d = {len(context)} numbers from {context.min():.2f} to {context.max():.2f}",
        f"compute_logits   V = {len(logits):,} scores from {products.min():.2f} to {products.max():.2f}",
        *([f"finish_logits    {_steps(finish)}: from {logits.min():.2f} to {logits.max():.2f}"] if finish else []),
        f"temperature      every score divided by {temperature:g}",
        f"top-k            {survivors} survive, {len(logits) - survivors:,} become -inf; "
        f"the cut-off tail held {1 - unfiltered[kept > -np.inf].sum(dtype=np.float64):.1%} of the probability",
        f"softmax          the survivors share probability {probs.sum(dtype=np.float64):.6f}",
        "",
        f"{'token':<16} {'id':>6} {'logit':>9} {'/ ' + format(temperature, 'g'):>9} {'probability':>12}",
    ]
    for i in shown_ids:
        bar = "█" * round(BAR * float(probs[i] / probs.max()))
        lines.append(
            f"{text(i):<16} {i:>6} {logits[i]:>9.4f} {scaled[i]:>9.4f} {probs[i]:>12.6f}  {bar}"
            + ("" if kept[i] > -np.inf else "cut")
        )
    lines += ["", f"multinomial      seed {seed} draws {text(drawn)} (id {drawn}, probability {probs[drawn]:.6f})"]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reference", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, help="a folder written by python -m weights_export")
    parser.add_argument("--prompt", type=int, default=0, metavar="N", help="which prompt of the bundle (default 0)")
    parser.add_argument("--temperature", type=float, default=0.7, metavar="T", help="above 0 (default 0.7)")
    parser.add_argument("--top-k", type=int, default=50, metavar="K", help="how many tokens survive (default 50)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of PyTorch's CPU stream (default 0)")
    parser.add_argument("--version", action="version", version=VERSION)
    options = parser.parse_args(arguments)
    try:
        text = describe(options.bundle, options.prompt, options.temperature, options.top_k, options.seed)
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # not every terminal can show every character
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        print(f"python -m reference: this needs {package}: pip install '.[bundle]' in a clone", file=sys.stderr)
        return 1
    except (OSError, IndexError, KeyError, ValueError) as error:
        print(f"python -m reference: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

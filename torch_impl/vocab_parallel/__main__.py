"""One token for each context vector of a bundle, by all ranks that `torchrun` started."""

import argparse
import json
import resource
import sys
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor

from .engine import VocabParallelHead, share


def open_bundle(bundle: Path, world: int, rank: int) -> tuple[Tensor, int, int, str, dict[str, Any]]:
    """This rank's rows of a bundle's embedding, mapped and not read, `first`, `vocab_size`, `revision` and `finish`.

    Raises: OSError for a missing file, ValueError for a folder that is not a bundle.
    """
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    if manifest.get("format") != "lm-head-bundle" or manifest.get("version") not in (2, 3, 4):
        raise ValueError(f"{bundle}: the manifest is not that of an lm-head-bundle, version 2 to 4")
    about = manifest["tensors"]["embedding"]
    vocab_size, d = manifest["vocab_size"], about["shape"][1]
    first, stop = share(vocab_size, world, rank)
    stored = np.dtype(about["dtype"]).newbyteorder("<")
    start, shape = about["offset"] + first * d * stored.itemsize, (stop - first, d)
    # Copy on write ("c"): PyTorch wants memory that it may write to, and the file must stay as it is.
    mapped = np.memmap(bundle / about["file"], stored, "c", start, shape) if stop > first else np.empty(shape, stored)
    files = json.dumps(manifest["files"], sort_keys=True)
    revision = f"{manifest['model']} {manifest['revision']} {files}"
    return torch.from_numpy(mapped), first, vocab_size, revision, _finish(bundle, manifest)


def _finish(bundle: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What version 3 says that follows the product: arguments of `finish_logits`."""
    layer = manifest.get("output_layer", {})
    finish = {name: layer[name] for name in ("multiplier", "divisor", "cap") if layer.get(name) is not None}
    if bias := manifest["tensors"].get("bias"):
        numbers = np.fromfile(bundle / bias["file"], "<f4", bias["shape"][0], offset=bias["offset"])
        finish["bias"] = torch.from_numpy(numbers)
    return finish if "bias" in finish or any(value != 1 for value in finish.values()) else {}


def _version() -> str:
    try:
        return f"lm-head-parity {version('lm-head-parity')}"
    except PackageNotFoundError:  # the folders are on the path, nothing more
        return "lm-head-parity (not installed)"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="torchrun -m torch_impl.vocab_parallel", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--temperature", type=float, default=0.7, metavar="T")
    parser.add_argument("--top-k", type=int, default=50, metavar="K")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--backend", default="gloo", help="default: gloo, on CPUs")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--version", action="version", version=_version())
    options = parser.parse_args(arguments)
    dist.init_process_group(options.backend, timeout=timedelta(seconds=options.timeout))
    rank, world = dist.get_rank(), dist.get_world_size()
    try:
        rows, first, vocab_size, revision, finish = open_bundle(options.bundle, world, rank)
        parallel = VocabParallelHead(rows, first, vocab_size, revision=revision, finish=finish)
        context = load_file(options.bundle / "contexts.safetensors")["context"]
        before, rng = parallel.ranks.bytes_sent, torch.Generator().manual_seed(options.seed)
        drawn = parallel.next_token(context, options.temperature, options.top_k, rng=rng)
        sent = parallel.ranks.bytes_sent - before
        scores = parallel.log_probs(context, drawn)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"rank {rank}: {error}", file=sys.stderr)
        return 1
    finally:
        dist.destroy_process_group()
    if rank == 0:
        listed = options.bundle / "tokens.json"  # which a bundle of version 3 may lack
        tokens = json.loads(listed.read_text("utf-8"))["tokens"] if listed.is_file() else [""] * vocab_size
        for token_id, score in zip(drawn.tolist(), scores.tolist(), strict=True):
            text = bytes.fromhex(tokens[token_id]).decode("utf-8", errors="replace")
            print(f"{text!r:<20} id {token_id:>6}   log-probability at temperature 1 {score:9.4f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"rank {rank} of {world}: rows {first:,} to {first + len(rows):,}, {sent:,} bytes sent, peak {peak} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

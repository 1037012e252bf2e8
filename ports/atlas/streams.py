"""The tokens that the runtimes themselves draw from a seed, recorded in `streams.json`: what `draw_as` is held against.

    python -m ports.atlas.streams RUNTIME    prints what the runtime draws, if it is installed

Every runtime draws from the same 64 probabilities, all different and exact in float32, DRAWS tokens from each of SEEDS.
"""

import ctypes
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import reference
from reference.streams import STREAMS

FOLDER = Path(__file__).parent
RECORDS = FOLDER / "streams.json"
SEEDS, DRAWS = (1, 42, 1337, 2**31, 2**32 - 2), 400
# The odd numbers up to 127, in some order, over their sum 4,096.
PROBS = (np.random.RandomState(0).permutation(64) * 2 + 1).astype(np.float32) / np.float32(4096)
LOGITS = np.log(PROBS)
Answer = tuple[str, list[int]]  # which version, and the tokens


def _llama_cpp(seed: int) -> Answer:
    """Top-k, which sorts, and then the sampler `dist`."""
    return llama_cpp_after(seed, [64] * DRAWS)


def llama_cpp_after(seed: int, ks: list[int]) -> Answer:
    """A token after each of these cuts."""
    import llama_cpp

    from .adapters.llama_cpp_samplers import _array

    draw, tokens = llama_cpp.llama_sampler_init_dist(seed), []
    for k in ks:
        _memory, array = _array(LOGITS)
        for sampler in (llama_cpp.llama_sampler_init_top_k(k), draw):
            llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
        tokens.append(array.data[array.selected].id)
    return _version("llama-cpp-python"), tokens


def _of_c(runtime: str, seed: int) -> Answer:
    """Its sampler, written again in C: `xorshift.c`."""
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/xorshift"
        _output(["gcc", "-std=c99", "-O2", "-o", program, str(FOLDER / "xorshift.c")])
        return "its sampler in C, after the source", _ids(_output([program, runtime, str(seed), str(DRAWS)], PROBS))


def _transformers_js(seed: int) -> Answer:
    """The sampler that its `generate` uses."""
    said = _output(["node", str(FOLDER / "transformers_js.mjs"), str(seed), str(DRAWS)], LOGITS)
    version, _, tokens = said.partition(" ")
    return f"transformers.js {version}", _ids(tokens)


def _jax(seed: int) -> Answer:
    """`jax.random.categorical`, all in one call."""
    import jax

    drawn = jax.random.categorical(jax.random.key(seed), jax.numpy.asarray(LOGITS), shape=(DRAWS,))
    return _version("jax"), np.asarray(drawn).tolist()


def _numpy(seed: int) -> Answer:
    """`Generator.choice`, token by token."""
    rng = np.random.default_rng(seed)
    return _version("numpy"), [int(rng.choice(64, p=PROBS)) for _ in range(DRAWS)]


def _nanochat(seed: int) -> Answer:
    """PyTorch's functions, as `sample_next_token` calls them (https://github.com/karpathy/nanochat, engine.py)."""
    import torch

    rng, logits, tokens = torch.Generator().manual_seed(seed), torch.from_numpy(LOGITS)[None], []
    for _ in range(DRAWS):
        values, ids = torch.topk(logits, 64)
        place = torch.multinomial(torch.softmax(values, dim=-1), num_samples=1, generator=rng)
        tokens.append(int(ids.gather(1, place)))
    return f"its draw on {_version('torch')}", tokens


ASKED: dict[str, Callable[[int], Answer]] = {
    "llama.cpp": _llama_cpp,
    "llama2.c": lambda seed: _of_c("llama2.c", seed),
    "llm.c": lambda seed: _of_c("llm.c", seed),
    "transformers.js": _transformers_js,
    "jax": _jax,
    "numpy": _numpy,
    "nanochat": _nanochat,
}


def _version(package: str) -> str:
    return f"{package} {metadata.version(package).partition('+')[0]}"


def _ids(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def _output(command: list[str], numbers: np.ndarray | None = None) -> str:
    """What a program prints. Raises: ImportError if it is not there, or says that something is missing."""
    given = "" if numbers is None else " ".join(f"{x:.9g}" for x in numbers.tolist())
    try:
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = [line for line in str(getattr(error, "stderr", "")).splitlines() if "rror: " in line]
        raise ImportError(said[0] if said else str(error)) from None


def ask(runtime: str, date: str = "") -> dict[str, Any]:
    """The record of one runtime. Raises: ImportError if it is not installed."""
    drawn = {seed: ASKED[runtime](seed) for seed in SEEDS}
    return {
        "version": drawn[SEEDS[0]][0],
        "platform": f"{platform.system()} {platform.machine()}",
        "date": date or datetime.date.today().isoformat(),
        "tokens": {str(seed): " ".join(map(str, tokens)) for seed, (_, tokens) in drawn.items()},
    }


def load() -> dict[str, dict[str, Any]]:
    """What is recorded, by runtime."""
    records: dict[str, dict[str, Any]] = json.loads(RECORDS.read_text("ascii"))
    return records


def same(runtime: str, record: dict[str, Any]) -> int:
    """How many of the tokens of a record `reference.draw_as` draws as well."""
    count = 0
    for seed, text in record["tokens"].items():
        theirs = np.array(_ids(text))
        ours = reference.draw_as(np.broadcast_to(PROBS, (len(theirs), 64)), runtime, int(seed))
        count += int((ours == theirs).sum())
    return count


def run(date: str) -> None:
    """Ask every runtime that is installed, each in a process of its own, and keep what it says."""
    records = load() if RECORDS.exists() else {}
    for runtime in STREAMS:
        command = [sys.executable, "-m", __name__, runtime, date]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode:
            print(f"seeds of {runtime}: not run: {(asked.stderr.strip().splitlines() or ['no reason given'])[-1]}")
            continue
        records[runtime] = json.loads(asked.stdout.splitlines()[-1])
        print(f"seeds of {runtime}: {same(runtime, records[runtime]):,} of {len(SEEDS) * DRAWS:,} tokens are the same")
    RECORDS.write_text(json.dumps({name: records[name] for name in STREAMS if name in records}, indent=1) + "\n")


def section() -> Iterator[str]:
    """The lines of ATLAS.md about them."""
    yield "## The same seed, the tokens of each"
    yield ""
    yield f"From each of {len(SEEDS)} seeds, {DRAWS} tokens of the same 64 probabilities, drawn by the runtime itself"
    yield "([how](atlas/streams.py)) and by `draw_as` (STREAM-1 to STREAM-7). The samplers of llama2.c and llm.c are"
    yield "part of their programs; they are written again in [C](atlas/xorshift.c)."
    yield ""
    yield "| runtime | version | date | on | the same tokens |"
    yield "| --- | --- | --- | --- | --- |"
    for runtime, record in load().items():
        found = f"{same(runtime, record):,} of {len(SEEDS) * DRAWS:,}"
        yield f"| {runtime} | {record['version']} | {record['date']} | {record['platform']} | {found} |"
    yield ""


if __name__ == "__main__":
    print(json.dumps(ask(*sys.argv[1:])))

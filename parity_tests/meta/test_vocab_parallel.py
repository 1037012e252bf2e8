"""The vocabulary split over ranks: the tokens of one process, few bytes, and every rank stops when one fails."""

import functools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
import torch_impl
import torch_impl.scoring
from reference import bounds
from torch_impl.vocab_parallel import HEADER, share
from weights_export import open_bundle

from ..heads import to_numpy
from ..judges import draws
from ..verdict import compare
from . import ranks
from .test_scoring import exact_scores, require

spec = pytest.mark.spec
ROOT = Path(torch_impl.__file__).parents[1]

# Uneven splits, empty ranks, fewer rows than k on a rank, and padding; whole numbers tie across the seams.
SPLITS = {"2": [0, 1, 30], "3": [0, 0, 29, 30], "4": [0, 10, 10, 11, 30], "7": [0, 4, 8, 12, 13, 14, 29, 30]}
CASES: list[dict[str, Any]] = [
    {"vocab_size": 30, "d": 3, "batch": [4], "k": 7, "temperature": 1.0, "whole": True, "splits": SPLITS},
    {"vocab_size": 23, "d": 2, "batch": [], "k": 50, "temperature": 0.5, "whole": True, "padded": 5},
    {"vocab_size": 5, "d": 2, "batch": [2, 2], "k": 2, "temperature": 1.0, "whole": True},
    {"vocab_size": 3_000, "d": 64, "batch": [3], "k": 50, "temperature": 0.7, "whole": False, "padded": 72},
    {"vocab_size": 400, "d": 8, "batch": [0], "k": 5, "temperature": 0.7, "whole": False},
]
CASES = [{"seed": seed, "steps": 3, **case} for seed, case in enumerate(CASES)]
WORLDS = (1, 2, 3, 4, 7)


@functools.cache
def _on(world: int, folder: Path) -> list[list[dict[str, Any]]]:
    left = ranks.run(world, "same", folder / f"world{world}", cases=CASES)
    assert all("returned" in part for part in left), left
    return [part["returned"] for part in left]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


def _of_one_process(case: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Any], list[float]]:
    context, embedding = ranks.inputs(case["seed"], case["batch"], case["vocab_size"], case["d"], case["whole"])
    rng = torch.Generator().manual_seed(case["seed"])
    probs = torch_impl.lm_head(context, embedding, case["temperature"], case["k"])
    drawn = [torch_impl.multinomial(probs, rng=rng)[..., 0].tolist() for _ in range(case["steps"])]
    return context, embedding, probs, drawn, torch.rand(2, generator=rng).tolist()


@spec("TOPK-1", "TOPK-2", "TOPK-3", "TOPK-4", "DRAW-1", "DRAW-2", "RNG-5", "LOGITS-1", "HEAD-4")
@pytest.mark.parametrize("world", WORLDS)
def test_the_results_of_one_process(world: int, folder: Path) -> None:
    """Every rank returns them: survivors, ties, seeded tokens and where the stream ends, on exact logits bit for bit.

    On rounded logits, which a product with fewer rows may sum in another order, tokens are judged by the race's verdict
    and survivors below.
    """
    parts = _on(world, folder)
    for number, case in enumerate(CASES):
        context, embedding, probs, drawn, stream = _of_one_process(case)
        logits = torch_impl.apply_temperature(torch_impl.compute_logits(context, embedding), case["temperature"])
        values, ids = torch_impl.top_k(logits, case["k"])
        for part in (rank[number] for rank in parts):
            assert {**part, "log_probs": 0} == {**parts[0][number], "log_probs": 0}
            assert part["stream"] == stream
            if case["whole"]:
                assert part["ids"] == ids.tolist()
                assert part["values"] == values.tolist()
                assert part["drawn"] == drawn
            else:
                _judge_draws(case, context, embedding, probs, drawn, part["drawn"])


def _judge_draws(case: Any, context: Any, embedding: Any, probs: Any, ours: list[Any], theirs: list[Any]) -> None:
    h, w = to_numpy(context), to_numpy(embedding)
    scaled = h.astype(np.float64) @ w.astype(np.float64).T / case["temperature"]
    error = bounds.temperature(scaled, case["temperature"], "float32", bounds.logits(h, w, "float32"))
    of_probs = bounds.softmax(np.where(to_numpy(probs) > 0, scaled, -np.inf), "float32", error)
    rng = torch.Generator().manual_seed(case["seed"])
    for a, b in zip(ours, theirs, strict=True):
        noise = torch.empty_like(probs).exponential_(generator=rng).numpy()
        ids, others = np.array(a, np.int64)[..., None], np.array(b, np.int64)[..., None]
        draws.multinomial(ids, others, None, probs=probs.numpy(), noise=noise, error=of_probs).require()


@spec("HEAD-1", "SOFTMAX-1")
@pytest.mark.parametrize("world", WORLDS)
def test_verdicts_on_rounded_logits(world: int, folder: Path) -> None:
    """The survivors' values as a head would return them, judged like any other implementation's; and the scores."""
    case = CASES[3]
    part = _on(world, folder)[0][3]
    context, embedding, _, _, _ = _of_one_process(case)
    values, ids = np.array(part["values"], np.float32), np.array(part["ids"])
    kept = np.full((3, case["vocab_size"]), -np.inf, np.float32)
    np.put_along_axis(kept, ids, values, axis=-1)
    arrays = {"context": to_numpy(context), "embedding": to_numpy(embedding)}
    arguments = {**arrays, "temperature": case["temperature"], "k": case["k"]}
    compare("lm_head", reference.lm_head(**arguments), reference.softmax(kept), **arguments).require()
    scores, token_ids = np.array(part["log_probs"], np.float32), np.array(part["drawn"][0])
    require(scores, *exact_scores(**arrays, temperature=0.7, dtype="float32", blocks=world), token_ids)


@pytest.mark.parametrize("world", WORLDS)
def test_bytes_do_not_depend_on_the_vocabulary(world: int, folder: Path) -> None:
    """Each rank sends a header and k candidates of 4 + 8 bytes for each row, in two collectives."""
    for number, case in enumerate(CASES):
        rows, k = math.prod(case["batch"]), min(case["k"], case["vocab_size"])
        for rank in _on(world, folder):
            assert rank[number]["sent"] == HEADER + rows * k * (4 + 8)
            assert rank[number]["calls"] == 2


@pytest.mark.parametrize(("world", "vocab_size"), [(2, 11), (4, 9), (3, 3)])
def test_dtensor(world: int, vocab_size: int, tmp_path: Path) -> None:
    """A `Shard(0)` embedding, with ranks of fewer rows or none; other placements are refused on every rank."""
    context, embedding = ranks.inputs(5, [2], vocab_size, 3, whole=True)
    expected = torch_impl.top_k(torch_impl.compute_logits(context, embedding), 9)
    for left in ranks.run(world, "dtensor", tmp_path / "ranks", seed=5, vocab_size=vocab_size):
        assert left.get("returned", left)[:2] == [part.tolist() for part in expected]
        assert all("it must be (Shard(0),)" in refusal for refusal in left["returned"][2])
        assert len(left["returned"][2]) == 2


@spec("HEAD-5")
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("revision", "ValueError", "revision of the weights differs between ranks 0 and 2; start all ranks alike"),
        ("another d", "ValueError", "d differs between ranks 0 and 2: 4 and 3"),
        ("gap", "ValueError", "rank 2 holds rows 15 to 20 but row 14 is next"),
        ("another batch", "ValueError", "number of context vectors differs between ranks 0 and 2: 2 and 1"),
        ("another context", "ValueError", "a context vector differs between ranks 0 and 2; start all ranks alike"),
        ("another k", "ValueError", "k differs between ranks 0 and 2: 3 and 4"),
        ("another temperature", "ValueError", "temperature differs between ranks 0 and 2; start all ranks alike"),
        ("another seed", "ValueError", "random state or tokens to score differs between ranks 0 and 2"),
        ("no generator", "TypeError", "rank 2 cannot take part: rng has type NoneType"),
        ("another bias", "ValueError", "finish of the logits differs between ranks 0 and 2; start all ranks alike"),
        ("another cap", "ValueError", "finish of the logits differs between ranks 0 and 2; start all ranks alike"),
        ("no finish", "ValueError", "finish of the logits differs between ranks 0 and 2; start all ranks alike"),
        ("bad bias", "ValueError", "rank 2 cannot take part: bias has shape (19,): it must be (20,)"),
        ("nan", "ValueError", "rank 2 cannot take part: logits[0, 15] is nan: it must be finite"),
    ],
)
def test_a_rank_that_brings_something_else_ends_the_step(kind: str, error: str, message: str, tmp_path: Path) -> None:
    """On every rank, at once and in the same words."""
    for left in ranks.run(3, "fault", tmp_path / "ranks", kind=kind, who=2):
        assert left.get("error") == error, left
        assert message in left["message"]
        assert left["seconds"] < ranks.TIMEOUT / 2


@spec("OUT-5", "OUT-6", "TOPK-2", "HEAD-2")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cap", [np.inf, 12.0])
def test_a_finish_is_cut_by_ranks(cap: float, dtype: str, tmp_path: Path) -> None:
    """Whole numbers, in which the bias makes ties across the seam: the results of one process, bit for bit."""
    bias = [float(v % 3) for v in range(30)]
    numbers = {"multiplier": 3.0, "divisor": 4.0, "cap": cap}
    left = ranks.run(2, "finished", tmp_path / "ranks", vocab_size=30, dtype=dtype, finish={"bias": bias, **numbers})
    assert left[0] == left[1]
    context, embedding = ranks.inputs(5, [3], 30, 4, whole=True)
    context = context.to(getattr(torch, dtype))
    finish: dict[str, Any] = {"bias": torch.tensor(bias), **numbers}
    logits = torch_impl.finish_logits(torch_impl.compute_logits(context, embedding), **finish)
    scaled = torch_impl.apply_temperature(logits, 0.5)
    values, ids = torch_impl.top_k(scaled, 9)
    probs, rng = torch_impl.softmax(torch_impl.keep_top_k(scaled, 9)), torch.Generator().manual_seed(5)
    drawn = [torch_impl.multinomial(probs, rng=rng)[..., 0] for _ in range(2)]
    returned = left[0]["returned"]
    assert returned["values"] == values.tolist()
    assert returned["ids"] == ids.tolist()
    assert returned["drawn"] == [step.tolist() for step in drawn]
    exact, bound = exact_scores(
        to_numpy(context), to_numpy(embedding), 0.5, dtype, 2, {**numbers, "bias": np.array(bias)}
    )
    for scores, token_ids in zip(returned["scores"], drawn, strict=True):
        require(np.array(scores, dtype), exact, bound, token_ids.numpy())


@pytest.mark.parametrize(("kind", "timeout"), [("dies", ranks.TIMEOUT), ("hangs", 0.5)])
def test_a_rank_that_dies_or_hangs_ends_the_step(kind: str, timeout: float, tmp_path: Path) -> None:
    """On the others, within the process group's timeout; a death shows sooner."""
    lefts = ranks.run(3, "fault", tmp_path / "ranks", timeout=timeout, kind=kind, who=1)
    for rank in (0, 2):
        assert lefts[rank]["error"] == "RuntimeError"
        assert f"rank {rank} of 3 lost the others: one died, or hung" in lefts[rank]["message"]
        assert lefts[rank]["seconds"] < timeout + 5
    assert lefts[1] == {} if kind == "dies" else lefts[1].get("error") == "RuntimeError"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory from Linux's /proc")
def test_a_rank_reads_its_rows_alone(tmp_path: Path) -> None:
    """64 MB of embedding in a bundle's shape: each of four ranks grows by its quarter and not by the whole."""
    vocab_size, d = 2**15, 512
    (tmp_path / "head.bin").write_bytes(np.ones((vocab_size, d), "<f4").tobytes())
    tensor = {"file": "head.bin", "dtype": "float32", "shape": [vocab_size, d], "offset": 0}
    manifest = {"format": "lm-head-bundle", "version": 2, "model": "ones", "revision": None, "files": {}}
    manifest |= {"vocab_size": vocab_size, "tensors": {"embedding": tensor}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    for left in ranks.run(4, "memory", tmp_path / "ranks", bundle=str(tmp_path)):
        grown, own = left["returned"]
        assert own == vocab_size * d * 4 / 4
        assert own * 0.9 < grown < 2 * own


@pytest.mark.parametrize("vocab_size", [1, 2, 7, 50_257])
def test_shares_cover_the_vocabulary_as_torch_chunk_does(vocab_size: int) -> None:
    for world in range(1, 12):
        spans = [share(vocab_size, world, rank) for rank in range(world)]
        chunks = [len(chunk) for chunk in torch.arange(vocab_size).chunk(world)]
        assert [stop - start for start, stop in spans] == chunks + [0] * (world - len(chunks))
        assert [start for start, _ in spans[1:]] == [stop for _, stop in spans[:-1]]


def demonstrated(bundle: Path) -> tuple[list[int], str]:
    """The token ids that two ranks, started by `torchrun`, print, and all that they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "torch_impl.vocab_parallel"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command += [str(bundle), "--seed", "5"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if " id " in line]
    return [int(line.split(" id ")[1].split()[0]) for line in lines], result.stdout


def drawn_by_one(bundle: Path) -> list[int]:
    """The tokens of one process."""
    opened = open_bundle(bundle)
    logits = torch_impl.compute_logits(torch.tensor(opened.context), torch.tensor(opened.embedding))
    if opened.finish:
        bias = opened.finish["bias"]
        finish = {**opened.finish, "bias": None if bias is None else torch.tensor(bias)}
        logits = torch_impl.finish_logits(logits, **finish)
    kept = torch_impl.keep_top_k(torch_impl.apply_temperature(logits, 0.7), 50)
    drawn = torch_impl.multinomial(torch_impl.softmax(kept), rng=torch.Generator().manual_seed(5))
    return [int(token) for token in drawn[:, 0]]


@spec("DRAW-1", "RNG-5")
def test_the_demonstration(bundle_folder: Path) -> None:
    """`torchrun` starts two ranks on a bundle; they print the tokens that one process draws."""
    drawn, printed = demonstrated(bundle_folder)
    assert drawn == drawn_by_one(bundle_folder)
    assert "rank 0 of 2: rows 0 to 1,024" in printed
    assert "rank 1 of 2: rows 1,024 to 2,048" in printed


def test_the_cost_model_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """SCALING.md's table is what its own code prints."""
    page = (ROOT / "torch_impl" / "SCALING.md").read_text("utf-8")
    _, code, rest = page.replace("```python\n", "```\n").split("```\n", 2)
    exec(code, {})
    assert f"---: |\n{capsys.readouterr().out}\n" in rest

"""Ranks of a process group, started here on the loopback: `run(world, scenario, folder, **case)`.

The ranks are forked from one server process that has PyTorch loaded, so a rank starts in milliseconds. They meet over a
file, talk through gloo, and leave what they return, or the error they met, as JSON in the folder. Whatever happens they
are reaped: after `limit` seconds they are killed, and that is an error.
"""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from torch_impl.vocab_parallel import VocabParallelHead, share
from torch_impl.vocab_parallel.__main__ import open_bundle

LIMIT = 60.0  # seconds after which ranks are killed
TIMEOUT = 30.0  # of the process group, unless a scenario shortens it


def run(world: int, scenario: str, folder: Path, **case: Any) -> list[dict[str, Any]]:
    """What each rank left: `{"returned": ...}`, `{"error": kind, "message": ..., "seconds": ...}`, `{}` if it died.

    `scenario` is a function of this module, called as `scenario(rank, world, **case)` on every rank. Raises
    AssertionError if a rank is still there after LIMIT seconds.
    """
    folder.mkdir(parents=True)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    processes = [
        server.Process(target=_rank, args=(rank, world, scenario, str(folder), json.dumps(case)), daemon=True)
        for rank in range(world)
    ]
    end = time.monotonic() + LIMIT
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
        stuck = [rank for rank, process in enumerate(processes) if process.is_alive()]
        assert not stuck, f"ranks {stuck} of {world} are still there after {LIMIT} s of {scenario}"
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
    files = [folder / f"{rank}.json" for rank in range(world)]
    return [json.loads(file.read_text("utf-8")) if file.exists() else {} for file in files]


def _rank(rank: int, world: int, scenario: str, folder: str, case: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    os.chdir(folder)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world, timeout=timedelta(seconds=TIMEOUT)
    )
    start = time.monotonic()
    try:
        left = {"returned": SCENARIOS[scenario](rank, world, **json.loads(case))}
    except Exception as error:
        left = {"error": type(error).__name__, "message": str(error), "seconds": time.monotonic() - start}
    Path(f"{rank}.json").write_text(json.dumps(left), "utf-8")
    os._exit(0)  # without ending the group: a rank that failed has lost it


def inputs(seed: int, batch: list[int], vocab_size: int, d: int, whole: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The same context `(*batch, d)` and embedding `(V, d)` in every process; whole numbers are exact and tie often."""
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn(*batch, d, generator=generator)
    embedding = torch.randn(vocab_size, d, generator=generator)
    return (context.round(), embedding.round()) if whole else (context, embedding)


def _part(embedding: torch.Tensor, splits: list[int] | None, padded: int, rank: int, world: int) -> VocabParallelHead:
    """This rank's rows: as `share` splits V and `padded` rows that must never win, or at the given seams."""
    vocab_size = len(embedding)
    table = torch.cat([embedding, torch.full((padded, embedding.shape[1]), 1e9)])
    seams = splits or [share(len(table), world, r)[0] for r in range(world)] + [len(table)]
    return VocabParallelHead(table[seams[rank] : seams[rank + 1]], seams[rank], vocab_size)


def same(rank: int, world: int, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Everything the head computes, for several cases in one go, and what it took in bytes."""
    results = []
    for case in cases:
        context, embedding = inputs(case["seed"], case["batch"], case["vocab_size"], case["d"], case["whole"])
        head = _part(embedding, case.get("splits", {}).get(str(world)), case.get("padded", 0), rank, world)
        values, ids = head.top_k(context, case["k"], case["temperature"])
        rng = torch.Generator().manual_seed(case["seed"])
        with _Traffic() as traffic:
            drawn = [head.next_token(context, case["temperature"], case["k"], rng=rng) for _ in range(case["steps"])]
        scores = head.log_probs(context, drawn[0], case["temperature"])
        results.append(
            {
                "values": values.tolist(),
                "ids": ids.tolist(),
                "drawn": [step.tolist() for step in drawn],
                "stream": torch.rand(2, generator=rng).tolist(),
                "log_probs": scores.tolist(),
                "sent": traffic.sent / case["steps"],
                "calls": traffic.calls / case["steps"],
            }
        )
    return results


class _Traffic:
    """Counts what this rank hands to the network: every collective but all_gather is forbidden meanwhile."""

    OTHERS = ("all_reduce", "broadcast", "gather", "scatter", "reduce", "all_to_all", "send", "recv", "barrier")

    def __enter__(self) -> "_Traffic":
        self.sent = self.calls = 0
        self._before = {name: getattr(dist, name) for name in (*self.OTHERS, "all_gather")}

        def all_gather(parts: list[torch.Tensor], part: torch.Tensor, group: Any = None) -> None:
            self.sent, self.calls = self.sent + part.nbytes, self.calls + 1
            self._before["all_gather"](parts, part, group=group)

        for name in self._before:
            setattr(dist, name, all_gather if name == "all_gather" else self._forbidden)
        return self

    @staticmethod
    def _forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("another collective than all_gather")

    def __exit__(self, *_: Any) -> None:
        for name, function in self._before.items():
            setattr(dist, name, function)


def finished(rank: int, world: int, vocab_size: int, dtype: str, finish: dict[str, Any]) -> Any:
    """Top-k, two drawn tokens and their scores, of a head that finishes its logits; contexts in this dtype."""
    context, embedding = inputs(5, [3], vocab_size, 4, whole=True)
    context, finish = context.to(getattr(torch, dtype)), {**finish, "bias": torch.tensor(finish["bias"])}
    first, stop = share(vocab_size, world, rank)
    head = VocabParallelHead(embedding[first:stop], first, vocab_size, finish=finish)
    values, ids = head.top_k(context, 9, 0.5)
    rng = torch.Generator().manual_seed(5)
    drawn = [head.next_token(context, 0.5, 9, rng=rng) for _ in range(2)]
    scores = [head.log_probs(context, token_ids, 0.5).tolist() for token_ids in drawn]
    return {
        "values": values.tolist(),
        "ids": ids.tolist(),
        "drawn": [step.tolist() for step in drawn],
        "scores": scores,
    }


def dtensor(rank: int, world: int, seed: int, vocab_size: int) -> Any:
    """The embedding as PyTorch shards it."""
    context, embedding = inputs(seed, [2], vocab_size, 3, whole=True)
    mesh = init_device_mesh("cpu", (world,))
    head = VocabParallelHead(distribute_tensor(embedding, mesh, [Shard(0)]))
    values, ids = head.top_k(context, 9)
    refusals = []
    for placement in (Shard(1), Replicate()):
        try:
            VocabParallelHead(distribute_tensor(embedding, mesh, [placement]))
        except ValueError as error:
            refusals.append(str(error))
    return [values.tolist(), ids.tolist(), refusals]


def fault(rank: int, world: int, kind: str, who: int, timeout: float = TIMEOUT) -> Any:
    """Rank `who` does something wrong, mostly after a good first step: what the second step says is what counts.

    A rank that hangs does so until the others have given up, after `timeout` seconds. It is set after the first step,
    so that on a busy machine nothing else runs into it.
    """
    context, embedding = inputs(1, [2], 20, 4, whole=False)
    bad, k, temperature, revision = rank == who, 3, 0.7, "main"
    finish: dict[str, Any] = {"bias": torch.zeros(20), "cap": 30.0}
    rng = torch.Generator().manual_seed(3)
    first, stop = share(20, world, rank)
    rows = embedding[first:stop]
    if bad and kind == "revision":
        revision = "another"
    if bad and kind == "another d":
        rows = rows[:, :3]
    if bad and kind == "another bias":
        finish["bias"] = torch.eye(20)[who]
    if bad and kind == "another cap":
        finish["cap"] = 15.0
    if bad and kind == "no finish":
        finish = {}
    if bad and kind == "bad bias":
        finish["bias"] = torch.zeros(19)
    if bad and kind == "gap":
        first, rows = first + 1, rows[1:]
    head = VocabParallelHead(rows, first, 20, revision=revision, finish=finish)
    head.next_token(context, temperature, k, rng=rng)
    if bad and kind == "dies":
        os._exit(7)
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=timeout))
    while bad and kind == "hangs" and not all(Path(f"{other}.json").exists() for other in range(world) if other != who):
        time.sleep(0.01)
    if bad and kind == "another batch":
        context = context[:1]
    if bad and kind == "another context":
        context = context.clone()
        context[1, 0] = torch.nextafter(context[1, 0], torch.tensor(torch.inf))
    if bad and kind == "another k":
        k = 4
    if bad and kind == "another temperature":
        temperature = 0.8
    if bad and kind == "another seed":
        rng.manual_seed(4)
    if bad and kind == "no generator":
        rng = None  # type: ignore[assignment]
    if bad and kind == "nan":
        head._embedding[1, 0] = torch.nan
    return head.next_token(context, temperature, k, rng=rng).tolist()


def memory(rank: int, world: int, bundle: str) -> Any:
    """How much the peak of this rank's memory grows by a step on a mapped bundle, in bytes; and its rows."""
    rows, first, vocab_size, revision, _ = open_bundle(Path(bundle), world, rank)
    head = VocabParallelHead(rows, first, vocab_size, revision=revision)
    context = torch.ones(1, rows.shape[1])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    head.next_token(context, rng=torch.Generator().manual_seed(0))
    return [_status("VmHWM") - before, rows.nbytes]


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


SCENARIOS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (same, finished, dtensor, fault, memory)
}

"""Checkpoints from a Hub: the real huggingface_hub and our command, against a Hub on the loopback."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE

import reference
from weights_export import open_bundle

from .checkpoints import make
from .families import make_folder
from .hub_server import COMMIT, Hub, serve

ROOT = Path(reference.__file__).parents[1]
Export = Callable[..., subprocess.CompletedProcess[str]]
LARGE = "/cdn/model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding of 12.3 MB, which the client fetches in more than one piece, in a file of 25.0 MB."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    make(folder, vocab_size=6000, settings={"n_embd": 512, "n_layer": 1, "n_head": 2, "n_positions": 64})
    return folder


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Hub]:
    with serve(model) as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, model: Path) -> Hub:
    server.be_plain(model)
    return server


@pytest.fixture(scope="module")
def environment(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user of our Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    home = str(tmp_path_factory.mktemp("hugging") / "home")
    return {**kept, "HF_ENDPOINT": server.url, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture(scope="module")
def forks(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Processes that have imported the libraries already."""
    command = [sys.executable, "-m", "parity_tests.export.forks"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        yield process


@pytest.fixture
def home(environment: dict[str, str]) -> Iterator[Path]:
    """HF_HOME, with an empty cache."""
    folder = Path(environment["HF_HOME"])
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def export(hub: Hub, tmp_path: Path, environment: dict[str, str], forks: subprocess.Popen[str], home: Path) -> Export:
    """Runs the command in a process of its own; with a different environment, in one that imports everything again."""
    (tmp_path / "prompts.txt").write_text("Hello\nworld\n")

    def run(
        *arguments: str, model: str = hub.repo, to: str = "bundle", **other: str
    ) -> subprocess.CompletedProcess[str]:
        words = [model, "-o", str(tmp_path / to), *arguments]
        if other:
            command = [sys.executable, "-m", "weights_export", *words]
            return subprocess.run(
                command, cwd=ROOT, env={**environment, **other}, capture_output=True, text=True, timeout=600
            )
        out, err = tmp_path / "out.txt", tmp_path / "err.txt"
        assert forks.stdin is not None
        assert forks.stdout is not None
        print(json.dumps([words, str(out), str(err)]), file=forks.stdin, flush=True)
        return subprocess.CompletedProcess(words, int(forks.stdout.readline()), out.read_text(), err.read_text())

    return run


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Status 1, one line of ours at the end, no traceback."""
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stderr
    ours = [line for line in result.stderr.splitlines() if line.startswith("weights_export: ")]
    assert len(ours) == 1, result.stderr
    for word in words:
        assert word in ours[0]


def test_first_fetch_then_cache_then_offline(hub: Hub, export: Export, tmp_path: Path, model: Path, home: Path) -> None:
    """Fetched whole once. What comes later finds the file in the cache, whether it needs all of it or not."""
    hub.cuts = [11_000_000]
    first = export("--prompts", str(tmp_path / "prompts.txt"))
    assert first.returncode == 0, first.stderr
    assert "model.safetensors" in first.stderr, "progress of the download"
    size = (model / "model.safetensors").stat().st_size
    lost = 11_000_000 - DOWNLOAD_CHUNK_SIZE  # what came after the last whole piece
    assert hub.bytes_sent[LARGE] == size + lost
    assert f"GET {LARGE} bytes={DOWNLOAD_CHUNK_SIZE}-" in hub.requests, "resumed after the cut"
    bundle = open_bundle(tmp_path / "bundle")
    bundle.verify()
    bundle.reproduce()
    assert bundle.manifest["model"] == hub.repo
    assert bundle.manifest["revision"] == COMMIT
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert bundle.manifest["checkpoint"] == {"model.safetensors": {"size": size, "sha256": digest}}
    assert (home / "hub" / "models--someone--a-gpt2").is_dir(), "HF_HOME is honoured"

    again = export("--head-only", "--revision", "main", to="again")
    assert again.returncode == 0, again.stderr
    assert hub.bytes_sent[LARGE] == size + lost, "nothing large is fetched twice"
    before = len(hub.requests)
    offline = {"a": ["--offline"], "b": ["--offline", "--revision", COMMIT], "c": []}
    for to, arguments in offline.items():
        result = export("--head-only", *arguments, to=to, **({} if arguments else {"HF_HUB_OFFLINE": "1"}))
        assert result.returncode == 0, result.stderr
        for path in (tmp_path / "again").iterdir():
            assert path.read_bytes() == (tmp_path / to / path.name).read_bytes(), path.name
    assert len(hub.requests) == before, "offline asks for nothing"

    [blob] = [path for path in home.rglob("blobs/*") if path.stat().st_size == size]
    blob.write_bytes(blob.read_bytes()[:-1000])
    refused(export("--head-only", "--offline", to="truncated"), "model.safetensors", "truncated")
    assert not (tmp_path / "truncated").exists()


def test_head_only_fetches_only_the_head(hub: Hub, export: Export, tmp_path: Path, model: Path, home: Path) -> None:
    """The first 64 kB, which hold the header, and what of the embedding and the final norm lies behind them."""
    result = export("--head-only")
    assert result.returncode == 0, result.stderr
    header = 8 + int.from_bytes((model / "model.safetensors").read_bytes()[:8], "little")
    head = 4 * (6000 * 512 + 512 + 512)
    assert head <= hub.bytes_sent[LARGE] <= head + max(header, 1 << 16)
    assert hub.bytes_sent[LARGE] < (model / "model.safetensors").stat().st_size / 2
    bundle = open_bundle(tmp_path / "bundle")
    bundle.verify()
    assert bundle.manifest["revision"] == COMMIT
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert bundle.manifest["checkpoint"]["model.safetensors"]["sha256"] == digest, "as the Hub says"
    whole = export("--head-only", model=str(model), to="local")
    assert whole.returncode == 0, whole.stderr
    local = open_bundle(tmp_path / "local")
    np.testing.assert_array_equal(bundle.embedding, local.embedding)
    np.testing.assert_array_equal(bundle.final_norm_weight, local.final_norm_weight)
    np.testing.assert_array_equal(bundle.final_norm_bias, local.final_norm_bias)
    assert sorted(path.name for path in tmp_path.glob(".bundle*")) == []
    assert not list(home.rglob("*.safetensors")), "the cache does not hold half a file"


def test_head_only_of_shards(export: Export, hub: Hub, tmp_path: Path) -> None:
    make(tmp_path / "sharded", shards=3, rows=320, lm_head="own", tied=False)
    hub.folder = tmp_path / "sharded"
    result = export("--head-only")
    assert result.returncode == 0, result.stderr
    local = export("--head-only", model=str(tmp_path / "sharded"), to="local")
    assert local.returncode == 0, local.stderr
    ours, theirs = (open_bundle(tmp_path / name) for name in ("bundle", "local"))
    np.testing.assert_array_equal(ours.embedding, theirs.embedding)
    np.testing.assert_array_equal(ours.padding, theirs.padding)
    assert ours.manifest["tied"] is False


@pytest.mark.parametrize("family", ["gemma2", "phi"])
def test_another_family(export: Export, hub: Hub, tmp_path: Path, family: str) -> None:
    """With contexts as without: the head of the same folder here, whose old shards are left alone."""
    make_folder(tmp_path / "model", family, tied=False)
    make(tmp_path / "old", shards=2)
    for path in (tmp_path / "old").glob("model*"):
        shutil.copy(path, tmp_path / "model" / path.name)
    hub.folder = tmp_path / "model"
    heads = []
    for to, arguments in {"whole": ["--prompts", str(tmp_path / "prompts.txt")], "head": ["--head-only"]}.items():
        result = export(*arguments, to=to)
        assert result.returncode == 0, result.stderr
        heads.append((tmp_path / to / "head.safetensors").read_bytes())
    assert export("--head-only", model=str(tmp_path / "model"), to="local").returncode == 0
    assert heads == [(tmp_path / "local" / "head.safetensors").read_bytes()] * 2
    assert not any("of-00002" in request for request in hub.requests)


def test_a_range_that_is_cut_is_resumed(hub: Hub, export: Export, tmp_path: Path) -> None:
    """Cut in the middle, the rest of the range is asked for."""
    assert export("--head-only", to="uncut").returncode == 0
    uncut = hub.bytes_sent[LARGE]
    hub.cuts = [1 << 16, 1 << 16, 11_000_000]  # the header and the norm come whole
    result = export("--head-only")
    assert result.returncode == 0, result.stderr
    assert hub.cuts == []
    assert hub.bytes_sent[LARGE] == 2 * uncut + 11_000_000 - DOWNLOAD_CHUNK_SIZE
    for path in (tmp_path / "uncut").iterdir():
        assert path.read_bytes() == (tmp_path / "bundle" / path.name).read_bytes(), path.name


def test_a_server_without_ranges(hub: Hub, export: Export, tmp_path: Path) -> None:
    hub.ranges = False
    refused(export("--head-only"), hub.repo, "transfer was cut")
    assert not (tmp_path / "bundle").exists()
    assert sorted(path.name for path in tmp_path.glob(".bundle*")) == []


def test_a_download_with_a_flipped_bit(hub: Hub, export: Export, tmp_path: Path) -> None:
    hub.lies = True
    result = export("--prompts", str(tmp_path / "prompts.txt"))
    refused(result, "does not have the sha256 that the Hub gave", "delete it")
    assert not (tmp_path / "bundle").exists()


def test_a_truncated_download(hub: Hub, export: Export, tmp_path: Path) -> None:
    hub.short = True
    result = export("--prompts", str(tmp_path / "prompts.txt"))
    refused(result, hub.repo, "the transfer was cut", "run the same command again")
    assert not (tmp_path / "bundle").exists()
    hub.short = False
    assert export("--head-only").returncode == 0


def test_gated_and_private_models_and_tokens(hub: Hub, export: Export, tmp_path: Path) -> None:
    hub.token, hub.gated = "hf_right", True
    refused(export("--head-only"), "is gated: accept its terms", "HF_TOKEN")
    refused(export("--head-only", HF_TOKEN="hf_wrong"), "does not accept the token in HF_TOKEN")
    assert export("--head-only", HF_TOKEN="hf_right").returncode == 0
    hub.gated = False
    refused(export("--head-only", to="private"), "no such model on the Hub, or a private one", "HF_TOKEN")


def test_an_unknown_model_and_an_unknown_revision(hub: Hub, export: Export) -> None:
    refused(export("--head-only", model="someone/else"), "someone/else: no folder of this name here, and no such model")
    refused(export("--head-only", "--revision", "nope"), hub.repo, "has no revision 'nope'")
    refused(export("--head-only", "--revision", "main", model="tiny"), "only a model of a Hub has revisions")


def test_no_network(hub: Hub, export: Export, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"  # the discard port, where nothing listens
    refused(export("--head-only", HF_ENDPOINT=nobody), hub.repo, "cannot be reached", "--offline")
    refused(export("--offline"), hub.repo, "not (wholly) in the cache")
    refused(export(HF_HUB_OFFLINE="1"), hub.repo, "not (wholly) in the cache")
    assert export("--head-only").returncode == 0
    refused(export("--offline", to="other"), "not (wholly) in the cache")
    assert not (tmp_path / "other").exists()


def test_a_pickle_and_no_checkpoint(hub: Hub, export: Export, tmp_path: Path) -> None:
    """Refused from the list of files: nothing large is fetched."""
    make(tmp_path / "pickle")
    (tmp_path / "pickle" / "model.safetensors").rename(tmp_path / "pickle" / "pytorch_model.bin")
    hub.folder = tmp_path / "pickle"
    refused(export("--head-only"), "only as a pickle (pytorch_model.bin)", "python -c", hub.repo)
    assert sum(hub.bytes_sent.values()) < 10_000
    (tmp_path / "pickle" / "config.json").unlink()
    refused(export("--head-only"), "has no config.json")

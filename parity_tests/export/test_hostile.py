"""Hostile bundles: each is refused with BundleError; none crashes, allocates beyond its size, or is accepted."""

import json
import os
import shutil
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weights_export import BundleError, open_bundle, strict_json
from weights_export.plain_files import map_file
from weights_export.safetensors_file import read_header
from weights_export.tensors import ITEMSIZE

from ..conftest import CI_EXAMPLES
from .hostile import DAMAGE, FORGERIES, read, seal, small_bundle

CONTAINERS = ("safetensors", "npz", "bin")
DTYPES = ("float32", "float16", "bfloat16")
CONSTANT = 8 << 20  # what reading may allocate beyond the size of the files
# Of each of the two kinds 200 by default and 6,000 in the thorough profile: 12,000 mutated bundles.
EXAMPLES = settings().max_examples
MANY = settings(max_examples=(6 if EXAMPLES > CI_EXAMPLES else 4) * EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small bundles, one of each container and dtype."""
    folder = tmp_path_factory.mktemp("good")
    for container in CONTAINERS:
        for dtype in DTYPES:
            small_bundle(folder / f"{container}-{dtype}", container, dtype)
            small_bundle(folder / f"{container}-{dtype}-3", container, dtype, version=3)
    return folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def read_all(folder: Path) -> None:
    """Everything that a reader may ask a bundle for."""
    bundle = open_bundle(folder)
    bundle.verify()
    _ = bundle.prompts, bundle.token_bytes, bundle.special, bundle.embedding, bundle.context


def test_the_good_ones_are_accepted(good: Path) -> None:
    for folder in good.iterdir():
        read_all(folder)
        open_bundle(folder).reproduce()


def refused(mutation: Any, good: Path, data: st.DataObject) -> str:
    """Apply a mutation to a copy; the message with which it is refused."""
    kind = f"{data.draw(st.sampled_from(CONTAINERS))}-{data.draw(st.sampled_from(DTYPES))}"
    kind += data.draw(st.sampled_from(["", "-3"]))  # of version 3
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        shutil.copytree(good / kind, folder)
        mutation(folder, data.draw)
        size = sum(path.lstat().st_size for path in folder.iterdir())
        tracemalloc.start()
        try:
            with pytest.raises(BundleError) as refusal:
                read_all(folder)
            allocated = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert allocated <= size + CONSTANT, mutation.__name__
        return str(refusal.value)


@MANY
@given(data=st.data())
def test_damaged_bundles_are_refused(good: Path, data: st.DataObject) -> None:
    message = refused(data.draw(st.sampled_from(DAMAGE)), good, data)
    assert "\n" not in message


@MANY
@given(data=st.data())
def test_forged_bundles_are_refused(good: Path, data: st.DataObject) -> None:
    """One illegal change and every hash recomputed."""
    message = refused(data.draw(st.sampled_from(FORGERIES)), good, data)
    assert len(message) < 2000


@pytest.mark.parametrize("mutation", FORGERIES, ids=lambda mutation: mutation.__name__)
def test_each_forgery_gets_past_the_hashes(mutation: Any, good: Path) -> None:
    """The fuzzing tests what it claims to: with few exceptions these are found by rules and not by a hash."""
    messages: Counter[str] = Counter()

    @settings(max_examples=20, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def collect(data: st.DataObject) -> None:
        messages[refused(mutation, good, data)] += 1

    collect()
    hashes = sum(count for message, count in messages.items() if "sha256" in message)
    assert hashes < messages.total() or mutation.__name__ == "sizes_and_hashes"


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**62, 10**15])
def test_a_header_length_beyond_the_file(good: Path, scratch: Path, length: int) -> None:
    shutil.copytree(good / "safetensors-float32", scratch / "bundle")
    path = scratch / "bundle" / "head.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    seal(scratch / "bundle", read(scratch / "bundle"))
    with pytest.raises(BundleError, match=rf"the header says it is {length:,} bytes long"):
        open_bundle(scratch / "bundle")


def test_a_tensor_that_no_zip_entry_can_hold(good: Path, scratch: Path) -> None:
    """Its size does not fit into the four bytes that an entry's header has for it."""
    shutil.copytree(good / "npz-float32", scratch / "bundle")
    content = read(scratch / "bundle")
    d, content["hidden_size"] = content["hidden_size"], 2**39
    for entry in content["tensors"].values():
        entry["shape"] = [2**39 if n == d else n for n in entry["shape"]]
    seal(scratch / "bundle", content)
    with pytest.raises(BundleError, match=r"no uncompressed \S+.npy of shape"):
        open_bundle(scratch / "bundle")


def test_nothing_outside_the_folder_is_opened(good: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a manifest names: only the files of the format are opened, by their own names."""
    opened: list[str] = []
    real = os.open

    def spy(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(str(path))
        return real(path, *arguments, **options)

    for name in ("../outside", "/etc/passwd", "sub/../../outside"):
        shutil.rmtree(scratch / "bundle", ignore_errors=True)
        shutil.copytree(good / "bin-float32", scratch / "bundle")
        (scratch / "outside").write_bytes((good / "bin-float32" / "head.bin").read_bytes())
        content = read(scratch / "bundle")
        content["files"][name] = content["files"].pop("head.bin")
        for entry in content["tensors"].values():
            entry["file"] = name if entry["file"] == "head.bin" else entry["file"]
        seal(scratch / "bundle", content)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", spy)
            with pytest.raises(BundleError):
                open_bundle(scratch / "bundle")
    assert opened
    assert {Path(path).parent for path in opened} == {scratch / "bundle"}


@pytest.mark.parametrize(
    "raw",
    [b"[" * (40 << 20), b"[0" + b",0" * (3 << 20) + b"]", b'{"a":[]' + b',"b":[]' * (2 << 20) + b"}"],
    ids=["brackets", "zeros", "lists"],
)
def test_json_that_would_fill_the_memory(raw: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"at most [\d,]+ are read"):
            strict_json.parse(raw, "tokens.json")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_json_takes_a_bounded_memory() -> None:
    """At most 256 bytes for each value that the limit lets through, whatever it is: 256 MiB for the limits in use."""
    limit = 1 << 14
    assert 256 * strict_json.MAX_VALUES == 256 << 20
    worst = {
        "lists": b"[" + b"[]," * (limit // 2 - 2) + b"[]]",
        "objects": b"[" + b"{}," * (limit // 2 - 2) + b"{}]",
        "numbers": b"[" + b"1e300," * (limit - 3) + b"1]",
        "texts": b"[" + b'"\xc3\xa9abc",' * (limit - 3) + b"1]",
        "names": b"{" + b",".join(b'"%06d":{}' % i for i in range(limit // 3 - 1)) + b"}",
    }
    for name, raw in worst.items():
        tracemalloc.start()
        try:
            strict_json.parse(raw, name, max_values=limit)
            assert tracemalloc.get_traced_memory()[1] <= 256 * limit, name
        finally:
            tracemalloc.stop()


def test_our_header_reader_agrees_with_the_library(scratch: Path) -> None:
    """Files that the safetensors library writes, in every dtype that NumPy knows, read alike."""
    rng = np.random.default_rng(0)
    names = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "bool")
    arrays = {name: rng.integers(0, 2, (2, 3)).astype(name) for name in names} | {"empty": np.zeros((0, 4), np.float32)}
    safetensors.numpy.save_file(arrays, scratch / "file.safetensors", metadata={"format": "np"})
    raw = (scratch / "file.safetensors").read_bytes()
    tensors = read_header(map_file(scratch / "file.safetensors"), "file")
    assert tensors.keys() == arrays.keys()
    for name, tensor in tensors.items():
        assert raw[tensor.offset : tensor.offset + tensor.size] == arrays[name].tobytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} <= ITEMSIZE.keys()

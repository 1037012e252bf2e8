"""Hostile GGUF files: each is refused with BundleError or read as it stands; none crashes or fills the memory."""

import os
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from weights_export import BundleError
from weights_export.gguf_file import open_gguf

from .gguf_files import Draft, draft, entry, read_all, string, strings, tensor, write

MEMORY = 64 << 20
FLIPS = 20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 1_500
HUGE = 2**63


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def array(kind: int, count: int, payload: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + payload


def with_extra(*extra: bytes) -> Callable[[Draft], bytes]:
    return lambda good: replace(good, extra=list(extra)).packed()


def but(**values: bytes) -> Callable[[Draft], bytes]:
    return lambda good: good.but(**values).packed()


def embedding(shape: tuple[int, ...] = (32, 4), kind: int = 8, offset: int = 0) -> Callable[[Draft], bytes]:
    return but(token_embd__weight=tensor("token_embd.weight", shape, kind, offset))


def norm(shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 160) -> Callable[[Draft], bytes]:
    return but(output_norm__weight=tensor("output_norm.weight", shape, kind, offset))


def number(place: int, raw: bytes) -> Callable[[Draft], bytes]:
    """The draft with its data changed at `place`."""
    return lambda good: replace(good, data=good.data[:place] + raw + good.data[place + len(raw) :]).packed()


ARCHITECTURE, TOKENS, TYPES = "general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
DAMAGED: dict[str, tuple[Callable[[Draft], bytes], str]] = {
    "empty": (lambda good: b"", "is empty"),
    "magic": (lambda good: replace(good, magic=b"GGML").packed(), "is not a GGUF file: it begins with b'GGML'"),
    "three bytes": (lambda good: b"GGU", "is not a GGUF file"),
    "pointer": (lambda good: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "version 1": (lambda good: replace(good, version=u32(1)).packed(), "has GGUF version 1: 2 and 3 are read"),
    "version 0": (lambda good: replace(good, version=u32(0)).packed(), "has GGUF version 0"),
    "version 4": (lambda good: replace(good, version=u32(4)).packed(), "has GGUF version 4"),
    "big-endian": (lambda good: replace(good, version=struct.pack(">I", 3)).packed(), "is big-endian"),
    "header cut": (lambda good: good.packed()[:20], "the number of metadata entries takes 8 bytes from byte 16"),
    "metadata cut": (lambda good: good.packed()[:120], "truncated or damaged"),
    "data cut": (lambda good: good.packed()[:-1], "tensor 'output_norm.weight' ends at byte"),
    "no data": (lambda good: replace(good, data=b"").packed(), "tensor 'token_embd.weight' ends at byte"),
    "many tensors": (lambda good: replace(good, counts=(HUGE, 7)).packed(), "it has 9,223,372,036,854,775,808 tensors"),
    "many entries": (lambda good: replace(good, counts=(2, 2**64 - 1)).packed(), "metadata entries: at most 32,768"),
    "more tensors": (lambda good: replace(good, counts=(3, 7)).packed(), "tensor"),
    "fewer entries": (lambda good: replace(good, counts=(2, 5)).packed(), "truncated or damaged"),
    "long key": (with_extra(struct.pack("<Q", HUGE)), "the key of metadata entry 7 is 9,223,372,036,854,775,808 bytes"),
    "empty key": (with_extra(entry("", 4, u32(1))), "the key of metadata entry 7 is 0 bytes long"),
    "key of 300": (with_extra(entry("k" * 300, 4, u32(1))), "the key of metadata entry 7 is 300 bytes long"),
    "key not UTF-8": (
        with_extra(string(b"\xff\xfe") + u32(4) + u32(1)),
        r"entry 7 is b'\\xff\\xfe', which is not UTF-8",
    ),
    "same key": (with_extra(draft().entries["llama.context_length"]), "key 'llama.context_length' appears twice"),
    "unknown type": (with_extra(entry("a", 13, u32(1))), "the metadata key 'a' has the unknown type 13"),
    "unknown element": (with_extra(entry("a", 9, array(99, 1))), "the metadata key 'a' has the unknown type 99"),
    "nested": (with_extra(entry("a", 9, array(9, 1, array(4, 1, u32(1))))), "'a' is an array of arrays"),
    "long string": (with_extra(entry("a", 8, struct.pack("<Q", HUGE))), "the value of 'a' takes 9,223,372,036,854,775"),
    "long numbers": (
        with_extra(entry("a", 9, array(12, HUGE))),
        "an array of 9,223,372,036,854,775,808 numbers, takes",
    ),
    "long strings": (with_extra(entry("a", 9, array(8, HUGE))), "'a' says it has 9,223,372,036,854,775,808 strings"),
    "alignment 0": (but(general__alignment=entry("general.alignment", 4, u32(0))), "general.alignment is 0"),
    "alignment 24": (but(general__alignment=entry("general.alignment", 4, u32(24))), "general.alignment is 24"),
    "alignment 2**31": (but(general__alignment=entry("general.alignment", 4, u32(2**31))), "ends at byte"),
    "alignment text": (but(general__alignment=entry("general.alignment", 8, string(b"32"))), "alignment is a STRING"),
    "alignment signed": (but(general__alignment=entry("general.alignment", 5, u32(32))), "alignment is a INT32"),
    "same tensor": (norm(), ""),  # replaced below
    "no axes": (embedding(()), "tensor 'token_embd.weight' has 0 axes"),
    "five axes": (embedding((32, 4, 1, 1, 1)), "tensor 'token_embd.weight' has 5 axes"),
    "2**32 axes": (
        but(token_embd__weight=string(b"token_embd.weight") + u32(2**32 - 1)),
        "has 4,294,967,295 axes",
    ),
    "an axis of 0": (embedding((32, 0)), r"has shape \(0, 32\), which this file cannot hold"),
    "overflow": (embedding((2**32, 2**32)), r"has shape \(4294967296, 4294967296\), which this file cannot hold"),
    "overflow to little": (embedding((2**33, 2**31 + 1)), "which this file cannot hold"),
    "one row more": (embedding((32, 5)), "tensors 'token_embd.weight' and 'output_norm.weight' overlap"),
    "part of a block": (embedding((31, 4)), "is Q8_0, which stores 32 numbers at a time, but a row of it has 31"),
    "misaligned": (norm(offset=161), "begins at byte [0-9,]+, not a multiple of 32"),
    "overlap": (norm(offset=128), "tensors 'token_embd.weight' and 'output_norm.weight' overlap at byte"),
    "beyond": (norm(offset=2**40), "tensor 'output_norm.weight' ends at byte"),
    "offset 2**64": (norm(offset=2**64 - 32), "tensor 'output_norm.weight' ends at byte"),
    "unknown tensor type": (embedding(kind=77), "token_embd.weight is of type 77, and read are F32"),
    "IQ4_NL": (embedding(kind=20), "token_embd.weight is of type IQ4_NL, and read are"),
    "F64": (norm((16,), kind=28), "output_norm.weight is of type F64, and .* convert it to F32"),
    "no embedding": (but(token_embd__weight=b""), "has no tensor 'token_embd.weight'"),
    "no norm": (but(output_norm__weight=b""), "has no tensor 'output_norm.weight'"),
    "embedding of one axis": (embedding((128,)), r"token_embd.weight has shape \(128,\), expected \(V, d\)"),
    "short norm": (norm((16,)), r"output_norm.weight has shape \(16,\), expected \(32,\)"),
    "table of another d": (
        lambda good: replace(
            good,
            tensors=good.tensors | {"output.weight": tensor("output.weight", (64, 2), 8, 288)},
            data=good.data + bytes(136),
        ).packed(),
        r"output.weight has shape \(2, 64\), expected \(V, d\) with d = 32",
    ),
    "another d": (
        with_extra(entry("llama.embedding_length", 4, u32(64))),
        "llama.embedding_length is 64, but d = 32 in token_embd.weight",
    ),
    "no architecture": (but(general__architecture=b""), "has no general.architecture"),
    "unknown architecture": (
        but(general__architecture=entry(ARCHITECTURE, 8, string(b"\x1b[31mevil"))),
        r"what the architecture '\\x1b\[31mevil' does",
    ),
    "architecture a number": (
        but(general__architecture=entry(ARCHITECTURE, 4, u32(1))),
        "general.architecture is a UINT32: it must be a string",
    ),
    "architecture not UTF-8": (
        but(general__architecture=entry(ARCHITECTURE, 8, string(b"\xff"))),
        r"general.architecture is b'\\xff': it must be UTF-8",
    ),
    "no epsilon": (but(llama__epsilon=b""), "layer_norm_rms_epsilon is None: the final norm needs it"),
    "epsilon nan": (
        but(llama__epsilon=entry("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", np.nan))),
        "layer_norm_rms_epsilon is nan",
    ),
    "epsilon a number of bits": (
        but(llama__epsilon=entry("llama.attention.layer_norm_rms_epsilon", 4, u32(1))),
        "layer_norm_rms_epsilon is a UINT32: it must be a FLOAT32",
    ),
    "context a string": (
        but(llama__context_length=entry("llama.context_length", 8, string(b"64"))),
        "llama.context_length is a STRING: it must be an integer",
    ),
    "context negative": (
        but(llama__context_length=entry("llama.context_length", 5, struct.pack("<i", -1))),
        "llama.context_length is -1: it must be an integer >= 0",
    ),
    "split": (with_extra(entry("split.count", 2, struct.pack("<H", 3))), "is one of 3 parts: join them"),
    "adapter": (with_extra(entry("general.type", 8, string(b"adapter"))), "general.type is 'adapter'"),
    "mmproj": (with_extra(entry("general.type", 8, string(b"mmproj"))), "general.type is 'mmproj'"),
    "scaled output": (
        lambda good: replace(
            good,
            tensors=good.tensors | {"output.scale": tensor("output.scale", (1,), 0, 288)},
            data=good.data + bytes(4),
        ).packed(),
        "has a scale of its output tensor",
    ),
    "scale nan": (number(34, b"\x00\x7e"), r"token_embd.weight\[1, 0\] is nan: every number must be finite"),
    "scale infinite": (number(68, b"\x00\x7c"), r"token_embd.weight\[2, 0\] is -?inf"),
    "norm nan": (number(160 + 8, struct.pack("<f", np.nan)), r"output_norm.weight\[2\] is nan"),
    "tokens of numbers": (
        but(tokenizer__ggml__tokens=entry(TOKENS, 9, array(5, 4, bytes(16)))),
        "tokenizer.ggml.tokens is 4 INT32, expected 4 STRING",
    ),
    "tokens one string": (
        but(tokenizer__ggml__tokens=entry(TOKENS, 8, string(b"a"))),
        "tokens is a STRING, expected 4",
    ),
    "too few tokens": (but(tokenizer__ggml__tokens=entry(TOKENS, 9, strings(b"a"))), "tokens is 1 STRING, expected 4"),
    "too many types": (
        but(tokenizer__ggml__token_type=entry(TYPES, 9, array(5, 5, bytes(20)))),
        "token_type is 5 INT32, expected 4",
    ),
    "type 0": (but(tokenizer__ggml__token_type=entry(TYPES, 9, array(5, 4, bytes(16)))), "token 0 has the type 0"),
    "a token of 1 MB": (
        but(tokenizer__ggml__tokens=entry(TOKENS, 9, strings(b"a", b"b", b"c", b"d" * (1 << 20)))),
        r"tokenizer.ggml.tokens\[3\] has 1,048,576 bytes",
    ),
    "tokenizer unknown": (
        but(tokenizer__ggml__model=entry("tokenizer.ggml.model", 8, string(b"bert"))),
        "tokenizer.ggml.model is 'bert'",
    ),
}
DAMAGED["same tensor"] = (
    lambda good: replace(good, tensors=good.tensors | {"again": good.tensors["output_norm.weight"]}).packed(),
    "there are two tensors 'output_norm.weight'",
)


def bounded(path: Path) -> str | None:
    """Read everything; the message if the file is refused, which must be one sentence. Memory is watched."""
    tracemalloc.start()
    try:
        read_all(path)
    except BundleError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 2_000
        return message
    finally:
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert allocated < MEMORY
    return None


def test_the_draft_is_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(draft().packed())
    assert bounded(tmp_path / "model.gguf") is None
    assert read_all(tmp_path / "model.gguf")["tokens"].tokens == [b"<e>", b"a", b"b", b"c"]
    (tmp_path / "old.gguf").write_bytes(replace(draft(), version=u32(2)).packed())
    assert bounded(tmp_path / "old.gguf") is None


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    damage, message = DAMAGED[name]
    (tmp_path / "model.gguf").write_bytes(damage(draft()))
    found = bounded(tmp_path / "model.gguf")
    assert found is not None
    assert "model.gguf" in found
    with pytest.raises(BundleError, match=message):
        read_all(tmp_path / "model.gguf")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = draft().packed()
    for length in range(len(whole)):
        (tmp_path / "model.gguf").write_bytes(whole[:length])
        assert bounded(tmp_path / "model.gguf") is not None, length


def test_flipped_bytes_are_refused_or_read_as_they_stand(tmp_path: Path) -> None:
    """One to three bytes of a small file; what is accepted is what the package reads there."""
    path, rng, accepted, compared = tmp_path / "model.gguf", np.random.default_rng(0), 0, 0
    write(path, "command-r", "Q4_K", untied=True, model="llama", numbers={"logit_scale": 0.5})
    files = [draft().packed(), path.read_bytes()]
    for _ in range(FLIPS):
        raw = bytearray(files[rng.integers(2)])
        # Three quarters of the flips hit what precedes the numbers.
        end = raw.index(b"output_norm.weight") + 60 if rng.random() < 0.75 else len(raw)
        for place in rng.integers(0, end, rng.integers(1, 4)):
            raw[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, raw[place] ^ 1 << rng.integers(8)])
        path.write_bytes(raw)
        if bounded(path) is None:
            accepted += 1
            compared += _same_as_the_package(path)
    assert 0.05 * FLIPS < 0.9 * accepted < compared < 0.9 * FLIPS


def _same_as_the_package(path: Path) -> bool:
    """False where the package does not read the file: it refuses more of what a head does not need."""
    try:
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    except ValueError:
        return False
    file, ours = open_gguf(path), read_all(path)
    theirs = tensors[file.head]
    np.testing.assert_array_equal(ours["table"], gguf.dequantize(theirs.data, theirs.tensor_type))
    assert theirs.tensor_type.name == ours["said"][3]
    return True


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a regular file"):
        open_gguf(tmp_path)
    with pytest.raises(BundleError, match="is missing"):
        open_gguf(tmp_path / "model.gguf")


def test_many_strings_take_no_memory(tmp_path: Path) -> None:
    """A file with a hole for a quarter of a million empty strings, which are skipped and not kept."""
    count = 1 << 18
    path = tmp_path / "model.gguf"
    good = replace(draft(), extra=[entry("a", 9, array(8, count))])
    head = good.packed()
    path.write_bytes(head[: head.index(good.extra[0]) + len(good.extra[0])])
    os.truncate(path, 40 * count)
    found = bounded(path)
    assert found is not None
    assert "name of tensor 0 is 0 bytes long" in found


def test_a_header_of_the_largest_size_takes_a_bounded_memory(tmp_path: Path) -> None:
    """As many entries and tensors as may be, with the longest names."""
    many = range(1 << 15)
    entries = {f"{i:0255}": entry(f"{i:0255}", 4, u32(1)) for i in many[: -len(draft().entries)]}
    tensors = {f"{i:0255}": tensor(f"{i:0255}", (1, 1, 1, 1), 24, 288 + 32 * i) for i in many[:-2]}
    good = draft()
    large = replace(good, tensors=good.tensors | tensors, entries=good.entries | entries)
    (tmp_path / "model.gguf").write_bytes(replace(large, data=good.data + bytes(32 << 15)).packed())
    assert bounded(tmp_path / "model.gguf") is None


def test_tokens_of_a_large_vocabulary_take_a_bounded_memory(tmp_path: Path) -> None:
    """300 tokens of 64 KB each are 20 MB: no vocabulary has so much text."""
    count, text = 300, bytes([97]) * (1 << 16)
    good = draft().but(
        tokenizer__ggml__tokens=entry(TOKENS, 9, strings(*[text] * count)),
        tokenizer__ggml__token_type=entry(TYPES, 9, array(5, count, struct.pack("<i", 1) * count)),
        token_embd__weight=tensor("token_embd.weight", (32, count), 8, 0),
        output_norm__weight=tensor("output_norm.weight", (32,), 0, 10_208),
    )
    data = bytes(10_208) + np.ones(32, "<f4").tobytes()
    (tmp_path / "model.gguf").write_bytes(replace(good, data=data).packed())
    found = bounded(tmp_path / "model.gguf")
    assert found is not None
    assert "tokenizer.ggml.tokens has more than 16,777,216 bytes in its strings" in found

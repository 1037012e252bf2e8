"""Heads from GGUF files: numbers with ggml's bits, descriptions as llama.cpp computes, tokens as bytes."""

import math
import os
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from weights_export import BundleError
from weights_export.gguf_architectures import describe
from weights_export.gguf_blocks import DECODERS
from weights_export.gguf_file import open_gguf
from weights_export.gguf_tokens import decode
from weights_export.output_layer import Norm, OutputLayer

from .gguf_files import SCALES, TYPES, D, V, read_all, stored, write


@pytest.mark.parametrize("untied", [False, True], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", TYPES)
def test_tables_of_every_type(kind: str, untied: bool, tmp_path: Path) -> None:
    expected = write(tmp_path / "model.gguf", kind=kind, untied=untied)
    file = open_gguf(tmp_path / "model.gguf")
    assert (file.tied, file.embedding_rows, file.vocab_size, file.hidden_size) == (not untied, V, V - 1, D)
    assert (file.name, file.context_length) == ("six", 64)
    assert file.head == ("output.weight" if untied else "token_embd.weight")
    for name in {file.head, "token_embd.weight"}:
        assert (file.shape(name), file.type_name(name)) == ((V, D), kind)
        found = np.concatenate([block for _, block in file.blocks(name)])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[name])
    ((first, part),) = file.blocks(file.head, 2, 5)
    assert first == 2
    np.testing.assert_array_equal(part, expected[file.head][2:5])
    weight, bias = file.final_norm()
    np.testing.assert_array_equal(weight, expected["output_norm.weight"])
    assert bias is None


@pytest.mark.parametrize("kind", TYPES)
def test_numbers_have_the_bits_of_the_package(kind: str) -> None:
    """Also for blocks of random bytes, among them scales that are not finite or subnormal."""
    length, size = gguf.GGML_QUANT_SIZES[Type[kind]]
    assert (DECODERS[kind].length, DECODERS[kind].size) == (length, size)
    hostile = np.random.default_rng(0).integers(0, 256, (2_000, size), dtype=np.uint8)
    for raw in (hostile, stored(kind, 64)):
        ours = DECODERS[kind].rows(raw)
        with np.errstate(all="ignore"):
            theirs = gguf.dequantize(raw, Type[kind]).reshape(ours.shape)
        finite = np.isfinite(theirs)
        np.testing.assert_array_equal(np.isfinite(ours), finite)
        np.testing.assert_array_equal(ours.view(np.uint32)[finite], theirs.view(np.uint32)[finite])


@pytest.mark.parametrize("kind", SCALES)
def test_numbers_are_exact_and_rounded_once(kind: str) -> None:
    """Against ggml's loops in rational arithmetic: no order of operations, fused or not, can give other bits."""
    raw = stored(kind, 4, 5)
    found = DECODERS[kind].rows(raw).reshape(-1, DECODERS[kind].length)
    for block, numbers in zip(raw.reshape(len(found), -1).tolist(), found, strict=True):
        exact = _EXACT[kind](block)
        np.testing.assert_array_equal(numbers, [_nearest(value) for value in exact])


def _half(block: list[int], at: int) -> Fraction:
    return Fraction(float(np.frombuffer(bytes(block[at : at + 2]), "<f2")[0]))


def _nearest(value: Fraction) -> np.float32:
    """The float32 closest to a rational number, the even one of two."""
    middle = np.float32(float(value))
    near = [np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))]
    return min(near, key=lambda x: (abs(Fraction(float(x)) - value), int(np.float32(x).view(np.uint32)) & 1))


def _q4(block: list[int], at: int) -> list[int]:
    return [byte & 15 for byte in block[at:]] + [byte >> 4 for byte in block[at:]]


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def _k(block: list[int], qs: int, qh: int | None) -> list[Fraction]:
    """`dequantize_row_q4_K` and `_q5_K`, and `get_scale_min_k4`."""
    q, result = block[4:16], []
    for j in range(8):
        if j < 4:
            scale, minimum = q[j] & 63, q[j + 4] & 63
        else:
            scale = (q[j + 4] & 0xF) | ((q[j - 4] >> 6) << 4)
            minimum = (q[j + 4] >> 4) | ((q[j] >> 6) << 4)
        for n in range(32):
            byte = block[qs + j // 2 * 32 + n]
            low = byte >> 4 if j % 2 else byte & 15
            fifth = 16 if qh is not None and block[qh + n] >> j & 1 else 0
            result.append(_half(block, 0) * scale * (low + fifth) - _half(block, 2) * minimum)
    return result


def _q6(block: list[int]) -> list[Fraction]:
    """`dequantize_row_q6_K`."""
    result = [Fraction(0)] * 256
    for half in range(2):
        low, high, scales = block[64 * half :], block[128 + 32 * half :], block[192 + 8 * half :]
        for n in range(32):
            for group, nibble in enumerate((low[n] & 15, low[n + 32] & 15, low[n] >> 4, low[n + 32] >> 4)):
                q = (nibble | (high[n] >> 2 * group & 3) << 4) - 32
                scale = _signed(scales[n // 16 + 2 * group])
                result[128 * half + 32 * group + n] = _half(block, 208) * scale * q
    return result


_EXACT: dict[str, Any] = {
    "Q8_0": lambda block: [_half(block, 0) * _signed(q) for q in block[2:]],
    "Q4_0": lambda block: [_half(block, 0) * (q - 8) for q in _q4(block, 2)],
    "Q4_1": lambda block: [_half(block, 0) * q + _half(block, 2) for q in _q4(block, 4)],
    "Q4_K": lambda block: _k(block, 16, None),
    "Q5_K": lambda block: _k(block, 48, 16),
    "Q6_K": _q6,
}


@pytest.mark.parametrize(
    ("architecture", "numbers", "expected"),
    [
        ("llama", {}, {"norm": "rms_norm"}),
        ("gpt2", {}, {"norm": "layer_norm"}),
        ("phi2", {}, {"norm": "layer_norm"}),
        ("gemma", {}, {"norm": "rms_norm"}),
        ("gemma2", {"final_logit_softcapping": 25.0}, {"norm": "rms_norm", "cap": 25.0}),
        ("gemma2", {}, {"norm": "rms_norm", "cap": 30.0}),
        ("gemma2", {"final_logit_softcapping": 0.0}, {"norm": "rms_norm"}),
        ("gemma3", {}, {"norm": "rms_norm"}),
        ("granite", {"logit_scale": 8.0}, {"norm": "rms_norm", "divisor": 8.0}),
        ("command-r", {"logit_scale": 0.0625}, {"norm": "layer_norm", "multiplier": 0.0625}),
        ("command-r", {}, {"norm": "layer_norm"}),
        ("llama", {"logit_scale": 1.0}, {"norm": "rms_norm"}),
    ],
)
def test_descriptions(architecture: str, numbers: dict[str, float], expected: dict[str, Any], tmp_path: Path) -> None:
    tensors = write(tmp_path / "model.gguf", architecture, numbers=numbers)
    file = open_gguf(tmp_path / "model.gguf")
    epsilon = float(np.float32(1e-5))
    norm = Norm(expected.pop("norm"), epsilon)
    assert (file.architecture, file.output_layer) == (architecture, OutputLayer(norm, **expected))
    bias = file.vector("output.bias") if "output.bias" in file else None
    np.testing.assert_equal([*file.final_norm(), bias], [tensors.get(name) for name in VECTORS])


VECTORS = ("output_norm.weight", "output_norm.bias", "output.bias")


@pytest.mark.parametrize(
    ("architecture", "numbers", "message"),
    [
        ("clip", {}, "what the architecture 'clip' does after its last block is unknown"),
        ("granite", {}, "has no granite.logit_scale"),
        ("llama", {"logit_scale": 2.0}, "llama.logit_scale is 2.0, but llama.cpp ignores it"),
        ("qwen2", {"final_logit_softcapping": 30.0}, "qwen2.final_logit_softcapping is 30.0, but llama.cpp ignores it"),
        ("cohere2", {"logit_scale": -1.0}, "cohere2.logit_scale is -1.0: it must be a finite number > 0"),
        ("gemma2", {"final_logit_softcapping": math.inf}, "softcapping is inf: it must be a finite number"),
        ("llama", {"attention.layer_norm_rms_epsilon": 1.0}, "epsilon is 1.0: the final norm needs it"),
        ("gpt2", {"attention.layer_norm_epsilon": 0.0}, "epsilon is None: the final norm needs it"),
    ],
)
def test_descriptions_that_are_refused(architecture: str, numbers: dict[str, float], message: str) -> None:
    given = {"attention.layer_norm_epsilon": 1e-5, "attention.layer_norm_rms_epsilon": 1e-5} | numbers
    with pytest.raises(BundleError, match=message):
        describe(architecture, given.get, "model.gguf")


def test_a_norm_without_weight() -> None:
    """OLMo 1's; every other known architecture must have the tensor."""
    assert describe("olmo", {"attention.layer_norm_epsilon": 1e-5}.get, "").norm == Norm("layer_norm", 1e-5)


def test_byte_level_tokens(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", model="gpt2")
    tokens = open_gguf(tmp_path / "model.gguf").tokens
    assert tokens is not None
    assert tokens.tokens == [b"<|end|>", b"a", b" the", b"\n", b"\xc3"]
    assert set(tokens.special) == {0}, "and one row of padding"


def test_sentence_pieces(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", model="llama")
    tokens = open_gguf(tmp_path / "model.gguf").tokens
    assert tokens is not None
    assert tokens.tokens == [b"<s>", b"a", b" the", b"\n", "é".encode()]
    assert set(tokens.special) == {0}, "and one row of padding"


def test_no_vocabulary(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", model=None)
    file = open_gguf(tmp_path / "model.gguf")
    assert (file.tokens, file.vocab_size) == (None, V)


def test_unused_ids_in_the_middle_are_not_padding() -> None:
    tokens = decode([b"[PAD0]", b"a", b"<unused2>", b"[PAD3]"], [5, 1, 5, 5], "gpt2", "")
    assert tokens.tokens == [b"", b"a", b""]


@pytest.mark.parametrize(
    ("pieces", "kinds", "model", "message"),
    [
        ([b"a b"], [1], "gpt2", "token 0 is b'a b', which stands for no bytes"),
        ([b"a", b"\xff"], [1, 1], "llama", "token 1 is b'.xff', which stands for no bytes"),
        ([b"<0x0>"], [6], "llama", "token 0 is b'<0x0>': a byte is written <0x0A>"),
        ([b"a"], [7], "llama", "token 0 has the type 7"),
        ([b"a"], [1], "bert", "tokenizer.ggml.model is 'bert'"),
    ],
)
def test_tokens_that_are_refused(pieces: list[bytes], kinds: list[int], model: str, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        decode(pieces, kinds, model, "model.gguf")


def test_a_link_is_followed(tmp_path: Path) -> None:
    """As those of the Hub's cache."""
    write(tmp_path / "blob")
    (tmp_path / "model.gguf").symlink_to(tmp_path / "blob")
    assert read_all(tmp_path / "model.gguf")["table"].shape == (V, D)


def test_a_large_table_is_never_in_memory(tmp_path: Path) -> None:
    """128 MB of Q6_K zeros in a file with a hole; 157 million numbers would take 630 MB."""
    write(tmp_path / "model.gguf", kind="Q6_K", model=None)
    raw = bytearray((tmp_path / "model.gguf").read_bytes())
    rows, last = 610_000, len(raw)
    at = raw.index(b"token_embd.weight") + 17 + 4 + 8
    raw[at : at + 8] = rows.to_bytes(8, "little")
    place = raw.index(b"token_embd.weight") + 17 + 4 + 16 + 4
    raw[place : place + 8] = (-(-last // 32) * 32).to_bytes(8, "little")  # behind everything else
    with (tmp_path / "model.gguf").open("wb") as file:
        file.write(raw)
        file.truncate(2 * last + rows * 210)
    table = open_gguf(tmp_path / "model.gguf")
    tracemalloc.start()
    try:
        assert sum(len(block) for _, block in table.blocks("token_embd.weight")) == rows
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    os.unlink(tmp_path / "model.gguf")

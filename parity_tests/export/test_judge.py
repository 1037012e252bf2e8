"""`judge`: right heads in every precision are right; each mistake is named, and what is none is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import reference
from parity_tests import __main__ as command
from reference.bounds import quantised
from weights_export import Bundle, open_bundle
from weights_export.checkpoint import find
from weights_export.export import Options, export
from weights_export.output_layer import finished
from weights_export.source import local

from ..files.judging import judge_logits
from ..files.precisions import possible
from ..files.reading import read
from ..files.show import summary
from ..files.tolerances import lines
from ..judges.roundings import rounded
from ..judges.words import Word
from .families import make_folder

PROMPTS = ("Hello", "x = 1\n" * 8, "a b", "Who", "to be or not")
FAMILIES = ("gemma2", "phi", "cohere", "granite", "llama")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The tiny GPT-2, and small untied models of five families, with what tells mistakes apart."""
    folder, found = tmp_path_factory.mktemp("judge"), {}
    export(find("tiny", None, True), Options(folder / "tiny", version=4))
    found["tiny"] = open_bundle(folder / "tiny")
    for family in FAMILIES:
        make_folder(folder / "models" / family, family, tied=False)
        export(local(family, folder / "models" / family), Options(folder / family, PROMPTS, version=4))
        found[family] = open_bundle(folder / family)
    return found


def of(bundle: Bundle, context: Any = None, embedding: Any = None, **finish: Any) -> np.ndarray:
    """The logits of the reference, with another context, embedding or finish."""
    h = np.array(bundle.context if context is None else context)
    w = np.array(bundle.embedding if embedding is None else embedding, np.float32)
    return finished(h, w, {**bundle.finish, **finish} if bundle.finish else {})[0]


def bf16(x: Any) -> np.ndarray:
    return np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float32)


def f16(x: Any) -> np.ndarray:
    return np.asarray(x).astype(np.float16).astype(np.float32)


Made = Callable[[Bundle], np.ndarray]
RIGHT: dict[str, tuple[str, Made]] = {
    "the reference": ("float32", of),
    "PyTorch": ("float32", lambda b: np.array(b.logits)),
    "float64": ("float32", lambda b: np.array(b.logits_exact)),
    "stored in float16": ("float32", lambda b: of(b).astype(np.float16)),
    "stored in bfloat16": ("float32", lambda b: of(b).astype(ml_dtypes.bfloat16)),
    "TF32": (
        "TF32 or float16 inputs",
        lambda b: of(b, *(rounded(x, "tfloat32").astype("f4") for x in (b.context, b.embedding))),
    ),
    "bfloat16 inputs": ("bfloat16 inputs", lambda b: of(b, bf16(b.context), bf16(b.embedding))),
    "a bfloat16 table": ("a bfloat16 embedding", lambda b: of(b, None, bf16(b.embedding))),
    "bfloat16 result": ("the result rounded to bfloat16", lambda b: bf16(of(b))),
    "bfloat16": ("bfloat16 inputs and result", lambda b: bf16(of(b, bf16(b.context), bf16(b.embedding)))),
    "float16": ("float16 inputs and result", lambda b: f16(of(b, f16(b.context), f16(b.embedding)))),
    "Q8_0 activations": ("Q8_0 activations", lambda b: of(b, quantised.q8_0(b.context).astype("f4"))),
    "Q8_0": (
        "Q8_0 embedding and activations",
        lambda b: of(b, *(quantised.q8_0(x).astype("f4") for x in (b.context, b.embedding))),
    ),
}


@pytest.mark.parametrize("family", ["tiny", *FAMILIES])
@pytest.mark.parametrize("name", RIGHT)
def test_right_heads_are_right_in_their_precision(bundles: dict[str, Bundle], family: str, name: str) -> None:
    bundle, (precision, made) = bundles[family], RIGHT[name]
    judged = judge_logits(bundle, made(bundle))
    assert judged.right, judged
    if family == "tiny":  # of V = 300, few logits are left to tell precisions that hardly differ
        assert judged.precision == precision
    assert (judged.times_float32 > 1) == (judged.precision != "float32")


def test_identical_and_tie_break(bundles: dict[str, Bundle]) -> None:
    bundle = bundles["tiny"]
    assert {row.word for row in judge_logits(bundle, np.array(bundle.logits)).rows} == {Word.IDENTICAL}
    coarse = judge_logits(bundle, of(bundle).astype(ml_dtypes.bfloat16))
    flipped = [row for row in coarse.rows if row.token != row.due]
    assert flipped
    assert all(row.word == Word.TIE_BREAK and row.gap > 0 for row in flipped)


def with_norm(bundle: Bundle, hidden: Any = None, weight: Any = None, bias: Any = None, **changed: Any) -> np.ndarray:
    """Logits after another final norm."""
    norm = bundle.output_layer.norm
    assert norm is not None
    g = np.array(bundle.final_norm_weight) if weight is None else weight
    if bias is None:
        bias = np.array(bundle.final_norm_bias) if bundle.holds("final_norm.bias") else np.zeros_like(g)
    h = np.array(bundle.block_output if hidden is None else hidden)
    other = replace(norm, **changed)
    settings = {"epsilon": other.epsilon, "weight_offset": other.weight_offset}
    if other.kind == "rms_norm":
        return of(bundle, reference.rms_norm(h, g, **settings))
    return of(bundle, reference.layer_norm(h, g, bias, **settings))


def rows(made: Made) -> Made:
    """The same, with the contexts in another order."""
    return lambda b: made(b)[np.roll(np.arange(len(b.context)), 1)]


ZEROS = np.zeros(32, np.float32)
MISTAKES: dict[str, tuple[str, str, Made]] = {
    "no norm": ("tiny", "the final norm left out", lambda b: of(b, b.block_output)),
    "no norm, Gemma": ("gemma2", "the final norm left out", lambda b: of(b, b.block_output)),
    "twice": ("tiny", "the final norm applied twice", lambda b: with_norm(b, hidden=b.context)),
    "RMS for layer": ("phi", "an RMSNorm in place of a LayerNorm", lambda b: with_norm(b, kind="rms_norm")),
    "layer for RMS": ("llama", "a LayerNorm in place of an RMSNorm", lambda b: with_norm(b, kind="layer_norm")),
    "1 + weight": (
        "gemma2",
        "the norm's weight taken as it is, not 1 + weight",
        lambda b: with_norm(b, weight_offset=0.0),
    ),
    "1 + weight in a Llama": (
        "llama",
        "1 + weight in the final norm, not the weight",
        lambda b: with_norm(b, weight_offset=1.0),
    ),
    "no weight": ("llama", "the final norm without its weight", lambda b: with_norm(b, weight=ZEROS + 1)),
    "no norm's bias": ("phi", "the final norm without its bias", lambda b: with_norm(b, bias=ZEROS)),
    "epsilon": ("llama", "epsilon 1e-06 in the final norm", lambda b: with_norm(b, epsilon=1e-6)),
    "no bias": ("phi", "the bias left out", lambda b: of(b, bias=None)),
    "no multiplier": ("cohere", "the scale left out", lambda b: of(b, multiplier=1.0)),
    "no divisor": ("granite", "the scale left out", lambda b: of(b, divisor=1.0)),
    "inverted": ("granite", "divided by the scale, not multiplied", lambda b: of(b, divisor=1.0, multiplier=7.3)),
    "no cap": ("gemma2", "the soft cap left out", lambda b: of(b, cap=np.inf)),
    "untied": (
        "llama",
        "the input embedding in place of the output embedding",
        lambda b: of(b, None, b.input_embedding),
    ),
    "position": ("tiny", "the position before the last", lambda b: of(b, b.previous_context)),
    "contexts": ("tiny", "contexts in another order: row 0 holds context 15", rows(of)),
    "one for another": (
        "tiny",
        "contexts in another order: row 3 holds context 2",
        lambda b: of(b)[[0, 1, 2, 2, *range(4, 16)]],
    ),
    "tokens": (
        "tiny",
        "the rows of the embedding in another order",
        lambda b: of(b)[:, np.random.default_rng(0).permutation(2048)],
    ),
    "shifted": ("tiny", "token ids shifted by +1", lambda b: np.roll(of(b), 1, axis=-1)),
    "padded": (
        "llama",
        "padded: the last 7 columns belong to no token",
        lambda b: np.hstack([of(b), of(b, None, b.padding)]),
    ),
    "log-probabilities": ("tiny", "log-probabilities in place of logits", lambda b: reference.log_probs(of(b))),
    "probabilities": ("tiny", "probabilities in place of logits", lambda b: reference.softmax(of(b))),
    "less the largest": ("tiny", "less the largest of each row", lambda b: of(b) - of(b).max(axis=-1, keepdims=True)),
    "temperature": ("tiny", "divided by a temperature of 0.7", lambda b: of(b) / np.float32(0.7)),
    "cut": ("tiny", "masked: as few as 50 tokens", lambda b: reference.keep_top_k(of(b), 50)),
    "the body": (
        "tiny",
        "other contexts than the bundle's, up to 0.001",
        lambda b: of(b, b.context * (1 + np.float32(1e-3) * np.sign(b.block_output))),
    ),
    "nan": (
        "tiny",
        "not a number, first at token 7",
        lambda b: np.where(np.arange(2048) == 7, np.nan, of(b)).astype("f4"),
    ),
}


# What 16 bits leave of these tells too little, or is the same.
NOT_IN_16_BITS = {"nan", "the body", "epsilon", "probabilities"}
CASES = [(name, False) for name in MISTAKES] + [(name, True) for name in MISTAKES if name not in NOT_IN_16_BITS]


@pytest.mark.parametrize(("name", "in_bfloat16"), CASES)
def test_mistakes_are_named(bundles: dict[str, Bundle], name: str, in_bfloat16: bool) -> None:
    family, text, made = MISTAKES[name]
    logits = made(bundles[family])
    judged = judge_logits(bundles[family], bf16(logits) if in_bfloat16 else logits.astype(np.float32))
    assert not judged.right
    assert judged.mistake.startswith(text) or f" or {text}" in judged.mistake, judged.mistake


def test_a_whole_model_in_bfloat16(bundles: dict[str, Bundle]) -> None:
    """Its contexts are its own: the head is right on them, if that is what is asked."""
    bundle = bundles["tiny"]
    rng = np.random.default_rng(0)
    context = bf16(bundle.context * (1 + 0.01 * rng.standard_normal(bundle.context.shape)).astype("f4"))
    logits = bf16(of(bundle, context, bf16(bundle.embedding)))
    assert judge_logits(bundle, logits).mistake.startswith(
        "other contexts than the bundle's, up to 0.01 of their length"
    )
    judged = judge_logits(bundle, logits, own_contexts=True)
    assert judged.right
    assert judged.precision.startswith("other contexts")
    logits[3] += 0.05 * np.abs(logits[3])
    assert not judge_logits(bundle, logits, own_contexts=True).right


def test_a_whole_model_in_float32(bundles: dict[str, Bundle]) -> None:
    """Roundings before the head are unusual for a head, and nothing is unusual for a whole model."""
    bundle = bundles["tiny"]
    rounded = 1 + np.float32(2**-19) * np.random.default_rng(0).standard_normal(bundle.context.shape, "f4")
    logits = of(bundle, bundle.context * rounded)
    for own_contexts in (False, True):
        judged = judge_logits(bundle, logits, own_contexts)
        assert judged.precision == "float32"
        assert ("Unusual" in " ".join(summary(judged, bundle))) != own_contexts


def wrong(bundle: Bundle) -> dict[str, np.ndarray]:
    """Mistakes that nobody has on a list."""
    rng, z = np.random.default_rng(1), of(bundle)
    return {
        "noise": z + rng.standard_normal(z.shape).astype("f4"),
        "another model": rng.standard_normal(z.shape).astype("f4"),
        "squared": z * np.abs(z),
        "negated embedding columns": of(
            bundle, None, bundle.embedding * np.sign(rng.standard_normal(192)).astype("f4")
        ),
        "one token": np.where(np.arange(z.shape[1]) == 5, z + 1, z).astype("f4"),
        "zeros": np.zeros_like(z),
    }


@pytest.mark.parametrize(
    "name", ["noise", "another model", "squared", "negated embedding columns", "one token", "zeros"]
)
def test_what_is_not_known_is_not_named(bundles: dict[str, Bundle], name: str) -> None:
    judged = judge_logits(bundles["tiny"], wrong(bundles["tiny"])[name])
    assert not judged.right
    assert judged.mistake.startswith("not recognised; closest are "), judged.mistake
    assert judged.mistake.count(" away)") == 2


def test_several_mistakes_are_told_by_row(bundles: dict[str, Bundle]) -> None:
    bundle = bundles["tiny"]
    z = of(bundle)
    z[3], z[5] = of(bundle, bundle.block_output)[3], reference.log_probs(z)[5]
    judged = judge_logits(bundle, z)
    assert judged.mistake == "row 3: the final norm left out; row 5: log-probabilities in place of logits"
    assert [n for n, row in enumerate(judged.rows) if row.word == Word.DIVERGED] == [3, 5]


def test_tolerances(
    bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each precision of that hidden size, each as far off as its name says, and a table of them."""
    found = {line.name: line for line in lines(bundles["tiny"])}
    assert list(found) == [precision.name for precision in possible(192)]
    assert "Q8_K activations" not in found  # 256 does not divide 192
    right = [line for line in found.values() if line.in_float32 == Word.WITHIN_BOUND]
    # TF32 and float16 hold this table exactly, as the next assertion shows: rounding it to them changes nothing.
    assert [line.name for line in right] == ["float32", "a TF32 embedding", "a float16 embedding"]
    assert all(
        (rounded(bundles["tiny"].embedding, dtype) == bundles["tiny"].embedding).all()
        for dtype in ("tfloat32", "float16")
    )
    assert all((line.times < 1, line.flips, line.survivors) == (True, 0, 0) for line in right)
    assert all(line.times > 1 for line in found.values() if line not in right)
    assert found["TF32 inputs"].error < found["bfloat16 inputs"].error < found["bfloat16 inputs and result"].error
    monkeypatch.setenv("COLUMNS", "120")  # no name is wrapped
    assert command.main(["tolerances", str(bundles["tiny"].folder)]) == 0
    shown = capsys.readouterr().out
    assert [name for name in found if name not in shown] == [], shown
    assert command.main(["tolerances", "no-such-folder"]) == 2


SHAPES: dict[str, tuple[int, ...]] = {"the contexts": (2, 3)}
ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_files_of_every_kind(tmp_path: Path) -> None:
    for kind in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        array, name = ARRAY.astype(kind), np.dtype(kind).name
        array.tofile(tmp_path / "bare")
        save_file({"logits": array}, tmp_path / "x.safetensors")
        found = [read(tmp_path / "bare", SHAPES, dtype=name), read(tmp_path / "x.safetensors", SHAPES)]
        if name != "bfloat16":  # which NumPy's own files do not have
            np.save(tmp_path / "x.npy", array)
            np.savez(tmp_path / "x.npz", other=np.zeros(7), logits=array)
            found += [read(tmp_path / "x.npy", SHAPES), read(tmp_path / "x.npz", SHAPES)]
        for one in found:
            assert one.dtype.name == name
            np.testing.assert_array_equal(one, array)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.npy", lambda p: np.save(p, ARRAY.T), r"holds an array of shape \(3, 2\): expected \(2, 3\), the contexts"),
        ("x.npy", lambda p: np.save(p, ARRAY.astype(int)), "has dtype int64: expected float32 or"),
        ("x.npy", lambda p: np.save(p, np.array([{}]), allow_pickle=True), "is no .npy file of numbers"),
        ("x.npy", lambda p: p.write_bytes(b"\x93NUMPY"), "is no .npy file of numbers"),
        ("x.npz", lambda p: np.savez(p, a=ARRAY, b=ARRAY), "expected one array"),
        ("x.npz", lambda p: np.savez_compressed(p, a=np.zeros(10**6)), "a.npy is larger than"),
        ("x.npz", lambda p: p.write_bytes(b"PK"), "is no .npz file"),
        ("x.safetensors", lambda p: p.write_bytes(b"12345678{"), "x.safetensors"),
        ("x.bin", lambda p: p.write_bytes(bytes(12)), "may be float16 or bfloat16: say which with --dtype"),
        ("x.bin", lambda p: p.write_bytes(bytes(13)), "has 13 bytes: expected bare numbers of shape"),
        ("x.bin", lambda p: p.write_bytes(b""), "x.bin is empty"),
        ("gone.npy", lambda p: None, "gone.npy is missing: expected a file of numbers"),
        ("gone.npy", lambda p: p.mkdir(), "gone.npy is a folder: expected a file of numbers"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, name: str, write: Callable[[Path], Any], message: str) -> None:
    write(tmp_path / name)
    with pytest.raises((ValueError, OSError), match=message):
        read(tmp_path / name, SHAPES)


def test_the_command(bundles: dict[str, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0 for a right head, 1 for another, 2 for what cannot be judged; the page and JSON say the same."""
    bundle = bundles["tiny"]
    probs = reference.softmax(reference.keep_top_k(reference.apply_temperature(of(bundle), 0.9), 20))
    tokens = reference.multinomial(probs, rng=reference.TorchGenerator(3))[:, 0]
    files = {"right": of(bundle), "coarse": bf16(of(bundle)), "wrong": of(bundle, bundle.block_output)}
    for name, array in {**files, "probs": probs, "tokens": tokens, "others": tokens[::-1]}.items():
        np.save(tmp_path / f"{name}.npy", array)

    def status(name: str, *options: str) -> int:
        arguments = ["judge", str(bundle.folder), "--logits", str(tmp_path / f"{name}.npy"), *options]
        return command.main([part.replace("TMP", str(tmp_path)) for part in arguments])

    assert status("right", "--html", "TMP/page.html") == 0
    assert "A right head. Precision: float32." in capsys.readouterr().out
    assert "A right head. Precision: float32." in (tmp_path / "page.html").read_text("utf-8")
    assert status("coarse") == 0
    assert "In float32 these would be DIVERGED" in capsys.readouterr().out
    assert status("coarse", "--float32") == 1
    capsys.readouterr()
    assert status("wrong", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["right"], found["mistake"], len(found["rows"])) == (False, "the final norm left out", 16)
    settings = ["--temperature", "0.9", "--top-k", "20", "--seed", "3", "--probs", "TMP/probs.npy"]
    assert status("right", *settings, "--tokens", "TMP/tokens.npy") == 0
    assert status("right", *settings, "--tokens", "TMP/others.npy") == 1
    assert status("right", *settings[:4], "--tokens", "TMP/tokens.npy") == 2
    assert status("gone") == 2
    assert "judge: " in capsys.readouterr().err

"""Seeds of other runtimes: published constants, the bound of JAX's race, and the command that shows them."""

import json
import random

import mpmath
import numpy as np
import pytest
import torch

import reference
from reference import bounds
from reference.generators import jax_uniform, mt19937_53, pcg64, python_random, threefry, xorshift
from reference.streams import STREAMS
from torch_impl import generators as mirrored

from .. import __main__ as command
from ..verdict import Word, compare

spec = pytest.mark.spec


@spec("STREAM-2")
def test_mt19937_is_the_one_of_the_cpp_standard() -> None:
    """[rand.predef]: the 10,000th output of a default-constructed std::mt19937, whose seed is 5489, is 4123659995."""
    assert np.random.RandomState(5489).randint(2**32, size=10_000, dtype=np.uint32)[-1] == 4123659995
    take = mt19937_53(5489)
    last = [take() for _ in range(5_000)][-1]
    assert int(last * 2**32) == 4123659995  # the second of two outputs is the high word


@spec("STREAM-4")
@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_pythons_random(seed: int) -> None:
    theirs, ours = random.Random(seed), python_random(seed)
    assert [ours() for _ in range(1_000)] == [theirs.random() for _ in range(1_000)]
    assert python_random(42)() == 0.6394267984578837  # in the documentation of transformers.js


@spec("STREAM-3")
def test_xorshift_as_llm_c_prints_it() -> None:
    take = xorshift(1337)
    assert [f"{take():.8f}" for _ in range(5)] == ["0.23031723", "0.19051826", "0.31086516", "0.90265948", "0.68491787"]


@spec("STREAM-5")
def test_threefry_as_its_authors_test_it() -> None:
    """`kat_vectors` of Random123: 20 rounds of threefry2x32."""
    for key, counter, words in (
        ((0, 0), 0, (0x6B200159, 0x99BA4EFE)),
        ((0xFFFF_FFFF, 0xFFFF_FFFF), 0xFFFF_FFFF_FFFF_FFFF, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), 0x243F6A8885A308D3, (0xC4923A9C, 0x483DF7A0)),
    ):
        assert tuple(int(word[0]) for word in threefry(key, np.array([counter], np.uint64))) == words


@spec("STREAM-2", "STREAM-3", "STREAM-4", "STREAM-6")
@pytest.mark.parametrize("seed", [1, 2**31, 2**32 - 2])
def test_both_heads_make_the_same_numbers(seed: int) -> None:
    for ours, theirs in (
        (mt19937_53, mirrored.std_mt19937),
        (python_random, mirrored.python_random),
        (xorshift, mirrored.xorshift),
        (pcg64, mirrored.pcg64),
    ):
        take, numbers = ours(seed), theirs(seed)
        assert [take() for _ in range(700)] == [next(numbers) for _ in range(700)]


@spec("STREAM-5")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound_of_jaxs_race(dtype: str) -> None:
    """In 60 digits: two numbers that are as large as it allows, and values computed in the dtype, which are within."""
    p = np.geomspace(1e-30, 1, 40).astype(dtype)
    u = np.append(jax_uniform(3, 0, 38, np.dtype(dtype)), [np.finfo(dtype).tiny, 1 - np.finfo(dtype).eps]).astype(dtype)
    bound = bounds.gumbel(p, u, dtype)
    computed = np.log(p) - np.log(-np.log(u))
    unit = float(np.finfo(dtype).eps) / 2
    with mpmath.workdps(60):
        for i in range(40):
            inner = -mpmath.log(mpmath.mpf(float(u[i])))
            first, second = mpmath.log(mpmath.mpf(float(p[i]))), mpmath.log(inner)
            assert abs(float(mpmath.mpf(float(computed[i])) - (first - second))) <= bound[i]
            four_ulps = abs(first) * 8 * unit + abs(second) * 8 * unit + 8 * unit
            assert float(four_ulps) < bound[i] < 2 * float(four_ulps)


def test_two_race_values_closer_than_the_bound_are_a_coin_flip() -> None:
    u = jax_uniform(1, 0, 2, np.dtype("float32")).astype(np.float64)
    first = np.log(u[0]) / np.log(u[1])  # p so that both values are equal
    for apart, word in ((0.0, Word.TIE_BREAK), (1e-6, Word.TIE_BREAK), (1e-3, Word.DIVERGED)):
        probs = np.array([first * (1 + apart), 1.0], np.float32)
        ours = reference.draw_as(probs, "jax", 1)
        verdict = compare("draw_as", ours, 1 - ours, probs=probs, runtime="jax", seed=1)
        assert verdict.word == word, apart


@spec(*(stream.rule for stream in STREAMS.values()))
def test_the_command_draws_what_each_runtime_draws(capsys: pytest.CaptureFixture[str], checkpoint: object) -> None:
    assert command.main(["seeds", "The king", "--seed", "7", "--temperature", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    draws = {one["runtime"]: one for one in found["draws"]}
    assert list(draws) == ["PyTorch", *STREAMS]
    model, tokenizer = checkpoint.model, checkpoint.tokenizer  # type: ignore[attr-defined]
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer.encode("The king")])).logits[0, -1].numpy()
    probs = reference.softmax(reference.keep_top_k(logits, 50))
    assert draws["PyTorch"]["token"] == int(reference.multinomial(probs, rng=reference.TorchGenerator(7))[0])
    for runtime in STREAMS:
        token = draws[runtime]["token"]
        assert token == int(reference.draw_as(probs, runtime, 7))
        assert draws[runtime]["text"] == tokenizer.decode([token])
    assert draws["llama2.c"]["u"] == draws["llm.c"]["u"] == xorshift(7)()
    cut = probs[np.flatnonzero(probs)]  # llama.cpp's number by id is a walk over the survivors by id
    by_id = int(reference.inverse_cdf(cut, np.array(draws["llama.cpp"]["u"])))
    assert draws["llama.cpp"]["otherwise"] == np.flatnonzero(probs)[by_id]


def test_the_table_fits_and_says_who_agrees(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert command.main(["seeds", "--seed", "0"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert "llama2.c: seed is 0: to llama2.c it means the clock; take another" in said
    assert command.main(["seeds", "--seed", "1"]) == 0
    assert "llama2.c and llm.c have all three." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "--seed is -1: it must be from 0 to 2^32 - 1"),
        (["--top-k", "0"], "k is 0"),
        (["--temperature", "0"], "temperature is 0"),
        ([""], "the prompt is empty"),
    ],
)
def test_what_the_command_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["seeds", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"seeds: {message}")
    assert len(said.splitlines()) == 1

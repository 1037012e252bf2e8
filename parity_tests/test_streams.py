"""Seeds of other runtimes: the tokens that each draws from its own random numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference.generators import xorshift
from reference.streams import STREAMS

from . import strategies
from .heads import Head
from .test_refusals import BAD_PROBS, row, words
from .verdict import compare

spec = pytest.mark.spec
f32 = np.float32
RUNTIMES = [*STREAMS]
SEED_OF_THE_TAIL = 16_515  # its first number is 1 - 2**-14.6
ALL = [stream.rule for stream in STREAMS.values()]
# The odd numbers up to 127, in some order, over their sum. What each runtime itself drew from seed 42 (ports/ATLAS.md).
PROBS = (np.random.RandomState(0).permutation(64) * 2 + 1).astype(f32) / f32(4096)
DRAWN = {
    "llama.cpp": "13 44 20 7 62 30 62 18 58 40 9 5",
    "llama2.c": "20 48 49 61 48 53 10 26 18 42 25 20",
    "llm.c": "20 48 49 61 48 53 10 26 18 42 25 20",
    "transformers.js": "45 24 14 36 31 52 54 3 42 24 36 0",
    "jax": "53 24 27 51 40 36 57 58 53 27 9 30",
    "numpy": "48 26 54 43 4 62 48 49 6 27 24 58",
    "nanochat": "57 18 9 63 10 6 5 9 28 31 61 27",
}


def rows(probs: Any, count: int) -> np.ndarray:
    """The same row again and again."""
    return np.tile(np.array(probs, f32), (count, 1))


def drawn(head: Head, probs: np.ndarray, runtime: str, seed: int) -> np.ndarray:
    """What the head draws, judged beside the reference."""
    token_ids = np.asarray(head.draw_as(probs, runtime, seed))
    expected = reference.draw_as(probs, runtime, seed)
    compare("draw_as", expected, token_ids, probs=probs, runtime=runtime, seed=seed).require()
    return token_ids


@spec(*ALL)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tokens_that_the_runtime_drew(head: Head, runtime: str) -> None:
    token_ids = np.asarray(head.draw_as(rows(PROBS, 12), runtime, 42))
    assert " ".join(map(str, token_ids.tolist())) == DRAWN[runtime]


@spec("STREAM-1", "HEAD-4", *ALL)
@given(strategies.probabilities(), st.sampled_from(RUNTIMES), st.integers(1, 2**32 - 2))
def test_any_rows_and_any_seed(head: Head, probs: np.ndarray, runtime: str, seed: int) -> None:
    assert drawn(head, probs, runtime, seed).shape == probs.shape[:-1]


@spec("STREAM-1", *ALL)
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("seed", [1, 2**32 - 2])
def test_hundreds_of_tokens_in_a_row(head: Head, runtime: str, seed: int) -> None:
    """Beyond the 624 words of MT19937, with ties and masked tokens, and seeds with the highest bit set."""
    rng = np.random.default_rng(seed)
    probs = reference.softmax((rng.integers(-8, 8, (700, 12)) / 4).astype(f32)) * (rng.random(12) < 0.8).astype(f32)
    probs[:, 5] = 0.25
    drawn(head, probs, runtime, seed)


@spec("STREAM-1")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_call_begins_the_stream_anew(head: Head, runtime: str) -> None:
    first, again = (np.asarray(head.draw_as(rows(PROBS, 30), runtime, 5)) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert len(set(first.tolist())) > 1
    assert np.asarray(head.draw_as(rows(PROBS, 7), runtime, 5)).tolist() == first[:7].tolist()


@spec("STREAM-6")
@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_numpy_itself(head: Head, seed: int) -> None:
    rng = np.random.default_rng(seed)
    theirs = [int(rng.choice(64, p=PROBS)) for _ in range(1_000)]
    assert np.asarray(head.draw_as(rows(PROBS, 1_000), "numpy", seed)).tolist() == theirs


@spec("STREAM-7")
@pytest.mark.usefixtures("mt19937_stream")
@pytest.mark.parametrize("k", [1, 8, 64])
def test_pytorch_on_sorted_survivors(head: Head, k: int) -> None:
    """As nanochat's `sample_next_token`: the softmax of the k best in order, then `torch.multinomial`."""
    generator, logits = torch.Generator().manual_seed(9), torch.from_numpy(np.log(PROBS))
    probs, theirs = np.zeros((1_000, 64), f32), []
    for probs_of_row in probs:
        values, ids = torch.topk(logits, k)
        survivors = torch.softmax(values, dim=-1)
        theirs.append(int(ids[torch.multinomial(survivors, 1, generator=generator)]))
        probs_of_row[ids.numpy()] = survivors.numpy()
    assert drawn(head, probs, "nanochat", 9).tolist() == theirs


@spec("STREAM-2", "STREAM-4")
@pytest.mark.parametrize("runtime", ["llama.cpp", "transformers.js"])
def test_a_number_is_taken_for_a_single_token(head: Head, runtime: str) -> None:
    """In the middle of a text, where a cut has left one token."""
    every = rows([0.25, 0.25, 0.125, 0.375], 40)
    between = every.copy()
    between[1::2] = [0, 1, 0, 0]
    expected = drawn(head, every, runtime, 3)
    expected[1::2] = 1
    assert drawn(head, between, runtime, 3).tolist() == expected.tolist()


@spec("STREAM-3")
@pytest.mark.parametrize("runtime", ["llama2.c", "llm.c"])
def test_a_tail_is_lost_in_a_float32_sum(head: Head, runtime: str) -> None:
    """4,096 tokens of 2**-26 after one of 1 - 2**-14: a float32 sum never rises, and the last id of all is drawn."""
    probs = np.array([1 - 2.0**-14] + [2.0**-26] * 4_096 + [0], f32)
    assert int(head.draw_as(probs, runtime, SEED_OF_THE_TAIL)) == 4_097
    exact = int(reference.inverse_cdf(probs, np.array(xorshift(SEED_OF_THE_TAIL)())))
    assert 0 < exact < 4_096


@spec("STREAM-3")
def test_where_the_probabilities_do_not_sum_to_1(head: Head) -> None:
    """llm.c scales its number by the total; llama2.c does not, and gives what is missing to the last id."""
    half = rows([0.25, 0.25, 0], 200)
    assert set(np.asarray(head.draw_as(half, "llm.c", 3)).tolist()) == {0, 1}
    assert set(np.asarray(head.draw_as(half, "llama2.c", 3)).tolist()) == {0, 1, 2}


@spec("STREAM-5")
def test_jax_counts_over_the_whole_call(head: Head) -> None:
    two = rows(PROBS, 60).reshape(2, 30, 64)
    token_ids = drawn(head, two, "jax", 8)
    assert token_ids.reshape(-1).tolist() == drawn(head, rows(PROBS, 60), "jax", 8).tolist()


@spec("STREAM-1", "HEAD-5")
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("probs", "message"), BAD_PROBS)
def test_bad_probabilities(head: Head, runtime: str, probs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.draw_as(probs, runtime, 1)


@spec("STREAM-1", "HEAD-5")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_seeds_that_no_runtime_takes(head: Head, runtime: str) -> None:
    for seed in (-1, 2**32, 10**30):
        with pytest.raises(ValueError, match=words(head, rf"seed is {seed}: it must be from 0 to 2\*\*32 - 1")):
            head.draw_as(PROBS, runtime, seed)
    for wrong in (1.0, "1", None, True):
        with pytest.raises(TypeError, match=words(head, r"seed is .*: it must be an integer")):
            head.draw_as(PROBS, runtime, wrong)


@spec("STREAM-1", "HEAD-5")
def test_seeds_that_a_runtime_takes_for_something_else(head: Head) -> None:
    for runtime in RUNTIMES:
        for seed in (0, 2**32 - 1):
            if (runtime, seed) in (("llama.cpp", 2**32 - 1), ("llama2.c", 0), ("llm.c", 0)):
                with pytest.raises(
                    ValueError, match=words(head, f"seed is {seed}: to {runtime} it means .*; take another")
                ):
                    head.draw_as(PROBS, runtime, seed)
            else:
                drawn(head, PROBS, runtime, seed)


@spec("STREAM-1", "HEAD-2", "HEAD-5")
def test_other_bad_arguments(head: Head) -> None:
    for unknown in ("ollama", "", "Llama.cpp", None, 1):
        with pytest.raises(ValueError, match=words(head, "runtime is .*: it must be one of llama.cpp, llama2.c")):
            head.draw_as(PROBS, unknown, 1)
    with pytest.raises(TypeError, match=words(head, "probs has dtype .*int64")):
        head.draw_as(np.array([1, 2]), "jax", 1)
    with pytest.raises(ValueError, match=words(head, "the sum of probs overflows")):
        head.draw_as(np.array([1e308, 1e308]), "llama.cpp", 1)
    assert head.draw_as(row(1, 1), "numpy", np.int64(3)) in (0, 1)

"""Stage 5, first form: the draw as an exponential race, which is what `torch.multinomial` computes."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import reference

from . import strategies
from .heads import MIRROR, REFERENCE, Head
from .strategies import FixedNoise
from .verdict import Word, compare

spec = pytest.mark.spec

# A test of 1 in 10**9, on fixed seeds: it fails when the distribution is wrong, never by chance.
SIGNIFICANCE = 1e-9


def noise_like(probs: np.ndarray, seed: int) -> np.ndarray:
    return reference.TorchGenerator(seed).standard_exponential(probs.shape, strategies.compute_dtype(probs))


def needs_noise(head: Head) -> None:
    if not head.takes_noise:
        pytest.skip(f"{head.name} draws its own noise: tested on seeds instead")


@spec("DRAW-1", "DRAW-2", "DRAW-3", "DRAW-4", "HEAD-4")
@given(strategies.probabilities(), st.integers(0, 2**32), st.integers(1, 3))
def test_the_race_on_given_noise(head: Head, probs: np.ndarray, seed: int, num_samples: int) -> None:
    needs_noise(head)
    num_samples = min([num_samples, probs.shape[-1], *np.count_nonzero(probs, axis=-1).ravel().tolist()])
    noise = noise_like(probs, seed)
    drawn = head.multinomial(probs, num_samples, rng=FixedNoise(noise))
    assert drawn.shape == (*probs.shape[:-1], num_samples)
    ours = reference.multinomial(probs, num_samples, rng=FixedNoise(noise))
    compare("multinomial", ours, drawn, probs=probs, noise=noise).require()


@spec("DRAW-1")
@given(st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any), st.data())
def test_the_race_in_exact_arithmetic(head: Head, weights: list[int], data: st.DataObject) -> None:
    """Weights and noise that are small whole numbers: the order of arrival from fractions, ties to the lowest id."""
    needs_noise(head)
    noise = data.draw(st.lists(st.integers(1, 9), min_size=len(weights), max_size=len(weights)))
    # Different quotients of these whole numbers are at least 1/72 apart: no coin flips.
    order = sorted((i for i, p in enumerate(weights) if p), key=lambda i: (-Fraction(weights[i], noise[i]), i))
    drawn = head.multinomial(np.array(weights, np.float64), len(order), rng=FixedNoise(noise))
    assert drawn.tolist() == order


@spec("RNG-3", "DRAW-1")
@pytest.mark.usefixtures("mt19937_stream")
def test_noise_is_rounded_before_the_race(head: Head) -> None:
    """Seed 142005 gives tokens 8 and 17 noise that differs in float64 alone: in float32 they arrive at once."""
    probs = np.isin(np.arange(64), (8, 17)).astype(np.float32)
    assert head.multinomial(probs, 2, rng=head.torch_rng(142005)).tolist() == [8, 17]


@spec("DRAW-1", "RNG-3")
@pytest.mark.usefixtures("mt19937_stream")
@given(strategies.probabilities(), st.integers(-(2**63), 2**64 - 1), st.integers(1, 3))
def test_the_seeded_draws_of_torch(head: Head, probs: np.ndarray, seed: int, num_samples: int) -> None:
    """`torch.multinomial` itself, untouched by us, on the same seed."""
    num_samples = min([num_samples, probs.shape[-1], *np.count_nonzero(probs, axis=-1).ravel().tolist()])
    rows = torch.tensor(np.ascontiguousarray(probs.astype(strategies.compute_dtype(probs))))
    rows = rows.reshape(-1, probs.shape[-1])  # 16 bits would hold the race in 16 bits (HEAD-2)
    theirs = torch.multinomial(rows, num_samples, generator=torch.Generator().manual_seed(seed))
    if not rows.gather(-1, theirs).all():
        return  # PyTorch drew a token of probability zero; test_pytorch_draws_probability_zero is about that
    drawn = head.multinomial(probs, num_samples, rng=head.torch_rng(seed))
    noise = noise_like(probs, seed)
    theirs_shaped = theirs.numpy().reshape(*probs.shape[:-1], num_samples)
    verdict = compare("multinomial", drawn, theirs_shaped, probs=probs, noise=noise).require()
    if num_samples == 1 and (probs[probs > 0] > 1e-30).all():  # nothing underflows: no two race values are equal
        assert verdict.word == Word.IDENTICAL


@spec("DRAW-1", "RNG-2")
@pytest.mark.usefixtures("mt19937_stream")
@pytest.mark.parametrize(("num_samples", "seeds"), [(1, 20), (50, 5)])
def test_the_seeded_draws_of_torch_at_gpt2_vocabulary(head: Head, num_samples: int, seeds: int) -> None:
    """On each seed three calls in a row: the state carries over."""
    probs = reference.softmax((np.random.default_rng(3).standard_normal((2, 50_257)) * 3).astype(np.float32))
    tensor = torch.from_numpy(probs)
    for seed in range(seeds):
        ours, theirs, given = head.torch_rng(seed), torch.Generator().manual_seed(seed), reference.TorchGenerator(seed)
        for _ in range(3):
            drawn = head.multinomial(probs, num_samples, rng=ours)
            expected = torch.multinomial(tensor, num_samples, generator=theirs).numpy()
            noise = given.standard_exponential(probs.shape, np.float32)
            verdict = compare("multinomial", drawn, expected, probs=probs, noise=noise).require()
            if num_samples == 1 or head in (REFERENCE, MIRROR):  # others may round otherwise where 50 are in a row
                assert verdict.word == Word.IDENTICAL


@spec("DRAW-2")
@given(st.data(), strategies.probabilities())
def test_probability_zero_is_never_drawn_whatever_the_noise(head: Head, data: st.DataObject, probs: np.ndarray) -> None:
    """Adversarial noise: exact zeros and negative zeros on the impossible tokens, huge noise on the possible ones."""
    needs_noise(head)
    tiny = float(np.finfo(strategies.compute_dtype(probs)).smallest_subnormal)
    extremes = st.sampled_from([0.0, -0.0, tiny, 1.0, 1e30])
    noise = np.array(data.draw(st.lists(extremes, min_size=probs.size, max_size=probs.size))).reshape(probs.shape)
    n = int(min([3, probs.shape[-1], *np.count_nonzero(probs, axis=-1).ravel().tolist()]))
    drawn = head.multinomial(probs, n, rng=FixedNoise(noise))
    assert (np.take_along_axis(probs, drawn, axis=-1) > 0).all()


@spec("DRAW-2")
@pytest.mark.parametrize("weights", [[0.0, 1e-45], [0.0, 1.0, 1e-45], [1e-45, 0.0, 0.0, 1e-45]])
def test_underflowing_races(head: Head, weights: list[float]) -> None:
    """p / E underflows to 0, level with the tokens of probability zero."""
    probs = np.array(weights, np.float32)
    possible = np.flatnonzero(probs).tolist()
    for seed in range(200):
        assert sorted(head.multinomial(probs, len(possible), rng=head.torch_rng(seed)).tolist()) == possible


@spec("DRAW-1")
@given(strategies.probabilities(), st.integers(0, 2**32))
def test_one_possible_token_is_drawn(head: Head, probs: np.ndarray, seed: int) -> None:
    """Greedy as a draw: with a single survivor the seed does not matter."""
    single = np.where(np.arange(probs.shape[-1]) == np.argmax(probs, axis=-1)[..., None], probs, 0).astype(probs.dtype)
    drawn = head.multinomial(single, rng=head.torch_rng(seed))
    np.testing.assert_array_equal(drawn[..., 0], np.argmax(probs, axis=-1))


@spec("DRAW-1", "DRAW-4")
@pytest.mark.parametrize("source", ["seeded", "numpy"])
@pytest.mark.parametrize("weights", [[0.9, 0.1], [1, 2, 3, 4], [0.0, 5.0, 0.0, 0.05, 1.0], [3e30, 1e30, 1e25]])
def test_distribution_of_the_first_token(head: Head, weights: list[float], source: str) -> None:
    """Chi-square of 20,000 draws against the weights."""
    if source == "numpy":
        needs_noise(head)
    rng = head.torch_rng(2024) if source == "seeded" else np.random.default_rng(2024)
    rows = 20_000
    probs = np.tile(np.array(weights, np.float32), (rows, 1))
    counts = np.bincount(head.multinomial(probs, rng=rng)[:, 0], minlength=len(weights))
    expected = np.array(weights) / np.sum(weights) * rows
    assert counts[expected == 0].sum() == 0
    often = expected >= 1
    assert counts[~often].sum() <= 50
    scale = counts[often].sum() / expected[often].sum()
    assert stats.chisquare(counts[often], expected[often] * scale).pvalue > SIGNIFICANCE


@spec("DRAW-3")
@pytest.mark.parametrize("num_samples", [2, 3])
def test_distribution_of_the_order_without_replacement(head: Head, num_samples: int) -> None:
    """Every ordered outcome of n draws without replacement, enumerated exactly, against 30,000 draws."""
    weights = [Fraction(w) for w in (1, 2, 3, 6)]
    outcomes = {}
    for order in permutations(range(4), num_samples):
        left, probability = sum(weights), Fraction(1)
        for token in order:
            probability, left = probability * weights[token] / left, left - weights[token]
        outcomes[order] = probability
    assert sum(outcomes.values()) == 1
    rows = 30_000
    drawn = head.multinomial(np.tile(np.array(weights, np.float32), (rows, 1)), num_samples, rng=head.torch_rng(99))
    seen, counts = np.unique(drawn, axis=0, return_counts=True)
    count_of = dict(zip(map(tuple, seen.tolist()), counts.tolist(), strict=True))
    observed = [count_of.pop(order, 0) for order in outcomes]
    assert not count_of
    expected = [float(probability) * rows for probability in outcomes.values()]
    assert stats.chisquare(observed, expected).pvalue > SIGNIFICANCE


@spec("DRAW-1", "HEAD-2")
def test_half_precision_races_in_float32(head: Head) -> None:
    """float16 noise would round to 0 and win; the race is held in float32."""
    probs = np.zeros(4_096, np.float16)
    probs[7] = 1
    assert {int(head.multinomial(probs, rng=head.torch_rng(seed))[0]) for seed in range(50)} == {7}
    # Among 4,096 equals many neighbours in the order of arrival are closer than float16 can tell.
    drawn = head.multinomial(np.full(4_096, 2**-12, np.float16), 2_000, rng=head.torch_rng(5))
    same = head.multinomial(np.full(4_096, 2**-12, np.float32), 2_000, rng=head.torch_rng(5))
    assert drawn.tolist() == same.tolist()

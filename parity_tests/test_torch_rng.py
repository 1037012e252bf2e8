"""PyTorch's CPU stream in NumPy, bit for bit."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from .local_torch_rng import GOLDEN

spec = pytest.mark.spec
SEEDS = st.integers(-(2**63), 2**64 - 1)
SIZES = st.one_of(st.just(()), st.lists(st.integers(0, 5), max_size=3).map(tuple))
CALLS = st.tuples(st.sampled_from(["exponential", "uniform"]), SIZES, st.sampled_from(["float32", "float64"]))


@spec("RNG-1", "RNG-3")
def test_golden_values(generator: Any) -> None:
    """Values that PyTorch printed, so that this holds without a PyTorch, and on one with another stream."""
    assert tuple(generator(7).standard_exponential(4, np.float32).tolist()) == GOLDEN
    assert generator(0).uniform(2, np.float32).tolist() == [0.49625658988952637, 0.7682217955589294]
    assert generator(-1).uniform(2, np.float32).tolist() == [0.9937993884086609, 0.5713063478469849]


@spec("RNG-1", "RNG-2", "RNG-3", "RNG-4")
@pytest.mark.usefixtures("mt19937_stream")
@given(SEEDS, st.lists(CALLS, max_size=6))
@example(2**32, [("exponential", (3,), "float32")])
@example(2**64 - 1, [("uniform", (1,), "float32"), ("exponential", (700,), "float64")])
def test_any_sequence_of_calls(generator: Any, seed: int, calls: list[tuple[str, tuple[int, ...], str]]) -> None:
    """The state carries over: after any calls, in any dtypes and shapes, the next numbers are PyTorch's."""
    ours, theirs = generator(seed), torch.Generator().manual_seed(seed)
    for kind, size, dtype in calls:
        if kind == "uniform":
            drawn = ours.uniform(size, dtype)
            expected = torch.rand(size, dtype=getattr(torch, dtype), generator=theirs)
        else:
            drawn = ours.standard_exponential(size, dtype)
            expected = torch.empty(size, dtype=getattr(torch, dtype)).exponential_(generator=theirs)
        assert drawn.shape == size
        assert drawn.dtype == dtype
        np.testing.assert_array_equal(drawn, expected.numpy())


@spec("RNG-3")
@pytest.mark.usefixtures("mt19937_stream")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_a_million_values(generator: Any, dtype: str) -> None:
    theirs = torch.empty(500_000, dtype=getattr(torch, dtype)).exponential_(generator=torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(generator(1).standard_exponential(500_000, dtype), theirs.numpy())


@spec("RNG-2")
def test_a_new_seed_starts_over(generator: Any) -> None:
    rng = generator(3)
    first = rng.standard_exponential(5)
    assert (rng.standard_exponential(5) != first).all()
    assert (rng.manual_seed(3).standard_exponential(5) == first).all()


@spec("RNG-1")
def test_seeds_that_pytorch_refuses_are_refused(generator: Any) -> None:
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match=str(seed)):
            generator(seed)
        with pytest.raises(ValueError, match="Overflow"):
            torch.Generator().manual_seed(seed)
    for wrong in (1.0, "1", None, True):
        with pytest.raises(TypeError):
            generator(wrong)


@spec("RNG-1")
def test_only_the_low_32_bits_of_a_seed_count(generator: Any) -> None:
    """PyTorch's own choice: 0 and 2**32 are the same stream, which a port that uses all 64 bits would not draw."""
    for seed, same in ((2**32 + 5, 5), (-(2**63), 0), (2**64 - 1, -1)):
        assert generator(seed).uniform(3).tolist() == generator(same).uniform(3).tolist()


@spec("RNG-3")
def test_noise_of_another_dtype_is_refused(generator: Any) -> None:
    with pytest.raises(TypeError, match="float16"):
        generator(0).standard_exponential(3, np.float16)
    with pytest.raises(TypeError, match="int64"):
        generator(0).uniform(3, np.int64)

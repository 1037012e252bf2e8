"""What holds for our own two heads and for no others."""

from typing import Any

import numpy as np
import pytest
import torch

import torch_impl
from reference import TorchGenerator

spec = pytest.mark.spec


@spec("DRAW-2")
def test_pytorch_draws_probability_zero() -> None:
    """Why the mirror does not hand `torch.multinomial`'s answer through: shown here, so that a cure is noticed."""
    probs = torch.tensor([0.0, 1e-45])
    drawn = [int(torch.multinomial(probs, 1, generator=torch.Generator().manual_seed(seed))) for seed in range(200)]
    if 0 not in drawn:
        pytest.skip("this PyTorch does not draw the token of probability zero: the mirror's second race is not needed")
    assert set(drawn) == {0, 1}


@spec("HEAD-5")
@pytest.mark.parametrize("uniform", [None, "x", {}])
def test_the_mirror_names_what_is_not_a_tensor(uniform: Any) -> None:
    with pytest.raises(TypeError, match=rf"^uniform has type {type(uniform).__name__}: it must be a torch.Tensor$"):
        torch_impl.inverse_cdf(torch.ones(2), uniform)


@spec("RNG-3")
def test_noise_does_not_depend_on_the_vector_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log1p that is off by two units in the last place, as vector libraries' are, changes no bit of the noise."""
    expected = {dtype: TorchGenerator(5).standard_exponential(100_000, dtype) for dtype in ("float32", "float64")}
    log1p = np.log1p
    monkeypatch.setattr(np, "log1p", lambda x: log1p(x) * (1 + 2.0**-52))
    for dtype, values in expected.items():
        np.testing.assert_array_equal(TorchGenerator(5).standard_exponential(100_000, dtype), values)

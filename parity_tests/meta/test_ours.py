"""What holds for our own two heads and for no others."""

import os
import subprocess
import sys
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest
import torch

import reference
import torch_impl
import torch_impl.scoring
from reference import TorchGenerator, fast, scoring
from reference.torch_rng import STATE

from ..strategies import FixedNoise

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


@spec("HEAD-2")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpys_error_settings_change_nothing(dtype: Any) -> None:
    """Good input with quotients, weights and products that underflow or overflow to -inf, and noise that is 0."""
    tiny, largest = np.finfo(dtype).tiny, np.finfo(dtype).max
    context, embedding = np.array([tiny, 1], dtype), np.array([[tiny, 1], [1, -3], [0, 90]], dtype)
    logits, probs = np.array([0, -largest, tiny, 3], dtype), np.array([tiny, 1, 0, tiny], dtype)

    def everything() -> list[Any]:
        return [
            reference.compute_logits(context, embedding),
            reference.apply_temperature(logits, 0.5),
            reference.apply_temperature(logits, 3),
            reference.softmax(logits),
            reference.multinomial(probs, rng=FixedNoise([0, 7, 1, 3])),
            reference.inverse_cdf(probs, np.array(tiny)),
            reference.lm_head(context, embedding, 1e-2, 2),
            fast.survivors(logits, 0.5, 3)[0],
            fast.draw(probs, np.arange(4), 4, rng=FixedNoise([0, 7, 1, 3])),
            scoring.log_probs(context, embedding, np.array(1), 0.5),
            scoring.perplexity(context, embedding, np.array(1), 1e-2),
            TorchGenerator(3).standard_exponential(9, dtype),
        ]

    plain = everything()
    with np.errstate(all="raise"):
        for ours, theirs in zip(everything(), plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@spec("HEAD-5")
@pytest.mark.parametrize("package", [reference, torch_impl], ids=lambda package: package.__name__)
def test_one_rule_for_numbers(package: Any) -> None:
    """Numbers of Python and NumPy, not tensors or arrays of one number; and integers that Python does not write."""
    logits = np.array([1, 2, 3], np.float32) if package is reference else torch.tensor([1.0, 2.0, 3.0])
    for temperature in (Fraction(7, 10), np.float32(0.7), np.int64(1)):
        package.apply_temperature(logits, temperature)
    arrays: list[Any] = [np.array(2), torch.tensor(2), torch.tensor(2.0)]
    for wrong in arrays:
        with pytest.raises(TypeError, match=r"^temperature is .*: it must be one real number$"):
            package.apply_temperature(logits, wrong)
        with pytest.raises(TypeError, match=r"^k is .*: it must be an integer$"):
            package.top_k(logits, wrong)
        with pytest.raises(TypeError, match=r"^seed is .*: it must be an integer$"):
            TorchGenerator(wrong)
    assert len(package.top_k(logits, 10**5_000)[1]) == 3
    with pytest.raises(ValueError, match=r"^k is an integer of 16,610 bits: it must be at least 1"):
        package.top_k(logits, -(10**5_000))
    with pytest.raises(ValueError, match=r"^temperature is an integer of 16,610 bits \(inf in .*float32\): it must"):
        package.apply_temperature(logits, 10**5_000)
    with pytest.raises(ValueError, match=r"^seed is an integer of 16,610 bits: PyTorch takes"):
        TorchGenerator(10**5_000)
    for rng in (np.random, TorchGenerator, np.random.Generator):
        with pytest.raises(TypeError, match=r"^rng has type (module|type): it must"):
            package.multinomial(logits, rng=rng)


def everything() -> list[torch.Tensor]:
    """What the mirror computes from products, and draws."""
    context = torch.linspace(-1, 1, 192, dtype=torch.float32).reshape(3, 64)
    embedding = torch.linspace(-1, 1, 6_400, dtype=torch.float32).reshape(100, 64).sin()
    probs = torch_impl.lm_head(context, embedding)
    drawn = [torch_impl.multinomial(probs, n, rng=torch.Generator().manual_seed(1)) for n in (1, 9)]
    return [probs, torch_impl.scoring.log_probs(context, embedding, torch.arange(3)), *drawn]


@spec("HEAD-2")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    plain = everything()
    with torch.autocast("cpu", dtype):
        for ours, theirs in zip(everything(), plain, strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


SWITCHES = {
    "set_float32_matmul_precision": "torch.set_float32_matmul_precision('medium')",
    "fp32_precision": "torch.backends.fp32_precision = 'bf16'",
    "mkldnn": "torch.backends.mkldnn.fp32_precision = 'bf16'",
    "mkldnn.matmul": "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "allow_tf32": "torch.backends.cuda.matmul.allow_tf32 = True",
    "default dtype": "torch.set_default_dtype(torch.float64)",
}


def changes_nothing(switch: str) -> None:
    plain, mkldnn = everything(), cast(Any, torch.backends.mkldnn)
    exec(switch)
    before = mkldnn.matmul.fp32_precision
    assert all(torch.equal(*pair) for pair in zip(everything(), plain, strict=True)), switch
    assert mkldnn.matmul.fp32_precision == before, "what the caller set stays set"


@spec("HEAD-2")
def test_precision_switches_change_nothing() -> None:
    """Each in a process of its own: PyTorch's switches are for the whole process, and some have no way back."""
    code = """
import os
from parity_tests.meta.test_ours import SWITCHES, changes_nothing
for switch in SWITCHES.values():
    child = os.fork()  # of a process that has imported everything, and computed nothing
    if not child:
        changes_nothing(switch)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    one_thread = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }  # or forking warns
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=one_thread, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@spec("DRAW-1")
def test_the_mirror_keeps_the_order_of_equal_quotients(mt19937_stream: None) -> None:
    """Among so many float32 quotients some are equal."""
    probs, n = np.ones(49_152, np.float32), 24_576
    ours = torch_impl.multinomial(torch.from_numpy(probs), n, rng=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(ours, reference.multinomial(probs, n, rng=TorchGenerator(0)))


@spec("RNG-2")
@pytest.mark.parametrize("seed", [0, 7, -1, 2**64 - 1])
@pytest.mark.parametrize("drawn", [0, 1, 311, 312, 313, 1_000])
def test_states_go_into_pytorch_and_come_out_of_it(seed: int, drawn: int) -> None:
    ours, theirs = TorchGenerator(seed), torch.Generator().manual_seed(seed)
    ours.uniform(drawn)  # 64 bits each: two of the 624 outputs that are made at once
    torch.rand(drawn, dtype=torch.float64, generator=theirs)
    other = torch.Generator()
    other.set_state(torch.from_numpy(ours.get_state()))
    back = TorchGenerator(1).set_state(theirs.get_state())
    if drawn:  # a fresh state differs in `next`, which PyTorch does not read before it makes more
        np.testing.assert_array_equal(ours.get_state(), theirs.get_state().numpy())
    assert other.initial_seed() == theirs.initial_seed()
    expected = torch.rand(1_000, generator=theirs).numpy()
    for numbers in (torch.rand(1_000, generator=other).numpy(), back.uniform(1_000, np.float32)):
        np.testing.assert_array_equal(numbers, expected)
    np.testing.assert_array_equal(back.get_state(), theirs.get_state().numpy())


def test_a_state_keeps_what_only_the_normal_distribution_uses() -> None:
    theirs = torch.Generator().manual_seed(3)
    torch.randn(1, generator=theirs)  # the second of the pair is kept for the next call
    state = theirs.get_state()
    np.testing.assert_array_equal(TorchGenerator(0).set_state(state).get_state(), state.numpy())


@spec("HEAD-5")
def test_what_is_not_a_state() -> None:
    state = TorchGenerator(0).get_state()
    for wrong in (state[:-1], state.astype(np.int64), "state"):
        words = (
            r"^state has dtype .* and shape .*: it must be 5056 bytes, uint8, as get_state\(\) of a CPU torch.Generator"
        )
        with pytest.raises(TypeError, match=words + " gives$"):
            TorchGenerator(0).set_state(wrong)
    for name, number in (("seeded", 0), ("left", 0), ("left", 625), ("words", 2**32)):
        bad = state.copy().view(STATE)
        bad[name] = number
        with pytest.raises(ValueError, match=r"^state is not that of a CPU torch\.Generator: take it from its"):
            TorchGenerator(0).set_state(bad.view(np.uint8))
    one = TorchGenerator(0)
    one.uniform(1, np.float32)
    assert one.get_state().view(STATE)["left"] == 624
    assert TorchGenerator(5).set_state(one.get_state()).uniform(3).tolist() == one.uniform(3).tolist()


@spec("RNG-3")
def test_noise_does_not_depend_on_the_vector_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log1p that is off by two units in the last place, as vector libraries' are, changes no bit of the noise."""
    expected = {dtype: TorchGenerator(5).standard_exponential(100_000, dtype) for dtype in ("float32", "float64")}
    log1p = np.log1p
    monkeypatch.setattr(np, "log1p", lambda x: log1p(x) * (1 + 2.0**-52))
    for dtype, values in expected.items():
        np.testing.assert_array_equal(TorchGenerator(5).standard_exponential(100_000, dtype), values)

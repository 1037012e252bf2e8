"""PyTorch's random stream in C and in JavaScript, bit for bit."""

import json
import subprocess

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reference
from parity_tests.local_torch_rng import GOLDEN

from .c_and_js import PORTS, f32, tool
from .wire import Port

spec = pytest.mark.spec


def draws(port: Port, seed: int, *calls: tuple[str, str, int]) -> list[np.ndarray]:
    """The numbers of some calls on one stream."""
    named = [{"draw": draw, "dtype": dtype, "size": size} for draw, dtype, size in calls]
    return port.result("torch_rng", seed=str(seed), calls=named)["numbers"]


@spec("RNG-1", "RNG-3", "RNG-4")
def test_golden_values(port: Port) -> None:
    """Values that PyTorch printed."""
    assert tuple(draws(port, 7, ("exponential", "float32", 4))[0].tolist()) == GOLDEN
    assert draws(port, 0, ("uniform", "float32", 2))[0].tolist() == [0.49625658988952637, 0.7682217955589294]
    assert draws(port, -1, ("uniform", "float32", 2))[0].tolist() == [0.9937993884086609, 0.5713063478469849]


@spec("RNG-1", "RNG-2", "RNG-3", "RNG-4")
@settings(deadline=None)  # the machine may be busy
@given(
    st.integers(-(2**63), 2**64 - 1),
    st.lists(
        st.tuples(
            st.sampled_from(["exponential", "uniform"]), st.sampled_from(["float32", "float64"]), st.integers(0, 700)
        ),
        max_size=5,
    ),
)
@example(2**32, [("exponential", "float32", 3)])
@example(-(2**63), [("uniform", "float64", 3)])
def test_any_sequence_of_calls(port: Port, seed: int, calls: list[tuple[str, str, int]]) -> None:
    """The state carries over, whatever was drawn."""
    if port.hello()["language"] == "JavaScript" and ("exponential", "float64") in [call[:2] for call in calls]:
        named = [{"draw": draw, "dtype": dtype, "size": size} for draw, dtype, size in calls]
        assert "log1p" in port.ask("torch_rng", seed=str(seed), calls=named)["skipped"]
        calls = [call for call in calls if call[:2] != ("exponential", "float64")]
    rng = reference.TorchGenerator(seed)
    for (draw, dtype, size), found in zip(calls, draws(port, seed, *calls), strict=True):
        expected = (rng.uniform if draw == "uniform" else rng.standard_exponential)(size, dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


@spec("RNG-3", "RNG-4")
def test_ten_thousand_numbers(port: Port) -> None:
    """Bit for bit, of each kind that the port has."""
    kinds = [("exponential", "float32"), ("uniform", "float32"), ("uniform", "float64"), ("exponential", "float64")]
    kinds = kinds[: 3 if port.hello()["language"] == "JavaScript" else 4]
    rng = reference.TorchGenerator(11)
    for (draw, dtype), found in zip(kinds, draws(port, 11, *((*kind, 10_000) for kind in kinds)), strict=True):
        expected = (rng.uniform if draw == "uniform" else rng.standard_exponential)(10_000, dtype)
        np.testing.assert_array_equal(found, expected)


@spec("RNG-3")
def test_five_million_exponentials_in_javascript() -> None:
    """The engine's own log1p may differ from the C library's in the last bit of float64: no float32 shows it."""
    script = f"""
        import {{ TorchGenerator }} from {json.dumps((PORTS / "javascript" / "lm_head.mjs").as_uri())};
        process.stdout.write(new Uint8Array(new TorchGenerator(12).exponentials(5_000_000).buffer));
    """
    node = [tool("node", "nodejs"), "--input-type=module", "--eval", script]
    found = np.frombuffer(subprocess.run(node, check=True, capture_output=True).stdout, f32)
    expected = reference.TorchGenerator(12).standard_exponential(5_000_000, f32)
    np.testing.assert_array_equal(found, expected)

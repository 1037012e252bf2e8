"""The bounds of the output layers: the formulas of their docstrings in 60 digits, and exact arithmetic beside them."""

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

import reference
from reference import bounds
from reference.operations import OPERATIONS

from .. import norms, strategies
from ..judges.output_layer import exact_layer_norm, exact_rms_norm
from ..mutants import MUTANTS
from ..variants import VARIANTS, stages
from ..verdict import compare
from .test_bound_formulas import gamma, holds, in_every_dtype, omega, u

spec = pytest.mark.spec
f32 = np.float32
HIDDEN = np.array([[1.0, -2.0, 4.0], [0.0, 0.0, 0.0], [100.0, 100.5, 99.0]], f32)
WEIGHT, BIAS = np.array([0.5, -2.0, 0.0], f32), np.array([0.0, 3.0, -1.0], f32)


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mpmath.workdps(60):
        yield


def scaled(c: Any, off: Any, square: Any, moved: Any, g: Any, bias: Any, epsilon: Any, dtype: str) -> Any:
    """The error of `c / sqrt(square + epsilon) * g + bias`."""
    theta = (moved + gamma(2, dtype) * epsilon + 2 * omega(dtype)) / (square + epsilon)
    r = 1 / mpmath.sqrt(square + epsilon)
    least = max((square + epsilon) * (1 - theta), epsilon * (1 - gamma(2, dtype)))
    of_r = max(1 / mpmath.sqrt(least) - r, r * (1 - 1 / mpmath.sqrt(1 + theta)))
    product = abs(g) * (off * (r + of_r) + abs(c) * of_r)
    rounds = gamma(12, dtype)
    bound = product + rounds * (abs(c * r * g) + product) + 2 * omega(dtype) * (1 + abs(g))
    return bound if bias is None else bound + u(dtype) * (abs(c * r * g) + abs(bias) + bound)


@spec("OUT-3")
@in_every_dtype
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_rms_norm(dtype: str, epsilon: float) -> None:
    found = bounds.rms_norm(HIDDEN, WEIGHT, epsilon, 0.25, dtype)
    for index in np.ndindex(found.shape):
        square = mpmath.fsum(mpf(float(h)) ** 2 for h in HIDDEN[index[0]]) / 3
        g = mpf(float(WEIGHT[index[1]])) + mpf(0.25)
        moved = gamma(3 + 16, dtype) * square
        holds(found[index], scaled(mpf(float(HIDDEN[index])), 0, square, moved, g, None, mpf(epsilon), dtype))


@spec("OUT-3")
@in_every_dtype
@pytest.mark.parametrize("bias", [BIAS, None], ids=["bias", "none"])
def test_layer_norm(dtype: str, bias: Any) -> None:
    found = bounds.layer_norm(HIDDEN, WEIGHT, bias, 1e-5, 0.25, dtype)
    for index in np.ndindex(found.shape):
        row = [mpf(float(h)) for h in HIDDEN[index[0]]]
        mean, grows = mpmath.fsum(row) / 3, gamma(3 + 16, dtype)
        variance = mpmath.fsum((h - mean) ** 2 for h in row) / 3
        off = grows * mpmath.sqrt(mpmath.fsum(h**2 for h in row) / 3) + omega(dtype)
        x = 2 * mpmath.sqrt(2 * variance) * off + off**2
        moved, g = x + grows * (variance + x), mpf(float(WEIGHT[index[1]])) + mpf(0.25)
        b = None if bias is None else mpf(float(bias[index[1]]))
        holds(found[index], scaled(row[index[1]] - mean, off, variance, moved, g, b, mpf(1e-5), dtype))


@spec("OUT-5", "OUT-6")
@in_every_dtype
@pytest.mark.parametrize("error", [0.0, 1e-3])
@pytest.mark.parametrize(("bias", "multiplier", "divisor"), [(None, 1.0, 1.0), (BIAS, 0.3, 1.0), (BIAS, 2.0, 7.0)])
@pytest.mark.parametrize("cap", [30.0, np.inf])
def test_finish_logits(dtype: str, error: float, bias: Any, multiplier: float, divisor: float, cap: float) -> None:
    logits = np.array([[2.5, -40.0, 0.0], [-np.inf, 1e4, 1.0]], f32)
    found = bounds.finish_logits(logits, bias, multiplier, divisor, cap, dtype, error)
    for index in np.ndindex(found.shape):
        if logits[index] == -np.inf:
            assert found[index] == 0
            continue
        z, off = mpf(float(logits[index])), mpf(error)
        if bias is not None:
            z += mpf(float(bias[index[1]]))
            off += u(dtype) * (abs(z) + off) + omega(dtype)
        for factor in (mpf(multiplier), 1 / mpf(divisor)):
            if factor != 1:
                z, off = z * factor, off * factor
                off += u(dtype) * (abs(z) + off) + omega(dtype)
        if cap < np.inf:
            largest = min(cap * mpmath.tanh(abs(z) / cap) + off, mpf(cap))
            off += gamma(10, dtype) * largest + omega(dtype) * (1 + mpf(cap))
        if off:
            holds(found[index], off)
        else:
            assert found[index] == 0


# Against exact arithmetic: no honest computation exceeds the bounds.


@spec("OUT-1", "OUT-2", "OUT-3")
@given(strategies.hidden_states(("float32", "float64")), st.integers(0, 2**16), st.sampled_from([1e-5, 1e-12, 0.5]))
def test_norms_in_60_digits(hidden: np.ndarray, seed: int, epsilon: float) -> None:
    weight, bias = np.random.default_rng(seed).standard_normal((2, hidden.shape[-1])).astype(hidden.dtype)
    dtype, eps = hidden.dtype.name, mpf(float(hidden.dtype.type(epsilon)))
    numbers = {"epsilon": epsilon, "weight_offset": 0.0}
    layer, rms = reference.layer_norm(hidden, weight, bias, epsilon), reference.rms_norm(hidden, weight, epsilon)
    of_layer = bounds.layer_norm(hidden, weight, bias, **numbers, dtype=dtype)
    of_rms = bounds.rms_norm(hidden, weight, **numbers, dtype=dtype)
    for row in np.ndindex(hidden.shape[:-1]):
        h = [mpf(float(x)) for x in hidden[row]]
        mean = mpmath.fsum(h) / len(h)
        root = mpmath.sqrt(mpmath.fsum((x - mean) ** 2 for x in h) / len(h) + eps)
        root_of_rms = mpmath.sqrt(mpmath.fsum(x**2 for x in h) / len(h) + eps)
        for i, x in enumerate(h):
            g, b = mpf(float(weight[i])), mpf(float(bias[i]))
            assert abs(mpf(float(layer[row][i])) - ((x - mean) / root * g + b)) <= mpf(float(of_layer[row][i]))
            assert abs(mpf(float(rms[row][i])) - x / root_of_rms * g) <= mpf(float(of_rms[row][i]))


Moments = tuple[np.floating, np.floating, int]  # mean, sum of the squared distances from it, how many


def updated(row: np.ndarray) -> Moments:
    """By Welford's updates, each operation rounded to the row's dtype."""
    f = row.dtype.type
    mean, squares = f(0), f(0)
    for k, x in enumerate(row):
        delta = f(x - mean)
        mean = f(mean + f(delta / f(k + 1)))
        squares = f(squares + f(delta * f(x - mean)))
    return mean, squares, len(row)


def merged(row: np.ndarray, leaf: int) -> Moments:
    """Of both halves, merged (Chan, Golub & LeVeque 1983)."""
    if len(row) <= leaf:
        return updated(row)
    f, half = row.dtype.type, len(row) // 2
    (mean, squares, n), (other, more, m) = merged(row[:half], leaf), merged(row[half:], leaf)
    delta, share = f(other - mean), f(m / (n + m))
    return f(mean + f(share * delta)), f(f(squares + more) + f(f(f(delta * delta) * share) * f(n))), n + m


@spec("OUT-3")
@pytest.mark.parametrize("leaf", [1, 8, 128], ids=["merged", "updated by eights, then merged", "updated"])
@pytest.mark.parametrize("kind", ["plain", "ascending", "outlier first", "descending", "far", "nearly constant"])
def test_one_pass_in_float16(kind: str, leaf: int) -> None:
    """With so few digits, errors of the worst case are in sight: Welford's updates and merges stay inside."""
    rng, ratio = np.random.default_rng(leaf), 0.0
    for d in (2, 3, 5, 8, 16, 33, 64, 128):
        h = rng.standard_normal(d)
        h = {"ascending": np.sort(h), "descending": -np.sort(-np.abs(h)) * 3, "far": h + 30}.get(kind, h)
        h = h * 0.01 - 5 if kind == "nearly constant" else h
        h[0] *= 40 if kind == "outlier first" else 1
        row = h.astype(np.float16)
        mean, squares, n = merged(row, leaf)
        f, eps = np.float16, float(np.float16(1e-2))
        r = f(1 / np.sqrt(f(f(squares / f(n)) + f(eps))))
        normed = np.array([f(f(x - mean) * r) for x in row], np.float64)
        given: dict[str, Any] = {"weight": np.ones(d), "bias": None, "epsilon": eps, "weight_offset": 0.0}
        bound = bounds.layer_norm(row, **given, dtype="float16")
        ratio = max(ratio, float(np.max(np.abs(normed - exact_layer_norm(row, **given)) / bound)))
    assert 0 < ratio < 0.3


@spec("OUT-6")
@given(strategies.arguments("finish_logits", ("float32", "float64")))
def test_the_cap_in_60_digits(case: dict[str, Any]) -> None:
    logits, dtype = case["logits"], case["logits"].dtype
    multiplier, divisor, cap = (float(dtype.type(case[name])) for name in ("multiplier", "divisor", "cap"))
    finished = reference.finish_logits(**case)
    bound = bounds.finish_logits(logits, case["bias"], multiplier, divisor, cap, dtype.name)
    for index in np.ndindex(logits.shape):
        if logits[index] > -np.inf:
            z = (mpf(float(logits[index])) + mpf(float(case["bias"][index[-1]]))) * mpf(multiplier) / mpf(divisor)
            exact = z if cap == np.inf else cap * mpmath.tanh(z / cap)
            assert abs(mpf(float(finished[index])) - exact) <= mpf(float(bound[index]))


@spec("OUT-6")
@given(strategies.arguments("finish_logits", ("float64",)), st.floats(0, 10), st.integers(0, 2**16))
def test_an_error_of_the_logits_is_handed_on(case: dict[str, Any], error: float, seed: int) -> None:
    """Logits moved by the error, finished in float64: inside the bound for it."""
    wide = np.array(case["logits"])
    moved = wide + error * np.random.default_rng(seed).uniform(-1, 1, wide.shape)
    others = {name: value for name, value in case.items() if name != "logits"}
    with np.errstate(invalid="ignore"):
        moves = np.where(np.isfinite(wide), np.abs(moved - wide), 0)
        apart = np.abs(reference.finish_logits(moved, **others) - reference.finish_logits(wide, **others))
    allowed = sum(bounds.finish_logits(wide, **others, dtype="float64", error=e) for e in (moves, moves * 0))
    assert (np.where(np.isfinite(wide), apart, 0) <= allowed * (1 + 2**-40)).all()


@spec("OUT-3")
@pytest.mark.parametrize("d", [64, 768, 4_096, 8_192])
def test_real_sizes(d: int) -> None:
    """With outlier dimensions 40 times as large: every variant is far inside, a bfloat16 result far outside."""
    real = norms.real(d) | {"epsilon": 1e-5, "weight_offset": 0.0}
    for operation, exact_of in (("layer_norm", exact_layer_norm), ("rms_norm", exact_rms_norm)):
        case = OPERATIONS[operation].given(real)
        bound, exact = getattr(bounds, operation)(**case, dtype="float32"), exact_of(**case)
        ratios = {}
        for head in VARIANTS:
            if operation in stages(head):
                ratios[head.name] = float(np.max(np.abs(getattr(head, operation)(**case) - exact) / bound))
        print(f"{operation}, d = {d}: largest error / bound {ratios}")
        assert max(ratios.values()) < 0.3
        (rough,) = (m for m in MUTANTS if m.stage == operation and m.name == "bfloat16_before_the_weight")
        assert compare(operation, getattr(reference, operation)(**case), rough.function(**case), **case).ratio > 1.5

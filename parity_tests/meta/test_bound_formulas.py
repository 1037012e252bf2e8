"""Each bound is the formula of its docstring, evaluated here in 60 digits: never below it, and hardly above it.

`test_bounds.py` shows that honest computations stay inside; this shows that nothing was added to make them do so.
"""

from typing import Any, SupportsFloat

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from reference import bounds

spec = pytest.mark.spec

# The bounds are evaluated in float64, and cover their own rounding: their last digits are not the formula's.
EVALUATION = mpf(2) ** -20
ROWS = np.array([[0.5, -3.0, 7.25, -np.inf], [-100.0, -101.5, -np.inf, -2000.0]], np.float32)
ERRORS = [0.0, 1e-6, 0.8, np.array([[1e-7, 3e-5, 1e-6, 0.25], [1e-3, 1e-4, 0.5, 0.0]])]
ERRORS_OF_PROBS = [0.0, 1e-3, np.array([[1e-6, 0.1, 0.0], [0.25, 1e-9, 1e-3]])]

in_every_dtype = pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
with_errors = pytest.mark.parametrize("error", ERRORS, ids=["none", "small", "large", "each"])
with_errors_of_probs = pytest.mark.parametrize("error", ERRORS_OF_PROBS, ids=["none", "small", "each"])


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mpmath.workdps(60):
        yield


def u(dtype: str) -> Any:
    return mpf(2) ** {"bfloat16": -8, "float16": -11, "float32": -24, "float64": -53}[dtype]


def omega(dtype: str) -> Any:
    return mpf(2) ** {"bfloat16": -126, "float16": -14, "float32": -126, "float64": -1022}[dtype]


def gamma(n: int, dtype: str) -> Any:
    return n * u(dtype) / (1 - n * u(dtype))


def holds(bound: SupportsFloat, formula: Any) -> None:
    """`bound` is `formula`, rounded or raised in its last digits."""
    assert formula * (1 - mpf(2) ** -50) <= mpf(float(bound)) <= formula * (1 + EVALUATION)


@spec("LOGITS-2")
@in_every_dtype
def test_logits(dtype: str) -> None:
    context = np.array([[3.0, -4.0, 0.5], [0.0, 0.0, 0.0]], np.float32)
    embedding = np.array([[1.0, 2.0, -8.0], [0.25, 0.0, 1.0]], np.float32)
    plain = bounds.logits(context, embedding, dtype)
    likely = bounds.logits(context, embedding, dtype, probabilistic=True)
    for index in np.ndindex(plain.shape):
        pairs = zip(context[index[0]], embedding[index[1]], strict=True)
        magnitude = sum(abs(mpf(float(h)) * mpf(float(w))) for h, w in pairs)
        holds(plain[index], gamma(3, dtype) * magnitude + 6 * omega(dtype))
        holds(likely[index], mpf(bounds.probabilistic_gamma(3, dtype)) * magnitude + 6 * omega(dtype))
        holds(bounds.deviation(context, embedding, dtype)[index], mpmath.sqrt(3) * u(dtype) * magnitude)


@spec("LOGITS-2")
def test_logits_of_a_large_vocabulary() -> None:
    """The bound is computed in blocks of the vocabulary: each element as if alone."""
    rng = np.random.default_rng(7)
    context, embedding = rng.standard_normal((2, 3)), rng.standard_normal((8_200, 3))
    bound = bounds.logits(context, embedding, "float32")
    assert bound.shape == (2, 8_200)
    for i, v in ((0, 0), (1, 8_191), (0, 8_192), (1, 8_199)):
        magnitude = sum(abs(mpf(h) * mpf(w)) for h, w in zip(context[i].tolist(), embedding[v].tolist(), strict=True))
        holds(bound[i, v], gamma(3, "float32") * magnitude + 6 * omega("float32"))


@spec("LOGITS-2")
@in_every_dtype
@pytest.mark.parametrize("n", [1, 20, 768])
def test_probabilistic_gamma(dtype: str, n: int) -> None:
    """The formula, and that its failure probability is the one asked for."""
    confidence = 0.999
    factor = mpmath.sqrt(2 * mpmath.log(2 / (1 - mpf(confidence)))) / (1 - u(dtype))
    assert 1 - 2 * mpmath.exp(-(factor**2) * (1 - u(dtype)) ** 2 / 2) == pytest.approx(confidence, rel=1e-12)
    formula = mpmath.expm1(factor * mpmath.sqrt(n) * u(dtype) + n * u(dtype) ** 2 / (1 - u(dtype)))
    assert abs(mpf(bounds.probabilistic_gamma(n, dtype, confidence)) / formula - 1) <= mpf(2) ** -40


@spec("TEMP-1")
@in_every_dtype
@with_errors
def test_temperature(dtype: str, error: Any) -> None:
    bound = bounds.temperature(ROWS, 0.7, dtype, error)
    errors = np.broadcast_to(error, ROWS.shape)
    for index in np.ndindex(ROWS.shape):
        z, off = ROWS[index], mpf(float(errors[index]))
        if z == -np.inf:
            assert bound[index] == 0
        else:
            holds(bound[index], (off + u(dtype) * (abs(mpf(float(z))) + off)) / mpf(0.7) + omega(dtype))
    if np.all(error == 0):
        np.testing.assert_array_equal(bounds.temperature(ROWS, 0.7, dtype), bound)


def softmax_formula(row: np.ndarray, errors: np.ndarray, dtype: str) -> list[Any]:
    """The closed form: weights off by exp(A_i), their sum by the weighted mean of exp(A_j) and by gamma_n."""
    alive = [i for i, z in enumerate(row) if z > -np.inf]
    n = len(alive)
    x = {i: mpf(float(row[i])) - mpf(float(row[alive].max())) for i in alive}
    total = mpmath.fsum(mpmath.exp(value) for value in x.values())
    # Weights below float64's range are 0 in float64, and their share of any sum is nothing.
    p = {i: mpmath.exp(value) / total for i, value in x.items()}
    exp_error = 8 * u(dtype)
    largest = max(mpf(float(errors[i])) for i in alive)
    a = {i: u(dtype) * (abs(x[i]) + 2 * largest) + exp_error / (1 - exp_error) + mpf(float(errors[i])) for i in alive}
    off = (1 + mpmath.fsum(p[i] * mpmath.expm1(a[i]) for i in alive)) * (1 + gamma(n, dtype)) - 1
    off += n * omega(dtype)
    relative = {i: mpmath.exp(a[i]) * (1 + u(dtype)) / (1 - off) - 1 if off < 1 else mpmath.inf for i in alive}
    return [
        min(p[i] * relative[i] + 2 * omega(dtype), mpf(1))
        if i in alive and p[i] > mpf(2) ** -1000
        # A probability that is 0 in float64 has nothing relative to be off by.
        else 2 * omega(dtype)
        if i in alive
        else mpf(0)
        for i in range(len(row))
    ]


@spec("SOFTMAX-1")
@in_every_dtype
@with_errors
def test_softmax(dtype: str, error: Any) -> None:
    bound = bounds.softmax(ROWS, dtype, error)
    errors = np.broadcast_to(error, ROWS.shape)
    for row, of_row, found in zip(ROWS, errors, bound, strict=True):
        for value, formula in zip(found, softmax_formula(row, of_row, dtype), strict=True):
            if formula in (0, 1):
                assert value == formula
            else:
                holds(value, formula)


def log_probs_formula(row: np.ndarray, errors: np.ndarray, dtype: str, blocks: int) -> list[Any]:
    """The closed form: a sum off by the weighted mean of exp(A_j) and gamma_(n + blocks), its logarithm, and x_i."""
    alive, n = [i for i, z in enumerate(row) if z > -np.inf], len(row)
    x = {i: mpf(float(row[i])) - mpf(float(row[alive].max())) for i in alive}
    total = mpmath.fsum(mpmath.exp(value) for value in x.values())
    largest = max(mpf(float(errors[i])) for i in alive)
    exp_error = log_error = 8 * u(dtype)
    each = blocks * (exp_error + u(dtype)) / (1 - exp_error - u(dtype))
    off = mpmath.fsum(
        mpmath.exp(x[i]) / total * mpmath.expm1(u(dtype) * (abs(x[i]) + 2 * largest) + each + mpf(float(errors[i])))
        for i in alive
    )
    sum_error = (1 + off) * (1 + gamma(n + blocks, dtype)) - 1 + (n + blocks) * omega(dtype)
    of_log = -mpmath.log(1 - sum_error) if sum_error < 1 else mpmath.inf
    formula = []
    for i in range(n):
        if i in alive:
            subtracted = mpf(float(errors[i])) + u(dtype) * (abs(x[i]) + 2 * largest)
            bound = subtracted + of_log + log_error * (mpmath.log(total) + of_log)
            formula.append(bound + u(dtype) * (abs(x[i]) + mpmath.log(total) + bound) + omega(dtype))
        else:
            formula.append(mpf(0))
    return formula


@spec("SOFTMAX-1")
@in_every_dtype
@with_errors
def test_log_probs(dtype: str, error: Any) -> None:
    for blocks in (1, 5):
        bound = bounds.log_probs(ROWS, dtype, error, blocks)
        errors = np.broadcast_to(error, ROWS.shape)
        for row, of_row, found in zip(ROWS, errors, bound, strict=True):
            for value, formula in zip(found, log_probs_formula(row, of_row, dtype, blocks), strict=True):
                if formula in (0, mpmath.inf):
                    assert value == formula
                else:
                    holds(value, formula)
    np.testing.assert_array_equal(bounds.log_probs(ROWS, dtype), bounds.log_probs(ROWS, dtype, 0.0, 1))
    hopeless = np.where(np.isfinite(ROWS), np.inf, 0.0)
    np.testing.assert_array_equal(bounds.log_probs(ROWS, dtype, 1e3), hopeless)


@spec("DRAW-1")
@in_every_dtype
@with_errors_of_probs
def test_race(dtype: str, error: Any) -> None:
    probs = np.array([[0.5, 0.0, 0.25], [1e-3, 2.0, 0.0]], np.float32)
    noise = np.array([[0.1, 1.0, 3.0], [0.0, 7.0, 0.0]], np.float32)
    bound, errors = bounds.race(probs, noise, dtype, error), np.broadcast_to(error, probs.shape)
    for index in np.ndindex(probs.shape):
        p, e, off = (mpf(float(array[index])) for array in (probs, noise, errors))
        if p == 0:
            assert bound[index] == 0
        elif e == 0:
            assert bound[index] == np.inf
        else:
            holds(bound[index], (off + u(dtype) * (p + off)) / e + omega(dtype))


@spec("CDF-1")
@in_every_dtype
@with_errors_of_probs
def test_running_sum(dtype: str, error: Any) -> None:
    probs = np.array([[0.5, 0.0, 0.25], [1e-3, 2.0, 4.0]], np.float32)
    bound, errors = bounds.running_sum(probs, dtype, error), np.broadcast_to(error, probs.shape)
    for row, of_row, found in zip(probs, errors, bound, strict=True):
        total, moved = (mpmath.fsum(mpf(float(x)) for x in values) for values in (row, of_row))
        holds(found, 2 * (gamma(4, dtype) + gamma(4, "float64")) * total + 2 * moved + omega(dtype))
    if np.all(error == 0):
        np.testing.assert_array_equal(bounds.running_sum(probs), bounds.running_sum(probs, "float64", 0.0))

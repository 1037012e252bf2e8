"""Contexts rounded to 8 bits in blocks, as llama.cpp rounds them: the bound holds, and such a head is named."""

import math
import os
from fractions import Fraction
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import bounds
from reference.bounds import quantised

from .. import power
from ..judges import precision
from ..judges.orders import ORDERS
from ..test_exact import exact_logit
from ..verdict import Verdict, Word, compare

spec = pytest.mark.spec
CASES = 100 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 10
FORMATS = tuple(quantised.BLOCKS.items())
SIZES = (64, 256, 576, 768, 1_536, 4_096, 8_192)  # each format has those of whole blocks
in_both_formats = pytest.mark.parametrize(("name", "block"), FORMATS)
# Numbers of all sizes that blocks may have, and of those at which scales become subnormal, vanish or overflow.
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(-8, 8, width=32)


@in_both_formats
@given(st.data())
def test_no_number_moves_further_than_the_bound(name: str, block: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(-150, 120))
    few = data.draw(st.lists(NUMBERS | st.floats(-1, 1, width=32), min_size=1, max_size=8))
    with np.errstate(over="ignore", under="ignore"):
        context = np.resize(np.ldexp(np.array(few, np.float32), data.draw(st.sampled_from([0, size]))), block)
    context = np.where(np.isfinite(context), context, np.float32(1)).astype(np.float32)
    moved, bound = quantised.ROUNDED[name](context), quantised.activation_error(context, block)
    for x, y, limit in zip(context.tolist(), moved.tolist(), bound.tolist(), strict=True):
        assert math.isinf(limit) or abs(Fraction(y) - Fraction(x)) <= Fraction(limit)


@in_both_formats
def test_the_bound_is_close_and_the_formula_right(name: str, block: int) -> None:
    """Some number moves by nearly its bound, and the bound is half a step but for the rounding of scales."""
    rng = np.random.default_rng(0)
    context = rng.standard_normal((400, 1024), dtype=np.float32)
    bound = quantised.activation_error(context, block)
    ratio = np.abs(quantised.ROUNDED[name](context) - context) / bound
    assert 0.99 < ratio.max() <= 1
    step = np.abs(context).reshape(400, -1, block).max(axis=-1) / 127
    halves = bound.reshape(400, -1, block) / (step[..., None] / 2)
    assert (halves >= 1).all()
    of_scale = 2.0**-11 + 2.0**-25 / step if block == 32 else 0 * step
    assert (halves.max(axis=-1) < 1 + 256 * (of_scale + 2.0**-21)).all()


@spec("LOGITS-2")
@in_both_formats
def test_the_bound_of_logits_holds(name: str, block: int) -> None:
    """In exact arithmetic, for the rounded context and any order of summation in float32."""
    rng = np.random.default_rng(1)
    for d in (256, 768):
        context, embedding = (
            rng.standard_normal((1, d), dtype=np.float32),
            rng.standard_normal((4, d), dtype=np.float32),
        )
        embedding[0] = np.sign(quantised.ROUNDED[name](context) - context)  # every rounding goes the same way
        bound = quantised.quantised_logits(context, embedding, block=block)[0]
        moved = quantised.ROUNDED[name](context).astype(np.float32)
        for product in ORDERS:
            for v, logit in enumerate(product(moved, embedding)[0]):
                exact = exact_logit(context[0], embedding[v])
                assert abs(Fraction(float(logit)) - exact) <= Fraction(bound[v])
        assert abs(moved[0] @ embedding[0] - context[0] @ embedding[0]) > bound[0] / 3
        assert (bound > 50 * bounds.logits(context, embedding, "float32")[0]).all()


def test_q8_0_is_what_the_package_stores() -> None:
    """But for one step where either integer may be right."""
    context = np.random.default_rng(2).standard_normal((500, 320), dtype=np.float32)
    stored = gguf.quantize(context, gguf.GGMLQuantizationType.Q8_0)
    theirs = gguf.dequantize(stored, gguf.GGMLQuantizationType.Q8_0)
    ours = quantised.q8_0(context)
    assert (np.abs(ours - theirs) <= quantised.undecided(context)).all()
    assert np.count_nonzero(quantised.undecided(context)) < context.size / 10_000


def test_undecided_by_example() -> None:
    context = np.zeros(32, np.float32)
    context[:5] = [127, 1.5, np.nextafter(np.float32(1.5), np.float32(2)), 1.501, -2.5]
    assert (quantised.undecided(context)[:6] > 0).tolist() == [False, True, True, False, True, False]
    assert quantised.q8_0(context)[:6].tolist() == [127, 2, 2, 2, -2, 0]
    assert quantised.q8_k(np.tile(context, 8))[:6].tolist() == [127, 2, 2, 2, -2, 0]


@in_both_formats
def test_zeros_stay_zeros(name: str, block: int) -> None:
    for tiny in (0.0, 1e-45, 2.0**-126):
        assert not quantised.ROUNDED[name](np.full((2, block), tiny, np.float32))[:, 1:].any() or tiny > 1e-44
        assert np.isfinite(quantised.ROUNDED[name](np.full((2, block), tiny, np.float32))).all()


@pytest.mark.parametrize(("shape", "block"), [((33,), 32), ((2, 128), 256), ((), 32)])
def test_other_hidden_sizes_are_refused(shape: tuple[int, ...], block: int) -> None:
    with pytest.raises(ValueError, match="must be a multiple of the block"):
        quantised.quantised_logits(np.ones(shape, np.float32), np.ones((2, *shape), np.float32), block=block)
    with pytest.raises(ValueError, match="block is 64: it must be 32"):
        quantised.activation_error(np.ones(64, np.float32), 64)


def _logits(name: str, context: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    return reference.compute_logits(quantised.ROUNDED[name](context).astype(np.float32), embedding)


def _verdict(name: str, context: np.ndarray, embedding: np.ndarray) -> Verdict:
    inputs: dict[str, Any] = {"context": context, "embedding": embedding}
    return compare("compute_logits", reference.compute_logits(**inputs), _logits(name, **inputs), **inputs)


@spec("LOGITS-2")
@pytest.mark.parametrize(("name", "d"), [(name, d) for name, block in FORMATS for d in SIZES if d % block == 0])
def test_activations_of_8_bits_are_named(name: str, d: int) -> None:
    for seed in range(CASES):
        verdict = _verdict(name, *power.inputs(d, seed))
        assert (verdict.word, verdict.rule) == (Word.DIVERGED, "LOGITS-2"), verdict
        assert f"as {name} activations explain" in verdict.reason


@spec("LOGITS-2")
@in_both_formats
def test_a_few_logits_are_enough_outside_the_bound(name: str, block: int) -> None:
    """There, they must all fit; nothing is counted."""
    context, embedding = power.inputs(block, 1)
    assert (
        f"(looks like a context of 8 bits, as {name} activations explain)"
        in _verdict(name, context, embedding[:9]).reason
    )


@spec("LOGITS-2")
def test_an_integer_that_went_the_other_way_is_no_objection() -> None:
    """Processors round halves, and the last place of 127 / m, in their own ways."""
    context, embedding = power.inputs(256, 1)
    context[0, 32] = 127 * np.abs(context[0, 33:64]).max()  # its block has the step m / 127 ...
    context[0, 33] = 2.5 * context[0, 32] / 127  # ... and this number lies between two of them
    moved = quantised.q8_0(context)
    moved[0, 33] += context[0, 32] / 127 * np.sign(context[0, 33] - moved[0, 33])
    actual = reference.compute_logits(moved.astype(np.float32), embedding)
    assert "Q8_0" in str(precision.explain(actual, context, embedding))


@spec("LOGITS-2")
@pytest.mark.parametrize("d", [64, 768, 4_096])  # test_power.py has all sizes
def test_other_roundings_are_not_called_so(d: int) -> None:
    """Short formats keep their own names, and correct orders of summation are not accused."""
    for seed in range(CASES // 5):
        for products in (power.ROUNDINGS, power.PRODUCTS):
            for name, product in products.items():
                verdict = power.verdict(product, d, seed)
                assert ("Q8" in verdict.reason) == ("Q8" in name), name
                assert verdict.conforms == (products is power.PRODUCTS), name


@spec("LOGITS-2")
def test_no_claim_where_the_blocks_hold_the_context() -> None:
    """Whole numbers up to 127 with 127 in each block are what they are: any error has another cause."""
    rng = np.random.default_rng(3)
    context = rng.integers(-127, 128, (1, 256)).astype(np.float32)
    context[:, ::32] = 127
    np.testing.assert_array_equal(quantised.q8_0(context), context)
    embedding = rng.standard_normal((512, 256), dtype=np.float32)
    exact = bounds.exact_logits(context, embedding)
    assert precision.explains_better(exact + rng.standard_normal(exact.shape), context, embedding, exact) is None

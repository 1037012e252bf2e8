"""At a real model's sizes: reduced precision is caught and named, and no correct order of summation is even unusual."""

import os
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import bounds

from .. import power
from ..judges import precision
from ..judges.roundings import rounded
from ..judges.unusual import figure
from ..test_exact import exact_logit
from ..verdict import Verdict, Word, compare

spec = pytest.mark.spec
CASES = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 2
at_every_size = pytest.mark.parametrize("d", power.HIDDEN_SIZES)


@spec("LOGITS-2")
@at_every_size
@pytest.mark.parametrize("name", power.ROUNDINGS)
def test_a_rounding_is_caught_and_named(name: str, d: int) -> None:
    """With one context and 512 tokens. TF32 and float16 have the same digits, so both are named."""
    for seed in range(2):
        verdict = power.verdict(power.ROUNDINGS[name], d, seed)
        assert (verdict.word, verdict.rule) == (Word.DIVERGED, "LOGITS-2"), verdict
        assert re.sub(r"\b(TF32|float16)\b", "TF32 or float16", name) in verdict.reason


@spec("LOGITS-2")
@at_every_size
@pytest.mark.parametrize("name", power.PRODUCTS)
def test_no_order_of_summation_is_unusual(name: str, d: int) -> None:
    for seed in range(CASES):
        verdict = power.verdict(power.PRODUCTS[name], d, seed)
        assert verdict.conforms, verdict
        assert not verdict.unusual, verdict


@spec("LOGITS-2")
@at_every_size
@pytest.mark.parametrize("finishes", [False, True])
def test_a_head_in_reduced_precision_is_caught_by_its_probabilities(d: int, finishes: bool) -> None:
    """`T log p` tells the logits of 200 survivors. Those of correct heads are not even unusual."""
    context, embedding = power.inputs(d, 0)
    bias = np.random.default_rng(d).standard_normal(len(embedding)).astype(np.float32)
    finish = {"bias": bias, "multiplier": 1.1, "divisor": 3.0, "cap": np.inf} if finishes else {}
    for name, product in power.ROUNDINGS.items():
        logits = product(context, embedding)
        assert _of_head(logits, context, embedding, finish).word == Word.DIVERGED, name
    for name, product in power.PRODUCTS.items():
        verdict = _of_head(product(context, embedding), context, embedding, finish)
        assert verdict.conforms, (name, verdict)
        assert not verdict.unusual, (name, verdict)


def _of_head(logits: np.ndarray, context: np.ndarray, embedding: np.ndarray, finish: dict[str, Any]) -> Verdict:
    """The verdict on the head that computes these logits, and everything else right."""

    def probs(logits: np.ndarray) -> np.ndarray:
        finished = reference.finish_logits(logits, **finish) if finish else logits
        return reference.softmax(reference.keep_top_k(reference.apply_temperature(finished, 10.0), 200))

    inputs: dict[str, Any] = {
        "context": context,
        "embedding": embedding,
        "temperature": 10.0,
        "k": 200,
        "finish": finish,
    }
    return compare("lm_head", probs(reference.compute_logits(context, embedding)), probs(logits), **inputs)


@spec("HEAD-1", "SOFTMAX-2", "TEMP-1")
@pytest.mark.parametrize("rows", [1, 4])
def test_small_mistakes_show_at_gpt2s_shape(rows: int, gpt2_shaped: tuple[np.ndarray, np.ndarray]) -> None:
    """Each of them is within the worst-case bound of every probability."""
    context, embedding = gpt2_shaped[0][:rows], gpt2_shaped[1]
    expected = reference.lm_head(context, embedding)
    logits = reference.compute_logits(context, embedding)
    logits[..., ::2] += np.float32(0.01)
    shifted = reference.softmax(reference.keep_top_k(reference.apply_temperature(logits, 0.7), 50))

    def verdict(probs: np.ndarray) -> Verdict:
        return compare("lm_head", expected, probs, context=context, embedding=embedding)

    scaled = verdict(expected * np.float32(1.001))
    assert (scaled.word, scaled.rule) == (Word.DIVERGED, "SOFTMAX-2")
    assert "sum to 1.001" in scaled.reason
    for probs in (reference.lm_head(context, embedding, temperature=0.7001), shifted):
        unusual = verdict(probs)
        assert unusual.unusual
        assert re.search(r"unusual: [\d.]+ x what is likely, [\d.]+ times the largest error of five", str(unusual))
    wide = reference.lm_head(context.astype(np.float64), embedding.astype(np.float64)).astype(np.float32)
    assert not verdict(wide).unusual


@spec("HEAD-1", "TEMP-1", "TOPK-2")
def test_exact_products_leave_no_room_for_rounding() -> None:
    """Where logits are exact, a reciprocal or a cut before the division keeps another token: no tie break, a defect."""
    tie = np.float32(1.5002501)
    context = np.ones(1, np.float32)
    embedding = np.array([[tie], [np.nextafter(tie, np.float32(2))], [0]], np.float32)
    inputs: dict[str, Any] = {"context": context, "embedding": embedding, "temperature": 1.5, "k": 1}
    expected = reference.lm_head(**inputs)
    logits = reference.compute_logits(context, embedding)
    cut_first = reference.softmax(reference.apply_temperature(reference.keep_top_k(logits, 1), 1.5))
    reciprocal = reference.softmax(reference.keep_top_k(logits * (np.float32(1) / np.float32(1.5)), 1))
    assert expected.tolist() == [1, 0, 0]
    for probs in (cut_first, reciprocal):
        assert probs.tolist() == [0, 1, 0]
        assert compare("lm_head", expected, probs, **inputs).word == Word.DIVERGED
        assert compare("lm_head", expected, probs, **inputs, ties="any").word == Word.TIE_BREAK
    assert compare("lm_head", expected, expected, **inputs).word == Word.IDENTICAL


WHOLE = st.integers(-9, 9).map(float)


@spec("LOGITS-2")
@given(st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=8), st.integers(-140, 30), st.data())
def test_never_rounds(pairs: list[tuple[float, float]], exponent: int, data: st.DataObject) -> None:
    """Where it says so, any order of summation gives the exact sum of products, with or without fused multiply-add."""
    h, w = (
        np.ldexp(np.array(column, np.float32), shift).astype(np.float32)
        for column, shift in zip(zip(*pairs, strict=True), (0, exponent), strict=True)
    )
    wide = data.draw(st.sampled_from([1, 1 + 2.0**-11, 1 + 2.0**-20]))
    w = (w * np.float32(wide)).astype(np.float32)
    if not bounds.never_rounds(h, w[None], "float32")[0]:
        return
    exact = exact_logit(h, w)
    for order in (range(len(h)), data.draw(st.permutations(range(len(h))))):
        total = np.float32(0)
        for i in order:
            total = total + h[i] * w[i]
        assert total == exact


@spec("LOGITS-2")
def test_never_rounds_by_example() -> None:
    context = np.array([3.0, -1.0, 0.5], np.float32)
    rows = {(5, 7, -2): True, (0, 0, 0): True, (5, 7, 1e-9): False, (2**22, 1, 1): False, (2.0**-126, 0, 0): False}
    found = bounds.never_rounds(context, np.array(list(rows), np.float32), "float32")
    assert found.tolist() == list(rows.values())
    assert not bounds.never_rounds(context, np.array([[50, 700, -2]]), "bfloat16").any()


@spec("LOGITS-2")
def test_the_statistical_values_hold_as_often_as_they_say() -> None:
    """For normal numbers, at a confidence low enough to see it fail: never more often, and not absurdly less."""
    rng = np.random.default_rng(0)
    for n in (1, 10, 300):
        errors = rng.standard_normal((20_000, n))
        too_large = np.mean((errors**2).mean(axis=-1) > bounds.mean_square(n, 0.99))
        too_far = np.mean(np.abs(errors).max(axis=-1) > bounds.largest(n, 0.99))
        assert too_large <= 0.01
        assert too_far <= 0.01
    assert figure(np.full(9, 3.0), np.ones(9), 0.0, np.ones(9)) < figure(np.arange(9.0), np.ones(9), 0.0, np.ones(9))


@spec("LOGITS-2")
@at_every_size
def test_no_verdict_where_a_rounding_changes_nothing(d: int) -> None:
    """Numbers that the short format holds say nothing about it, nor do fewer than 64 logits."""
    rng = np.random.default_rng(d)
    context, embedding = (rng.integers(-8, 9, shape).astype(np.float32) / 8 for shape in ((1, d), (512, d)))
    exact = bounds.exact_logits(context, embedding)
    noise = rng.standard_normal(exact.shape)
    assert precision.explains_better(exact + noise, context, embedding, exact) is None
    context, embedding = power.inputs(d, 0)
    few = embedding[:63]
    short = rounded(context, "bfloat16") @ few.T.astype(np.float64)
    assert precision.explains_better(short, context, few, bounds.exact_logits(context, few)) is None

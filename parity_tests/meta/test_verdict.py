"""The judge on trial: each word for each stage from hand-made cases, and messages that a person can act on."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import bounds
from reference.operations import DEFAULTS, OPERATIONS, STAGES

from ..judges.precision import explain
from ..judges.roundings import rounded
from ..verdict import Verdict, Word, compare

f32 = np.float32
LOGITS = np.array([1.0, 3.0, 2.0, 2.0], f32)
PROBS = np.array([0.0, 1.0, 2.0, 1.0], f32)
ONES = np.ones(4, f32)
CONTEXT, EMBEDDING = np.array([1.0, 0.3], f32), np.array([[1.0, 2.0], [0.1, 0.7], [-1.0, 0.2]], f32)

VALUES = {
    **DEFAULTS,
    "context": CONTEXT,
    "embedding": EMBEDDING,
    "logits": LOGITS,
    "probs": PROBS,
    "noise": ONES,
    "uniform": np.array(0.3),
    "seed": 42,
    "k": 2,
    "hidden": LOGITS,
    "weight": LOGITS,
    "bias": ONES,
    "cap": 30.0,
    "p": 0.6,
    "mass": 0.6,
    "cutoff": 0.2,
    "probability": 1.0,
    "history": np.array([1, 1, 2, 0, 3]),
    "biased": np.array([1, 3]),
    "biases": np.array([0.5, -1], f32),
    "banned": np.array([1]),
    "end_ids": np.array([1]),
    "token_ids": np.array(1),
    "steps": [("frequency_penalty", {"penalty": 0.1}), ("keep_top_k", {"k": 3})],
}
INPUTS = {stage: OPERATIONS[stage].given(VALUES) for stage in STAGES}


def ours(stage: str) -> Any:
    arguments = dict(INPUTS[stage])
    if stage == "multinomial":
        return np.array([2])  # 2 / 1 is the largest
    return getattr(reference, stage)(**arguments)


@pytest.mark.parametrize("stage", INPUTS)
def test_identical(stage: str) -> None:
    assert compare(stage, ours(stage), ours(stage), **INPUTS[stage]).word == Word.IDENTICAL


@pytest.mark.parametrize("stage", [stage for stage in STAGES if OPERATIONS[stage].rounds])
def test_within_bound(stage: str) -> None:
    """One unit in the last place is rounding, for stages that sum."""
    result = ours(stage)
    first, *others = result if isinstance(result, tuple) else (result,)
    nudged = np.where((first != 0) & np.isfinite(first), np.nextafter(first, f32(np.inf)), first)
    verdict = compare(stage, result, (nudged, *others) if others else nudged, **INPUTS[stage])
    assert verdict.word == Word.WITHIN_BOUND
    assert 0 < verdict.ratio <= 1


@pytest.mark.parametrize(
    ("stage", "theirs", "rule"),
    [
        ("compute_logits", ours("compute_logits") * f32(1.001), "LOGITS-2"),
        ("compute_logits", np.full(3, np.nan, f32), "LOGITS-2"),
        ("compute_logits", ours("compute_logits").astype(np.float64), "HEAD-2"),
        ("compute_logits", np.zeros(4, f32), "LOGITS-1"),
        ("apply_temperature", np.nextafter(ours("apply_temperature"), f32(9)), "TEMP-1"),
        ("top_k", (np.array([3, 2], f32), np.array([1, 3])), "TOPK-2"),
        ("top_k", (np.array([2, 3], f32), np.array([2, 1])), "TOPK-3"),
        ("top_k", (np.array([3], f32), np.array([1])), "TOPK-1"),
        ("keep_top_k", reference.keep_top_k(LOGITS, 2, ties="all"), "TOPK-1"),
        ("keep_top_k", np.array([-np.inf, 3, -np.inf, 2], f32), "TOPK-2"),
        ("keep_top_k", np.array([-1e10, 3, 2, -1e10], f32), "TOPK-1"),
        ("softmax", np.array([0.25] * 4, f32), "SOFTMAX-1"),
        ("multinomial", np.array([0]), "DRAW-2"),
        ("multinomial", np.array([1]), "DRAW-1"),
        ("multinomial", np.array([4]), "DRAW-2"),
        ("inverse_cdf", np.array(0), "CDF-2"),
        ("inverse_cdf", np.array(3), "CDF-1"),
        ("inverse_cdf", np.array(4), "CDF-2"),
        ("draw_as", np.array(0), "STREAM-2"),
        ("draw_as", np.array(4), "STREAM-2"),
        ("draw_as", np.array([1]), "STREAM-1"),
        ("layer_norm", ours("layer_norm") * f32(1.00001), "OUT-1"),
        ("layer_norm", np.full(4, np.nan, f32), "OUT-1"),
        ("rms_norm", ours("layer_norm"), "OUT-2"),
        ("rms_norm", ours("rms_norm").astype(np.float64), "HEAD-2"),
        ("finish_logits", ours("finish_logits") * f32(1.00001), "OUT-6"),
        ("finish_logits", np.minimum(LOGITS + 1, 30), "OUT-6"),
        ("lm_head", np.array([1.0, 0.0, 0.0], f32), "HEAD-1"),
        ("lm_head", reference.lm_head(CONTEXT, EMBEDDING, 0.7, 3), "TOPK-1"),
        ("lm_head", reference.lm_head(CONTEXT, EMBEDDING, 1.0, 2), "HEAD-1"),
    ],
)
def test_diverged(stage: str, theirs: Any, rule: str) -> None:
    verdict = compare(stage, ours(stage), theirs, **INPUTS[stage])
    assert verdict.word == Word.DIVERGED
    assert verdict.rule == rule
    with pytest.raises(AssertionError, match=f"{stage} DIVERGED breaks {rule}: "):
        verdict.require()
    lines = str(verdict).splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ["actual", "expected"]
    assert len(lines) <= 4


def test_a_finish_without_a_cap_must_be_exact() -> None:
    given = {**INPUTS["finish_logits"], "cap": np.inf, "divisor": 0.7}
    right = reference.finish_logits(**given)
    assert compare("finish_logits", right, right, **given).word == Word.IDENTICAL
    verdict = compare("finish_logits", right, np.nextafter(right, f32(9)), **given)
    assert (verdict.word, verdict.rule, verdict.ratio) == (Word.DIVERGED, "OUT-5", 0.0)


def test_a_fault_of_the_reference_shows() -> None:
    """Both are held to the exact value: equal and wrong is not IDENTICAL."""
    wrong = ours("compute_logits") * f32(1.01)
    verdict = compare("compute_logits", wrong, wrong, **INPUTS["compute_logits"])
    assert verdict.word == Word.DIVERGED
    assert "the reference itself" in verdict.reason


def test_race_values_closer_than_the_bound_are_a_coin_flip() -> None:
    """Two tokens whose p / E are 0.9 bounds apart may change places, at 1.1 bounds they may not."""
    noise = np.array([1.0, 1.0])
    both = float(2 * bounds.race(np.array([1.0]), np.array([1.0]), "float32")[0])
    for bounds_apart, word in ((0.9, Word.TIE_BREAK), (1.1, Word.DIVERGED)):
        probs = np.array([1.0, 1.0 + bounds_apart * both])
        verdict = compare("multinomial", np.array([1]), np.array([0]), "float32", probs=probs, noise=noise)
        assert verdict.word == word


def test_a_running_sum_on_the_boundary_is_a_coin_flip() -> None:
    probs = np.array([0.1, 0.2, 0.7], np.float32)
    boundary = float(probs[0].astype(np.float64) / probs.sum(dtype=np.float64))
    words = [
        compare("inverse_cdf", np.array(0), np.array(1), "float32", probs=probs, uniform=np.array(uniform)).word
        for uniform in (boundary, boundary - 0.01)
    ]
    assert words == [Word.TIE_BREAK, Word.DIVERGED]


def test_survivors_closer_than_the_bound_are_a_coin_flip() -> None:
    """Two logits that differ by less than a float32 product may err: either may survive; exact ties may not differ."""
    embedding = np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-23], [-5.0, -5.0]], f32)
    context = np.array([1.0, 1.0], f32)
    first, second = np.array([1.0, 0, 0], f32), np.array([0, 1.0, 0], f32)
    inputs: dict[str, Any] = {"context": context, "embedding": embedding, "temperature": 1.0, "k": 1}
    assert compare("lm_head", second, first, **inputs).word == Word.TIE_BREAK
    inputs["embedding"] = np.array([[1.0, 1.0], [1.0, 1.01], [-5.0, -5.0]], f32)
    assert compare("lm_head", second, first, **inputs).word == Word.DIVERGED


def test_a_coin_flip_at_the_cut_hides_no_other_fault() -> None:
    """B and C are a coin flip for the second place; that A is missing is not."""
    embedding = np.array([[9.0, 0.1], [2.0, 0.1], [2.0, 0.1]], f32)
    inputs: dict[str, Any] = {"context": np.array([1, 0.1], f32), "embedding": embedding, "temperature": 1.0, "k": 2}
    ours, half = reference.lm_head(**inputs), np.array([0, 0.5, 0.5], f32)
    assert compare("lm_head", ours, ours[[0, 2, 1]], **inputs).word == Word.TIE_BREAK
    verdict = compare("lm_head", ours, half, **inputs)
    assert verdict.word == Word.DIVERGED
    assert "a token of the top k is missing" in verdict.reason


def test_another_precision_is_judged_by_its_own_bound() -> None:
    context, embedding = np.linspace(0.1, 1, 8, dtype=f32), np.linspace(-1, 1, 24, dtype=f32).reshape(3, 8)
    exact = reference.compute_logits(context, embedding)
    theirs = exact.astype(np.float16)
    inputs: dict[str, Any] = {"context": context, "embedding": embedding}
    assert compare("compute_logits", exact, theirs, "float16", **inputs).word == Word.WITHIN_BOUND
    assert compare("compute_logits", exact, theirs.astype(f32), **inputs).word == Word.DIVERGED


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4)])
def test_empty_batches_are_identical(shape: tuple[int, ...]) -> None:
    empty = np.zeros(shape, f32)
    assert compare("softmax", empty, empty, logits=empty).word == Word.IDENTICAL


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"operation is 'sample': it must be one of compute_logits, "):
        compare("sample", 1, 1)


FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_rounding_is_that_of_the_real_formats(values: list[float]) -> None:
    array = np.array(values, f32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(rounded(array, "float16"), array.astype(np.float16).astype(np.float64))
    np.testing.assert_array_equal(rounded(array, "bfloat16"), array.astype(ml_dtypes.bfloat16).astype(np.float64))
    np.testing.assert_array_equal(rounded(array, "bfloat16"), torch.tensor(array).bfloat16().double().numpy())


@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_rounding_to_tf32_is_rounding_of_the_low_13_bits(values: list[float]) -> None:
    bits = np.array(values, f32).view(np.uint32)
    even = (bits >> 13) & 1
    expected = ((bits + 0xFFF + even) & ~np.uint32(0x1FFF)).view(f32)
    np.testing.assert_array_equal(rounded(np.array(values, f32), "tfloat32"), expected.astype(np.float64))


@pytest.fixture(scope="module")
def real_size() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    context = rng.standard_normal((2, 768)).astype(f32)
    context[:, 5] *= 60
    return context, (rng.standard_normal((500, 768)) * 0.14).astype(f32)


@pytest.mark.parametrize(("dtype", "name"), [("tfloat32", "TF32"), ("float16", "float16"), ("bfloat16", "bfloat16")])
def test_fingerprint_of_rounded_inputs(dtype: str, name: str, real_size: tuple[np.ndarray, np.ndarray]) -> None:
    context, embedding = real_size
    theirs = rounded(context, dtype).astype(f32) @ rounded(embedding, dtype).astype(f32).T
    verdict = compare("compute_logits", context @ embedding.T, theirs, context=context, embedding=embedding)
    assert verdict.word == Word.DIVERGED
    assert name in verdict.reason.split("looks like ")[1].split(" inputs, which fits ")[0].split(" or ")


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_fingerprint_of_a_rounded_result(name: str, real_size: tuple[np.ndarray, np.ndarray]) -> None:
    context, embedding = real_size
    theirs = rounded(context @ embedding.T, name).astype(f32)
    verdict = compare("compute_logits", context @ embedding.T, theirs, context=context, embedding=embedding)
    words = {"float16": "TF32 or float16"}.get(name, name)  # the same digits
    assert f"looks like the result rounded to {words}, which fits" in str(verdict)


def test_no_fingerprint_for_another_mistake(real_size: tuple[np.ndarray, np.ndarray]) -> None:
    context, embedding = real_size
    assert explain((context @ embedding.T) * f32(1.01), context, embedding) is None


def test_the_message_of_a_verdict_without_fault() -> None:
    assert (
        str(Verdict(operation="softmax", word=Word.WITHIN_BOUND, ratio=0.25))
        == "softmax WITHIN_BOUND, error 0.25 x bound"
    )

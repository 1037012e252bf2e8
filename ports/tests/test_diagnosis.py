"""Every known mistake, wrapped as a port, is caught and named; no correct port is called wrong."""

from dataclasses import replace

import numpy as np
import pytest

import reference
from parity_tests.heads import MIRROR, REFERENCE, Head
from parity_tests.local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from parity_tests.mutants import MUTANTS, Mutant
from parity_tests.variants import VARIANTS, stages
from ports.checker.check import Plan, check
from ports.checker.port import from_head
from ports.tests.test_vectors import NOT_IN_JSON

VECTORS = Plan(examples=0, sizes=False, bundle=None)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_each_mutant_is_caught_and_named(mutant: Mutant) -> None:
    ops = ("torch_rng", "multinomial") if mutant.stage == "torch_rng" else (mutant.stage,)
    port = replace(from_head(mutant.head), operations=ops)
    if (
        str(mutant) not in NOT_IN_JSON
    ):  # the others are caught without other memory layouts, which take four times as long
        port = replace(port, layouts={})
    report = check(port, VECTORS)
    assert report.status == 1
    named = " ".join(report.mistakes.get(op, "") for op in ops)
    assert mutant.looks_like in named, report.mistakes


@pytest.mark.parametrize("head", [REFERENCE, MIRROR, *VARIANTS], ids=str)
def test_correct_but_different_ports_conform(head: Head) -> None:
    if not head.takes_noise and not local_stream_is_mt19937():
        pytest.skip(OTHER_STREAM)
    port, plan = from_head(head), Plan(examples=10, bundle=None)
    if head in VARIANTS:  # `test_vectors.py` has their memory layouts, `test_variants.py` random cases for them
        port, plan = replace(port, operations=tuple(stages(head)), layouts={}), replace(plan, examples=0)
    report = check(port, plan)
    assert report.status == 0, report.failures
    assert len(VARIANTS) >= 8


def test_two_mistakes_at_once_are_not_taken_for_one() -> None:
    """The maximum not subtracted, and 1e-6 added to the sum: no known mistake gives all of these answers."""

    def softmax(logits: np.ndarray) -> np.ndarray:
        reference.softmax(logits)  # for what it refuses
        weights = np.exp(np.asarray(logits, np.result_type(logits, np.float32)))
        return weights / (weights.sum(axis=-1, keepdims=True) + np.float32(1e-6))

    report = check(from_head(REFERENCE.but("two", softmax=softmax)), VECTORS)
    assert report.mistakes["softmax"].startswith("not recognised: it breaks SOFTMAX-1, SOFTMAX-2")


def test_a_mistake_in_a_stage_is_recognised_in_the_whole_head() -> None:
    """A port that has `lm_head` alone: its mistake is that of the stage inside."""

    def lm_head(context: np.ndarray, embedding: np.ndarray, temperature: float = 0.7, k: int = 50) -> np.ndarray:
        scaled = reference.apply_temperature(reference.compute_logits(context, embedding), temperature)
        return reference.softmax(reference.keep_top_k(scaled, k, ties="all"))

    report = check(from_head(REFERENCE.but("threshold", lm_head=lm_head)), VECTORS)
    assert {failure.operation for failure in report.failures} == {"lm_head"}
    assert "tied" in report.mistakes["lm_head"] or "threshold" in report.mistakes["lm_head"], report.mistakes


def test_a_flag_is_explained_for_its_own_operation() -> None:
    """`SixteenBits` is one of the temperature's and one of the draw's."""

    def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
        return reference.apply_temperature(logits, temperature).astype(np.asarray(logits).dtype)

    mistakes = check(from_head(REFERENCE.but("half", apply_temperature=apply_temperature)), VECTORS).mistakes
    assert "16-bit logits divided in 16 bits" in mistakes["apply_temperature"]
    assert "raced" not in mistakes["apply_temperature"]


def test_a_mistake_that_nobody_knows_is_described_by_what_the_vectors_look_for() -> None:
    def top_k(logits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        values, token_ids = reference.top_k(logits, k)
        return values, token_ids // 2

    report = check(from_head(REFERENCE.but("halves", top_k=top_k)), VECTORS)
    assert report.mistakes["top_k"].startswith("not recognised: it breaks TOPK-1, TOPK-3")


def test_a_mistake_must_explain_what_large_sizes_show_too() -> None:
    """Alone the first is recognised; with another one that no vector shows, nothing explains everything."""
    mutant = next(mutant for mutant in MUTANTS if str(mutant) == "top_k-highest_id")

    def top_k(logits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        values, token_ids = mutant.function(logits, k)
        return values, token_ids.astype(np.uint16).astype(np.int64)

    plan = Plan(examples=0, bundle=None)
    for function, recognised in ((mutant.function, True), (top_k, False)):
        port = replace(from_head(REFERENCE.but("highest", top_k=function)), operations=("top_k",))
        said = check(port, plan).mistakes["top_k"]
        assert said.startswith("looks like: ties resolved to the highest id" if recognised else "not recognised")

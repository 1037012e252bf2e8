"""Pipelines: steps one after the other, each on the result of the one before."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import reference

from . import strategies
from .heads import Head
from .test_filters import f32, ids
from .test_refusals import words
from .verdict import compare

spec = pytest.mark.spec
ROW = np.array([3, 2, 1, 0, -1], f32)
ROW.flags.writeable = False  # a head that overwrites its input spoils no other test
WARM, NUCLEUS = ("apply_temperature", {"temperature": 2.0}), ("keep_top_p", {"p": 0.9})


def judged(head: Head, **given: Any) -> np.ndarray:
    """The result of a head; raises if it diverges from the reference or if an input is modified."""
    before = {name: np.array(value) for name, value in given.items() if isinstance(value, np.ndarray)}
    steps = [(name, dict(arguments)) for name, arguments in given["steps"]]
    found = np.asarray(head.process(**given))
    for name, value in before.items():
        np.testing.assert_array_equal(given[name], value)
    assert [(name, dict(arguments)) for name, arguments in given["steps"]] == steps
    compare("process", reference.process(**given), found, **given).require()
    return found


@spec("PIPE-1", "PIPE-2", "PIPE-3", "HEAD-2", "HEAD-3", "HEAD-4")
@given(strategies.arguments("process"))
def test_any_steps(head: Head, case: dict[str, Any]) -> None:
    assert judged(head, **case).dtype == strategies.compute_dtype(case["logits"])


@spec("PIPE-1")
def test_the_order_counts(head: Head) -> None:
    """At T = 2 four tokens make up 0.9, at T = 1 three."""
    assert ids(judged(head, logits=ROW, steps=[WARM, NUCLEUS])) == [0, 1, 2, 3]
    assert ids(judged(head, logits=ROW, steps=[NUCLEUS, WARM])) == [0, 1, 2]


@spec("PIPE-1")
def test_what_fell_counts_no_more(head: Head) -> None:
    """0.4, 0.2, 0.1 and 30 of 0.01: of the three largest alone, two make up 0.65; of all, it takes three."""
    row = np.log(np.array([0.4, 0.2, 0.1, *[0.01] * 30], f32))
    best, most = ("keep_top_k", {"k": 3}), ("keep_top_p", {"p": 0.65})
    assert ids(judged(head, logits=row, steps=[best, most])) == [0, 1]
    assert ids(judged(head, logits=row, steps=[most, best])) == [0, 1, 2]


@spec("PIPE-1")
def test_penalty_before_and_after_the_temperature(head: Head) -> None:
    less = ("presence_penalty", {"penalty": 0.5})
    for steps, expected in (([less, WARM], 0.25), ([WARM, less], 0.0)):
        found = judged(head, logits=np.array([1, 1], f32), steps=steps, history=np.array([0]))
        assert found[0] == expected


@spec("PIPE-1")
def test_one_penalty_before_another(head: Head) -> None:
    """2 / 2 - 0.5, or (2 - 0.5) / 2."""
    steps = [("repetition_penalty", {"penalty": 2.0}), ("frequency_penalty", {"penalty": 0.5})]
    for order, expected in ((steps, 0.5), (steps[::-1], 0.75)):
        assert judged(head, logits=np.array([2, 1], f32), steps=order, history=np.array([0]))[0] == expected


@spec("PIPE-1")
def test_no_steps(head: Head) -> None:
    row = np.array([1.5, -0.0, -np.inf], f32)
    assert judged(head, logits=row, steps=[]).tobytes() == row.tobytes()


@spec("PIPE-1")
def test_a_step_may_stand_twice(head: Head) -> None:
    assert judged(head, logits=ROW, steps=[WARM, WARM])[0] == 0.75


@spec("PIPE-2")
@pytest.mark.parametrize(
    ("counts", "penalised"),
    [
        ("all", [0, 1, 2, 3]),
        ("prompt", [0, 1]),
        ("output", [2, 3]),
        (0, []),
        (1, [3]),
        (3, [1, 2, 3]),
        (64, [0, 1, 2, 3]),
    ],
)
def test_which_ids_count(head: Head, counts: Any, penalised: list[int]) -> None:
    steps = [("presence_penalty", {"penalty": 1.0, "counts": counts})]
    given = {"logits": np.zeros(5, f32), "steps": steps, "history": np.array([0, 1, 2, 3]), "prompt_length": 2}
    assert np.flatnonzero(judged(head, **given)).tolist() == penalised


@spec("PIPE-2")
def test_all_of_them_by_default(head: Head) -> None:
    steps = [("presence_penalty", {"penalty": 1.0})]
    found = judged(head, logits=np.zeros(3, f32), steps=steps, history=np.array([0, 1]), prompt_length=1)
    assert np.flatnonzero(found).tolist() == [0, 1]


@spec("PIPE-3")
def test_any_of_the_tied(head: Head) -> None:
    """Where an engine keeps any of the tied, as many of them stay."""
    for step in (("keep_top_k", {"k": 3}), ("keep_top_p", {"p": 0.5}), ("keep_top_h", {"h": 0.6})):
        any_of_them = (step[0], {**step[1], "ties": "any"})
        assert len(ids(judged(head, logits=np.zeros(6, f32), steps=[any_of_them]))) == 3


@spec("PIPE-1")
def test_everything_at_a_real_size(head: Head) -> None:
    """The steps of a server, for a batch, V = 50,257."""
    rng = np.random.default_rng(6)
    steps = [
        ("logit_bias", {"biased": [7, 50_256], "biases": [5.0, -np.inf]}),
        ("repetition_penalty", {"penalty": 1.3}),
        ("frequency_penalty", {"penalty": 0.5, "counts": "output"}),
        ("min_length", {"length": 99, "end_ids": [50_255]}),
        ("no_repeat_ngram", {"ngram_size": 2}),
        WARM,
        ("keep_top_k", {"k": 50, "ties": "all"}),
        NUCLEUS,
        ("keep_min_p", {"p": 0.05}),
        ("keep_xtc", {"threshold": 0.1, "probability": 0.5}),
    ]
    judged(
        head,
        logits=(rng.standard_normal((2, 50_257)) * 4 - 100).astype(f32),
        steps=steps,
        history=rng.integers(0, 300, (2, 40)),
        prompt_length=11,
        uniform=np.array([0.2, 0.7]),
    )


@spec("PIPE-4", "HEAD-5")
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("keep_bottom_k", {"k": 1})], r"steps\[0\] is 'keep_bottom_k': it must be one of"),
        ([WARM, ("softmax", {})], r"steps\[1\] is 'softmax': it must be one of"),
        ([("process", {"steps": []})], r"steps\[0\] is 'process': it must be one of"),
        ([("keep_top_k", {"k": 1, "top_p": 0.5})], r"steps\[0\] has 'top_p': keep_top_k takes k, ties"),
        ([("keep_min_p", {"p": 0.5, "counts": "all"})], r"steps\[0\] has 'counts': keep_min_p takes p"),
        ([("presence_penalty", {"penalty": 1.0, "counts": "half"})], r"counts is 'half': it must be 'all' or"),
        ([("presence_penalty", {"penalty": 1.0, "counts": -1})], r"counts is -1: it must be 0 or more"),
        ([("keep_top_k", {"k": 0})], r"k is 0: it must be at least 1"),
        ([NUCLEUS, ("apply_temperature", {"temperature": 0.0})], r"temperature is 0\.0: it must be finite and > 0"),
    ],
)
def test_steps_that_make_no_sense(head: Head, steps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.process(ROW, steps, np.array([1]))


@spec("PIPE-4", "HEAD-5")
@pytest.mark.parametrize("prompt_length", [-1, 3])
def test_prompts_longer_than_the_history(head: Head, prompt_length: int) -> None:
    with pytest.raises(ValueError, match=words(head, rf"prompt_length is {prompt_length}: it must be from 0 to 2")):
        head.process(ROW, [], np.array([1, 2]), prompt_length)


@spec("PIPE-4", "HEAD-2")
@pytest.mark.parametrize("steps", [[WARM, "keep_top_k"], [("keep_top_k", 3)], [7], "keep_top_k", 5, None])
def test_steps_of_another_kind(head: Head, steps: Any) -> None:
    with pytest.raises(TypeError, match=words(head, "steps")):
        head.process(ROW, steps)

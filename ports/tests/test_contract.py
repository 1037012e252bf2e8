"""Contracts: a port is judged by what it declares, and by SPEC.md where it declares nothing."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import reference
from parity_tests.contract import CHOICES, SPECIFIED, Contract
from parity_tests.heads import REFERENCE
from parity_tests.verdict import Word
from ports.__main__ import main
from ports.checker.check import Plan, check
from ports.checker.port import from_head, from_python
from ports.checker.report import conclusion
from reference import validation

PLAN = Plan(examples=20, bundle=None)
LLAMA = {"ties": ["any"], "zero_temperature": "greedy", "zero_k": "off"}


def module(monkeypatch: pytest.MonkeyPatch, contract: dict[str, Any] | None, **functions: Any) -> str:
    """A module with these functions and this contract, by name."""
    own: Any = ModuleType("own_head")
    vars(own).update(functions)
    if contract is not None:
        own.contract = contract
    monkeypatch.setitem(sys.modules, "own_head", own)
    return "own_head"


def top_k(logits: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """As llama.cpp: a partial sort by value alone, here with the last of the tied first; k = 0 keeps all."""
    logits = validation.check_logits(logits)
    k = logits.shape[-1] if type(k) is int and k == 0 else validation.check_count("k", k)
    token_ids = (logits.shape[-1] - 1 - np.argsort(-logits[..., ::-1], axis=-1, kind="stable"))[..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


def keep_top_k(logits: Any, k: Any) -> np.ndarray:
    values, token_ids = top_k(logits, k)
    kept = np.full(np.shape(logits), -np.inf, values.dtype)
    np.put_along_axis(kept, token_ids, values, axis=-1)
    return kept


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """As llama.cpp: at T = 0 all but one of the largest logits become -inf."""
    if type(temperature) in (int, float) and temperature == 0:
        return keep_top_k(logits, 1)
    return reference.apply_temperature(logits, temperature)


CHAIN = {function.__name__: function for function in (apply_temperature, top_k, keep_top_k, reference.softmax)}


def test_a_sampler_chain_conforms_to_its_contract(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """llama.cpp's: temperature, top-k and softmax. Without its contract it does not conform."""
    assert main(["check", module(monkeypatch, LLAMA, **CHAIN)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "own_head (Python) conforms to its contract: ties any, T = 0 greedy, k = 0 off, in what was checked" in said
    report = check(from_python(module(monkeypatch, None, **CHAIN)), PLAN)
    assert report.status == 1
    assert {failure.operation for failure in report.failures} >= {"apply_temperature", "top_k"}


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        ("apply_temperature", lambda logits, temperature: reference.apply_temperature(logits, temperature or 1.0)),
        ("top_k", lambda logits, k: top_k(logits, 1 if k == 0 and type(k) is int else k)),
        ("top_k", lambda logits, k: (top_k(logits, k)[0], top_k(logits, k)[1] * 0)),
        ("keep_top_k", lambda logits, k: reference.keep_top_k(logits, k or np.shape(logits)[-1], ties="all")),
    ],
)
def test_a_contract_that_is_not_kept(monkeypatch: pytest.MonkeyPatch, function: str, wrong: Callable[..., Any]) -> None:
    head = {**CHAIN, function: wrong}
    report = check(from_python(module(monkeypatch, LLAMA, **head)), PLAN)
    assert {failure.operation for failure in report.failures} == {function}


def without_refusals(head: Any = REFERENCE) -> Any:
    """It answers whatever it is asked."""

    def wrapped(operation: str) -> Callable[..., Any]:
        def answers(*args: Any, **kwargs: Any) -> Any:
            try:
                return getattr(head, operation)(*args, **kwargs)
            except (ValueError, TypeError):
                return np.zeros(1, np.float32)

        return answers

    return head.but("careless", **{name: wrapped(name) for name in ("softmax", "apply_temperature")})


def test_missing_refusals_are_counted_apart() -> None:
    port = replace(from_head(without_refusals()), operations=("softmax",))
    report = check(port, Plan(examples=10, bundle=None))
    counts = {op: counts for op, counts, _ in report.rows()}["softmax"]
    assert counts[Word.UNREFUSED] == len(report.failures) >= 10
    assert counts[Word.DIVERGED] == counts[Word.ERRORED] == 0
    number = counts[Word.UNREFUSED]
    assert conclusion(report) == f"careless (Python) does not conform: numbers conform; {number} refusals missing"
    undefined = check(replace(port, contract=Contract(refusals="none")), Plan(examples=10, bundle=None))
    assert undefined.status == 0
    assert conclusion(undefined).startswith("careless (Python) conforms to its contract: bad input undefined")


def test_a_head_that_has_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def softmax(logits: Any) -> np.ndarray:
        return reference.softmax(logits).astype(np.float32)

    report = check(from_python(module(monkeypatch, {"dtypes": ["float32"]}, softmax=softmax)), PLAN)
    assert report.status == 0, report.failures
    assert ("softmax", "it has no float64") in report.not_checked()
    assert check(from_python(module(monkeypatch, None, softmax=softmax)), PLAN).status == 1


def test_a_head_with_one_boundary_is_judged_by_that() -> None:
    def keep_top_p(logits: Any, p: float = 0.9, until: Any = "reached", ties: Any = "lowest_id") -> np.ndarray:
        return reference.keep_top_p(logits, p, "exceeded" if until in ("reached", "exceeded") else until, ties)

    port = replace(from_head(REFERENCE.but("strict", keep_top_p=keep_top_p)), operations=("keep_top_p",))
    exceeded = check(replace(port, contract=Contract(until=("exceeded",))), Plan(examples=0, bundle=None))
    assert exceeded.status == 0, exceeded.failures
    assert ("keep_top_p", "it has no until='reached'") in exceeded.not_checked()
    assert check(port, Plan(examples=0, bundle=None)).status == 1


def gumbel(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """A right draw from NumPy's generator."""
    probs = np.asarray(probs, np.float64)
    with np.errstate(divide="ignore"):
        race = np.log(probs) + rng.gumbel(size=probs.shape)
    return np.argsort(-race, axis=-1, kind="stable")[..., :num_samples]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (gumbel, ""),
        (lambda probs, num_samples=1, *, rng: gumbel(np.sqrt(probs), num_samples, rng=rng), "frequencies"),
        (lambda probs, num_samples=1, *, rng: gumbel(probs + 1e-3, num_samples, rng=rng), "not possible"),
        (lambda probs, num_samples=1, *, rng: np.repeat(gumbel(probs, 1, rng=rng), num_samples, -1), "twice"),
    ],
    ids=["right", "another distribution", "tokens of probability zero", "with replacement"],
)
def test_a_draw_with_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch, draw: Any, words: str) -> None:
    """It is judged by its distribution, and its stream is not checked."""
    name = module(monkeypatch, {"stream": "own", "refusals": "none"}, multinomial=draw, takes_noise=False)
    report = check(from_python(name), PLAN)
    assert report.status == (1 if words else 0), report.failures
    assert all(words in failure.reason for failure in report.failures)
    assert any(reason == "its random stream is its own" for _, reason in report.not_checked())
    if not words:
        pytorchs = module(monkeypatch, {"refusals": "none"}, multinomial=draw, takes_noise=False)
        assert check(from_python(pytorchs), PLAN).status == 1, "without its contract it claims PyTorch's stream"


def test_bitwise_batch_invariance_is_checked_if_it_is_claimed() -> None:
    def in_batches(context: Any, embedding: Any) -> np.ndarray:
        """Sums in another order from 17 rows on."""
        if np.ndim(context) > 1 and len(context) >= 17:
            return reference.compute_logits(
                np.asarray(context)[..., ::-1].copy(), np.asarray(embedding)[:, ::-1].copy()
            )
        return np.einsum("...d,vd->...v", *validation.check_factors(context, embedding))

    whole = from_head(REFERENCE.but("varies", compute_logits=in_batches))
    port = replace(whole, operations=("compute_logits",))
    assert check(port, PLAN).status == 0
    claimed = check(replace(port, contract=Contract(batch_invariant=True)), PLAN)
    (failure,) = claimed.failures
    assert "logits of the same row has other bits at place 0 of a batch of 17" in str(failure)
    steady = replace(from_head(REFERENCE), operations=("apply_temperature", "top_k"))
    kept = check(replace(steady, contract=Contract(batch_invariant=True)), PLAN)
    assert kept.status == 0, kept.failures
    assert "the same bits in every batch" in conclusion(kept)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"ties": "any"}, "ties is 'any': it must be a list of words from lowest_id, all, any"),
        ({"ties": ["some"]}, r"ties is \['some'\]"),
        ({"dtypes": [32]}, r"dtypes is \[32\]: it must be a list of words from float16"),
        ({"zero_k": "all"}, "zero_k is 'all': it must be 'refused' or 'off'"),
        ({"batch_invariant": 1}, "batch_invariant is 1: it must be False or True"),
    ],
)
def test_a_contract_that_is_none(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Contract.read(said)


def test_what_is_not_declared_is_as_specified() -> None:
    assert Contract.read({"something": "else"}) == SPECIFIED
    assert SPECIFIED.words == []
    for key, choices in CHOICES.items():
        assert getattr(SPECIFIED, key) == next(iter(choices))
        for choice, words in choices.items():
            assert Contract.read({key: choice}).words == ([words] if words else [])


def test_the_conclusion_without_a_contract() -> None:
    few = replace(PLAN, examples=2, sizes=False)  # the words do not depend on how many cases there are
    port = replace(from_head(REFERENCE), layouts={})
    assert conclusion(check(port, few)) == "reference (Python) conforms"
    part = check(replace(port, contract=Contract(dtypes=("float32",))), few)
    assert conclusion(part) == "reference (Python) conforms in what was checked"

"""The judge on trial: each way to be wrong has its outcome, and none is taken for another."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from parity_tests.heads import REFERENCE
from parity_tests.verdict import Verdict, Word
from ports.checker.errors import RefusedError, SkippedError
from ports.checker.judge import Call, judge, of_head
from ports.vectors import Case, load_all

CASES = [case for vectors in load_all() for case in vectors.cases]
F32 = np.float32


def first(op: str, result: str = "valid", code: str | None = None) -> Case:
    """The first case of an operation with this result."""
    return next(
        case
        for case in CASES
        if (case.op, case.result) == (op, result) and code in (None, case.answers[0].expected.get("code"))
    )


def answering(change: Callable[[Any], Any]) -> Call:
    """The reference with its results changed."""
    return lambda op, given: {name: change(value) for name, value in of_head(REFERENCE)(op, given).items()}


def giving(result: Any) -> Call:
    """This result, whatever is asked."""
    return lambda op, given: result


def raising(error: Exception) -> Call:
    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        raise error

    return call


def failed(outcome: Verdict, rule: str, reason: str, word: Word = Word.DIVERGED) -> None:
    assert outcome.word == word
    assert not outcome.conforms
    assert outcome.rule == rule
    assert re.search(reason, str(outcome), re.MULTILINE), str(outcome)


@pytest.mark.parametrize(
    ("change", "rule", "reason"),
    [
        (lambda probs: probs[..., :-1], "SOFTMAX-1", r"has shape \[1\], not \[2\]"),
        (lambda probs: probs.astype(np.float64), "HEAD-2", r"has dtype float64, not float32"),
        (lambda probs: probs * F32(1.001), "SOFTMAX-1", r"is off at \[0\], error \d+ x bound"),
        (lambda probs: probs * F32(np.nan), "SOFTMAX-1", r"probs is off at \[0\]$"),
    ],
)
def test_wrong_floats(change: Any, rule: str, reason: str) -> None:
    failed(judge(first("softmax"), answering(change)), rule, reason)


def test_wrong_ids_and_wrong_bits() -> None:
    case = first("inverse_cdf")
    failed(judge(case, answering(lambda ids: ids + 1)), "CDF-1", "token_ids differs")
    failed(judge(case, answering(lambda ids: ids.astype(F32))), "CDF-1", "has dtype float32, not int64")
    assert judge(case, answering(lambda ids: ids.astype(np.int32))).word == Word.IDENTICAL
    case = next(case for case in CASES if "SignOfZero" in case.flags and case.op == "apply_temperature")
    failed(judge(case, answering(np.abs)), "TEMP-1", r"logits differs at \[0\]")


@pytest.mark.parametrize(
    ("op", "call", "reason"),
    [
        ("softmax", answering(lambda probs: probs.tolist()), r"probs is not a tensor but '0\.5'"),
        ("softmax", answering(lambda probs: None), "probs is not a tensor but 'null'"),
        ("softmax", answering(lambda probs: [probs]), "probs is not one tensor"),
        ("torch_rng", answering(lambda x: []), "numbers is not a list of 1 tensors"),
        ("torch_rng", answering(lambda x: x * 2), "numbers is not a list of 1 tensors"),
        ("torch_rng", answering(lambda x: [None]), "numbers is not a tensor but 'null'"),
        ("softmax", giving({}), "the result lacks probs: PROTOCOL.md lists its keys"),
        ("softmax", giving({"p": 1, "q": 2}), "the result lacks probs and has p, q too"),
        ("softmax", giving(None), "the result is 'None': it must be an object with probs"),
    ],
)
def test_results_of_another_form_break_no_rule(op: str, call: Call, reason: str) -> None:
    """The harness is at fault, not the head."""
    failed(judge(first(op), call), "", reason, Word.ERRORED)


@pytest.mark.parametrize("digits", [5, 6, 7])
def test_too_few_digits_are_a_fault_of_the_harness(digits: int) -> None:
    """Every number is right, and cut short on its way."""
    case = next(case for case in CASES if case.op == "apply_temperature" and case.id == 2003)
    short = np.vectorize(lambda x: float(f"{x:.{digits}g}"))
    failed(
        judge(case, answering(lambda x: short(x).astype(x.dtype))),
        "",
        f"its numbers have {digits} digits",
        Word.ERRORED,
    )
    assert judge(case, answering(lambda x: short(x * F32(1.001)).astype(x.dtype))).word == Word.DIVERGED


def test_refusals_and_answers_are_never_taken_for_each_other() -> None:
    failed(judge(first("softmax"), raising(ValueError("no"))), "SOFTMAX-1", "refused")
    bad = first("softmax", "invalid", "bad_logits")
    answered = judge(bad, giving({"probs": np.zeros(3, F32)}))
    failed(answered, "SOFTMAX-4", "answered what must be refused", Word.UNREFUSED)


@pytest.mark.parametrize("code", ["bad_logits", "bad_dtype", "bad_shape"])
def test_codes_are_compared(code: str) -> None:
    case = first("softmax", "invalid", code)
    assert judge(case, raising(RefusedError(code, "in its own words"))).word == Word.REFUSED
    another = judge(case, raising(RefusedError("bad_k")))
    failed(another, "HEAD-5", f"refused as bad_k, not as {code}", Word.UNREFUSED)


def test_without_codes_the_kind_is_compared() -> None:
    """In Python a wrong kind is a TypeError and a wrong value a ValueError."""
    wrong_dtype, wrong_value = first("softmax", "invalid", "bad_dtype"), first("softmax", "invalid", "bad_logits")
    assert judge(wrong_dtype, raising(TypeError("int64"))).conforms
    assert judge(wrong_value, raising(ValueError("nan"))).conforms
    for case, error, reason in (
        (wrong_dtype, ValueError("int64"), "as ValueError, not as TypeError"),
        (wrong_value, TypeError("nan"), "as TypeError, not as ValueError"),
    ):
        failed(judge(case, raising(error)), "HEAD-5", reason, Word.UNREFUSED)
    for case in CASES:
        if case.answers[0].expected.get("code") in ("bad_k", "bad_num_samples", "bad_seed", "bad_temperature"):
            kind = any(word in case.comment for word in ("1.5", "true", "fraction")) and "T = -1.5" not in case.comment
            assert judge(case, raising(TypeError() if kind else ValueError())).conforms, case


def test_errors_and_skips_are_neither_failures_nor_passes() -> None:
    for case in (first("softmax"), first("softmax", "invalid")):
        outcome = judge(case, raising(ZeroDivisionError("division by zero")))
        assert (outcome.word, outcome.conforms) == (Word.ERRORED, False)
        assert "ZeroDivisionError: division by zero" in str(outcome)
        outcome = judge(case, raising(SkippedError("no softmax here")))
        assert (outcome.word, outcome.conforms, outcome.reason) == (Word.NOT_CHECKED, False, "no softmax here")


@pytest.mark.spec("HEAD-3")
def test_inputs_are_compared_before_and_after() -> None:
    def in_place(op: str, given: dict[str, Any]) -> Any:
        result = of_head(REFERENCE)(op, {**given})
        given["logits"] += 1
        return result

    def in_place_and_refused(op: str, given: dict[str, Any]) -> Any:
        given["logits"] *= 0
        raise ValueError("refused, and changed")

    failed(judge(first("softmax"), in_place), "HEAD-3", "logits was modified")
    failed(judge(first("softmax", "invalid", "bad_logits"), in_place_and_refused), "HEAD-3", "logits was modified")


def test_alternatives_are_accepted_and_say_so() -> None:
    for op in sorted({case.op for case in CASES if case.result == "acceptable"}):
        case = first(op, "acceptable")
        words = []
        for answer in case.answers:
            refused = "code" in answer.expected
            call = raising(RefusedError(answer.expected["code"])) if refused else giving(_as_arrays(answer.expected))
            words.append(judge(case, call).word)
        assert words[0] in (Word.IDENTICAL, Word.WITHIN_BOUND), case
        assert words[1:] == [Word.TIE_BREAK] * (len(case.answers) - 1), case


def _as_arrays(result: dict[str, Any]) -> dict[str, Any]:
    return {
        name: np.array([float(x) for x in tensor["data"]]).astype(tensor["dtype"]).reshape(tensor["shape"])
        for name, tensor in result.items()
    }

"""`check --profile`: the engines' own answers conform; another order, boundary, window or special value is named."""

import json
import sys
from dataclasses import replace
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import reference
from parity_tests.by_row import process_with
from parity_tests.contract import Contract, is_option
from parity_tests.heads import MIRROR, REFERENCE, Head
from parity_tests.mutants import MUTANTS
from parity_tests.variants import VARIANTS, stages
from parity_tests.verdict import Word, compare
from ports.__main__ import main
from ports.checker import profile_cases
from ports.checker.check import Plan, check
from ports.checker.misreadings import misreadings, steps
from ports.checker.port import Port, from_command, from_head
from ports.checker.process import Process
from ports.checker.report import conclusion
from reference.operations import OPERATIONS, TIES, UNTIL
from reference.profiles import ANY, PROFILES, Profile

BY_HAND = Plan(examples=0, sizes=False, bundle=None)
EACH = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def taking_settings(head: Head, reading: Profile) -> Head:
    """A head that makes its steps of the settings by this reading, and goes through them with its own `process`."""

    def apply_settings(logits: Any, profile: str, settings: Any, history: Any = None, prompt_length: int = 0) -> Any:
        uniform = np.zeros(np.shape(logits)[:-1])
        return head.process(logits, steps(reading, settings), history, prompt_length, uniform)

    return head.but(head.name, apply_settings=apply_settings)


def port_of(head: Head, profile: Profile, *operations: str) -> Port:
    return replace(from_head(head), profile=profile, operations=operations or ("apply_settings",))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_cases, "SIZES", (24,))


@EACH
def test_the_reference_follows_every_profile(profile: Profile) -> None:
    """Its filters by the engine's options, its settings by hand and at random."""
    own = {row.step for row in profile.rows if profile.options(row.step)}
    report = check(port_of(REFERENCE, profile, "apply_settings", *own), Plan(examples=5, sizes=False, bundle=None))
    assert report.status == 0, report.failures
    assert conclusion(report).startswith(f"reference (Python) conforms to the profile {profile.name}")
    counts = {op: counts for op, counts, _ in report.rows()}
    assert counts["apply_settings"][Word.IDENTICAL] >= 40
    assert all(counts[op][Word.IDENTICAL] > 20 for op in own)


PIPELINES = [MIRROR, *(head for head in VARIANTS if "process" in stages(head))]


@pytest.mark.parametrize("number", range(len(PIPELINES)), ids=[head.name for head in PIPELINES])
def test_other_correct_pipelines_are_right(number: int) -> None:
    """Also at V = 32,003 and 128,256."""
    assert len(PIPELINES) >= 6
    profile = list(PROFILES.values())[number % len(PROFILES)]
    report = check(port_of(taking_settings(PIPELINES[number], profile), profile), BY_HAND)
    assert report.status == 0, report.failures
    assert report.seen.sizes["V"] == 128_256


def from_the_end(function: Any) -> Any:
    """The filter on the ids in reverse: of the tied, the highest stay."""
    return lambda logits, **given: function(np.asarray(logits)[..., ::-1].copy(), **given)[..., ::-1].copy()


@pytest.mark.parametrize("name", ["llama.cpp", "sglang"])
def test_where_any_of_the_tied_may_stay_the_highest_may(name: str, small: None) -> None:
    own = {row.step: from_the_end(getattr(reference, row.step)) for row in PROFILES[name].rows if row.always == ANY}
    assert own
    head = REFERENCE.but("the highest", process=process_with({**REFERENCE.operations, **own}))
    plan = Plan(examples=60, sizes=False, bundle=None)
    report = check(port_of(taking_settings(head, PROFILES[name]), PROFILES[name]), plan)
    assert report.status == 0, report.failures
    assert any(verdict.word == Word.TIE_BREAK for verdict in report.verdicts)


def test_the_logits_of_other_ids_are_wrong() -> None:
    """Though the engine may choose among the tied, and the numbers are the same."""
    row, steps = np.array([3, 2, 2, 1, 0], np.float32), [("keep_top_k", {"k": 3, "ties": "any"})]
    expected = reference.process(row, steps)
    assert compare("process", expected, expected[[1, 0, 2, 3, 4]], logits=row, steps=steps).word == Word.DIVERGED


CHANGES = {"penalty", "biases"}  # arguments of penalties that do more than to mask
MASKS = [op.name for op in OPERATIONS.values() if op.family == "penalties" and not CHANGES & op.arguments.keys()]
SAME_IN_ANY_ORDER = [{"frequency_penalty", "presence_penalty"}]
SAME_IN_ANY_ORDER += [{"keep_top_k", "apply_temperature"}, {"keep_top_k", "keep_min_p"}]


def commute(first: str, second: str) -> bool:
    """Masks change nothing but to -inf, and what comes after leaves that."""
    masked = any(a in MASKS and not b.startswith("keep_") for a, b in ((first, second), (second, first)))
    return masked or {first, second} in SAME_IN_ANY_ORDER


@EACH
def test_every_other_order_and_detail_is_caught(profile: Profile, small: None) -> None:
    rows = profile.rows
    same = {f"{b.setting} before {a.setting}" for a, b in pairwise(rows) if commute(a.step, b.step)}
    adjacent = {f"{b.setting} before {a.setting}" for a, b in pairwise(rows)}
    far = {f"{row.setting} {where}" for row in rows for where in FAR}
    # Where all tied stay, no exact sum ends between two tokens; and these values do what their absence does.
    same |= {"until=exceeded in top_p"} if profile.options("keep_top_p")["ties"] == "all" else set()
    same |= {f"{row.setting} off where it is not given" for row in rows if row.default == 1.0 and not row.off}
    cases = [given for _, given in profile_cases.cases(profile)]
    readings = [reading for reading in misreadings(profile) if reading.name not in far]
    assert adjacent <= {reading.name for reading in readings}
    missed = {reading.name for reading in readings if not any(differs(profile, reading, given) for given in cases)}
    assert missed == same & {reading.name for reading in readings}


FAR = ("before everything else", "after everything else", "before the filters", "after the last penalty")


def differs(profile: Profile, reading: Profile, given: dict[str, Any]) -> bool:
    """Whether the answer by this reading is judged wrong."""
    right, other = (steps(one, given["settings"]) for one in (profile, reading))
    if right == other:
        return False
    arguments = {name: value for name, value in given.items() if name not in ("profile", "settings")}
    arguments["uniform"] = np.zeros(given["logits"].shape[:-1])
    try:
        actual = reference.process(**arguments, steps=other)
    except ValueError:
        return True
    expected = reference.process(**arguments, steps=right)
    return not compare("process", expected, actual, **arguments, steps=right).conforms


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("llama.cpp", "temperature before the filters"),
        ("llama.cpp", "the answer of PROFILES['vllm']"),
        ("llama.cpp", "repeat_last_n of 0 taken for all ids"),
        ("llama.cpp", "top_k, where it is off, taken for the largest logit alone"),
        ("llama.cpp", "min_p off where it is not given"),
        ("vllm", "temperature off where it is greedy"),
        ("vllm", "ties=lowest_id in top_k"),
        ("vllm", "frequency_penalty of all ids"),
        ("vllm", "logit_bias after the last penalty"),
        ("sglang", "until=reached in top_p"),
        ("mlx-lm", "repetition_context_size of 0 taken for none of the ids"),
        ("onnxruntime-genai", "top_p before temperature"),
        ("ctranslate2", "ties=all in sampling_topk"),
    ],
)
def test_what_a_profile_is_taken_for_is_named(name: str, reading: str, small: None) -> None:
    found = next(one for one in misreadings(PROFILES[name]) if one.name == reading)
    report = check(port_of(taking_settings(REFERENCE, found), PROFILES[name]), BY_HAND)
    assert report.status == 1
    assert reading in report.mistakes["apply_settings"]
    wrong = next(failure for failure in report.failures if failure.word == Word.DIVERGED)
    assert wrong.rule == "PIPE-3"
    assert f"; {name} takes the steps " in wrong.reason


def test_a_mistake_of_no_profile_is_not_recognised(small: None) -> None:
    joint = next(mutant for mutant in MUTANTS if str(mutant) == "process-float16_between")
    profile = PROFILES["vllm"]
    report = check(port_of(taking_settings(joint.head, profile), profile), BY_HAND)
    assert report.mistakes["apply_settings"] == "not recognised: no one change of the profile gives these answers"


def with_option(op: str, option: str, word: str) -> Head:
    """The reference with one boundary or tie rule, whichever is asked for."""

    def always(logits: Any, **given: Any) -> Any:
        own = {option: word} if is_option(option, given.get(option, word)) else {}  # a bad word is refused
        return getattr(reference, op)(logits, **given | own)

    return REFERENCE.but(f"{option}={word}", **{op: always})


def other_options() -> dict[Any, tuple[str, str, str, str]]:
    """Every other word for an option, once for each set of options that some profile has."""
    found = {}
    for profile in PROFILES.values():
        for op in [row.step for row in profile.rows if profile.options(row.step)]:
            own = profile.options(op)
            for option, words in {"until": UNTIL, "ties": TIES}.items():
                right = {"any": ("any", "lowest_id")}.get(own.get(option, ""), (own.get(option),))
                for word in [word for word in words if option in own and word not in right]:
                    found[op, *own.values(), option, word] = (profile.name, op, option, word)
    return found


@pytest.mark.parametrize(("name", "op", "option", "word"), other_options().values())
def test_every_other_boundary_and_tie_rule_is_caught(name: str, op: str, option: str, word: str) -> None:
    profile = PROFILES[name]
    report = check(port_of(with_option(op, option, word), profile, op), BY_HAND)
    if (option, profile.options(op)["ties"]) == ("until", "all"):
        return  # mlx-lm: where all tied stay, no exact sum ends between two tokens
    assert {failure.operation for failure in report.failures} == {op}
    assert f"{option}={word}" in report.mistakes[op].partition(", not ")[0]


def test_what_hello_declares_otherwise_is_named() -> None:
    lowest = replace(REFERENCE, contract=Contract(ties=("lowest_id",), until=("reached",)))
    port = port_of(lowest, PROFILES["sglang"], "keep_top_p", "keep_top_k")
    assert check(port, BY_HAND).departs == [
        "keep_top_p is judged with until=exceeded: it declares until reached",
    ]
    assert port_of(lowest, PROFILES["transformers"], "keep_top_k").departs() == [
        "keep_top_k is judged with ties=all: it declares ties lowest_id"
    ]
    any_of_them = replace(REFERENCE, contract=Contract(ties=("all",)))
    assert "ties=any" in port_of(any_of_them, PROFILES["llama.cpp"], "keep_top_k").departs()[0]
    assert not port_of(REFERENCE, PROFILES["sglang"], "keep_top_p", "keep_top_k").departs()


@pytest.mark.parametrize("profile", [None, *PROFILES.values()], ids=["none", *PROFILES])
@pytest.mark.parametrize("ties", ["any", "lowest_id", "all"])
def test_no_request_says_an_option_that_is_not_declared(profile: Profile | None, ties: str) -> None:
    """Nor one with bad input: a port that knows no such word would refuse it for that."""
    contract = Contract(ties=(ties,), until=("reached",))
    port = from_head(REFERENCE)
    said: set[tuple[str, str, str]] = set()

    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        said.update((op, name, given[name]) for name in ("ties", "until") if not contract.told(name, given.get(name)))
        return port.call(op, given)

    ops = [op for op in OPERATIONS.values() if op.on == "arrays" and "ties" in op.arguments]
    own = tuple(op.name for op in ops if "context" not in op.arguments)
    report = check(replace(port, profile=profile, contract=contract, call=call, layouts={}, operations=own), BY_HAND)
    assert any(verdict.word == Word.REFUSED for verdict in report.verdicts)
    assert not said


@pytest.mark.parametrize("name", ["min_length-one_longer", "min_length-one_shorter", "keep_min_p-masked_as_zero"])
def test_what_only_some_lengths_and_negative_logits_show(name: str, small: None) -> None:
    """A length that is just reached; and with every logit below 0, a mask of 0 is the largest."""
    mutant = next(mutant for mutant in MUTANTS if str(mutant) == name)
    functions = {**REFERENCE.operations, mutant.stage: mutant.function}
    head = REFERENCE.but(name, process=process_with(functions))
    assert check(port_of(taking_settings(head, PROFILES["vllm"]), PROFILES["vllm"]), BY_HAND).status == 1


def test_a_port_without_settings_is_told_how_to_take_them() -> None:
    """What it has conforms; whether it follows the profile is not known, so the exit status is 2."""
    report = check(port_of(REFERENCE, PROFILES["llama.cpp"], "keep_top_k", "keep_top_p"), BY_HAND)
    assert not report.failures
    assert report.status == 2
    assert "whether it follows llama.cpp could not be checked" in conclusion(report)
    reason = f"the order of llama.cpp's steps was not asked: {profile_cases.HOW_TO}"
    assert ("apply_settings", reason) in report.not_checked()


def test_settings_travel_as_json(small: None) -> None:
    """A process gets biases by the text of an id, -inf as a word; what it may name besides is no filter."""
    port = from_command(Process([sys.executable, "-m", "ports.tests.harness"]))
    port = replace(port, profile=PROFILES["llama.cpp"], operations=("hello", "apply_settings"))
    report = check(port, BY_HAND)
    assert report.status == 0, report.failures


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--profile", "ollama", "reference"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "argument --profile: invalid choice: 'ollama'" in said
    assert all(name in said for name in PROFILES)
    own: Any = ModuleType("own_head")
    own.greedy = reference.greedy
    monkeypatch.setitem(sys.modules, "own_head", own)
    assert main(["check", "--profile", "sglang", "--json", "own_head"]) == 2
    data = json.loads(capsys.readouterr().out)
    assert (data["profile"], data["departs_from_profile"], data["conforms"]) == ("sglang", [], False)
    assert "answers no apply_settings" in data["conclusion"]


def test_without_a_profile_settings_are_not_asked() -> None:
    assert OPERATIONS["apply_settings"].on == "profile"
    port = replace(from_head(REFERENCE), operations=("apply_settings",))
    assert check(port, BY_HAND).status == 2

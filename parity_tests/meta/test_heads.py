"""Somebody's own head by name: taken as it is if it can be called as the reference is, refused in one line if not."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import reference

from .. import conftest
from ..contract import Contract
from ..heads import NO_HEAD, from_name


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("own_head")
    monkeypatch.setitem(sys.modules, "own_head", module)
    return module


def conftest_test(name: str, *rules: str, stream: bool = False) -> SimpleNamespace:
    """As much of a pytest item as conftest looks at."""
    return SimpleNamespace(
        path=Path(name),
        iter_markers=lambda _: [pytest.mark.spec(*rules).mark],
        fixturenames=["mt19937_stream"] * stream,
    )


@pytest.mark.parametrize(
    ("function", "written", "message"),
    [
        ("softmax", lambda x: x, r"softmax takes \(x\): it must take, by these names, \(logits\)"),
        ("softmax", 7, r"softmax has type int: it must take"),
        ("top_k", lambda logits: logits, r"top_k takes \(logits\): it must take, by these names, \(logits, k\)"),
        ("top_k", lambda logits, k, axis: logits, r"top_k takes \(logits, k, axis\): it must take"),
        ("lm_head", lambda context, embedding, temperature, k: 1, r"\(context, embedding, temperature=0.7, k=50\)"),
        ("multinomial", lambda probs, num_samples, rng: 1, r"\(probs, num_samples=1, rng\)"),
    ],
)
def test_other_arguments_are_refused(own: ModuleType, function: str, written: Any, message: str) -> None:
    """Another signature is not a wrong result: no rule is reported as broken."""
    setattr(own, function, written)
    with pytest.raises(TypeError, match=message):
        from_name("own_head")


def test_ties_may_be_left_out(own: Any) -> None:
    own.keep_top_k = lambda logits, k: reference.keep_top_k(logits, k)
    head, logits = from_name("own_head"), np.array([1.0, 1.0])
    assert head.ties == ("lowest_id",)
    assert head.keep_top_k(logits, 1, ties="lowest_id").tolist() == [1.0, -np.inf]
    with pytest.raises(pytest.skip.Exception, match="own_head has no ties='all'"):
        head.keep_top_k(logits, 1, ties="all")


def test_any_arguments_and_functions_that_do_not_say_are_taken(own: Any) -> None:
    own.softmax, own.top_k = (lambda *args, **kwargs: 1), max
    assert from_name("own_head").absent[:1] == ("compute_logits",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module", "No module named 'no_such_module'"),
        ("my/head.py", "my/head.py is a path: name the module from the current folder, as my.head"),
        ("reference:nothing", "has no attribute 'nothing'"),
        ("json", "has none of the functions"),
    ],
)
def test_a_name_without_a_head_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(NO_HEAD, match=message):
        from_name(name)
    config: Any = argparse.Namespace(getoption=lambda _: [name])
    with pytest.raises(pytest.UsageError, match=message):
        conftest.pytest_configure(config)


def test_a_contract_is_read(own: Any) -> None:
    own.softmax = reference.softmax
    own.contract = {"dtypes": ["float32"], "zero_k": "off"}
    head = from_name("own_head")
    assert head.contract == Contract(dtypes=("float32",), zero_k="off")
    assert head.softmax(np.zeros(2, np.float32)).tolist() == [0.5, 0.5]
    with pytest.raises(pytest.skip.Exception, match="own_head has no float64"):
        head.softmax(np.zeros(2))
    own.contract = {"zero_k": "on"}
    with pytest.raises(NO_HEAD, match="contract: zero_k is 'on': it must be 'refused' or 'off'"):
        from_name("own_head")


@pytest.mark.parametrize(
    ("said", "test", "params", "reason"),
    [
        ({"refusals": "none"}, conftest_test("test_refusals.py"), {}, "bad input undefined"),
        ({"zero_temperature": "greedy"}, conftest_test("test_refusals.py"), {"temperature": 0.0}, "T = 0 a meaning"),
        ({"zero_temperature": "greedy"}, conftest_test("test_refusals.py"), {"temperature": -1.0}, ""),
        ({"zero_k": "off"}, conftest_test("test_refusals.py"), {"k": 0}, "k = 0 a meaning"),
        ({"zero_k": "off"}, conftest_test("test_top_k.py"), {"k": 0}, ""),
        ({"ties": ["any"]}, conftest_test("test_top_k.py", "TOPK-2"), {}, "another rule for ties"),
        ({"ties": ["any"]}, conftest_test("test_top_k.py", "TOPK-1"), {}, ""),
        ({"stream": "own"}, conftest_test("test_multinomial.py", stream=True), {}, "random stream of its own"),
    ],
)
def test_tests_that_do_not_apply_are_skipped(said: Any, test: Any, params: Any, reason: str) -> None:
    item = SimpleNamespace(**vars(test), callspec=SimpleNamespace(params=params))
    found = conftest._otherwise(Contract.read(said), cast(pytest.Item, item))
    assert reason in found if reason else not found


@pytest.mark.parametrize(
    ("contract", "tests", "skipped"),
    [
        ({"dtypes": ["float32"]}, ["test_inverse_cdf.py", "test_multinomial.py"], "has none of its dtypes"),
        (
            {"refusals": "none"},
            ["test_layer_norm.py", "test_finish_logits.py"],
            "its contract leaves bad input undefined",
        ),
        ({"stream": "own"}, ["test_torch_rng.py"], "its contract has a random stream of its own"),
    ],
)
def test_the_suite_asks_a_head_what_its_contract_has(
    tmp_path: Path, contract: dict[str, Any], tests: list[str], skipped: str
) -> None:
    """Under `--head`, the reference with a narrower contract passes, and what it does not have is skipped."""
    (tmp_path / "narrow_head.py").write_text(f"from reference import *\ncontract = {contract!r}\n")
    folder = Path(conftest.__file__).parent
    command = [sys.executable, "-m", "pytest", "-q", "--head", "narrow_head", *(str(folder / name) for name in tests)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HYPOTHESIS_PROFILE": "mutation"}
    result = subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout
    assert skipped in result.stdout

"""The atlas holds: what is installed does what the records say, and ATLAS.md is what the records give."""

import importlib
import json
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import reference
from parity_tests.local_torch_rng import local_stream_is_mt19937
from ports.atlas import Otherwise, questions, records, survey
from ports.atlas import __main__ as command
from ports.atlas.page import NAMES, page
from reference.operations import STAGES

spec = pytest.mark.spec
IN_THE_DEV_INSTALL = (
    "pytorch",
    "transformers_processors",
    "onnxruntime_operators",
    "numpy_naive",
    "scipy_softmax",
    "llm_c",
    "llama2_c",
)
OPTIONAL = [name for name in NAMES if name not in IN_THE_DEV_INSTALL]


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, Any]]:
    return records.load_all()


def test_every_implementation_has_a_record(recorded: dict[str, dict[str, Any]]) -> None:
    assert set(recorded) == set(NAMES)


def test_the_page_is_that_of_the_records(recorded: dict[str, dict[str, Any]]) -> None:
    assert command.ATLAS.read_text("utf-8") == page(recorded), "run python -m ports.atlas"


def test_the_page_depends_on_the_records(recorded: dict[str, dict[str, Any]]) -> None:
    changed = json.loads(json.dumps(recorded))
    changed["scipy_softmax"]["rules"]["SOFTMAX-2"] |= {"differ": 1, "in": ["softmax"], "smallest": "something else"}
    assert page(changed) != page(recorded)
    assert "something else" in page(changed)


def findings(record: dict[str, Any]) -> dict[str, Any]:
    """What the page states: at which rules it differs, and in which operations; what it answers.

    How many random cases differ, and which is the smallest, may depend on the processor's last bits.
    """
    rules = {rule: sorted(found.get("in", [])) if found["differ"] else None for rule, found in record["rules"].items()}
    return {"rules": rules, "answers": record["answers"], "settings": record.get("settings", {})}


def hold(name: str, record: dict[str, Any]) -> None:
    """Run it again: the same findings."""
    if record["platform"] != survey.PLATFORM:
        pytest.skip(f"this is {survey.PLATFORM}, the record is of {record['platform']}")
    if "torch" in record["versions"] and not local_stream_is_mt19937():
        pytest.skip("this PyTorch draws from Intel MKL's random stream, the record is of PyTorch's own")
    for package, version in record["versions"].items():
        found = metadata.version(package)
        if found.split("+")[0] != version.split("+")[0]:
            pytest.skip(f"{package} {found} is installed, the record is of {version}")
    before, now = findings(record), findings(json.loads(json.dumps(survey.survey(name, record["date"]))))
    for key, stated in before.items():
        differing = {k for k in stated.keys() | now[key].keys() if stated.get(k) != now[key].get(k)}
        shown = "\n".join(f"{k}: {stated.get(k)}\n  now {now[key].get(k)}" for k in sorted(differing))
        assert not differing, f"{name}: {key} changed, run python -m ports.atlas {name}\n{shown}"


@spec("HEAD-1", "TEMP-1", "TOPK-2", "TOPK-7", "SOFTMAX-1", "CDF-1")
@pytest.mark.parametrize("name", IN_THE_DEV_INSTALL)
def test_it_does_what_its_record_says(name: str, recorded: dict[str, dict[str, Any]]) -> None:
    hold(name, recorded[name])


@spec("TEMP-1", "TOPK-2", "SOFTMAX-1")
@pytest.mark.parametrize("name", OPTIONAL)
def test_it_does_what_its_record_says_if_installed(name: str, recorded: dict[str, dict[str, Any]]) -> None:
    for package in recorded[name]["versions"]:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed: pip install '.[atlas]'")
    hold(name, recorded[name])


@pytest.mark.parametrize("name", IN_THE_DEV_INSTALL)
def test_an_adapter_has_functions_of_the_reference_and_nothing_hidden(name: str) -> None:
    module = survey.adapter(name)
    assert any(hasattr(module, stage) for stage in STAGES)
    assert module.TITLE
    assert len(module.SHORT) <= 8
    assert survey.versions(module).keys() == set(module.PACKAGES)


@spec("TOPK-2", "TOPK-7", "HEAD-4", "TEMP-2")
def test_what_is_known_of_them_is_found(recorded: dict[str, dict[str, Any]]) -> None:
    """Facts that anybody can check by hand, so that a survey that finds nothing, or everything, is noticed."""

    def differs(name: str, rule: str) -> bool:
        return bool(recorded[name]["rules"][rule]["differ"])

    assert differs("pytorch", "TOPK-2")  # torch.topk: unspecified
    assert differs("pytorch", "HEAD-4")  # the lesson is written for one vector
    assert not differs("pytorch", "RNG-3")  # it is PyTorch's stream
    assert not differs("transformers_processors", "TOPK-7")
    assert not differs("onnxruntime_operators", "TOPK-2")
    assert differs("llm_c", "SOFTMAX-2")  # no maximum subtracted
    assert not differs("numpy_naive", "HEAD-4")
    assert differs("llama2_c", "CDF-2")  # the last id, masked or not
    assert not differs("llama2_c", "SOFTMAX-2")
    assert not differs("scipy_softmax", "SOFTMAX-2")
    assert not differs("transformers_processors", "FILTER-5")
    assert differs("llama_cpp_samplers", "FILTER-5")  # a sum above the mass, any of the equally distant
    assert not differs("llama_cpp_samplers", "FILTER-2")
    assert differs("openvino_genai_generator", "PENALTY-4")  # it raises logits below 0
    assert not differs("mlx_lm_sampler", "FILTER-3")  # all that tie with the last survivor


@spec("SOFTMAX-1", "TOPK-1", "HEAD-5")
def test_the_reference_itself_differs_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The survey on a head that keeps every rule, through an adapter like any other."""
    module = importlib.import_module("reference")
    for name, value in {"TITLE": "reference", "SHORT": "ref", "PACKAGES": (), "DTYPES": ("float32", "float64")}.items():
        monkeypatch.setattr(module, name, value, raising=False)
    monkeypatch.setattr(survey, "adapter", lambda name: module)
    monkeypatch.setattr(survey, "EXAMPLES", 10)
    found = survey.survey("reference", "a day")["rules"]
    assert {rule: result for rule, result in found.items() if result["differ"]} == {}
    assert sum(result["cases"] for result in found.values()) > 150


def one_row_or_greedy(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Takes temperature 0 for greedy decoding, and knows no batches."""
    if temperature == 0:
        raise Otherwise("takes the argmax")
    if np.ndim(logits) > 1:
        raise RuntimeError("one row only")
    return (logits / np.asarray(logits).dtype.type(temperature)).astype(logits.dtype)


ODD: Any = SimpleNamespace(__name__=f"{__name__}:ODD", apply_temperature=one_row_or_greedy)


@spec("HEAD-4", "TEMP-2")
def test_a_difference_counts_for_the_rule_that_it_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "EXAMPLES", 10)
    with np.errstate(all="ignore"):
        found = [finding for finding in survey.findings(ODD) if finding.difference]
    of = {rule: [f.difference for f in found if f.rule == rule] for rule in {f.rule for f in found}}
    assert of["HEAD-4"]
    assert all("raises RuntimeError: one row only" in text for text in of["HEAD-4"])
    assert any(text.endswith("takes the argmax; the rule: refuse") for text in of["TEMP-2"])
    assert "TEMP-1" not in of


def first_of_the_tied(logits: np.ndarray, p: float) -> np.ndarray:
    """Top-p that keeps the lowest ids of the tied."""
    return reference.keep_top_p(logits, p)


@spec("FILTER-2", "FILTER-3")
@pytest.mark.parametrize(("rule", "broken"), [("lowest_id", set()), ("any", set()), ("all", {"FILTER-3"})])
def test_each_function_is_held_against_its_own_rule_for_ties(
    rule: str, broken: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "EXAMPLES", 100)
    name = f"{__name__}:TIED"
    tied = SimpleNamespace(__name__=name, keep_top_p=first_of_the_tied, TIES="all", TIES_OF={"keep_top_p": rule})
    monkeypatch.setitem(globals(), "TIED", tied)
    with np.errstate(all="ignore"):
        assert {finding.rule for finding in survey.findings(cast(ModuleType, tied)) if finding.difference} == broken


def test_the_command_runs_what_is_installed_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(command, "ATLAS", tmp_path / "ATLAS.md")
    kept = records.load("llm_c")
    monkeypatch.setattr(records, "FOLDER", tmp_path / "records")
    records.save(kept)
    monkeypatch.setattr(sys, "argv", ["atlas", "scipy_softmax", "--date", "2000-01-01"])
    assert command.main() == 0
    assert re.fullmatch(r"scipy_softmax: \d+ of \d+ rules differ\n", capsys.readouterr().out)
    assert records.load("scipy_softmax")["date"] == "2000-01-01"
    assert records.load("llm_c") == kept
    assert "| 2000-01-01 |" in command.ATLAS.read_text("utf-8")
    monkeypatch.setattr(sys, "argv", ["atlas", "no_such_thing"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 2


def test_numbers_are_written_in_their_own_digits() -> None:
    row = np.array([0.1, -0.0, -np.inf, 2], np.float32)
    assert questions.shown({"logits": row, "k": 2}) == "logits [0.1, -0, -inf, 2], k 2"
    assert questions.shown({"logits": row.astype(np.float64)}).startswith("logits float64 [0.10000000149011612, -0,")
    assert questions.value(np.zeros(1000)) == "(1,000 numbers)"

"""What engines answered, as the atlas recorded it, is what their profiles say."""

from typing import Any

import numpy as np
import pytest

import reference
from ports.atlas import records
from ports.atlas.by_profile import DIFFERS, agrees, steps_of, tables
from ports.atlas.settings import QUESTIONS, Question, own_names
from reference.profiles import PROFILES, Profile

spec = pytest.mark.spec
RECORDS = {name: record for name, record in records.load_all().items() if "settings" in record}
# Engines that show what they draw and, but for CTranslate2's penalties, no logits.
ONLY_DRAWN = ("onnxruntime_genai_generator",)
PENALTIES_UP_TO_2 = {"openvino_genai_generator": {"presence_penalty", "frequency_penalty"}}  # asked with 32
MIN_P_BELOW_1 = ("openvino_genai_generator",)
TEMPERATURE = ("apply_temperature",)


def test_these_engines_have_answered() -> None:
    assert {record["profile"] for record in RECORDS.values()} == PROFILES.keys() - {"vllm", "sglang"}
    assert PROFILES.keys() & {profile for profile, _ in DIFFERS} == {profile for profile, _ in DIFFERS}


@spec("PIPE-1", "PIPE-2", "PIPE-3", "FILTER-2", "FILTER-4", "FILTER-5", "FILTER-8", "FILTER-9", "PENALTY-2")
@pytest.mark.parametrize("name", RECORDS)
def test_every_answer_is_that_of_the_profile(name: str) -> None:
    profile, answers = RECORDS[name]["profile"], RECORDS[name]["settings"]
    other = {key for key, recorded in answers.items() if not agrees(profile, recorded, QUESTIONS[key])}
    assert other == {key for of, key in DIFFERS if of == profile}
    assert sum("raises" not in recorded for recorded in answers.values()) >= 20


@pytest.mark.parametrize("name", RECORDS)
def test_every_question_was_asked_with_the_settings_it_names(name: str) -> None:
    profile, answers = PROFILES[RECORDS[name]["profile"]], RECORDS[name]["settings"]
    due = {key: own_names(profile, question) for key, question in QUESTIONS.items()}
    due = {key: names for key, names in due.items() if names}
    assert answers.keys() == {key for key in due if not (name in ONLY_DRAWN and QUESTIONS[key].values)}
    for key, recorded in answers.items():
        given = recorded["given"]
        for common, value in QUESTIONS[key].settings.items():
            found = given[due[key][common]]
            assert found == ({str(i): bias for i, bias in value.items()} if isinstance(value, dict) else value)
        others = [row for row in profile.rows if not row.defaults.keys() & set(due[key].values())]
        on = [step for row in others for step in row.made({**profile.defaults, **given})]
        assert [step for step in on if step != ("apply_temperature", {"temperature": 1.0})] == []


@pytest.mark.parametrize("name", RECORDS)
def test_every_row_of_its_profile_is_asked_about(name: str) -> None:
    """A row that is on in no answer, or in refusals alone, would be held against nothing."""
    profile, answers = PROFILES[RECORDS[name]["profile"]], RECORDS[name]["settings"]
    given = [{**profile.defaults, **recorded["given"]} for recorded in answers.values() if "raises" not in recorded]
    assert [row.setting for row in profile.rows if not any(row.made(settings) for settings in given)] == []


@spec("PIPE-1", "PIPE-3")
@pytest.mark.parametrize("name", RECORDS)
def test_another_order_of_filters_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, answers = PROFILES[RECORDS[name]["profile"]], RECORDS[name]["settings"]
    filters = [i for i, row in enumerate(profile.rows) if row.step.startswith("keep_") or row.step in TEMPERATURE]
    assert filters == list(range(filters[0], len(profile.rows)))
    for i in filters[:-1]:
        if {profile.rows[i].step, profile.rows[i + 1].step} == {"keep_top_k", *TEMPERATURE}:  # these two commute
            continue
        rows = (*profile.rows[:i], profile.rows[i + 1], profile.rows[i], *profile.rows[i + 2 :])
        with monkeypatch.context() as patched:
            patched.setitem(PROFILES, profile.name, Profile(profile.name, rows))
            other = {key for key, recorded in answers.items() if not agrees(profile.name, recorded, QUESTIONS[key])}
        assert other > {key for of, key in DIFFERS if of == profile.name}, f"{rows[i].setting}, {rows[i + 1].setting}"


@pytest.mark.parametrize("name", RECORDS)
def test_only_values_out_of_range_are_refused(name: str) -> None:
    refused = {key for key, recorded in RECORDS[name]["settings"].items() if "raises" in recorded}
    refused -= {key for key in refused if PENALTIES_UP_TO_2.get(name, set()) & QUESTIONS[key].settings.keys()}
    refused -= {key for key in refused if name in MIN_P_BELOW_1 and QUESTIONS[key].settings.get("min_p") == 1}
    assert {QUESTIONS[key].topic for key in refused} <= {"special"}


@pytest.mark.parametrize(
    ("profile", "key", "wrong"),
    [
        ("llama.cpp", "4 × 0; top_p 0.5", {"ids": [0, 1, 2]}),
        ("llama.cpp", "ln 0.5 0.25 0.125 0.125; top_p 0.75", {"ids": [0, 2]}),
        ("mlx-lm", "4 × 0; top_p 0.5", {"ids": [0, 1]}),
        ("transformers", "1 2 2 2 0; top_k 2", {"ids": [1, 2]}),
        ("transformers", "3 2 1 0 -1; top_p 0.9, temperature 2", {"ids": [0, 1, 2]}),
        ("ctranslate2", "4 × 0; no_repeat_ngram_size 2; prompt 0 1, output 2 0", {"ids": [0, 2, 3]}),
        ("ctranslate2", "4 × 0; min_length 3, eos_token_id 3; prompt 0 0 1, output 2 0", {"ids": [0, 1, 2, 3]}),
        ("onnxruntime-genai", "4 × 0; min_length 3, eos_token_id 3; prompt 0 0 1, output 2 0", {"ids": [0, 1, 2]}),
        ("transformers", "4 × 0; min_new_tokens 1, eos_token_id 3; prompt 0 0 1", {"ids": [0, 1, 2, 3]}),
        ("transformers", "ln 0.5 0.25 0.125 0.125; eta_cutoff 0.25", {"ids": [0]}),
        ("ctranslate2", "2 -2 0 1; repetition_penalty 2; prompt 0 0 1, output 2 0", {"values": [1, -4, 0, 1]}),
    ],
)
def test_a_wrong_answer_is_noticed(profile: str, key: str, wrong: dict[str, Any]) -> None:
    recorded = next(record["settings"][key] for record in RECORDS.values() if record["profile"] == profile)
    assert agrees(profile, recorded, QUESTIONS[key])
    assert not agrees(profile, {"given": recorded["given"], **wrong}, QUESTIONS[key])


def test_the_edge_of_min_p_is_left_to_rounding() -> None:
    """In float32, ln 0.5 is a little less than that: the quotient of the two is 0.49999999916."""
    question: Question = QUESTIONS["ln 0.5 0.25 0.25; min_p 0.5"]
    kept = reference.process(question.logits, steps_of("mlx-lm", {"temp": 1.0, "min_p": 0.5}))
    assert np.flatnonzero(kept > -np.inf).tolist() == [0]
    for ids in ([0], [0, 1, 2]):
        assert agrees("mlx-lm", {"given": {"temp": 1.0, "min_p": 0.5}, "ids": ids}, question)


def test_the_page_has_every_answer() -> None:
    lines = list(tables(list(RECORDS), RECORDS))
    rows, cells, width = 0, [], 0
    for line in lines:
        if line.startswith("| logits"):
            width = sum(record["short"] in map(str.strip, line.split("|")) for record in RECORDS.values())
        elif line.startswith("| ") and not line.startswith("| ---"):
            rows += 1
            cells += [cell.strip() for cell in line.split("|")[1:-1][-width:]]
    assert rows == len(QUESTIONS)
    assert sum(map(bool, cells)) == sum(len(record["settings"]) for record in RECORDS.values())
    assert sum(cell.endswith(")") for cell in cells) == len(DIFFERS)
    assert not any("unexplained" in line for line in lines)

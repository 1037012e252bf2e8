"""`ports check engine:NAME`: an engine that is installed is judged by its own profile."""

from contextlib import suppress
from dataclasses import replace

import pytest

from parity_tests.judges.words import Word
from ports import __main__ as command
from ports.atlas.engines import ENGINES, engine
from ports.atlas.survey import adapter, profiled
from ports.checker import profile_cases
from ports.checker.port import NoPortError
from reference.profiles import PROFILES


@pytest.mark.filterwarnings("ignore")  # of settings that it takes, and finds odd
def test_transformers_follows_its_profile() -> None:
    """The real `generate`, on the hand-made settings at V = 24, with nothing but its own functions in between."""
    port = engine("transformers")
    assert port.profile is PROFILES["transformers"]
    assert {"apply_settings", "keep_top_p", "lm_head"} <= set(port.operations)
    verdicts = [verdict for verdict in profile_cases.run(port) if " V = " not in verdict.case]
    asked = [verdict for verdict in verdicts if verdict.word != Word.NOT_CHECKED]  # all but those of min_new_tokens
    assert len(asked) > 50
    assert {verdict.reason for verdict in verdicts if verdict not in asked} == {
        "it counts new tokens from where it begins"
    }
    for verdict in asked:
        verdict.require()


def test_another_profile_is_not_what_it_follows() -> None:
    port = engine("transformers")
    assert all(
        verdict.word == Word.NOT_CHECKED for verdict in profile_cases.run(replace(port, profile=PROFILES["vllm"]))
    )


def test_every_engine_with_a_profile_is_offered() -> None:
    installed = {}
    for name, module in ENGINES.items():
        with suppress(ImportError):
            installed[name] = adapter(module)
    assert {"transformers", "pytorch", "scipy"} <= installed.keys()  # what the tests install
    for name, found in installed.items():
        assert (name == found.PROFILE) if profiled(found) else name not in PROFILES


def test_what_is_unknown_or_not_installed_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["check", "engine:gpt4all"]) == 2
    assert "engine:gpt4all: it must be one of transformers, llama.cpp" in capsys.readouterr().err
    monkeypatch.setitem(ENGINES, "jax", "no_such_adapter")
    with pytest.raises(NoPortError, match=r"engine:jax: .*; install it, as with pip install"):
        engine("jax")

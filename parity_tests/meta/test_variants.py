"""The other direction: no correct implementation is ever called wrong."""

import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference.operations import STAGES

from .. import strategies, suite
from ..heads import MIRROR, REFERENCE, Head, on_tensors
from ..strategies import FixedNoise
from ..variants import VARIANTS, stages
from ..verdict import compare

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
CASES = settings(max_examples=10_000 if THOROUGH else 20, suppress_health_check=list(HealthCheck))
REPLACED = [(variant, stage) for variant in VARIANTS for stage in stages(variant)]


def judged(stage: str, head: Head, arguments: dict[str, Any]) -> None:
    """Head and reference on the same arguments; raises if they diverge."""
    ours, theirs = (
        getattr(h, stage)(**arguments)
        if stage != "multinomial"
        else h.multinomial(arguments["probs"], rng=FixedNoise(arguments["noise"]))
        for h in (REFERENCE, head)
    )
    compare(stage, ours, theirs, **arguments).require()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name.replace(" ", "-"))
def test_passes_the_suite(variant: Head) -> None:
    failure = suite.run(stages(variant), variant)
    assert failure is None, f"false alarm on {variant}: {failure}"


@pytest.mark.parametrize(("variant", "stage"), REPLACED, ids=lambda value: str(value).replace(" ", "-"))
@CASES
@given(st.data())
def test_no_false_alarm_in_random_cases(variant: Head, stage: str, data: st.DataObject) -> None:
    """20 cases for each replaced stage, 10,000 in the thorough profile."""
    judged(stage, variant, data.draw(strategies.arguments(stage)))


def test_there_are_enough_of_them() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS) >= 12
    assert {stage for _, stage in REPLACED} == set(STAGES)


@pytest.mark.skipif(not THOROUGH, reason="compiling takes half a minute: make test-thorough runs it")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, g++")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("stage", ["compute_logits", "softmax"])
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_torch_compile(stage: str, data: st.DataObject) -> None:
    """The mirror's arithmetic through PyTorch's compiler, which fuses and reorders."""
    plain: dict[str, Callable[..., Any]] = {
        "compute_logits": lambda context, embedding: context @ embedding.T,
        "softmax": lambda logits: torch.softmax(logits, dim=-1),
    }
    compiled = torch.compile(plain[stage], dynamic=True)
    head = MIRROR.but("torch.compile", **{stage: on_tensors(compiled)})
    judged(stage, head, data.draw(strategies.arguments(stage, ("float32",))))

"""The other direction: no correct implementation is ever called wrong."""

import os
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import strategies, suite
from .heads import MIRROR, REFERENCE, Head, on_tensors
from .variants import VARIANTS, stages
from .verdict import compare

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
CASES = settings(max_examples=10_000 if THOROUGH else 200, suppress_health_check=list(HealthCheck))
SEED = 11
REPLACED = [(variant, stage) for variant in VARIANTS for stage in stages(variant)]


@st.composite
def inputs(draw: st.DrawFn, stage: str) -> dict[str, Any]:
    """Arguments of one stage, by name, as `compare` takes them."""
    if stage in ("compute_logits", "lm_head"):
        context, embedding = draw(strategies.heads())
        settings = {
            "temperature": draw(st.sampled_from([0.1, 0.7, 1.0, 10.0])),
            "k": draw(strategies.ks(len(embedding))),
        }
        return {"context": context, "embedding": embedding, **(settings if stage == "lm_head" else {})}
    if stage in ("multinomial", "inverse_cdf"):
        probs = draw(strategies.probabilities())
        dtype = strategies.compute_dtype(probs)
        if stage == "inverse_cdf":
            return {"probs": probs, "uniform": draw(strategies.uniforms(probs.shape[:-1]))}
        return {"probs": probs, "noise": REFERENCE.generator(SEED).standard_exponential(probs.shape, dtype)}
    logits = draw(strategies.logits())
    if stage == "apply_temperature":
        return {"logits": logits, "temperature": draw(st.sampled_from([0.7, 1.0, 3.0, 1e-3, 1e6]))}
    return {"logits": logits} | ({} if stage == "softmax" else {"k": draw(strategies.ks(logits.shape[-1]))})


def call(head: Head, stage: str, arguments: dict[str, Any]) -> Any:
    if stage != "multinomial":
        return getattr(head, stage)(**arguments)
    return head.multinomial(arguments["probs"], rng=REFERENCE.generator(SEED))  # the noise in the arguments


@pytest.mark.parametrize(("variant", "stage"), REPLACED, ids=lambda value: str(value).replace(" ", "-"))
def test_passes_the_suite(variant: Head, stage: str) -> None:
    failure = suite.run(stage, variant)
    assert failure is None, f"false alarm on {variant}: {failure}"


@pytest.mark.parametrize(("variant", "stage"), REPLACED, ids=lambda value: str(value).replace(" ", "-"))
@CASES
@given(st.data())
def test_no_false_alarm_in_random_cases(variant: Head, stage: str, data: st.DataObject) -> None:
    """200 cases for each replaced stage, 10,000 in the thorough profile."""
    arguments = data.draw(inputs(stage))
    compare(stage, call(REFERENCE, stage, arguments), call(variant, stage, arguments), **arguments).require()


def test_there_are_enough_of_them() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS) >= 12
    assert {stage for _, stage in REPLACED} == set(suite.MODULES) - {"generator"}


@pytest.mark.skipif(not THOROUGH, reason="compiling takes a minute: HYPOTHESIS_PROFILE=thorough")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, g++")
@pytest.mark.parametrize("stage", ["compute_logits", "softmax"])
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_torch_compile(stage: str, data: st.DataObject) -> None:
    """The mirror's arithmetic through PyTorch's compiler, which fuses and reorders."""
    compiled = {
        "compute_logits": torch.compile(lambda context, embedding: context @ embedding.T, dynamic=True),
        "softmax": torch.compile(lambda logits: torch.softmax(logits, dim=-1), dynamic=True),
    }
    head = replace(MIRROR, name="torch.compile", **{stage: on_tensors(compiled[stage])})
    arguments = {name: np.ascontiguousarray(value) for name, value in data.draw(inputs(stage)).items()}
    compare(stage, call(REFERENCE, stage, arguments), call(head, stage, arguments), **arguments).require()

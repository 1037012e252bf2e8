"""Profiles, the `spec` marker and the implementations under test.

HYPOTHESIS_PROFILE=dev       a few examples a test, seconds
HYPOTHESIS_PROFILE=ci        the default: derandomized, the same examples on every run
HYPOTHESIS_PROFILE=thorough  20 times the examples, random
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from .heads import MIRROR, REFERENCE, Head
from .random_stream import OTHER_STREAM, local_stream_is_mt19937

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
CI_EXAMPLES = 100
settings.register_profile("dev", max_examples=10, deadline=None)
settings.register_profile(
    "ci", max_examples=CI_EXAMPLES, derandomize=True, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile(
    "thorough", max_examples=20 * CI_EXAMPLES, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_report_header() -> str:
    import transformers

    return (
        f"heads: {', '.join(head.name for head in HEADS)}; profile {os.environ.get('HYPOTHESIS_PROFILE', 'ci')}; "
        f"numpy {np.__version__}, torch {torch.__version__} ({torch.get_num_threads()} threads), "
        f"transformers {transformers.__version__}; PyTorch's stream is "
        f"{'MT19937' if local_stream_is_mt19937() else 'another than MT19937'}"
    )


HEADS = (REFERENCE, MIRROR)


@pytest.fixture(params=HEADS, ids=lambda head: head.name, scope="session")
def head(request: pytest.FixtureRequest) -> Head:
    """Each implementation under test."""
    return request.param


@pytest.fixture
def mt19937_stream() -> None:
    """Skips where seeds cannot mean the same tokens: the local PyTorch draws from another stream."""
    if not local_stream_is_mt19937():
        pytest.skip(OTHER_STREAM)


@pytest.fixture(scope="session")
def checkpoint() -> Any:
    """The embedded tiny GPT-2."""
    from weights_export.checkpoint import load

    return load("tiny")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory, checkpoint: Any) -> Path:
    """A bundle of the embedded tiny GPT-2, written once."""
    from weights_export.bundle import write
    from weights_export.checkpoint import PROMPTS

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    write(checkpoint, PROMPTS, folder)
    return folder


@pytest.fixture(scope="session")
def gpt2_shaped() -> tuple[np.ndarray, np.ndarray]:
    """`context (64, 768)` and `embedding (50_257, 768)` as GPT-2's: a few hidden dimensions dozens of times larger."""
    rng = np.random.default_rng(768)
    context = rng.standard_normal((64, 768), dtype=np.float32) * 2
    context[:, [138, 378, 447]] *= 40
    embedding = rng.standard_normal((50_257, 768), dtype=np.float32) * np.float32(0.14)
    return context, embedding

"""Every stage at a real model's sizes: what only shows from some number of tokens, rows or hidden dimensions on."""

import numpy as np
import pytest

import reference
from reference.operations import OPERATIONS, STAGES

from . import power, sizes
from .heads import Head
from .strategies import FixedNoise
from .verdict import compare

spec = pytest.mark.spec


def judged(head: Head, operation: str, case: sizes.Case) -> None:
    """The head next to the reference; raises if they diverge."""
    expected, actual = (
        getattr(which, operation)(**case)
        if "noise" not in case
        else which.multinomial(case["probs"], rng=FixedNoise(case["noise"]))
        for which in (reference, head)
    )
    compare(operation, expected, actual, **case).require()


@spec("LOGITS-1", "LOGITS-2", "TEMP-1", "TOPK-1", "TOPK-2", "SOFTMAX-1", "DRAW-1", "CDF-1", "HEAD-1", "HEAD-4")
@pytest.mark.parametrize("operation", STAGES)
def test_one_large_dimension(head: Head, operation: str) -> None:
    """Vocabularies, hidden sizes and batches of real models, none of them a multiple of 8; k to 2,000; T near 1."""
    if operation == "multinomial" and not head.takes_noise:
        pytest.skip(f"{head.name} draws its own noise: tested on seeds instead")
    rules = head.ties if "ties" in OPERATIONS[operation].arguments else ("",)
    for rule in rules:
        for case in sizes.cases(operation):
            judged(head, operation, {**case, "ties": rule} if rule else case)


@spec("LOGITS-2", "HEAD-1")
@pytest.mark.parametrize("d", power.HIDDEN_SIZES)
def test_real_hidden_sizes(head: Head, d: int) -> None:
    """With outlier dimensions: where the worst-case bound is wide, the rounding that explains the numbers is named."""
    context, embedding = power.inputs(d, 0)
    judged(head, "compute_logits", {"context": context, "embedding": embedding})
    judged(head, "lm_head", {"context": context, "embedding": embedding, "temperature": 10.0, "k": 200})


@spec("DRAW-1", "RNG-5")
@pytest.mark.usefixtures("mt19937_stream")
@pytest.mark.parametrize("v", sizes.VOCABS)
def test_seeded_draws(head: Head, v: int) -> None:
    """From a seed, among tokens of which the last ones are the likeliest."""
    probs = np.ones(v, np.float32)
    probs[-2:] = v
    for seed in range(3):
        drawn = head.multinomial(probs, rng=head.torch_rng(seed))
        assert drawn.tolist() == reference.multinomial(probs, rng=reference.TorchGenerator(seed)).tolist()

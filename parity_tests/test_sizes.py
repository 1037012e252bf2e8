"""Every stage at a real model's sizes: what only shows from some number of tokens, rows or hidden dimensions on."""

from typing import Any

import numpy as np
import pytest

import reference
from reference.operations import STAGES, WITH_TIES

from . import corners, power, sizes, strategies
from .heads import Head
from .strategies import FixedNoise
from .verdict import compare

spec = pytest.mark.spec


def judged(head: Head, operation: str, case: sizes.Case) -> None:
    """The head next to the reference; raises if they diverge."""
    expected, actual = _result(reference, operation, case), _result(head, operation, case)
    any_of_the_tied = head.contract.rule_for_ties(case.get("ties")) == "any" and operation in WITH_TIES
    compare(operation, expected, actual, **{**case, "ties": "any"} if any_of_the_tied else case).require()


def _result(head: Any, operation: str, case: sizes.Case) -> Any:
    if "noise" not in case:
        return getattr(head, operation)(**case)
    return head.multinomial(case["probs"], case.get("num_samples", 1), rng=FixedNoise(case["noise"]))


@spec("LOGITS-1", "LOGITS-2", "TEMP-1", "TOPK-1", "TOPK-2", "SOFTMAX-1", "DRAW-1", "CDF-1", "HEAD-1", "HEAD-4")
@pytest.mark.parametrize("operation", STAGES)
def test_one_large_dimension(head: Head, operation: str) -> None:
    """Vocabularies, hidden sizes and batches of real models, none of them a multiple of 8; k to 2,000; T near 1."""
    for case in sizes.cases(operation):
        judged_by_each_rule(head, operation, case)


def judged_by_each_rule(head: Head, operation: str, case: sizes.Case) -> None:
    """As `judged`, for each of the head's rules for ties."""
    if "noise" in case and not head.takes_noise:
        pytest.skip(f"{head.name} draws its own noise: tested on seeds instead")
    for rule in head.contract.tie_arguments(operation):
        judged(head, operation, {**case, **rule})


@spec("HEAD-2", "LOGITS-2", "TEMP-1", "TOPK-1", "SOFTMAX-1", "DRAW-1", "CDF-1", "HEAD-1")
@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("operation", STAGES)
def test_real_numbers_in_every_dtype(head: Head, operation: str, dtype: str) -> None:
    """With thousands of tokens or hidden dimensions, where the last bits of the dtype decide."""
    for case in corners.real(operation, dtype):
        judged_by_each_rule(head, operation, case)


@spec("HEAD-1", "TEMP-1", "TOPK-2")
def test_exact_logits(head: Head) -> None:
    """Where logits are exact, survivors are too: no reciprocal, and no cut before the division."""
    for case in corners.exact_heads():
        judged(head, "lm_head", case)


@spec("HEAD-5", "SOFTMAX-4", "DRAW-5", "CDF-3", "TEMP-2", "TOPK-5")
@pytest.mark.parametrize("operation", STAGES)
def test_bad_input_is_refused_wherever_it_is(head: Head, operation: str) -> None:
    """In the last row, in the last token, and where there are no rows."""
    if head.contract.refusals == "none":
        pytest.skip(f"{head.name}: its contract leaves bad input undefined")
    for case in corners.bad(operation):
        if "noise" in case and not head.takes_noise:
            pytest.skip(f"{head.name} draws its own noise: tested on seeds instead")
        if not head.contract.differs(operation, case) and not head.contract.leaves_open(case):
            with pytest.raises(ValueError):
                _result(head, operation, case)


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

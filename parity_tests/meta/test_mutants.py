"""The suite is tested too: every known mistake is caught by the checks of the stage it lives in.

That the same checks accept correct heads is tested in `test_variants.py`.
"""

import pytest

from .. import suite
from ..heads import REFERENCE
from ..local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from ..mutants import MUTANTS, Mutant
from .test_spec import RULES


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_caught_by_its_stage(mutant: Mutant) -> None:
    if mutant.name == "by_inverse_cdf" and not local_stream_is_mt19937():
        pytest.skip(OTHER_STREAM)
    failure = suite.run(mutant.stage, mutant.head, first=mutant.rule)
    assert failure, f"{mutant} survived: {mutant.looks_like} ({mutant.source}); {mutant.rule} needs a sharper test"


def test_mutants_are_named_once_and_cite_rules() -> None:
    assert len({str(mutant) for mutant in MUTANTS}) == len(MUTANTS) >= 40
    for mutant in MUTANTS:
        assert mutant.rule in RULES, mutant
        assert 0 < len(mutant.looks_like) < 100, mutant
        assert mutant.source == "folk" or mutant.source.startswith("https://"), mutant


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage is 'sampling': it must be one of compute_logits"):
        suite.run("sampling", REFERENCE)

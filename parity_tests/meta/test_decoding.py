"""The NumPy head against `model.generate(do_sample=True)`: token for token, from the same seed."""

import os
from typing import Any

import numpy as np
import pytest
import torch

from ..demo.decoding import NumpyHead, compare_with_generate, numpy_generate, transformers_generate
from ..verdict import Verdict, Word

pytestmark = [pytest.mark.spec("RNG-2", "RNG-5", "HEAD-1", "DRAW-1"), pytest.mark.usefixtures("mt19937_stream")]

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
TOKENS = 20 if THOROUGH else 10


@pytest.fixture(scope="module")
def numpy_head(checkpoint: Any) -> NumpyHead:
    return NumpyHead.of(checkpoint.model, checkpoint.tokenizer.encode(TEXTS[0]))


def left_padded(checkpoint: Any, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [checkpoint.tokenizer.encode(text) for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


TEXTS = ["What must be shall", "My lord,", "Before we proceed any further, hear me", "a"]
SETTINGS = [(0.7, 50), (1.0, 5), (1.5, 200), (0.3, 2048)]


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize(("temperature", "k"), SETTINGS)
def test_token_for_token(checkpoint: Any, numpy_head: NumpyHead, batch: int, temperature: float, k: int) -> None:
    """100 seeds in all and 10 tokens a row (thorough: 1,000 each, 20), padded on the left, judged step by step."""
    ids, mask = left_padded(checkpoint, TEXTS[:batch])
    setting = 4 * SETTINGS.index((temperature, k)) + batch - 1  # the first of 16 has 40 seeds, each other one 4
    default = range(36 + 4 * setting, 40 + 4 * setting) if setting else range(40)
    seeds = range(1000) if THOROUGH else default
    verdicts: list[Verdict] = []
    for seed in seeds:
        settings: dict[str, Any] = {"temperature": temperature, "k": k, "seed": seed}
        end = checkpoint.model.config.eos_token_id
        theirs = transformers_generate(checkpoint.model, ids, mask, TOKENS, **settings, eos_token_id=end)
        verdicts += compare_with_generate(numpy_head, ids, mask, theirs, **settings, eos_token_id=end)
    for verdict in verdicts:
        verdict.require()
    flips = sum(verdict.word == Word.TIE_BREAK for verdict in verdicts)
    assert flips <= 1 + len(verdicts) // 1000, f"{flips} coin flips in {len(verdicts)} tokens: too many to be rounding"


@pytest.mark.parametrize("batch", [1, 3])
def test_free_running_sequences(checkpoint: Any, numpy_head: NumpyHead, batch: int) -> None:
    """10 seeds without any re-anchoring: whole sequences, each implementation on its own."""
    ids, mask = left_padded(checkpoint, TEXTS[:batch])
    for seed in range(10):
        settings: dict[str, Any] = {"temperature": 0.7, "k": 50, "seed": seed}
        theirs = transformers_generate(checkpoint.model, ids, mask, TOKENS, **settings)
        ours = numpy_generate(numpy_head, ids, mask, TOKENS, **settings)
        assert ours.shape == theirs.shape == (batch, TOKENS)
        if not np.array_equal(ours, theirs):  # then it must be a coin flip, proved by the stepwise comparison
            verdicts = compare_with_generate(numpy_head, ids, mask, theirs, **settings)
            assert max(list(Word).index(v.require().word) for v in verdicts) == list(Word).index(Word.TIE_BREAK)


def test_finished_rows_still_consume_the_stream(checkpoint: Any, numpy_head: NumpyHead) -> None:
    """With the newline as end token rows finish early; the others go on drawing the same tokens."""
    newline = checkpoint.tokenizer.encode("\n")[0]
    ids, mask = left_padded(checkpoint, TEXTS[:3])
    finished_early = 0
    for seed in range(5):
        settings: dict[str, Any] = {"temperature": 1.0, "k": 50, "seed": seed}
        theirs = transformers_generate(checkpoint.model, ids, mask, TOKENS, **settings, eos_token_id=newline)
        ours = numpy_generate(numpy_head, ids, mask, TOKENS, **settings)
        for row in range(3):
            ends = np.flatnonzero(theirs[row] == newline)
            length = ends[0] + 1 if len(ends) else theirs.shape[1]
            finished_early += length < theirs.shape[1]
            assert ours[row, :length].tolist() == theirs[row, :length].tolist()
    assert finished_early


def test_a_wrong_token_is_called_diverged(checkpoint: Any, numpy_head: NumpyHead) -> None:
    """The stepwise judge is not a rubber stamp: one token replaced by a rival of lower race value is found."""
    ids, mask = left_padded(checkpoint, TEXTS[:1])
    settings: dict[str, Any] = {"temperature": 0.7, "k": 50, "seed": 1}
    theirs = transformers_generate(checkpoint.model, ids, mask, 5, **settings)
    wrong = theirs.copy()
    wrong[0, 3] = (wrong[0, 3] + 1) % 2048
    words = [v.word for v in compare_with_generate(numpy_head, ids, mask, wrong, **settings)]
    assert words[:3] == [Word.IDENTICAL] * 3
    assert words[3] == Word.DIVERGED

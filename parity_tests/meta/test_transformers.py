"""Filters and penalties against Transformers itself: each class, and `generate()` with everything on."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reference
from reference import bounds
from reference.operations import OPERATIONS
from reference.profiles import PROFILES

from .. import strategies
from ..demo.decoding import NumpyHead, compare_with_generate, scores_of_generate, transformers_generate
from ..engine_variants import CLASSES, SORTED
from ..verdict import compare

NO_IDS = torch.zeros((1, 0), dtype=torch.long)


@pytest.mark.parametrize("operation", CLASSES)
@given(st.data())
def test_each_class(operation: str, data: st.DataObject) -> None:
    case = data.draw(strategies.arguments(operation, ("float32", "float64")))
    case.pop("until", None)
    rows = case["logits"].reshape(-1, case["logits"].shape[-1])
    history = case.get("history", np.zeros((*case["logits"].shape[:-1], 0), np.int64))
    history = history.reshape(len(rows), history.shape[-1])
    for row, said in zip(rows, history, strict=True):
        given = {**case, "logits": row[None].copy(), **({"history": said[None]} if "history" in case else {})}
        theirs = CLASSES[operation](case)(
            torch.from_numpy(said[None].copy()), torch.from_numpy(row[None].copy())
        ).numpy()
        ours = getattr(reference, operation)(**given)
        ties = {"ties": "any"} if operation in SORTED else {}
        compare(operation, ours, theirs, **given, **ties).require()


def sets(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """So many sets of settings, each with several of them on, at common values."""
    values: dict[str, list[Any]] = {
        "repetition_penalty": [1.0, 1.1, 1.5, 0.8],
        "no_repeat_ngram_size": [0, 2, 3],
        "suppress_tokens": [None, [7], [1, 2, 300]],
        "top_h": [None, None, 0.4, 0.9],
        "top_p": [1.0, 0.95, 0.9, 0.5],
        "min_p": [None, 0.05, 0.2],
        "typical_p": [1.0, 1.0, 0.9, 0.5],
        "epsilon_cutoff": [0.0, 0.0, 3e-4, 0.02],
        "eta_cutoff": [0.0, 0.0, 6e-4, 0.1],
    }
    one_of = {name: [choices[i] for i in rng.integers(0, len(choices), count)] for name, choices in values.items()}
    of_head = {"temperature": rng.choice([0.7, 1.0, 1.3], count), "k": rng.choice([50, 5, 200], count)}
    return [
        {**{name: chosen[i] for name, chosen in one_of.items() if chosen[i] is not None}}
        | {"temperature": float(of_head["temperature"][i]), "k": int(of_head["k"][i])}
        for i in range(count)
    ]


@pytest.mark.usefixtures("mt19937_stream")
@pytest.mark.parametrize("number", range(30))
def test_generate_with_everything_on(checkpoint: Any, number: int) -> None:
    """30 sets of settings, 210 seeds, 7 for each set: the NumPy head draws the tokens of `generate()`."""
    settings = sets(np.random.default_rng(15), 30)[number]
    prompts = torch.tensor(
        [checkpoint.tokenizer.encode(text)[:4] for text in ("The king is dead, long", "I do not know you")]
    )
    head = NumpyHead.of(checkpoint.model, prompts[0].tolist())
    mask = torch.ones_like(prompts)
    for seed in range(7 * number, 7 * number + 7):
        theirs = transformers_generate(checkpoint.model, prompts, mask, 4, seed=seed, **settings)
        verdicts = compare_with_generate(head, prompts, mask, theirs, seed=seed, **settings)
        assert len(verdicts) == theirs.size
        for verdict in verdicts:
            verdict.require()


@pytest.mark.parametrize("number", range(0, 30, 3))
def test_scores_of_generate(checkpoint: Any, number: int) -> None:
    """Its processed logits are ours, and their log-probabilities those of `compute_transition_scores`."""
    settings = sets(np.random.default_rng(15), 30)[number]
    settings["top_k"] = settings.pop("k")
    ids = torch.tensor([checkpoint.tokenizer.encode("The king is dead")])
    raw, theirs = scores_of_generate(checkpoint.model, ids, **settings)
    steps = PROFILES["transformers"].steps(**settings)
    ours = reference.process(raw.numpy(), steps, ids.numpy(), ids.shape[1])
    given: dict[str, Any] = {
        "logits": raw.numpy(),
        "steps": steps,
        "history": ids.numpy(),
        "prompt_length": ids.shape[1],
    }
    compare("process", ours, theirs.numpy(), **given).require()
    token = int(np.flatnonzero(ours[0] > -np.inf)[0])
    sequence = torch.cat([ids, torch.tensor([[token]])], dim=1)
    scores = checkpoint.model.compute_transition_scores(sequence, (theirs,), normalize_logits=True)
    expected, actual = reference.log_probs(theirs.numpy()), theirs.log_softmax(-1).numpy()
    compare("log_probs", expected, actual, logits=theirs.numpy()).require()
    allowed = 2 * bounds.log_probs(theirs.numpy(), "float32")[0, token]
    assert abs(scores[0, 0].item() - float(expected[0, token])) <= allowed


def test_its_loss(checkpoint: Any) -> None:
    """`ForCausalLMLoss` shifts inside: the labels of a position are the token after it."""
    ids = torch.tensor([checkpoint.tokenizer.encode("The king is dead, long live the king")])
    labels = ids.clone()
    labels[0, 3] = -100
    with torch.no_grad():
        out = checkpoint.model(ids, labels=labels)
    given: dict[str, Any] = {
        "logits": out.logits[0, :-1].numpy(),
        "token_ids": labels[0, 1:].numpy(),
        "ignore_index": -100,
    }
    compare("cross_entropy", reference.cross_entropy(**given), out.loss.numpy(), **given).require()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_k": 0}, []),
        ({}, [("keep_top_k", {"k": 50, "ties": "all"})]),
        ({"top_k": 0, "top_p": 1.5}, []),  # silently ignored there, so it is no step here
        ({"top_k": 0, "typical_p": 1.5, "epsilon_cutoff": 1.0, "eta_cutoff": -1.0, "no_repeat_ngram_size": -3}, []),
        ({"top_k": 0, "top_p": 0.0}, [("keep_top_p", {"p": 1e-300, "ties": "any"})]),
    ],
)
def test_values_that_switch_a_step_off(settings: dict[str, Any], expected: Any) -> None:
    assert PROFILES["transformers"].steps(**settings) == expected


def test_every_setting_is_a_field_of_its_configuration() -> None:
    from transformers import GenerationConfig

    fields = vars(GenerationConfig())
    assert set(PROFILES["transformers"].defaults) <= fields.keys()
    assert {step for row in PROFILES["transformers"].rows for step in [row.step]} <= OPERATIONS.keys()

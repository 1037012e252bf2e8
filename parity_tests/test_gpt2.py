"""The heads on GPT-2 itself: on its configuration with random weights, and on a real one where LM_HEAD_GPT2 names it.

LM_HEAD_GPT2=openai-community/gpt2 make test     a Hub id, or the folder of a checkpoint
"""

import os
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import reference
from torch_impl import huggingface

from .demo.decoding import compare_with_generate, transformers_generate
from .heads import Head
from .local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from .verdict import compare

spec = pytest.mark.spec
REAL = os.environ.get("LM_HEAD_GPT2", "")
OUTLIERS = [138, 378, 447]  # the hidden dimensions in which GPT-2 small is known to be dozens of times larger


def random_gpt2() -> GPT2LMHeadModel:
    """GPT-2's configuration and random weights with its peculiarities: outlier dimensions, logits near -100."""
    torch.manual_seed(2)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    with torch.no_grad():
        embedding, norm = model.transformer.wte.weight, model.transformer.ln_f
        embedding.mul_(7)  # 0.02 -> 0.14, the spread of the trained embedding
        embedding[:, OUTLIERS] -= 0.6
        norm.bias[OUTLIERS] = 60
    return model


@pytest.fixture(scope="module")
def of_random_weights() -> GPT2LMHeadModel:
    with torch.random.fork_rng(devices=[]):
        return random_gpt2()


@pytest.fixture(scope="module", params=["random weights", "LM_HEAD_GPT2"])
def gpt2(request: pytest.FixtureRequest, of_random_weights: GPT2LMHeadModel) -> GPT2LMHeadModel:
    if request.param == "random weights":
        return of_random_weights
    if not REAL:
        pytest.skip("LM_HEAD_GPT2 is not set: name a Hub id or a checkpoint folder to run this on a real GPT-2")
    from weights_export.checkpoint import load

    return load(REAL).model


@pytest.fixture(scope="module")
def prompts(gpt2: GPT2LMHeadModel) -> dict[str, torch.Tensor]:
    """Three rows of token ids, two of them padded on the left."""
    rng = np.random.default_rng(5)
    mask = torch.tensor([[1] * 12, [0] * 4 + [1] * 8, [0] * 11 + [1]])
    ids = torch.from_numpy(rng.integers(0, gpt2.config.vocab_size, (3, 12)))
    return {"input_ids": ids, "attention_mask": mask}


@spec("HEAD-1", "LOGITS-2", "LOGITS-3", "LOGITS-5")
def test_heads_agree(head: Head, gpt2: GPT2LMHeadModel, prompts: dict[str, torch.Tensor]) -> None:
    context = huggingface.context_of(gpt2, **prompts).numpy()
    embedding = gpt2.get_output_embeddings().weight.detach().numpy()
    inputs = {"context": context, "embedding": embedding}
    logits = head.compute_logits(**inputs)
    compare("compute_logits", reference.compute_logits(**inputs), logits, **inputs).require()
    assert np.median(logits) < -50, "the logits of a GPT-2 sit far below zero"
    for temperature, k in ((0.7, 50), (1.0, 1), (2.0, len(embedding))):
        settings = {**inputs, "temperature": temperature, "k": k}
        compare("lm_head", reference.lm_head(**settings), head.lm_head(**settings), **settings).require()


@spec("HEAD-1", "LOGITS-3")
def test_transformers_agrees(gpt2: GPT2LMHeadModel, prompts: dict[str, torch.Tensor]) -> None:
    """The model's own logits, and its processors: a row's last token is at the end, the padding on the left."""
    context = huggingface.context_of(gpt2, **prompts)
    inputs = {"context": context.numpy(), "embedding": gpt2.get_output_embeddings().weight.detach().numpy()}
    positions = (prompts["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        theirs = gpt2(**prompts, position_ids=positions).logits[:, -1].numpy()
    compare("compute_logits", reference.compute_logits(**inputs), theirs, **inputs).require()
    processed = huggingface.processed_lm_head(gpt2, context, 0.7, 50).numpy()
    compare("lm_head", reference.lm_head(**inputs), processed, **inputs, ties="all").require()


@spec("RNG-5", "HEAD-1", "DRAW-1")
@pytest.mark.skipif(not local_stream_is_mt19937(), reason=OTHER_STREAM)
def test_generates_the_same_tokens(gpt2: GPT2LMHeadModel, prompts: dict[str, torch.Tensor]) -> None:
    for seed in range(2):
        settings: dict[str, Any] = {"temperature": 0.8, "k": 40, "seed": seed}
        theirs = transformers_generate(gpt2, **prompts, tokens=8, **settings, eos_token_id=None)
        for verdict in compare_with_generate(gpt2, **prompts, theirs=theirs, **settings):
            verdict.require()

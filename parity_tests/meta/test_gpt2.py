"""GPT-2's own forward pass, its logits processors and `generate()` against the NumPy head, at its size."""

from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel

import reference
from torch_impl import huggingface

from ..demo.decoding import NumpyHead, compare_with_generate, transformers_generate
from ..local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from ..verdict import compare

spec = pytest.mark.spec


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
    ids, mask = prompts["input_ids"], prompts["attention_mask"]
    head = NumpyHead.of(gpt2, ids[0, -4:].tolist())
    for seed in range(2):
        settings: dict[str, Any] = {"temperature": 0.8, "k": 40, "seed": seed}
        theirs = transformers_generate(gpt2, ids, mask, 8, **settings)
        for verdict in compare_with_generate(head, ids, mask, theirs, **settings):
            verdict.require()

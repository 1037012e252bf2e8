"""The heads on GPT-2: with random weights, on a real one where LM_HEAD_GPT2 names it, and on the embedded tiny one.

LM_HEAD_GPT2=openai-community/gpt2 make test     a Hub id, or the folder of a checkpoint
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

import reference
from torch_impl import huggingface
from weights_export.bundle import open_bundle

from .heads import Head
from .verdict import compare

spec = pytest.mark.spec


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


@spec("HEAD-1", "LOGITS-2")
def test_heads_agree_on_the_bundle(head: Head, bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    inputs: dict[str, Any] = {"context": bundle.context, "embedding": bundle.embedding}
    logits = head.compute_logits(**inputs)
    compare("compute_logits", reference.compute_logits(**inputs), logits, **inputs).require()
    for temperature in (0.5, 0.7, 1.0, 2.0):
        for k in (1, 50, 2048):
            settings = {**inputs, "temperature": temperature, "k": k}
            compare("lm_head", reference.lm_head(**settings), head.lm_head(**settings), **settings).require()

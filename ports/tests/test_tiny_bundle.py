"""The embedded bundle, committed so that a check needs no PyTorch, is the embedded model's."""

import numpy as np

from ports.checker.bundle_cases import EMBEDDED
from weights_export.bundle import open_bundle
from weights_export.checkpoint import PROMPTS, load


def test_it_is_whole_and_of_the_embedded_model() -> None:
    bundle = open_bundle(EMBEDDED)
    bundle.verify()
    bundle.reproduce()
    checkpoint = load("tiny")
    np.testing.assert_array_equal(bundle.embedding, checkpoint.model.get_output_embeddings().weight.detach().numpy())
    assert [prompt["text"] for prompt in bundle.prompts] == list(PROMPTS)
    for prompt in bundle.prompts:
        window = checkpoint.model.config.n_positions
        assert prompt["token_ids"] == checkpoint.tokenizer.encode(prompt["text"])[-window:]

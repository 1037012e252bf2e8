"""CTranslate2's `Generator` on the CPU, `forward_batch` and `generate_batch`, through models that are made for it.

It has no function that takes a context vector or logits. So each question becomes a small model: a GPT of one layer
whose final layer norm has weight 0 and the context vector as its bias, whatever the prompt, and the embedding as its
projection. What survives top-k is seen by drawing: the ids that come up in 1,000 draws at a temperature of 1,000.
"""

import tempfile
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2 import specs

TITLE, SHORT = "CTranslate2", "CT2"
PACKAGES = ("ctranslate2",)
DTYPES = ("float32",)
POINTERS = True
PROMPT = "<0>"


def _model(context: np.ndarray, embedding: np.ndarray) -> ctranslate2.Generator:
    """A generator whose logits are `context @ embedding.T` after any prompt."""
    (v, d), zeros = embedding.shape, lambda *shape: np.zeros(shape, np.float32)
    spec = specs.TransformerDecoderModelSpec.from_config(1, 1, pre_norm=True, activation=specs.Activation.GELU)
    decoder, layer = spec.decoder, spec.decoder.layer[0]
    decoder.scale_embeddings = False
    decoder.embeddings.weight = zeros(v, d)
    decoder.position_encodings.encodings = zeros(8, d)
    decoder.layer_norm.gamma, decoder.layer_norm.beta = zeros(d), np.ascontiguousarray(context)
    decoder.projection.weight = np.ascontiguousarray(embedding)
    for norm in (layer.self_attention.layer_norm, layer.ffn.layer_norm):
        norm.gamma, norm.beta = zeros(d), zeros(d)
    for linear, rows in (
        (layer.self_attention.linear[0], 3 * d),
        (layer.self_attention.linear[1], d),
        (layer.ffn.linear_0, d),
        (layer.ffn.linear_1, d),
    ):
        linear.weight, linear.bias = zeros(rows, d), zeros(rows)
    spec.register_vocabulary([f"<{i}>" for i in range(v)])
    spec.config.unk_token = spec.config.bos_token = spec.config.eos_token = PROMPT
    spec.validate()
    spec.optimize()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        return ctranslate2.Generator(folder, inter_threads=1, intra_threads=1)


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """`forward_batch`, with a model for each row."""
    rows = [
        np.array(_model(row, embedding).forward_batch([[0]]))[0, 0] for row in context.reshape(-1, context.shape[-1])
    ]
    return np.array(rows, np.float32).reshape(*context.shape[:-1], len(embedding))


def _draws(logits: np.ndarray, count: int, **settings: Any) -> list[int]:
    ctranslate2.set_random_seed(1)
    generator = _model(np.ones(1, np.float32), logits[:, None])
    results = generator.generate_batch(
        [[PROMPT]] * count, max_length=1, include_prompt_in_result=False, end_token=[], **settings
    )
    return [result.sequences_ids[0][0] for result in results]


def survivors(logits: np.ndarray, k: int) -> list[int]:
    """The ids that are drawn with `sampling_topk`."""
    return sorted(set(_draws(logits, 1_000, sampling_topk=k, sampling_temperature=1_000.0)))


def sample(logits: np.ndarray, temperature: float) -> int:
    """One token with `sampling_temperature`, from the whole vocabulary."""
    return _draws(logits, 1, sampling_topk=0, sampling_temperature=temperature)[0]


def draw(logits: np.ndarray) -> int:
    """One token at temperature 1."""
    return sample(logits, 1.0)

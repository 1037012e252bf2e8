"""CTranslate2's `Generator` on the CPU, `forward_batch` and `generate_batch`, through models that are made for it.

It has no function that takes a context vector or logits. So each question becomes a small model: a GPT of one layer
whose final layer norm has weight 0 and the context vector as its bias, whatever the prompt, and the embedding as its
projection. What survives top-k is seen by drawing: the ids that come up in 1,000 draws at a temperature of 1,000. Other
filters are seen in 4,096 draws, and penalties in the logits that it returns. A given output is drawn too: of all draws,
those that begin with it count. `include_prompt_in_result` is False throughout.
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
PROFILE = "ctranslate2"
OFF = {"sampling_topk": 0}


def _model(context: np.ndarray, embedding: np.ndarray) -> ctranslate2.Generator:
    """A generator whose logits are `context @ embedding.T` after any prompt."""
    (v, d), zeros = embedding.shape, lambda *shape: np.zeros(shape, np.float32)
    spec = specs.TransformerDecoderModelSpec.from_config(1, 1, pre_norm=True, activation=specs.Activation.GELU)
    decoder, layer = spec.decoder, spec.decoder.layer[0]
    decoder.scale_embeddings = False
    decoder.embeddings.weight = zeros(v, d)
    decoder.position_encodings.encodings = zeros(128, d)
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


def _after(logits: np.ndarray, settings: dict[str, Any], prompt: list[int], output: list[int]) -> list[Any]:
    """The results of the draws that begin with this output, with one token more or, with `min_length`, as many."""
    ctranslate2.set_random_seed(1)
    results = _model(np.ones(1, np.float32), logits[:, None]).generate_batch(
        [[f"<{token}>" for token in prompt] or [PROMPT]] * 4_096,
        max_length=max(len(output) + 1, settings.get("min_length", 0)),
        include_prompt_in_result=False,
        return_end_token=True,
        return_logits_vocab=True,
        **{"end_token": [], **settings},
    )
    return [r for r in results if r.sequences_ids[0][: len(output)] == output]


def drawn(logits: np.ndarray, settings: dict[str, Any], prompt: list[int], output: list[int]) -> list[int]:
    """The ids that come up after this prompt and output, at least once in all draws."""
    return sorted({result.sequences_ids[0][len(output)] for result in _after(logits, settings, prompt, output)})


def penalised(logits: np.ndarray, settings: dict[str, Any], prompt: list[int], output: list[int]) -> np.ndarray:
    """The logits after the penalties, which `return_logits_vocab` returns for each token that is drawn."""
    return np.array(_after(logits, settings, prompt, output)[0].logits[0][len(output)])


def survivors(logits: np.ndarray, k: int) -> list[int]:
    """The ids that are drawn with `sampling_topk`."""
    return sorted(set(_draws(logits, 1_000, sampling_topk=k, sampling_temperature=1_000.0)))


def greedy(logits: Any) -> np.ndarray:
    """The token that it takes with its defaults, for one row or row by row."""
    taken = [_draws(row, 1)[0] for row in np.reshape(logits, (-1, np.shape(logits)[-1]))]
    return np.array(taken, np.int64).reshape(np.shape(logits)[:-1])


def sample(logits: np.ndarray, temperature: float) -> int:
    """One token with `sampling_temperature`, from the whole vocabulary."""
    return _draws(logits, 1, sampling_topk=0, sampling_temperature=temperature)[0]


def draw(logits: np.ndarray) -> int:
    """One token at temperature 1."""
    return sample(logits, 1.0)

"""What is timed of sampling alone: from given logits to a token each, at temperature 0.7 and k = 50.

Engines that are not in the development install are timed where they are: llama.cpp's chain and mlx-lm's sampler.
"""

import ctypes
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

import reference
import torch_impl
from reference import fast
from torch_impl import fast as torch_fast

from .candidates import TEMPERATURE, Functions, K, lesson, onnx_draw, transformers_processors

SIZES = ((50_257, 1), (50_257, 64), (128_256, 1), (128_256, 64))  # (V, rows)
OURS = ("fast path", "fast path, NumPy's noise", "fast mirror", "fast mirror, k numbers")
COMPILED = ("ONNX Runtime", "llama.cpp's chain", "mlx-lm's sampler")  # no Python between logits and survivors

SAMPLING = """<ir_version: 10, opset_import: ["" : 17]>
sampling (float[b, V] logits) => (float[b, n] probs, int64[b, n] token_ids)
<float temperature = {%r}, int64[1] k = {%d}> {
    scaled = Div (logits, temperature)
    values, token_ids = TopK (scaled, k)
    probs = Softmax <axis = -1> (values)
}"""


def samplers(vocab_size: int, rows: int, threads: int) -> Functions:
    """From logits `(rows, V)` to token ids, by name. Random logits: what the time depends on is their number."""
    logits = np.random.default_rng(0).standard_normal((rows, vocab_size), dtype=np.float32) * np.float32(4)
    z, k = torch.from_numpy(logits), min(K, vocab_size)
    torchs, numpys, own = reference.TorchGenerator(0), np.random.default_rng(0), torch.Generator().manual_seed(0)

    def plain(head: Any, scores: Any, rng: Any) -> Any:
        probs = head.softmax(head.keep_top_k(head.apply_temperature(scores, TEMPERATURE), k))
        return head.multinomial(probs, rng=rng)

    def fast_path(rng: Any) -> np.ndarray:
        return fast._race(*fast.survivors(logits, TEMPERATURE, k), vocab_size, 1, rng)

    def fast_mirror(same_tokens: bool) -> torch.Tensor:
        return torch_fast._race(*torch_fast.survivors(z, TEMPERATURE, k), vocab_size, 1, own, same_tokens)

    return {
        "reference": lambda: plain(reference, logits, torchs),
        "fast path": lambda: fast_path(torchs),
        "fast path, NumPy's noise": lambda: fast_path(numpys),
        "mirror": lambda: plain(torch_impl, z, own),
        "fast mirror": lambda: fast_mirror(same_tokens=True),
        "fast mirror, k numbers": lambda: fast_mirror(same_tokens=False),
        "lesson": lambda: lesson(z, TEMPERATURE, k),
        "Transformers": lambda: transformers_processors(z, TEMPERATURE, k),
        "ONNX Runtime": onnx_draw(SAMPLING % (TEMPERATURE, k), {"logits": logits}, threads),
        **({"llama.cpp's chain": _llama_cpp(logits, k)} if find_spec("llama_cpp") else {}),
        **({"mlx-lm's sampler": _mlx_lm(logits, k)} if find_spec("mlx_lm") else {}),
    }


def _llama_cpp(logits: np.ndarray, k: int) -> Callable[[], list[int]]:
    """Top-k, temperature and `dist`, row by row, on an array of candidates that is written anew, as llama.cpp does."""
    import llama_cpp

    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    for sampler in (
        llama_cpp.llama_sampler_init_top_k(k),
        llama_cpp.llama_sampler_init_temp(TEMPERATURE),
        llama_cpp.llama_sampler_init_dist(0),
    ):
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    candidates = np.empty(logits.shape[-1], [("id", "i4"), ("logit", "f4"), ("p", "f4")])
    data = ctypes.cast(candidates.ctypes.data, ctypes.POINTER(llama_cpp.llama_token_data))

    def draw() -> list[int]:
        drawn = []
        for row in logits:
            candidates["id"], candidates["logit"] = np.arange(len(row), dtype=np.int32), row
            array = llama_cpp.llama_token_data_array(data, len(row), -1, False)
            llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
            drawn.append(int(array.data[array.selected].id))
        return drawn

    return draw


def _mlx_lm(logits: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    """`make_sampler` on log-probabilities, as in `generate_step`."""
    import mlx.core as mx
    from mlx_lm.sample_utils import make_sampler

    mx.set_default_device(mx.cpu)
    z, sampler = mx.array(logits), make_sampler(temp=TEMPERATURE, top_k=k)
    return lambda: np.array(sampler(z - mx.logsumexp(z, axis=-1, keepdims=True)))

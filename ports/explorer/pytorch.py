"""PyTorch's answers, which the page shows next to its own: probabilities and seeded draws at a few settings."""

import base64
from typing import Any, NamedTuple

import numpy as np

from weights_export import Bundle

from .orders import REFERENCE, steps_of


class Setting(NamedTuple):
    """What the page's boxes hold; a k of None is the whole vocabulary."""

    temperature: float
    k: int | None
    top_p: float = 1.0
    min_p: float = 0.0
    order: str = REFERENCE


SETTINGS = (
    Setting(0.7, 50),
    Setting(1.0, 50),
    Setting(1.5, 50),
    Setting(0.7, 5),
    Setting(1.0, None),
    Setting(1.0, 50, top_p=0.9),
    Setting(1.5, None, min_p=0.1),
    Setting(0.8, 40, 0.95, 0.05, "llama.cpp"),
    Setting(0.8, 40, 0.95, 0.05, "sglang"),
)
SEEDS = 200


def answers(bundle: Bundle) -> dict[str, Any]:
    """For each setting and prompt: the survivors, their probabilities, and the first token from every seed.

    Arrays are little-endian bytes in base64. N is the number of prompts, n the most survivors of one.

    - `ids` (N, n) int32, in order of value; or None, which means every token in order of id.
    - `probs` (N, n) float32, 0 for what does not survive.
    - `draws` (N, SEEDS) int32; None if this PyTorch has another random stream [RNG-1].

    Without PyTorch there are no settings. `note` says what is missing and why.
    """
    try:
        import torch
    except ModuleNotFoundError:
        return {"note": "PyTorch was not installed where this page was made.", "settings": []}
    import torch_impl
    from parity_tests.local_torch_rng import OTHER_STREAM, local_stream_is_mt19937

    same_stream = local_stream_is_mt19937()
    context, embedding = (torch.from_numpy(np.array(x, np.float32)) for x in (bundle.context, bundle.embedding))
    logits = torch_impl.compute_logits(context, embedding)
    if bundle.finish:
        bias = None if bundle.bias is None else torch.from_numpy(np.array(bundle.bias))
        logits = torch_impl.finish_logits(logits, **{**bundle.finish, "bias": bias})
    settings: list[dict[str, Any]] = []
    for setting in SETTINGS:
        chosen = {**setting._asdict(), "k": min(setting.k or len(embedding), len(embedding))}
        if any(chosen.items() <= s.items() for s in settings):
            continue  # in a vocabulary of at most 50 tokens, k = 50 and None are the same setting
        kept = torch_impl.process(logits, steps_of(setting.order, chosen))  # (N, V)
        probs = torch_impl.softmax(kept)
        n = int((kept > -torch.inf).sum(dim=-1).max())
        ids = None if n == len(embedding) else torch_impl.top_k(kept, n)[1]
        settings.append(
            {
                **chosen,
                "ids": None if ids is None else _base64(ids.numpy(), "<i4"),
                "probs": _base64((probs if ids is None else probs.gather(-1, ids)).numpy(), "<f4"),
                "draws": _base64(_draws(probs), "<i4") if same_stream else None,
            }
        )
    note = f"PyTorch {torch.__version__.split('+')[0]}, computed when this page was made."
    if not same_stream:
        note += f" It has no draws: {OTHER_STREAM.split(',')[0]}."
    return {"note": note, "settings": settings}


def _draws(probs: Any) -> np.ndarray:
    """The first token of `torch.multinomial` for each row and seed: `(N, V) -> (N, SEEDS)`."""
    import torch

    def first(row: torch.Tensor, seed: int) -> int:
        return int(torch.multinomial(row, 1, generator=torch.Generator().manual_seed(seed)))

    return np.array([[first(row, seed) for seed in range(SEEDS)] for row in probs])


def _base64(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode("ascii")

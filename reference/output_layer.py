"""What other model families do around the product with the embedding: a norm before it, a finish after it.

    hidden [..., d]       the last block's output
        |   layer_norm             GPT-2, Phi, Cohere: centred, divided by the standard deviation ...
        |   rms_norm               ... or Llama, Qwen, Gemma, Granite: divided by the root of the mean square
    context [..., d]
        |   head.compute_logits    the product, as in every head
    logits [..., V]
        |   finish_logits          add a bias (Phi), scale (Cohere, Granite), cap (Gemma 2)
    logits [..., V]       what temperature, top-k and softmax take

Read `head.py` first: dtypes, refusals and batch axes are as there. GPT-2's head finishes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .validation import check_finish, check_finished, check_norm, check_normed


def layer_norm(
    hidden: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    epsilon: float = 1e-5,
    weight_offset: float = 0.0,
) -> np.ndarray:
    """`(h - mean) / sqrt(variance + epsilon) * (weight_offset + weight) + bias`, over the last axis  [OUT-1].

    `(..., d), (d,), (d,) -> (..., d)`. The variance is the biased one, `mean((h - mean)**2)`, taken in a second pass:
    `mean(h**2) - mean**2` cancels where the mean is large. Without a bias (Cohere, OLMo) pass None (Ba, Kiros & Hinton
    2016, https://arxiv.org/abs/1607.06450). `torch.nn.LayerNorm` computes this.
    Raises: TypeError for integers and objects; ValueError for nan or infinity, shapes that do not fit, an epsilon that
    is not finite and > 0, and where the squares or the result overflow.

    >>> layer_norm(np.array([1.0, 3.0]), np.array([1.0, 2.0]), np.array([0.0, 0.5]), epsilon=3.0)
    array([-0.5,  1.5])
    """
    hidden, factor, bias, eps = check_norm(hidden, weight, bias, epsilon, weight_offset)
    with np.errstate(all="ignore"):  # an overflow is refused below
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)  # [..., d] -> [..., 1]
        normed = centred / np.sqrt(variance + eps) * factor
        return check_normed(normed if bias is None else normed + bias, variance)


def rms_norm(hidden: ArrayLike, weight: ArrayLike, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
    """`h / sqrt(mean(h**2) + epsilon) * (weight_offset + weight)`, over the last axis  [OUT-2].

    `(..., d), (d,) -> (..., d)`. Nothing is centred (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467). Gemma
    stores its weight less 1: `weight_offset=1`. Transformers has it as `LlamaRMSNorm`, and as `Gemma2RMSNorm`.
    Raises: as `layer_norm`.

    >>> rms_norm(np.array([1.0, 7.0]), np.array([1.0, 2.0]), epsilon=24.0), rms_norm(np.ones(2), np.zeros(2), 3.0, 1.0)
    (array([0.14285714, 2.        ]), array([0.5, 0.5]))
    """
    hidden, factor, _, eps = check_norm(hidden, weight, None, epsilon, weight_offset)
    with np.errstate(all="ignore"):  # an overflow is refused below
        mean_square = np.square(hidden).mean(axis=-1, keepdims=True)  # [..., d] -> [..., 1]
        return check_normed(hidden / np.sqrt(mean_square + eps) * factor, mean_square)


def finish_logits(
    logits: ArrayLike,
    bias: ArrayLike | None = None,
    multiplier: float = 1.0,
    divisor: float = 1.0,
    cap: float = np.inf,
) -> np.ndarray:
    """`z = (logits + bias) * multiplier / divisor`, then `cap * tanh(z / cap)`  [OUT-5, OUT-6].

    `(..., V), (V,) -> (..., V)`. The bias is Phi's `lm_head.bias`, the multiplier Cohere's `logit_scale`, the divisor
    Granite's `logits_scaling`, the cap Gemma 2's `final_logit_softcapping`; at inf, its natural limit, there is none.
    Up to the cap these are three roundings, so the result is exact to the bit. -inf stays -inf, with a cap too.
    MuseGlimmer has both a scale and a cap in this order; vLLM's layer caps first and scales then.
    Raises: TypeError for integers and objects; ValueError for logits as in `apply_temperature`, a bias that is not
    finite or not `(V,)`, a multiplier or divisor that is not finite and > 0, a cap that is not > 0, and where a finite
    logit overflows.

    >>> finish_logits(np.array([2.0, 6.0, -np.inf]), np.array([0.0, 2.0, 0.0]), multiplier=3.0, divisor=4.0)
    array([ 1.5,  6. , -inf])
    """
    return _finished(*check_finish(logits, bias, multiplier, divisor, cap))


def _finished(
    logits: np.ndarray,
    bias: np.ndarray | None,
    multiplier: np.floating,
    divisor: np.floating,
    cap: np.floating,
    start: int = 0,
    shape: tuple[int, ...] | None = None,
) -> np.ndarray:
    """`finish_logits` of arguments that have been checked; `start` and `shape` are for `check_finished`."""
    with np.errstate(all="ignore"):  # an overflow is refused in the third line
        scaled = logits if bias is None else logits + bias
        scaled = scaled * multiplier / divisor
        scaled = check_finished(scaled, logits, start, shape)
        if cap == np.inf:
            return scaled
        return np.where(logits == -np.inf, logits, cap * np.tanh(scaled / cap))


class Finish:
    """`finish_logits` of logits that come in blocks of the vocabulary: the arguments by name, checked once.

    `dtype` is that of the result: the wider one of the logits' and the bias's.
    """

    def __init__(self, arguments: Mapping[str, Any], vocab_size: int, dtype: np.dtype) -> None:
        given = {"bias": None, "multiplier": 1.0, "divisor": 1.0, "cap": np.inf, **arguments}
        row, self._bias, *self._numbers = check_finish(np.zeros(vocab_size, dtype), **given)
        self.dtype: np.dtype = row.dtype

    def __call__(self, block: np.ndarray, start: int, shape: tuple[int, ...]) -> np.ndarray:
        """The ids from `start` on of logits `(*shape, V)`: `(N, width) -> (N, width)`."""
        bias = None if self._bias is None else self._bias[start : start + block.shape[1]]
        multiplier, divisor, cap = self._numbers
        return _finished(block.astype(self.dtype, copy=False), bias, multiplier, divisor, cap, start, shape)

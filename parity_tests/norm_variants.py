"""Correct but different norms and finishes: `variants.py` lists them with the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

import reference
from reference import validation

from .heads import to_torch

# Hidden states as rows, the weight with its offset, the bias or None, epsilon -> the rows normed.
Rows = Callable[[np.ndarray, np.ndarray, Any, np.floating], np.ndarray]


def layer_norm_by(rows_by: Rows) -> Callable[..., np.ndarray]:
    """A layer norm that refuses what the reference refuses."""

    def layer_norm(
        hidden: Any, weight: Any, bias: Any = None, epsilon: float = 1e-5, weight_offset: float = 0.0
    ) -> np.ndarray:
        reference.layer_norm(hidden, weight, bias, epsilon, weight_offset)
        h, g, b, eps = validation.check_norm(hidden, weight, bias, epsilon, weight_offset)
        return rows_by(h.reshape(-1, len(g)), g, b, eps).reshape(h.shape)

    return layer_norm


def rms_norm_by(rows_by: Rows) -> Callable[..., np.ndarray]:
    """An RMS norm that refuses what the reference refuses."""

    def rms_norm(hidden: Any, weight: Any, epsilon: float = 1e-6, weight_offset: float = 0.0) -> np.ndarray:
        reference.rms_norm(hidden, weight, epsilon, weight_offset)
        h, g, _, eps = validation.check_norm(hidden, weight, None, epsilon, weight_offset)
        return rows_by(h.reshape(-1, len(g)), g, None, eps).reshape(h.shape)

    return rms_norm


def _sum(terms: np.ndarray) -> np.ndarray:
    """One after the other, from the last to the first."""
    total: np.ndarray = np.cumsum(terms[..., ::-1], axis=-1)[..., -1:]
    return total


def _centred(h: np.ndarray) -> np.ndarray:
    return h - _sum(h) / h.dtype.type(h.shape[-1])


def one_by_one(c: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """Sums from right to left, a product with 1 / d, and an rsqrt that is a root of a quotient."""
    mean_square = _sum(np.square(c)) * (c.dtype.type(1) / c.dtype.type(c.shape[-1]))
    normed = c * (1 / np.sqrt(mean_square + eps)) * g
    return normed if b is None else normed + b


def one_by_one_centred(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """As `one_by_one`, of a layer norm."""
    return one_by_one(_centred(h), g, b, eps)


def welford(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """Welford's updates: mean and variance in one pass; then `h r - mean r`, as kernels that keep the row have it."""
    mean, squares = np.zeros((2, len(h), 1), h.dtype)
    for k in range(h.shape[-1]):
        delta = h[:, k : k + 1] - mean
        mean = mean + delta / h.dtype.type(k + 1)
        squares = squares + delta * (h[:, k : k + 1] - mean)
    r = 1 / np.sqrt(squares / h.dtype.type(h.shape[-1]) + eps)
    normed = (h * r - mean * r) * g
    return normed if b is None else normed + b


def in_float64(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """A layer norm in float64, rounded once."""
    added = None if b is None else b.astype(np.float64)
    return reference.layer_norm(h.astype(np.float64), g.astype(np.float64), added, float(eps)).astype(h.dtype)


def rms_in_float64(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """An RMS norm in float64, rounded once."""
    return reference.rms_norm(h.astype(np.float64), g.astype(np.float64), float(eps)).astype(h.dtype)


def _of_module(module: Any, h: np.ndarray, **parameters: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        for name, values in parameters.items():
            setattr(module, name, torch.nn.Parameter(to_torch(values)))
        result: np.ndarray = module.to(to_torch(h).dtype)(to_torch(h)).numpy()
    return result


def torch_layer_norm(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """`torch.nn.LayerNorm`."""
    module = torch.nn.LayerNorm(len(g), float(eps), bias=b is not None)
    return _of_module(module, h, weight=g, **({} if b is None else {"bias": b}))


def torch_rms_norm(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """`torch.nn.RMSNorm`."""
    return _of_module(torch.nn.RMSNorm(len(g), float(eps)), h, weight=g)


def _in_float32(of_float32: Callable[..., np.ndarray], other: Rows) -> Rows:
    """A norm of Transformers, which computes in float32 whatever it is given; float64 is left to another."""

    def rows_by(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
        return of_float32(h, g, b, eps) if h.dtype == np.float32 else other(h, g, b, eps)

    return rows_by


def _llama(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    return _of_module(LlamaRMSNorm(len(g), float(eps)), h, weight=g)


def _gemma(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    """The weight is stored less 1: only what that leaves exact."""
    return (
        _of_module(Gemma2RMSNorm(len(g), float(eps)), h, weight=g - 1)
        if (g - 1 + 1 == g).all()
        else _llama(h, g, b, eps)
    )


def _cohere(h: np.ndarray, g: np.ndarray, b: Any, eps: Any) -> np.ndarray:
    normed = _of_module(CohereLayerNorm(len(g), float(eps)), h, weight=g)
    return normed if b is None else normed + b


llama, gemma = _in_float32(_llama, torch_rms_norm), _in_float32(_gemma, torch_rms_norm)
cohere = _in_float32(_cohere, torch_layer_norm)


def finish_in_float64(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = np.inf
) -> np.ndarray:
    """The cap in float64, rounded once; bias and scale as they must be."""
    scaled = reference.finish_logits(logits, bias, multiplier, divisor)
    limit = validation.check_finish(logits, bias, multiplier, divisor, cap)[-1]
    return reference.finish_logits(scaled.astype(np.float64), cap=float(limit)).astype(scaled.dtype)


def finish_by_exp(
    logits: Any, bias: Any = None, multiplier: float = 1.0, divisor: float = 1.0, cap: float = np.inf
) -> np.ndarray:
    """tanh by expm1, which neither overflows nor cancels: `-expm1(-2|x|) / (2 + expm1(-2|x|))` with the sign of x."""
    scaled = reference.finish_logits(logits, bias, multiplier, divisor)
    limit = validation.check_finish(logits, bias, multiplier, divisor, cap)[-1]
    if limit == np.inf:
        return scaled
    with np.errstate(all="ignore"):
        power = np.expm1(-2 * np.abs(scaled / limit))
        return np.where(scaled == -np.inf, scaled, np.copysign(limit * (-power / (2 + power)), scaled))

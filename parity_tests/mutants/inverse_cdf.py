"""Wrong walks along the running sum."""

from typing import Any

import numpy as np

from reference import inverse_cdf, validation

from .registry import mutant

LLAMA2_C = "https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c"


def _inputs(probs: Any, uniform: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The probabilities, the uniforms `(..., 1)` and the running sum in float64."""
    inverse_cdf(probs, uniform)  # refuses bad input
    probs = validation.check_probabilities(probs)
    uniform = validation.check_uniform(uniform, probs.shape[:-1])[..., None]
    return probs, uniform, np.cumsum(probs, axis=-1, dtype=np.float64)


def _first(exceeds: np.ndarray, otherwise: Any) -> np.ndarray:
    return np.where(exceeds.any(axis=-1), exceeds.argmax(axis=-1), otherwise)


@mutant("inverse_cdf", "CDF-2", "reaches in place of exceeds: u = 0 draws a leading zero")
def reaches(probs: Any, uniform: Any) -> np.ndarray:
    """`searchsorted(..., side="left")`, or `if u <= cumulative`."""
    probs, uniform, running = _inputs(probs, uniform)
    return _first(running >= uniform * running[..., -1:], probs.shape[-1] - 1)


@mutant("inverse_cdf", "CDF-2", "the last id at the end of the walk, even of probability zero", LLAMA2_C)
def last_id_at_the_end(probs: Any, uniform: Any) -> np.ndarray:
    """`return n - 1; // in case of rounding errors`, with a float32 sum that ends below u."""
    probs, uniform, _ = _inputs(probs, uniform)
    total = probs.sum(axis=-1, dtype=np.float64, keepdims=True)
    running = np.cumsum(probs / total, axis=-1, dtype=np.float32)
    return _first(running > uniform, probs.shape[-1] - 1)


@mutant(
    "inverse_cdf", "CDF-2", "V returned at the end of the walk", "https://github.com/tensorflow/tensorflow/issues/2774"
)
def v_at_the_end(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, running = _inputs(probs, uniform)
    return _first(running > uniform * running[..., -1:], probs.shape[-1])


@mutant("inverse_cdf", "CDF-2", "id 0 at the end of the walk", "https://github.com/pytorch/pytorch/pull/5774")
def first_id_at_the_end(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, running = _inputs(probs, uniform)
    return _first(running > uniform * running[..., -1:], 0)


@mutant("inverse_cdf", "CDF-2", "the last running sum forced to 1: a trailing zero can be drawn")
def forced_to_one(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, running = _inputs(probs, uniform)
    running = (running / running[..., -1:]).astype(np.float32)
    running[..., -1] = 1 + 2.0**-20
    return _first(running > uniform.astype(np.float32), probs.shape[-1] - 1)


@mutant("inverse_cdf", "CDF-1", "the running sum kept in float32")
def float32_sum(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, _ = _inputs(probs, uniform)
    running = np.cumsum(probs, axis=-1, dtype=np.float32)
    possible = probs.shape[-1] - 1 - np.argmax(probs[..., ::-1] > 0, axis=-1)
    return _first((running > uniform * running[..., -1:].astype(np.float64)) & (probs > 0), possible)


@mutant("inverse_cdf", "CDF-1", "u not scaled by the total", "https://github.com/vllm-project/vllm/issues/718")
def not_scaled(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, running = _inputs(probs, uniform)
    possible = probs.shape[-1] - 1 - np.argmax(probs[..., ::-1] > 0, axis=-1)
    return _first((running > uniform) & (probs > 0), possible)


@mutant("inverse_cdf", "CDF-1", "a walk in the order of rank, not of id")
def rank_order(probs: Any, uniform: Any) -> np.ndarray:
    probs = _inputs(probs, uniform)[0]
    order = np.argsort(-probs, axis=-1, kind="stable")
    rank = inverse_cdf(np.take_along_axis(probs, order, axis=-1), uniform)
    return np.take_along_axis(order, rank[..., None], axis=-1)[..., 0]


@mutant("inverse_cdf", "CDF-1", "the rank returned, not the id")
def returns_rank(probs: Any, uniform: Any) -> np.ndarray:
    probs = _inputs(probs, uniform)[0]
    return inverse_cdf(np.sort(probs, axis=-1)[..., ::-1], uniform)


@mutant("inverse_cdf", "CDF-1", "a sum that leaves the token itself out: one id too far")
def exclusive_sum(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, running = _inputs(probs, uniform)
    return _first(running - probs > uniform * running[..., -1:], probs.shape[-1] - 1)


@mutant(
    "inverse_cdf", "HEAD-4", "one uniform for the whole batch", "https://github.com/sgl-project/sglang-jax/pull/940"
)
def one_uniform_for_all(probs: Any, uniform: Any) -> np.ndarray:
    probs, uniform, _ = _inputs(probs, uniform)
    if not uniform.size:
        return inverse_cdf(probs, uniform[..., 0])
    return inverse_cdf(probs, np.full(probs.shape[:-1], uniform.reshape(-1)[0]))


@mutant("inverse_cdf", "CDF-3", "u = 1 accepted", "https://github.com/ohdearquant/lattice/issues/345")
def accepts_one(probs: Any, uniform: Any) -> np.ndarray:
    """Such a u comes from a conversion of 64 bits that rounds up to exactly 1."""
    uniform = np.asarray(uniform)
    return inverse_cdf(probs, np.minimum(uniform, 1 - 2.0**-53) if uniform.dtype.kind == "f" else uniform)


@mutant("inverse_cdf", "CDF-4", "a total that overflows goes on")
def overflow_goes_on(probs: Any, uniform: Any) -> np.ndarray:
    array = np.asarray(probs)
    with np.errstate(over="ignore"):
        overflows = array.dtype.kind == "f" and not np.isfinite(array.sum(axis=-1)).all() and np.isfinite(array).all()
    return np.zeros(array.shape[:-1], np.int64) if overflows else inverse_cdf(probs, uniform)

"""The operations of PROTOCOL.md. Each checks its input, refuses what is bad, and leaves the rest to the graphs."""

from typing import Any

import numpy as np

from reference.operations import TIES
from weights_export import BundleError, open_bundle

from . import build, refusals
from .run import run, run_operation, session

NO_STREAM = "no random stream: ONNX's generators are each runtime's own"


def compute_logits(context: np.ndarray, embedding: np.ndarray) -> dict[str, Any]:
    """`logits`."""
    refusals.factors(context, embedding)
    return run_operation("compute_logits", context=context, embedding=embedding)


def apply_temperature(logits: np.ndarray, temperature: Any = 0.7) -> dict[str, Any]:
    """`logits`, divided by the temperature."""
    refusals.logits(logits)
    number = refusals.temperature(temperature, logits.dtype.name)
    quotient = run_operation("apply_temperature", logits=logits, temperature=number)["scaled"]
    return {"logits": refusals.scaled(quotient, temperature)}


def top_k(logits: np.ndarray, k: Any = 50) -> dict[str, Any]:
    """`values` and `token_ids`."""
    return run_operation("top_k", logits=refusals.logits(logits), k=refusals.count("k", k))


def keep_top_k(logits: np.ndarray, k: Any = 50, ties: str = "lowest_id") -> dict[str, Any]:
    """`logits`, with -inf outside the survivors."""
    refusals.logits(logits)
    refusals.count("k", k)
    if ties not in TIES:
        raise refusals.Refused("bad_ties", f"ties is {ties!r}: it must be 'lowest_id' or 'all'")
    return {"logits": run_operation("keep_top_k", ties, logits=logits, k=k)["kept"]}


def softmax(logits: np.ndarray) -> dict[str, Any]:
    """`probs`."""
    return run_operation("softmax", logits=refusals.logits(logits))


def multinomial(probs: np.ndarray, num_samples: Any = 1, noise: np.ndarray | None = None) -> dict[str, Any]:
    """`token_ids`, from given noise. Raises: NotImplementedError if there is a seed instead of noise."""
    refusals.weights(probs, refusals.count("num_samples", num_samples))
    if noise is None:
        raise NotImplementedError(NO_STREAM)
    refusals.noise(noise, probs)
    return run_operation("multinomial", probs=probs, noise=noise, num_samples=num_samples)


def inverse_cdf(probs: np.ndarray, uniform: np.ndarray) -> dict[str, Any]:
    """`token_ids`."""
    refusals.uniform(uniform, refusals.weights(probs).shape[:-1])
    result = run_operation("inverse_cdf", probs=probs, uniform=uniform)
    refusals.total(result.pop("total"))
    return result


def lm_head(context: np.ndarray, embedding: np.ndarray, temperature: Any = 0.7, k: Any = 50) -> dict[str, Any]:
    """`probs`, by a single graph of the whole head."""
    refusals.factors(context, embedding)
    wide = "float64" in (context.dtype.name, embedding.dtype.name)
    number = refusals.temperature(temperature, "float64" if wide else "float32")
    count = refusals.count("k", k)
    return _whole(run_operation("lm_head", context=context, embedding=embedding, temperature=number, k=count))


def _whole(result: dict[str, Any]) -> dict[str, Any]:
    """The result of the whole head, checked afterwards.

    Nothing can be checked between the stages of one graph. But bad logits are visible in its output `logits`, and a
    quotient that overflows makes `probs` nan.
    """
    refusals.logits(result.pop("logits"))
    if np.isnan(result["probs"]).any():
        raise refusals.Refused("overflow", "logits / temperature overflows: raise the temperature")
    return result


class Bundle:
    """An open bundle. Its embedding is stored in a graph of the whole head, which includes the draw."""

    def __init__(self, path: str) -> None:
        try:
            bundle = open_bundle(path)
            bundle.verify()
        except (OSError, BundleError) as error:
            raise refusals.Refused("bad_bundle", str(error)) from None
        none = np.zeros((0, bundle.manifest["hidden_size"]), np.float32)  # exported with --head-only
        self.contexts = np.array(bundle.context) if bundle.manifest["prompts"] else none
        self.shape = bundle.embedding.shape
        dtypes = {"context": self.contexts.dtype.name, "embedding": bundle.embedding.dtype.name}
        embedding = np.array(bundle.embedding)
        self._session = session(build.head(dtypes, 1, "uniform", embedding, bundle.finish))
        self._dtype = "float64" if "float64" in dtypes.values() else "float32"

    def step(self, context: int, uniform: float, temperature: Any = 0.7, k: Any = 50) -> dict[str, Any]:
        """`probs` and `token_id` of one context, by one run of the graph. Raises: IndexError for an unknown context."""
        if not 0 <= context < len(self.contexts):
            raise IndexError(f"context is {context}: the bundle has {len(self.contexts)}, counted from 0")
        inputs = {
            "context": self.contexts[context],
            "temperature": refusals.temperature(temperature, self._dtype),
            "k": refusals.count("k", k),
            "uniform": refusals.uniform(np.array(uniform, np.float64), ()),
        }
        result = _whole(run(self._session, **inputs))
        return {"probs": result["probs"], "token_id": int(result["token_ids"])}

"""What a family of models does between its last block and its logits, as data; in a manifest, `output_layer`.

The functions are those of `reference.output_layer`: a final norm, the product with the output embedding, its bias, a
scale and a soft cap  [OUT-1 to OUT-7].
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

import reference
from reference import bounds

from .errors import BundleError


@dataclass(frozen=True)
class Norm:
    """The final norm: its kind, its epsilon, and what is added to its weight: 1 in Gemma, else 0."""

    kind: Literal["layer_norm", "rms_norm"]
    epsilon: float
    weight_offset: float = 0.0


@dataclass(frozen=True)
class OutputLayer:
    """The final norm, None if there is none, and what the product with the output embedding goes through.

    `logits = cap * tanh((product + bias) * multiplier / divisor / cap)`; without a cap the tanh is left out.
    """

    norm: Norm | None
    multiplier: float = 1.0
    divisor: float = 1.0
    cap: float | None = None

    def __post_init__(self) -> None:
        numbers = {"multiplier": self.multiplier, "divisor": self.divisor, "cap": 1.0 if self.cap is None else self.cap}
        if self.norm is not None:
            numbers["epsilon"] = self.norm.epsilon
        for name, number in numbers.items():
            if not _positive(number):
                raise BundleError(
                    f"output_layer: {name} is {number!r}: it must be a finite number above 0, also in float32"
                )
        offset = self.norm.weight_offset if self.norm is not None else 0.0
        if not _number(offset) or not (offset == 0 or _positive(abs(offset))):
            raise BundleError(f"output_layer: weight_offset is {offset!r}: it must be a finite number, also in float32")

    @classmethod
    def read(cls, content: Any) -> "OutputLayer":
        """The output layer that a manifest describes. Raises: BundleError for anything else."""
        norm = content.get("norm") if isinstance(content, dict) else None
        if not isinstance(content, dict) or content.keys() != {"norm", "multiplier", "divisor", "cap"}:
            raise BundleError("output_layer must have norm, multiplier, divisor and cap, and nothing else")
        if norm is not None and (not isinstance(norm, dict) or norm.keys() != {"kind", "epsilon", "weight_offset"}):
            raise BundleError("output_layer: norm must be null, or have kind, epsilon and weight_offset")
        if norm is not None and norm["kind"] not in ("layer_norm", "rms_norm"):
            raise BundleError(f"output_layer: kind is {str(norm['kind'])[:80]!r}: it must be layer_norm or rms_norm")
        if content["cap"] is not None and not _positive(content["cap"]):
            raise BundleError(f"output_layer: cap is {str(content['cap'])[:80]}: it must be null or above 0")
        return cls(**{**content, "norm": None if norm is None else Norm(**norm)})

    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return asdict(self)

    @property
    def plain(self) -> bool:
        """Whether the product is the logits, but perhaps for a bias."""
        return self.multiplier == self.divisor == 1 and self.cap is None

    def finish(self, bias: np.ndarray | None) -> dict[str, Any]:
        """The arguments of `finish_logits` by name, numbers as float32 has them; none if they change nothing."""
        if self.plain and bias is None:
            return {}
        numbers = {"multiplier": self.multiplier, "divisor": self.divisor, "cap": self.cap or math.inf}
        return {"bias": bias, **{name: float(np.float32(value)) for name, value in numbers.items()}}

    def normed(self, hidden: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
        """The hidden states after the final norm, `(..., d) -> (..., d)`. Raises: as the functions of `reference`."""
        if self.norm is None:
            return hidden
        settings = {"epsilon": self.norm.epsilon, "weight_offset": self.norm.weight_offset}
        assert weight is not None
        if self.norm.kind == "rms_norm":
            return reference.rms_norm(hidden, weight, **settings)
        return reference.layer_norm(hidden, weight, bias, **settings)

    def norm_bound(self, hidden: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
        """How far a float32 norm may be from the exact one, `(..., d) -> (..., d)`."""
        if self.norm is None:
            return np.zeros(hidden.shape)
        settings: Mapping[str, Any] = {"epsilon": self.norm.epsilon, "weight_offset": self.norm.weight_offset}
        if self.norm.kind == "rms_norm":
            return bounds.rms_norm(hidden, weight, dtype="float32", **settings)
        return bounds.layer_norm(hidden, weight, bias, dtype="float32", **settings)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _positive(value: Any) -> bool:
    """Whether a value is a number above 0, also once it is rounded to float32, in which heads compute."""
    with np.errstate(over="ignore"):
        return _number(value) and abs(value) < 1e300 and 0 < float(np.float32(value)) < math.inf


def finished(
    context: np.ndarray, embedding: np.ndarray, finish: Mapping[str, Any], dtype: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """The logits, and how far those computed in `dtype` may be from the exact ones: `(..., d), (V, d) -> 2 x (..., V)`.

    The logits are the reference's in float32, or the best that float64 can do. A bias may enter the sum at any place,
    as one more product, so its bound is that of a sum of d + 1.
    """
    product = reference.compute_logits if dtype == "float32" else bounds.exact_logits
    logits = product(context, embedding)
    if not finish:
        return logits, bounds.logits(context, embedding, dtype)
    error = bounds.logits(context, embedding, dtype, bias=finish["bias"])
    logits = reference.finish_logits(logits, finish["bias"])
    rest = {**finish, "bias": None}
    return reference.finish_logits(logits, **rest), bounds.finish_logits(logits, **rest, dtype=dtype, error=error)


def likely(
    context: np.ndarray, embedding: np.ndarray, finish: Mapping[str, Any], logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of the error of float32 logits, the part that is not random, at most, and the deviation of the rest, at most.

    The sum's roundings are random (`bounds.deviation`), and the scale multiplies them; the cap makes them no larger.
    What finishing exact logits rounds is taken for certain. `logits` are the exact ones, finished.
    """
    deviation = bounds.deviation(context, embedding, "float32", bias=finish.get("bias"))
    if not finish:
        return np.zeros_like(deviation), deviation
    rest = {**finish, "bias": None, "cap": np.inf}
    scale = finish["multiplier"] / finish["divisor"]
    unscaled = bounds.exact_logits(context, embedding)
    always = bounds.finish_logits(unscaled, **rest, dtype="float32")
    if finish["cap"] < np.inf:
        always = always + bounds.gamma(2 * bounds.TANH_ULPS + 2, "float32") * np.abs(logits)
    return always, deviation * scale

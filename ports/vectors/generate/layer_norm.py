"""Vectors of `layer_norm`: within a bound."""

from typing import Any

import numpy as np

from . import norms
from .build import Answer, File, Numbers, array

FLAGS = """
Centring (OUT-1): an RMS norm in place of a layer norm [rms_for_layer_norm divided_but_not_centred]
UnbiasedVariance (OUT-1): the variance divided by d - 1 [unbiased_variance]
    https://github.com/LBANN/lbann/pull/2024
    https://github.com/FluxML/Flux.jl/issues/529
OnePass (OUT-3): the variance as mean(h**2) - mean**2, which cancels [one_pass_variance]
    https://github.com/microsoft/onnxruntime/pull/31973
    https://github.com/pytorch/pytorch/pull/55044
Bias (OUT-1): the bias forgotten [bias_forgotten]
Offset (OUT-2): the weight in place of offset + weight [weight_without_offset]
SixteenBits (HEAD-2): 16-bit hidden states normed in 16 bits
InPlace (HEAD-3): the caller's hidden states overwritten [in_place]
"""


def answers(
    hidden: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float = 1e-5, weight_offset: float = 0.0
) -> list[Answer]:
    """The exact layer norm; the defaults are OUT-1's."""
    return norms.answers(hidden, weight, bias, epsilon, weight_offset, centred=True)


def build() -> File:
    """The file of vectors."""
    common = norms.FLAGS.format(not_finite="not_finite_goes_through", bad_number="", shape="", overflow="")
    file = File("layer_norm", FLAGS + common.replace(" []", ""), answers, epsilon=1e-5)
    rng = Numbers(10)
    own: dict[str, Any] = {"weight": array([0.5, 1, -2]), "bias": array([0, -1, 0.25])}

    file.group(
        "plain rows", "OUT-1", "Centred, over the root of the biased variance plus epsilon. Make these pass first."
    )
    file.valid("whole numbers", "Centring UnbiasedVariance Bias", hidden=[1, 3, 5], **own)
    file.valid("mean 0: only the divisor and the bias tell", "UnbiasedVariance Bias Root", hidden=[-2, 0, 2], **own)
    file.valid("two rows", "NormOnce Centring OverTheBatch Weight", hidden=[[1, -2, 4], [0.5, 0, 3]], **own)
    file.valid("equal numbers: the bias is left", "Centring NormOnce", hidden=[0.5, 0.5, 0.5], **own)
    none = own | {"bias": array([0, 0, 0])}
    file.valid("a bias of zeros, as of a model without one", "Centring", hidden=[4, 1, 1], **none)

    file.group("a mean far above the spread", "OUT-3", "Two passes or Welford's updates; mean(h**2) - mean**2 cancels.")
    for mean in (300, -3_000, 100_000):
        file.valid(f"mean {mean:,}", "OnePass", hidden=array(rng.normal(3) + mean), **own)
    norms.common_groups(file, rng, own)
    huge: dict[str, Any] = {"hidden": array([1e30, 0, 0]), **own}
    norms.squares_that_overflow(file, answers(**huge), **huge)
    return file

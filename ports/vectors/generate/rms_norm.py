"""Vectors of `rms_norm`: within a bound."""

from typing import Any

import numpy as np

from . import norms
from .build import Answer, File, Numbers, array

FLAGS = """
Centring (OUT-2): a layer norm in place of an RMS norm [layer_norm_for_rms]
Offset (OUT-2): the weight in place of offset + weight: Gemma's 1 forgotten [offset_forgotten]
    https://github.com/pytorch/executorch/pull/19901
SixteenBits (HEAD-2): 1 + weight added in 16 bits, or 16-bit hidden states answered in 16 bits
    [offset_in_16_bits keeps_16_bits]
    https://github.com/vllm-project/vllm/pull/29810
InPlace (HEAD-3): the caller's hidden states overwritten
"""


def answers(hidden: np.ndarray, weight: np.ndarray, epsilon: float = 1e-6, weight_offset: float = 0.0) -> list[Answer]:
    """The exact RMS norm; the defaults are OUT-2's."""
    return norms.answers(hidden, weight, None, epsilon, weight_offset, centred=False)


def build() -> File:
    """The file of vectors."""
    common = norms.FLAGS.format(
        not_finite="", bad_number="any_epsilon", shape="broadcasts_the_weight", overflow="overflow_makes_zeros"
    )
    file = File("rms_norm", FLAGS + common.replace(" []", "").replace("(OUT-1)", "(OUT-2)"), answers, epsilon=1e-6)
    rng = Numbers(11)
    own: dict[str, Any] = {"weight": array([0.5, 1, -2])}

    file.group("plain rows", "OUT-2", "Over the root of the mean square plus epsilon. Make these pass first.")
    file.valid("whole numbers", "Centring Root", hidden=[1, 3, 5], **own)
    file.valid("two rows", "NormOnce Centring OverTheBatch Weight", hidden=[[1, -2, 4], [0.5, 0, 3]], **own)
    file.valid("equal numbers: a layer norm would leave 0", "Centring NormOnce", hidden=[0.5, 0.5, 0.5], **own)
    file.valid("a mean far above the spread", "Centring", hidden=array(rng.normal(3) + 300), **own)
    norms.common_groups(file, rng, own)
    huge: dict[str, Any] = {"hidden": array([1e30, 0, 0]), **own}
    norms.squares_that_overflow(file, answers(**huge), **huge)
    return file

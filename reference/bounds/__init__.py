"""How far two correct implementations may differ: a derived bound for each element, no tolerance picked by hand.

Each function returns the largest error, against the exact value, that a correct computation in a given dtype can have.
The bound holds for any order of summation, with or without fused multiply-add, on any processor. Two implementations
of a stage that compute in dtypes a and b may differ by the sum of their two bounds. Bounds are float64 arrays.

The model of arithmetic: each operation is rounded to nearest, `fl(x op y) = (x op y)(1 + e)` with `|e| <= u`. A result
that underflows has an absolute error besides; it may also be flushed to zero. `exp` is accurate to EXP_ULPS units in
the last place. A hardware approximation such as CUDA's `__expf` does not conform.

Sources: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2002), ch. 2 to 4; N. J. Higham & T. Mary, A New
Approach to Probabilistic Rounding Error Analysis (2019); P. Blanchard, D. J. Higham & N. J. Higham, Accurately
Computing the Log-Sum-Exp and Softmax Functions (2021).
"""

from . import filters
from .arithmetic import (
    EXP_ULPS,
    LOG_ULPS,
    RSQRT_ULPS,
    TANH_ULPS,
    gamma,
    largest,
    mean_square,
    probabilistic_gamma,
    smallest_normal,
    unit_roundoff,
)
from .head import deviation, exact_logits, gumbel, logits, never_rounds, race, running_sum, softmax, temperature
from .output_layer import finish_logits, layer_norm, rms_norm
from .penalties import frequency_penalty, rounded_once
from .quantised import quantised_logits
from .scoring import cross_entropy, log_probs

__all__ = [
    "EXP_ULPS",
    "LOG_ULPS",
    "RSQRT_ULPS",
    "TANH_ULPS",
    "cross_entropy",
    "deviation",
    "exact_logits",
    "filters",
    "finish_logits",
    "frequency_penalty",
    "gamma",
    "gumbel",
    "largest",
    "layer_norm",
    "log_probs",
    "logits",
    "mean_square",
    "never_rounds",
    "probabilistic_gamma",
    "quantised_logits",
    "race",
    "rms_norm",
    "rounded_once",
    "running_sum",
    "smallest_normal",
    "softmax",
    "temperature",
    "unit_roundoff",
]

"""SciPy: `scipy.special.softmax`."""

from typing import Any

import numpy as np
from scipy import special

TITLE, SHORT = "SciPy's softmax", "SciPy"
PACKAGES = ("scipy",)


def softmax(logits: Any) -> np.ndarray:
    """`scipy.special.softmax(axis=-1)`."""
    return special.softmax(logits, axis=-1)

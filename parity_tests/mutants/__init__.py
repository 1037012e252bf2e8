"""Mistakes that real language-model heads made, each as a small wrong replacement of one function of the reference.

The suite is held against every one of them: a mutant that passes its stage's tests is a hole in the suite. Each names
the mistake (`looks_like`) and where a real system made it (`source`); "folk" are those nobody has filed.
"""

from . import inverse_cdf, lm_head, logits, multinomial, softmax, temperature, top_k, torch_rng
from .registry import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "inverse_cdf",
    "lm_head",
    "logits",
    "multinomial",
    "softmax",
    "temperature",
    "top_k",
    "torch_rng",
]

"""Mistakes that real language-model heads made, each as a small wrong replacement of one function of the reference.

The suite is held against every one of them: a mutant that passes its stage's tests is a hole in the suite. Each names
the mistake (`looks_like`) and where a real system made it (`source`); "folk" are those nobody has filed.
"""

import importlib
import pkgutil

from .registry import MUTANTS, Mutant

for _module in pkgutil.iter_modules(__path__):  # each registers its mutants
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["MUTANTS", "Mutant"]

"""Mistakes that real language-model heads have made. Each is a mutant: the reference with one wrong function.

The suite runs on every mutant. A mutant that passes the tests of its stage shows a hole in the suite. Each one
describes the mistake (`looks_like`) and links to a real system that made it (`source`). "folk" means that everybody has
seen the mistake and nobody has reported it.
"""

import importlib
import pkgutil

from .registry import MUTANTS, Mutant

for _module in pkgutil.iter_modules(__path__):  # importing a module registers its mutants
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["MUTANTS", "Mutant"]

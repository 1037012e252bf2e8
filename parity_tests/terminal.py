"""The console for tables: as wide as the terminal, or 100 columns in a pipe or a file, which have no width."""

import os
import sys

from rich.console import Console


def console() -> Console:
    """Standard output. COLUMNS in the environment overrides the width."""
    has_a_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if has_a_width else 100)

"""Where tables go: a terminal as wide as it is, and 100 columns in a pipe or a file, which have no width."""

import os
import sys

from rich.console import Console


def console() -> Console:
    """Standard output; COLUMNS in the environment has the last word."""
    has_a_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if has_a_width else 100)

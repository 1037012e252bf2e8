"""What every command's `--version` prints."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = f"lm-head-parity {version('lm-head-parity')}"
except PackageNotFoundError:  # the folders are on the path, nothing more
    VERSION = "lm-head-parity (not installed)"

"""What a test does where a tool that it needs is missing."""

import os

import pytest

CI = os.environ.get("CI", "") not in ("", "0", "false")


def unavailable(reason: str) -> None:
    """Skip, but fail on CI, where everything should be installed."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)

"""The C and the JavaScript port as fixtures."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from ports.checker.bundle_cases import EMBEDDED

from .c_and_js import BUILDS, PORTS, Together, compile_harness, running, tool
from .wire import Port


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Name of a harness -> its command line; C is compiled outside the source tree, once."""

    def of(name: str) -> list[str]:
        if name == "javascript":
            return [tool("node", "nodejs"), str(PORTS / "javascript" / "harness.mjs")]
        folder = tmp_path_factory.getbasetemp() / name
        if not folder.exists():
            compile_harness(folder, *BUILDS[name])
        return [str(next(folder.iterdir()))]

    return of


@pytest.fixture(scope="session", params=["c", "javascript"])
def port(request: pytest.FixtureRequest, command: Callable[[str], list[str]]) -> Iterator[Port]:
    """Each port in turn; C as it is shipped and under its sanitizers, which must say the same."""
    if request.param == "javascript":
        with running(command("javascript")) as port:
            yield port
        return
    with running(command("c")) as plain, running(command("c-sanitized")) as sanitized:
        yield Together(plain, sanitized)


@pytest.fixture(scope="session")
def fused(command: Callable[[str], list[str]]) -> Iterator[Port]:
    """C with fused multiply-adds and wide vectors, which change the last bits of sums."""
    with running(command("c-fused")) as port:
        yield port


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The embedded bundle of the tiny GPT-2."""
    return EMBEDDED


@pytest.fixture(scope="session")
def weights(bundle: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is in it: contexts (N, d) and the embedding (V, d)."""
    context = safetensors.numpy.load_file(bundle / "contexts.safetensors")["context"]
    return context, safetensors.numpy.load_file(bundle / "head.safetensors")["embedding"]

"""Debian's Chromium, started once a worker, its tabs, and the page of the embedded bundle."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ports.__main__ import main
from weights_export import Bundle, open_bundle

from ..missing import unavailable
from .view import ARGUMENTS, CHROMIUM, ROOT, TINY, Tabs, View, go


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser, once for all tests of a worker."""
    if not Path(CHROMIUM).exists():
        unavailable(f"this machine has no {CHROMIUM}: make setup-explorer")
    try:
        from playwright import sync_api as playwright
    except ModuleNotFoundError:
        unavailable("playwright is not installed: make setup-explorer")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tabs(chromium: Any) -> Tabs:
    """The tabs of a worker."""
    return Tabs(chromium)


@pytest.fixture
def faultless(tabs: Tabs) -> Iterator[None]:
    """Afterwards no error was on the console and no request had left a page, unless the test expected one."""
    yield
    tabs.context.clear_permissions()
    faults = [*tabs.faults]
    tabs.faults.clear()
    assert faults == []


@pytest.fixture
def visit(tabs: Tabs, faultless: None) -> Iterator[Callable[..., View]]:
    """Open a page, in place of the one before."""
    contexts: list[Any] = []
    visited: set[str] = set()

    def open_page(path: Path, fragment: str = "", *, ready: bool = True, **options: Any) -> View:
        visited.add(path.as_uri())
        tabs.allowed.add(path.as_uri())
        if options:
            contexts.append(tabs.new_context(**options))
            page = contexts[-1].new_page()
        else:
            page = tabs.again()
        return go(page, path.as_uri() + fragment, ready=ready)

    yield open_page
    for context in contexts:
        context.close()
    tabs.page.goto("about:blank")
    tabs.allowed -= visited


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The embedded bundle."""
    return open_bundle(ROOT / TINY)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the embedded bundle, by the command, from the top of the project."""
    output = tmp_path_factory.mktemp("explorer") / "explorer.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["explorer", str(TINY), "-o", str(output)]) == 0
    return output


@pytest.fixture(scope="session")
def opened(tabs: Tabs, made: Path) -> View:
    """The page of the embedded bundle in another tab, for all tests that need no new one."""
    url = f"{made.as_uri()}?shared"  # an address of its own: those of `visit` are forbidden again
    tabs.allowed.add(url)
    return go(tabs.context.new_page(), url)


@pytest.fixture
def view(opened: View, faultless: None) -> View:
    """The page of the embedded bundle at its first view."""
    opened.page.bring_to_front()
    opened.page.mouse.move(0, 0)
    opened.restart()
    return opened

"""Debian's Chromium, started once a worker, its tabs, and the page of the embedded bundle."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ports.__main__ import main
from ports.explorer.frames import ARGUMENTS, CHROMIUM, SETTLED
from weights_export.bundle import Bundle, open_bundle

from ..missing import unavailable
from .view import ROOT, TINY, WINDOW, Tabs, View


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
def visit(tabs: Tabs) -> Iterator[Callable[..., View]]:
    """Open a page; afterwards no error was on the console and no request had left it, unless the test expected one."""
    contexts: list[Any] = []
    used = 0

    def open_page(path: Path, fragment: str = "", *, ready: bool = True, init: str = "", **options: Any) -> View:
        nonlocal used
        tabs.allowed.add(path.as_uri())
        if init or options.keys() - {"viewport"}:
            contexts.append(tabs.new_context(**options))
            page = contexts[-1].new_page()
            page.add_init_script(init)
        else:
            page = tabs.page(used, options.get("viewport", WINDOW))
            used += 1
        page.set_default_timeout(20_000)
        page.goto(path.as_uri() + fragment)
        if ready:
            page.wait_for_selector("#explorer[data-ready]")
            page.evaluate(SETTLED)
        return View(page)

    open_page.faults = tabs.faults  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    for page in tabs.pages[:used]:
        page.goto("about:blank")
    tabs.context.clear_permissions()
    tabs.allowed -= {url for url in tabs.allowed if url.startswith("file:")}
    faults = [*tabs.faults]
    tabs.faults.clear()
    assert faults == []


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


@pytest.fixture
def view(visit: Callable[..., View], made: Path) -> View:
    """The page of the embedded bundle, just opened."""
    return visit(made)

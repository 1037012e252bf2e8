"""The explorer for everybody: by keyboard, for a screen reader, and by axe's rules at three widths, light and dark."""

from collections.abc import Callable
from pathlib import Path

from weights_export import Bundle

from ..missing import unavailable
from .view import EXPLORER, FRAME, View, check_bars

GRAVE = ("serious", "critical")


def test_keyboard_alone(visit: Callable[..., View], made: Path, bundle: Bundle) -> None:
    view = visit(made)
    page = view.page
    focused = "document.activeElement.id || document.activeElement.parentElement.id"
    order: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, ring = page.evaluate(f"[{focused}, getComputedStyle(document.activeElement).outlineStyle]")
        if name == "":  # past the last one
            break
        order += [name] if name not in order else []
        assert ring == "solid", f"{name} does not show that it has the focus"
    assert order == [
        *("prompt", "candidates", "temperature-slider", "temperature", "k-slider", "k", "top_p-slider", "top_p"),
        *("min_p-slider", "min_p", "order", "seed", "draw", "draw-1000", "restart", "numpy", "copy", "copy-link"),
        "settings",
    ]

    def go(name: str) -> None:
        for _ in range(60):
            if page.evaluate(focused) == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {name}")

    def write(name: str, text: str) -> None:
        go(name)
        page.keyboard.press("Control+A")
        page.keyboard.type(text)

    go("prompt")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    view.settle()  # no hand is faster
    go("candidates")
    page.keyboard.press("Tab")
    view.settle()
    assert view.data("stage-product")["token"] == view.rows("bars")[1]["id"]
    go("temperature-slider")
    page.keyboard.press("ArrowLeft")
    write("temperature", "1.25")
    write("k", "33")
    view.settle()
    check_bars(view, bundle, 2, 1.25, 33)
    write("seed", "77")
    go("draw")
    page.keyboard.press("Enter")
    view.wait_for_draws(2)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    view.wait_for_draws(1002)
    go("settings")
    page.keyboard.press("Enter")
    view.settle()
    check_bars(view, bundle, 2, 0.7, 50)


def test_a_change_is_announced_to_a_screen_reader(view: View) -> None:
    charts = ("context", "factors", "running", "histogram", "spread", "sums", "shares")
    texts = "id => { const e = document.getElementById(id); return e.getAttribute('role') === 'img' &&"
    texts += (
        " (e.getAttribute('aria-label') ?? document.getElementById(e.getAttribute('aria-labelledby')).textContent) }"
    )
    before = {chart: view.page.evaluate(texts, chart) for chart in charts}
    assert all(len(text) > 40 for text in before.values()), before
    view.page.wait_for_function("() => document.getElementById('live').textContent !== ''")
    said = view.page.text_content("#live")
    view.set(prompt=1, k=9, seed=3)
    after = {chart: view.page.evaluate(texts, chart) for chart in charts}
    assert {chart for chart in charts if after[chart] == before[chart]} == {"running"}
    assert "9 survive" in after["histogram"]
    view.page.wait_for_function("said => document.getElementById('live').textContent !== said", arg=said)
    assert "Last drawn: " in view.page.text_content("#live")
    view.page.focus("#k-slider")
    assert view.page.get_attribute("#k-slider", "aria-valuetext") == "9 of 2,048"
    assert view.page.get_attribute("#top_p-slider", "aria-valuetext") == "1, which is off"
    view.set(top_p=0.5)
    assert view.page.get_attribute("#top_p-slider", "aria-valuetext") == "0.5"


def test_axe_finds_no_serious_fault(visit: Callable[..., View], made: Path) -> None:
    axe = EXPLORER / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.exists():
        unavailable("ports/explorer/node_modules is not installed: make setup-explorer")
    view = visit(made, "#temperature=1.5&k=50&top_p=0.9&min_p=0.1&order=vllm")
    view.set(seed="x", min_p="2")  # so that error messages are checked too
    view.page.evaluate(axe.read_text("utf-8"))
    run = "async (rules) => (await axe.run({ resultTypes: ['violations'], ...rules })).violations"
    for width in (360, 900, 1600):
        view.page.set_viewport_size({"width": width, "height": 900})
        view.page.evaluate(FRAME)
        view.settle()
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):  # the rest is the same
            view.page.emulate_media(color_scheme=scheme)
            found = [v for v in view.page.evaluate(run, rules) if v["impact"] in GRAVE]
            assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in found] == [], (width, scheme)


CUT_OFF = """() => [...document.querySelectorAll("th, td, pre, dd, button, label, input")].filter((e) =>
  e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && !e.classList.contains("long")).map((e) => e.outerHTML)"""

# Texts of one row that overlap or all but touch: the columns of a table, the numbers along an axis.
TOUCHING = """() => [...document.querySelectorAll("thead tr, tbody tr, svg .axis")].flatMap((row) => {
  const texts = [...row.querySelectorAll("th:not(.bar), td:not(.bar), .tick text")].map((e) => {
    const range = document.createRange();
    range.selectNodeContents(e);
    return { place: range.getBoundingClientRect(), text: e.textContent };
  }).filter(({ place }) => place.width).sort((a, b) => a.place.left - b.place.left);
  const near = (a, b) => b.left < a.right + 4 && b.top < a.bottom && b.bottom > a.top;
  return texts.slice(1).filter((b, i) => near(texts[i].place, b.place)).map((b) => `${b.text} in ${row.textContent}`);
})"""


def test_nothing_is_cut_off_and_no_columns_touch(visit: Callable[..., View], made: Path) -> None:
    view = visit(made, "#draws=1002&temperature=1.05&k=2048&top_p=0.95&min_p=0.05&order=llama.cpp")
    view.wait_for_draws(1002)
    for width in (360, 645, 1030, 1280, 1350, 1540):
        view.page.set_viewport_size({"width": width, "height": 900})
        view.page.evaluate(FRAME)
        view.settle()
        assert view.page.evaluate("document.documentElement.scrollWidth") <= width
        assert view.page.evaluate(CUT_OFF) == [], width
        assert view.page.evaluate(TOUCHING) == [], width

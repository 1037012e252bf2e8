"""How the tests of the explorer change a page and read it, and what they hold it against."""

from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.verdict import exact_softmax
from ports.explorer.frames import SETTLED
from reference import bounds
from weights_export.bundle import Bundle

f32 = np.float32
ROOT = Path(__file__).parents[3]
EXPLORER = ROOT / "ports" / "explorer"
TINY = Path("ports/tiny_bundle")  # from ROOT
WINDOW = {"width": 1000, "height": 900}


class View:
    """The page in a browser: how a user changes it, and what its data attributes say."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def data(self, element: str) -> dict[str, str]:
        """The data attributes of an element."""
        return self.page.evaluate("id => ({...document.getElementById(id).dataset})", element)

    def rows(self, table: str) -> list[dict[str, str]]:
        """The data attributes of a table's rows."""
        return self.page.evaluate(
            "id => [...document.querySelectorAll(`#${id} tbody tr`)].map(r => ({...r.dataset}))", table
        )

    def text(self, element: str) -> str:
        """What can be read there."""
        return self.page.inner_text(f"#{element}")

    def type(self, element: str, text: str) -> None:
        """Write into a box, as typing does, and wait until all sections show it."""
        self.page.evaluate(
            "async ([id, text]) => { const e = document.getElementById(id); e.value = text;"
            " e.dispatchEvent(new Event('input', { bubbles: true })); await (" + SETTLED + ")(); }",
            [element, text],
        )

    def set(self, **values: Any) -> None:
        """Write into several boxes."""
        for name, value in values.items():
            self.type(name, str(value))

    def press(self, element: str) -> None:
        """Click a button, and wait until all sections show it."""
        self.page.evaluate("async id => { document.getElementById(id).click(); await (" + SETTLED + ")(); }", element)

    def settle(self) -> None:
        """Wait until all sections show the last change."""
        self.page.evaluate(SETTLED)

    def wait_for_draws(self, n: int) -> None:
        """Wait until so many are counted."""
        self.page.wait_for_function("n => document.getElementById('stage-draw').dataset.draws == n", arg=n)


class Tabs:
    """Tabs that are used again, since a new one is a new process; and what went wrong in any of them."""

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self.faults: list[str] = []
        self.allowed = {"data:,", "about:blank"}
        self.pages: list[Any] = []
        self.context = self.new_context()

    def new_context(self, **options: Any) -> Any:
        """One that notes each request to another address than those allowed, each error and each warning."""
        context = self.chromium.new_context(**{"viewport": WINDOW, **options})
        context.on("request", lambda r: r.url.split("#")[0] in self.allowed or self.faults.append(r.url))
        context.on("console", lambda m: m.type in ("error", "warning") and self.faults.append(m.text))
        context.on("weberror", lambda e: self.faults.append(str(e.error)))
        return context

    def page(self, number: int, viewport: dict[str, int]) -> Any:
        """The tab of this number, as good as new."""
        if number == len(self.pages):
            self.pages.append(self.context.new_page())
        page = self.pages[number]
        page.bring_to_front()  # behind another tab it would be given no frames
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme="light")
        page.mouse.move(0, 0)
        return page


def probabilities(bundle: Bundle, prompt: int, temperature: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The reference's row, and how far a float32 head that is right may be from it: twice the derived bound."""
    context, embedding = np.array(bundle.context[prompt]), np.array(bundle.embedding)
    probs = reference.lm_head(context, embedding, temperature=temperature, k=k)
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    logits_error = bounds.logits(context, embedding, "float32", "float64")
    divisor = float(f32(temperature))
    kept = np.where(probs > 0, exact / divisor, -np.inf)
    error = bounds.temperature(exact, divisor, "float32", logits_error)
    bound = bounds.softmax(kept, "float32", error) + bounds.softmax(kept, "float64")
    assert np.all(np.abs(probs - exact_softmax(kept)) <= bound)
    return probs, 2 * bound


def check_bars(view: View, bundle: Bundle, prompt: int, temperature: float, k: int) -> None:
    """Every bar is the reference's number, and none of the most probable is missing."""
    probs, bound = probabilities(bundle, prompt, temperature, k)
    bars = view.rows("bars")
    ids = [int(bar["id"]) for bar in bars]
    shown = np.array([float(bar["probability"]) for bar in bars])
    assert len(set(ids)) == min(12, len(probs))
    assert np.all(np.abs(shown - probs[ids]) <= bound[ids])
    hidden = np.delete(probs, ids)
    assert hidden.max(initial=0.0) <= shown.min() + bound.max()
    stage = view.data("stage-probabilities")
    assert (float(stage["temperature"]), int(stage["k"]), int(stage["prompt"])) == (temperature, k, prompt)

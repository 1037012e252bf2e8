"""How the tests of the explorer change a page and read it, and what they hold it against."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.verdict import exact_softmax
from reference import bounds
from reference.pipeline import Step
from reference.profiles import OPTIONS, PROFILES
from weights_export import Bundle

f32 = np.float32
ROOT = Path(__file__).parents[3]
EXPLORER = ROOT / "ports" / "explorer"
TINY = Path("ports/tiny_bundle")  # from ROOT
CHROMIUM = "/usr/bin/chromium"
OFFLINE = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
ARGUMENTS = [f"--{name}" for name in [*OFFLINE.split(), "disable-sync"]]
WINDOW = {"width": 1000, "height": 900}

# Until every section shows the last change, those out of sight too.
SETTLED = """async () => {
  while (document.getElementById("explorer").dataset.pending !== "0") await new Promise((done) => setTimeout(done));
}"""

FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"  # the next one is drawn

# A link followed within the page, to its first view.
RESTART = """async () => {
  history.replaceState(null, "", "#");
  dispatchEvent(new Event("hashchange"));
  scrollTo(0, 0);
  document.activeElement.blur();
  await (SETTLED)();
}""".replace("SETTLED", SETTLED)


class View:
    """The page in a browser: how a user changes it, and what its data attributes say."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def data(self, element: str) -> dict[str, str]:
        """The data attributes of an element."""
        data: dict[str, str] = self.page.evaluate("id => ({...document.getElementById(id).dataset})", element)
        return data

    def rows(self, table: str) -> list[dict[str, str]]:
        """The data attributes of a table's rows."""
        rows: list[dict[str, str]] = self.page.evaluate(
            "id => [...document.querySelectorAll(`#${id} tbody tr`)].map(r => ({...r.dataset}))", table
        )
        return rows

    def text(self, element: str) -> str:
        """What can be read there."""
        return str(self.page.inner_text(f"#{element}"))

    def type(self, element: str, text: str) -> None:
        """Write into a box, as typing does, and wait until all sections show it."""
        self.set(**{element: text})

    def set(self, **values: Any) -> None:
        """Write into several boxes, one after the other."""
        self.page.evaluate(
            "async (values) => { for (const [id, text] of Object.entries(values)) {"
            " const e = document.getElementById(id); e.value = text;"
            " e.dispatchEvent(new Event('input', { bubbles: true })); await (" + SETTLED + ")(); } }",
            {name: str(value) for name, value in values.items()},
        )

    def press(self, element: str) -> None:
        """Click a button, and wait until all sections show it."""
        self.page.evaluate("async id => { document.getElementById(id).click(); await (" + SETTLED + ")(); }", element)

    def settle(self) -> None:
        """Wait until all sections show the last change."""
        self.page.evaluate(SETTLED)

    def restart(self) -> None:
        """Back to the view of a page just opened."""
        self.page.evaluate(RESTART)

    @contextmanager
    def processor_time(self) -> Iterator[Callable[[], float]]:
        """What asks how many seconds of processor time the page's tasks have taken."""
        devtools = self.page.context.new_cdp_session(self.page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def seconds() -> float:
            metrics = {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}
            return float(metrics["TaskDuration"])

        yield seconds
        devtools.detach()

    def wait_for_draws(self, n: int) -> None:
        """Wait until so many are counted."""
        self.page.wait_for_function("n => document.getElementById('stage-draw').dataset.draws == n", arg=n)


class Tabs:
    """A tab that is used again, since a new one is a new process; and what went wrong in this or any other."""

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self.faults: list[str] = []
        self.allowed = {"data:,", "about:blank"}
        self.context = self.new_context()
        self.page = self.context.new_page()

    def new_context(self, **options: Any) -> Any:
        """One that notes each request to another address than those allowed, each error and each warning."""
        context = self.chromium.new_context(**{"viewport": WINDOW, **options})
        context.on("request", lambda request: self._note(request.url.split("#")[0] not in self.allowed, request.url))
        context.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        context.on("weberror", lambda error: self._note(True, str(error.error)))
        return context

    def _note(self, fault: bool, what: str) -> None:
        if fault:
            self.faults.append(what)

    def again(self) -> Any:
        """The tab, as good as new."""
        self.page.bring_to_front()  # behind another it would be given no frames
        self.page.set_viewport_size(WINDOW)
        self.page.emulate_media(color_scheme="light")
        self.page.mouse.move(0, 0)
        return self.page


def go(page: Any, url: str, *, ready: bool = True) -> View:
    """Open an explorer in a tab, and wait until all is drawn."""
    page.set_default_timeout(20_000)
    page.goto(url)
    if ready:
        page.wait_for_selector("#explorer[data-ready]")
        page.evaluate(SETTLED)
    return View(page)


def steps_of(
    temperature: float, k: int, top_p: float = 1.0, min_p: float = 0.0, order: str = "reference"
) -> list[Step]:
    """The steps that an engine's profile makes of these settings, in its own names, or the reference's."""
    options = {"temperature": temperature, "top-k": k, "top-p": top_p, "min-p": min_p}
    settings = {OPTIONS[option]: value for option, value in options.items()}
    if order == "reference":
        argument = {row.step: row.argument for row in PROFILES["vllm"].rows}
        return [(step, {argument[step]: value}) for step, value in settings.items()]
    named = {row.setting: settings[row.step] for row in PROFILES[order].rows if row.step in settings}
    return PROFILES[order].steps(**named)


def logits_of(bundle: Bundle, prompt: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reference's logits; the exact ones; and how far from these those of a right float32 head may be."""
    context, embedding = np.array(bundle.context[prompt]), np.array(bundle.embedding)
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    return (
        reference.compute_logits(context, embedding),
        exact,
        bounds.logits(context, embedding, "float32", "float64"),
    )


def probabilities(
    bundle: Bundle, prompt: int, temperature: float, k: int, *filters: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The reference's row, and how far a float32 head that is right may be from it: twice the derived bound."""
    logits, exact, logits_error = logits_of(bundle, prompt)
    survivors = reference.process(logits, steps_of(temperature, k, *filters))
    probs = reference.softmax(survivors)
    divisor = float(f32(temperature))
    kept = np.where(survivors > -np.inf, exact / divisor, -np.inf)
    error = bounds.temperature(exact, divisor, "float32", logits_error)
    bound = bounds.softmax(kept, "float32", error) + bounds.softmax(kept, "float64")
    assert np.all(np.abs(probs - exact_softmax(kept)) <= bound)
    return probs, 2 * bound


def check_bars(view: View, bundle: Bundle, prompt: int, temperature: float, k: int, *filters: Any) -> None:
    """Every bar is the reference's number, and none of the most probable is missing.

    `filters` are top-p, min-p and the order, where they are on.
    """
    probs, bound = probabilities(bundle, prompt, temperature, k, *filters)
    bars = view.rows("bars")
    ids = [int(bar["id"]) for bar in bars]
    shown = np.array([float(bar["probability"]) for bar in bars])
    assert len(set(ids)) == min(12, len(probs))
    assert np.all(np.abs(shown - probs[ids]) <= bound[ids])
    hidden = np.delete(probs, ids)
    assert hidden.max(initial=0.0) <= shown.min() + bound.max()
    stage = view.data("stage-probabilities")
    assert (float(stage["temperature"]), int(stage["k"]), int(stage["prompt"])) == (temperature, k, prompt)

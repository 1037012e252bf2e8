"""How long a change keeps the page busy: `python -m ports.explorer.frames`, on a quiet machine.

Two pages are made, of random checkpoints with V = 4,096 and d = 192, and with V = 50,257 and d = 64, and Debian's
Chromium changes each thing that can be changed a dozen times. Measured is the task of the page's main thread that the
change is in: script, style, layout, paint and commit. All that is in sight is drawn in it, so it is the time from the
change to its picture, less what the compositor and the screen add. It is processor time, which does not hang on how
many others use the machine as the time on the clock does; but a busy machine's caches slow it down, too.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHROMIUM = "/usr/bin/chromium"
OFFLINE = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
ARGUMENTS = [f"--{name}" for name in [*OFFLINE.split(), "disable-sync"]]
SIZES = ((4096, 192), (50257, 64))  # V, d
TIMES = 12
PARTS = {  # of a frame, by the names of Chromium's events
    "script": ("EventDispatch",),
    "style": ("UpdateLayoutTree",),
    "layout": ("Layout",),
    "paint": ("PrePaint", "Paint", "Layerize", "Commit"),
}

# Until every section shows the change, those out of sight too.
SETTLED = """async () => {
  while (document.getElementById("explorer").dataset.pending !== "0") await new Promise((done) => setTimeout(done));
}"""

# Steps of a box and the value that is written into it, or null for a click, each within a frame. `stage`, where
# somebody who makes the change looks, is scrolled into sight.
CHANGE = """async ([stage, steps]) => {
  if (steps[0][0] === "#prompt") document.querySelector("#prompt").focus(); // as to open its list
  document.getElementById(stage).scrollIntoView();
  await new Promise((done) => setTimeout(done, 100));
  for (const [box, value] of steps) {
    const element = document.querySelector(box);
    await new Promise((done) => requestAnimationFrame(() => {
      if (value === null) element.click();
      else {
        element.value = value;
        element.dispatchEvent(new Event("input", { bubbles: true }));
      }
      setTimeout(done);
    }));
    await (SETTLED)();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
}""".replace("SETTLED", SETTLED)


@dataclass(frozen=True)
class Change:
    """Something that can be changed, `(selector, value)` again and again, and the section that is then looked at."""

    name: str
    stage: str
    steps: Sequence[tuple[str, float | None]]


def changes(vocabulary: int, times: int = TIMES) -> list[Change]:
    """Every kind of change, each value another than the one before."""
    temperature = [("#temperature-slider", 0.5 + 0.05 * i) for i in range(times)]
    k = [("#k-slider", i) for i in range(times)]
    return [
        Change("prompt", "stage-prompt", [("#prompt", (i + 1) % 2) for i in range(times)]),
        Change(
            "candidate", "stage-product", [(f"#candidates button:nth-child({2 + i % 9})", None) for i in range(times)]
        ),
        Change("temperature, at the logits", "stage-logits", temperature),
        Change("temperature, at the bars", "stage-probabilities", temperature),
        Change("k, at the logits", "stage-logits", k),
        Change("k, at the bars", "stage-probabilities", k),
        Change("seed", "stage-draw", [("#seed", i + 1) for i in range(times)]),
        Change("draw", "stage-draw", [("#draw", None)] * times),
        Change("draw 1,000", "stage-draw", [("#draw-1000", None)] * min(times, 2)),
        Change("k near V", "stage-logits", [("#k", vocabulary - 1 - i) for i in range(times)]),
    ]


def page_of(vocabulary: int, d: int, folder: Path) -> Path:
    """The page of a random checkpoint of this size, with two prompts."""
    from parity_tests.export import checkpoints
    from weights_export.bundle import open_bundle
    from weights_export.export import Options, export
    from weights_export.source import Source

    from . import page

    settings = {"n_embd": d, "n_layer": 1, "n_head": 2, "n_positions": 32}
    checkpoints.make(folder / "checkpoint", vocab_size=vocabulary, settings=settings)
    source = Source("checkpoint", None, folder / "checkpoint")
    export(source, Options(output=folder / "bundle", prompts=("to be", "or not")))
    page.write(open_bundle(folder / "bundle"), folder / "page.html")
    return folder / "page.html"


def frames(browser: Any, page: Any, change: Change) -> list[dict[str, float]]:
    """Milliseconds of processor time of each step's frame, `all` of it and the parts; `forced` counts its layouts.

    A forced layout is one within the script, because it reads a place or a size after it has written something.
    """
    timeline = "devtools.timeline"
    browser.start_tracing(page=page, categories=[timeline, f"disabled-by-default-{timeline}"])
    page.evaluate(CHANGE, [change.stage, change.steps])
    events = [e for e in json.loads(browser.stop_tracing())["traceEvents"] if "tdur" in e]
    kind = "click" if change.steps[0][1] is None else "input"
    dispatched = [e for e in events if e["name"] == "EventDispatch" and e["args"]["data"]["type"] == kind]
    taken = []
    for script in dispatched:
        (task,) = (e for e in events if e["name"] == "RunTask" and _within(script, e))
        inside = [e for e in events if _within(e, task)]
        parts = {part: sum(e["tdur"] for e in inside if e["name"] in names) for part, names in PARTS.items()}
        forced = sum(e["name"] == "Layout" and _within(e, script) for e in inside)
        milliseconds = {part: time / 1000 for part, time in {"all": task["tdur"], **parts}.items()}
        taken.append({**milliseconds, "forced": forced})
    if len(taken) != len(change.steps):
        raise RuntimeError(f"{change.name}: {len(change.steps)} changes, but {len(taken)} in the browser's trace")
    return taken


def _within(event: dict[str, Any], other: dict[str, Any]) -> bool:
    """Both are of one thread, and the other one is around it."""
    if (event["pid"], event["tid"]) != (other["pid"], other["tid"]):
        return False
    return other["ts"] <= event["ts"] <= event["ts"] + event["dur"] <= other["ts"] + other["dur"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the median and the largest frame of each kind of change, in milliseconds."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m ports.explorer.frames", description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1000, help="of the window, in pixels")
    width = parser.parse_args(arguments).width
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for vocabulary, d in SIZES:
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(page_of(vocabulary, d, Path(folder) / str(vocabulary)).as_uri())
            page.wait_for_selector("#explorer[data-ready]")
            page.evaluate(SETTLED)
            print(f"V = {vocabulary:,}, d = {d}, a window of {width:,} x 900; median milliseconds of processor time\n")
            print(f"{'change':27}{'frame':>7}{'largest':>9}{''.join(f'{part:>9}' for part in PARTS)}")
            for change in changes(vocabulary):
                taken = frames(browser, page, change)
                parts = "".join(f"{statistics.median(f[part] for f in taken):9.1f}" for part in PARTS)
                whole = [f["all"] for f in taken]
                print(f"{change.name:27}{statistics.median(whole):7.1f}{max(whole):9.1f}{parts}")
            print()
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

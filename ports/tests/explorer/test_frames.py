"""A change is drawn within its frame: how much is done for it, counted; and the limit of a large vocabulary."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from parity_tests.export import checkpoints
from parity_tests.judges.filters import cut_of
from ports.explorer import page as pages
from ports.explorer import pytorch
from weights_export import open_bundle
from weights_export.export import Options, export
from weights_export.source import local

from .view import FRAME, SETTLED, View, check_bars, f32, logits_of

LARGE = 50257
WRITES = 400  # in the task of a change, at most: three tables of a dozen rows, their axes, a chart or two


class Change(NamedTuple):
    """Something that can be changed by hand: the section that is then looked at, a box, and its values or a click."""

    name: str
    stage: str
    box: str
    values: list[Any]


def changes(vocabulary: int) -> list[Change]:
    """Every kind of change, each value different from the one before."""
    temperatures, ks = [0.5, 0.55, 0.6], [0, 1, 2]
    return [
        Change("prompt", "stage-prompt", "#prompt", [1, 0, 1]),
        Change("candidate", "stage-product", "#candidates button:not([aria-pressed='true'])", [None] * 3),
        Change("temperature, at the logits", "stage-logits", "#temperature-slider", [*temperatures]),
        Change("temperature, at the bars", "stage-probabilities", "#temperature-slider", [*temperatures]),
        Change("k, at the logits", "stage-logits", "#k-slider", [*ks]),
        Change("k, at the bars", "stage-probabilities", "#k-slider", [*ks]),
        Change("k, at the cut", "stage-cut", "#k-slider", [5, 6, 7]),
        Change("top-p, at its cut", "stage-filters", "#top_p-slider", [0.9, 0.8, 0.7]),
        Change("min-p, at its cut", "stage-filters", "#min_p-slider", [0.02, 0.03, 0.04]),
        Change("order", "stage-order", "#order", ["mlx-lm", "sglang", "llama.cpp"]),
        Change("seed", "stage-draw", "#seed", [1, 2, 3]),
        Change("draw", "stage-draw", "#draw", [None] * 3),
        Change("draw 1,000", "stage-draw", "#draw-1000", [None] * 3),
        Change("k near V", "stage-logits", "#k", [vocabulary - 1, vocabulary - 2, vocabulary - 3]),
    ]


# From here on, reads of positions and sizes are counted: within a change each would make the browser lay out again.
COUNTED = """() => {
  const layout = /^(client|offset|scroll)(Width|Height|Top|Left)$|^get(Bounding|ClientRects|BBox|ComputedText)/;
  window.reads = 0;
  for (const { prototype } of [Element, HTMLElement, SVGGraphicsElement, SVGTextContentElement])
    for (const [name, { get, value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      const counted = function (...args) {
        window.reads++;
        return (get ?? value).apply(this, args);
      };
      if (layout.test(name)) Object.defineProperty(prototype, name, get ? { get: counted } : { value: counted });
    }
}"""

# The sections that can be seen once this one is scrolled to.
LOOK = """async (stage) => {
  document.getElementById(stage).scrollIntoView();
  for (let i = 0; i < 2; i++) await (FRAME)(); // it learns so
  await (SETTLED)();
  return [...document.querySelectorAll("section, aside")].filter((e) => {
    const { top, bottom } = e.getBoundingClientRect();
    return top < innerHeight && bottom > 0;
  }).map((e) => e.id);
}""".replace("SETTLED", SETTLED).replace("FRAME", FRAME)

# What a change writes into the page, by section: in its own task, before the browser draws, and after that.
CHANGE = """async ([box, value]) => {
  const records = [];
  const observer = new MutationObserver((list) => records.push(...list));
  observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  const element = document.querySelector(box);
  const before = window.reads;
  if (value === null) element.click();
  else {
    element.value = value;
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const [now, after, reads] = [observer.takeRecords(), records, window.reads - before];
  await (SETTLED)();
  after.push(...observer.takeRecords());
  const sections = (list) => [...new Set(list.map(({ target }) =>
    (target.closest ? target : target.parentElement).closest("section, aside")?.id))].filter(Boolean);
  return { now: sections(now), after: sections(after), writes: now.length, reads };
}""".replace("SETTLED", SETTLED)


def work(view: View, change: Change, value: Any) -> dict[str, Any]:
    """What a change writes: a bounded number in its own task, in which no position is read."""
    done: dict[str, Any] = view.page.evaluate(CHANGE, [change.box, value])
    assert 0 < done["writes"] <= WRITES, (change.name, done)
    assert done["reads"] == 0, (change.name, done)
    return done


def test_what_is_in_sight_is_drawn_in_the_frame_and_the_rest_after_it(visit: Callable[..., View], made: Path) -> None:
    view = visit(made)
    view.page.evaluate(COUNTED)
    for width in (1000, 1600):
        view.page.set_viewport_size({"width": width, "height": 900})
        drawn_after = set()
        for change in changes(2048):
            in_sight = set(view.page.evaluate(LOOK, change.stage))
            assert change.stage in in_sight
            for value in change.values[: 2 if width == 1000 else 1]:
                done = work(view, change, value)
                now, after = set(done["now"]), set(done["after"])
                assert now, change.name
                assert now <= in_sight, change.name
                drawn_after |= after
                if change.name != "draw 1,000":  # the picture of its frame is whole, and the next frames bring others
                    assert not after & in_sight, change.name
        assert {"stage-draw", "stage-numpy"} <= drawn_after
        view.set(top_p=1, min_p=0, order="reference")


def test_a_vocabulary_of_50257_is_redrawn_within_100_ms(
    visit: Callable[..., View], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processor time of the page, the smallest of three, so that a busy machine does not fail it.

    The number of writes does not depend on V either.
    """
    monkeypatch.setattr(pytorch, "SEEDS", 1)  # other tests check its answers
    monkeypatch.setattr(pytorch, "SETTINGS", pytorch.SETTINGS[:1])
    checkpoints.make(tmp_path / "checkpoint", vocab_size=LARGE, settings={**checkpoints.SMALL, "n_layer": 1})
    export(
        local("checkpoint", tmp_path / "checkpoint"), Options(output=tmp_path / "bundle", prompts=("to be", "or not"))
    )
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.manifest["vocab_size"] == LARGE
    pages.write(bundle, tmp_path / "page.html")
    view = visit(tmp_path / "page.html")
    check_bars(view, bundle, 0, 0.7, 50)
    view.page.evaluate(COUNTED)
    with view.processor_time() as clock:
        for change in changes(LARGE):
            if change.name == "draw 1,000":
                continue  # its first frame is that of "draw"
            view.page.evaluate(LOOK, change.stage)
            if change.name == "prompt":
                view.page.focus("#prompt")  # as to open its list
            taken = []
            for value in change.values:
                before = clock()
                work(view, change, value)
                view.page.evaluate(FRAME)
                taken.append(clock() - before)
            assert min(taken) <= 0.1, (change.name, taken)
    view.set(top_p=1, min_p=0, order="reference")
    check_bars(view, bundle, 1, 0.6, LARGE - 3)
    view.set(top_p=0.9)  # of a nearly flat distribution: tens of thousands stay, and their chart is no longer
    _, exact, error = logits_of(bundle, 1)
    divisor = float(f32(0.6))
    cut = cut_of("keep_top_p", exact / divisor, "float32", error / divisor, p=0.9, until="reached", ties="lowest_id")
    sums = view.data("sums")
    assert 10_000 < int(cut.sure.sum()) <= int(sums["kept"]) <= int(cut.possible.sum())
    assert int(sums["drawn"]) == min(int(sums["of"]), -(-5 * int(sums["kept"]) // 4))
    assert view.page.get_attribute("#sums .stays", "d").count("V") <= 2 * 301
    assert f"The first {int(sums['drawn']):,} of {int(sums['of']):,} are drawn." in view.text("sums-text")

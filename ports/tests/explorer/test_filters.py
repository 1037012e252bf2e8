"""Top-p, min-p and the orders of engines in the explorer: each figure and each drawn cut is the reference's."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import reference
from parity_tests.judges.cuts import near
from parity_tests.judges.filters import cut_of
from parity_tests.verdict import exact_softmax
from ports.explorer.orders import orders
from reference import bounds
from reference.operations import OPERATIONS
from reference.profiles import OPTIONS, PROFILES
from weights_export import Bundle

from ..missing import unavailable
from .view import EXPLORER, View, check_bars, f32, logits_of, probabilities, steps_of

spec = pytest.mark.spec
BOXES = ("temperature", "k", "top_p", "min_p", "order")
SETTINGS = [(0.8, 40, 0.8, 0.05), (1.4, 300, 0.5, 0.02), (1.1, 2048, 0.7, 0.3), (0.6, 7, 0.7, 0.001)]
NAMES = {OPTIONS[name]: name for name in ("temperature", "top-k", "top-p", "min-p")}  # of the steps
ORDERS = ["reference", *(name for name, of in PROFILES.items() if {row.step for row in of.rows} >= set(NAMES))]


class Seen(NamedTuple):
    """What a filter of the reference sees and keeps: ids by rank, their probabilities `(n,)`, how many stay.

    `error` says how far a right head may be from each probability, `of_sum` from a sum of them.
    """

    ids: np.ndarray
    shares: np.ndarray
    kept: int
    error: np.ndarray
    of_sum: float


def walk(bundle: Bundle, start: int, *settings: Any) -> tuple[int, dict[str, Seen], list[int]]:
    """A prompt for which rounding decides no survivor, what top-p and min-p see, and what each step leaves."""
    prompts = [(start + i) % len(bundle.prompts) for i in range(len(bundle.prompts))]
    walks = ((prompt, _walk(bundle, prompt, *settings)) for prompt in prompts)
    return next((prompt, *found) for prompt, found in walks if found)


def _walk(bundle: Bundle, prompt: int, *settings: Any) -> tuple[dict[str, Seen], list[int]] | None:
    """The same for this prompt; None if rounding may decide."""
    logits, exact, error = logits_of(bundle, prompt)
    seen, left = {}, [len(logits)]
    for name, given in steps_of(*settings):
        after = reference.process(logits, [(name, given)])
        kept = after > -np.inf
        if "p" in given:
            ids = np.argsort(-logits, kind="stable")[: left[-1]]
            off = 2 * bounds.softmax(exact, "float32", error)[ids]
            of_sum = 2 * float(bounds.filters.running_share(exact, given["p"], "float32", error)[0])
            seen[name] = Seen(ids, exact_softmax(logits.astype(float))[ids], int(kept.sum()), off, of_sum)
        if "temperature" in given:
            divisor = float(f32(given["temperature"]))
            error = np.where(kept, bounds.temperature(np.where(kept, exact, 0), divisor, "float32", error), 0)
            exact = exact / divisor
        else:
            cut = rounding_decides(name, given, exact, error)
            if not np.array_equal(cut.sure, cut.possible):
                return None
            assert np.array_equal(cut.sure, kept)
            exact, error = np.where(kept, exact, -np.inf), np.where(kept, error, 0)
        logits = after
        left.append(int(kept.sum()))
    return seen, left


def rounding_decides(name: str, given: Any, exact: np.ndarray, error: np.ndarray) -> Any:
    """What a filter surely keeps, and what it may keep, of logits `(V,)` that are off by at most `error`."""
    if name == "keep_top_k":
        alive = exact > -np.inf
        k = min(given["k"], int(alive.sum()))
        return near(np.where(alive, -exact, np.inf), error, np.ones(len(exact)), k, band=0)
    words = {key: value for key, value in given.items() if (key, value) != ("ties", "any")}
    return cut_of(name, exact, "float32", error, **OPERATIONS[name].defaults | words)


@spec("FILTER-1", "FILTER-2", "FILTER-4", "PIPE-1", "PIPE-3")
@pytest.mark.parametrize("order", ORDERS)
def test_every_figure_is_the_reference_s_in_every_order(view: View, bundle: Bundle, order: str) -> None:
    for i, numbers in enumerate(SETTINGS):
        settings = (*numbers, order)
        prompt, seen, left = walk(bundle, 4 * i + ORDERS.index(order), *settings)
        view.set(prompt=prompt, **dict(zip(BOXES, settings, strict=True)))
        check_bars(view, bundle, prompt, *settings)
        assert view.text("left") == "Tokens left: " + " → ".join(f"{n:,}" for n in left)
        assert view.text("survive") == f"{left[-1]:,}"
        assert view.text("cut") == f"{2048 - left[-1]:,}"
        assert int(view.data("stage-logits")["survivors"]) == left[-1]
        for chart, name in (("sums", "keep_top_p"), ("shares", "keep_min_p")):
            check_chart_data(view.data(chart), seen[name])
            assert f"sees {len(seen[name].ids):,} " in view.text(f"{chart}-text")
        top_p, min_p = seen["keep_top_p"], seen["keep_min_p"]
        assert abs(float(view.data("sums")["sum"]) - top_p.shares[: top_p.kept].sum()) <= top_p.of_sum
        shares = view.data("shares")
        assert abs(float(shares["most"]) - min_p.shares[0]) <= min_p.error[0]
        assert abs(float(shares["level"]) - settings[3] * min_p.shares[0]) <= min_p.error[0]
        check_summary(view, bundle, prompt, settings)
    words = [
        f"{NAMES[step]} {next(v for v in given.values() if v in settings[:4])}" for step, given in steps_of(*settings)
    ]
    assert view.text("steps") == " → ".join(words)


def check_chart_data(shown: dict[str, str], seen: Seen) -> None:
    assert int(shown["of"]) == len(seen.ids)
    assert int(shown["kept"]) == seen.kept
    assert int(shown["last"]) == seen.ids[min(seen.kept, int(shown["drawn"])) - 1]
    assert seen.kept <= int(shown["drawn"]) <= len(seen.ids) or seen.kept == len(seen.ids)


def check_summary(view: View, bundle: Bundle, prompt: int, settings: Any) -> None:
    """The entropy of what is left, and what was cut away."""
    probs, bound = probabilities(bundle, prompt, *settings)
    whole, of_whole = probabilities(bundle, prompt, settings[0], 2048)
    stage = view.data("stage-probabilities")
    cut = probs == 0
    assert abs(float(stage["tail"]) - whole[cut].sum(dtype=float)) <= of_whole[cut].sum()
    p, off = probs[~cut].astype(float), bound[~cut]
    entropy = -float(np.sum(p * np.log2(p)))
    # The derivative of -p log2 p is at most |log2 (p - off)| + 1 / ln 2 between p - off and p + off.
    assert np.all(off < p)
    assert abs(float(stage["entropy"]) - entropy) <= np.sum(off * (np.abs(np.log2(p - off)) + 1 / np.log(2)))


# Of a chart: what stays, as the left, top and right of each bar; what falls, as the top and right of each step; the
# edge, the level and the dot; the ticks of both axes, whose numbers say where what is.
CHART = """id => {
  const svg = document.getElementById(id);
  const numbers = (text) => (text.match(/[-\\d.]+/g) ?? []).map(Number);
  const path = (name) => numbers(svg.querySelector(name).getAttribute("d"));
  const at = (name, ...names) => names.map((a) => Number(svg.querySelector(name).getAttribute(a)));
  const ticks = (name) => [...svg.querySelectorAll(`${name} .tick`)].map((tick) =>
    [tick.textContent, ...numbers(tick.getAttribute("transform"))]);
  return { stays: path(".stays"), falls: path(".falls"), edge: at(".edge", "x1", "x2", "y1", "y2"),
    level: at(".level", "y1", "y2"), end: at(".end", "cx", "cy", "r"), x: ticks(".axis"), y: ticks(".axis-y") };
}"""


@spec("FILTER-2", "FILTER-4")
def test_the_cut_is_drawn_where_the_reference_cuts(view: View, bundle: Bundle) -> None:
    for order, numbers in zip(("reference", "sglang", "llama.cpp", "mlx-lm"), SETTINGS, strict=True):
        settings = (*numbers, order)
        prompt, seen, _ = walk(bundle, 9, *settings)
        view.set(prompt=prompt, **dict(zip(BOXES, settings, strict=True)))
        for chart, name, p in (("sums", "keep_top_p", settings[2]), ("shares", "keep_min_p", settings[3])):
            due = seen[name]
            drawn = int(view.data(chart)["drawn"])
            values = np.cumsum(due.shares) if chart == "sums" else due.shares
            read = view.page.evaluate(CHART, chart)
            rank, height = axes(read, logarithmic=chart == "shares")
            kept = min(due.kept, drawn)
            stays, falls = np.array(read["stays"]).reshape(-1, 5), np.array(read["falls"])[2:-1].reshape(-1, 2)
            if drawn <= 300:
                assert np.abs(rank(stays[:, 0]) - np.arange(kept)).max() < 0.05
                check_heights(height, stays[:, 2], values[:kept])
                check_heights(height, falls[:, 0], values[kept:drawn])
            assert (len(falls) > 0) == (due.kept < len(due.ids))
            assert abs(rank(read["edge"][0]) - kept) < 0.02
            assert read["edge"][0] == read["edge"][1]
            assert abs(rank(read["end"][0]) - kept + 0.5) < 0.02
            check_heights(height, np.array(read["end"][1:2]), values[kept - 1 : kept])
            check_heights(height, np.array(read["level"]), np.array([p if chart == "sums" else p * values[0]] * 2))
            words = view.page.text_content(f"#{chart} .total")
            assert words.startswith(f"← {due.kept:,} stay" if due.kept < len(due.ids) else "nothing falls")
            # Nobody needs colours: what stays is filled, what falls is not, and the line between them has words.
            fill = "([id, name]) => getComputedStyle(document.querySelector(`#${id} .${name}`)).fill"
            assert [view.page.evaluate(fill, [chart, part]) == "none" for part in ("stays", "falls")] == [False, True]


# The words of a chart that touch each other or a bar.
COVERED = """id => {
  const boxes = (names) => [...document.querySelectorAll(names.split(" ").map((name) => `#${id} .${name}`).join())]
    .map((e) => [e.textContent || e.getAttribute("class"), e.getBoundingClientRect()]).filter(([, box]) => box.width);
  const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const words = boxes("name total");
  const all = [...words, ...boxes("stays falls end edge")];
  return words.flatMap(([word, box], i) =>
    all.slice(i + 1).filter(([, other]) => touch(box, other)).map(([other]) => [word, other]));
}"""


def test_no_word_of_a_chart_lies_on_another_or_on_a_bar(visit: Callable[..., View], made: Path) -> None:
    view = visit(made)
    for width in (360, 640, 1280):
        view.page.set_viewport_size({"width": width, "height": 900})
        for top_p, min_p, order in [
            (1, 0, "reference"),
            (0.95, 0.05, "llama.cpp"),
            (0.5, 0.1, "sglang"),
            (0.01, 1, "vllm"),
        ]:
            view.set(temperature=1.5, k=2048, top_p=top_p, min_p=min_p, order=order)
            for chart in ("sums", "shares"):
                assert view.page.evaluate(COVERED, chart) == [], (width, order, chart)


def axes(read: Any, logarithmic: bool) -> tuple[Any, Any]:
    """The number of tokens at an x, and the y of a value, by the ticks, which d3 draws half a pixel further."""
    x = np.array([[float(text.replace(",", "")), at - 0.5] for text, at, _ in read["x"]])
    y = np.array([[float(text.rstrip("%")) / 100, at - 0.5] for text, _, at in read["y"]])
    one_more, first = np.polyfit(x[:, 1], x[:, 0], 1)
    slope, start = np.polyfit(np.log10(y[:, 0]) if logarithmic else y[:, 0], y[:, 1], 1)

    def height(values: np.ndarray) -> np.ndarray:
        return slope * (np.log10(values) if logarithmic else values) + start

    return lambda at: one_more * np.asarray(at) + first, height


def check_heights(height: Any, drawn: np.ndarray, values: np.ndarray) -> None:
    """What is drawn has two decimals; what is too small for a bar ends at the axis."""
    due = np.minimum(height(values), 182)
    assert np.all(np.abs(drawn - due) <= 0.01 + 1e-3)


def test_the_orders_are_those_of_the_profiles(view: View) -> None:
    shown = view.page.eval_on_selector_all("#order option", "all => all.map((option) => option.value)")
    assert shown == ORDERS
    said = {}
    for order in ORDERS:
        view.set(order=order)
        said[order] = view.page.text_content("#contracts")
        for row in PROFILES[order].rows if order in PROFILES else ():
            if row.step in ("keep_top_k", "keep_top_p"):
                start = "Top-k" if row.step == "keep_top_k" else "Top-p"
                (sentence,) = [text for text in said[order].split(".") if text.startswith(start)]
                assert ("all that tie" in sentence) == (row.always.get("ties") == "all")
                assert ("here the lowest ids" in sentence) == (row.always.get("ties") == "any")
                assert ("is above p" in sentence) == (row.always.get("until") == "exceeded")
    assert len(set(said.values())) == 6  # llama.cpp's are those of no other, sglang's neither


@spec("PIPE-3", "TEMP-2", "FILTER-11")
def test_what_an_engine_takes_for_another_value_is_left_out_or_refused(view: View) -> None:
    stays = " The view stays as it was."
    refused = [  # the port's own words come first
        ("vllm", "temperature", "0.005", "temperature is 0.005: vllm takes that as 0.01; choose another value"),
        ("sglang", "temperature", "1e-7", "temperature is 1e-7: sglang takes that as greedy decoding;"),
        ("llama.cpp", "temperature", "0", "temperature is 0: it must be"),
        ("mlx-lm", "top_p", "0", "p is 0: it must be between 0 and 1, or 1."),
        ("transformers", "top_p", "1.5", "p is 1.5: it must be between 0 and 1, or 1."),
    ]
    for order, box, value, words in refused:
        view.set(order=order, temperature=0.8, top_p=0.9)
        before = view.text("steps")
        view.type(box, value)
        assert view.text(f"{box}-problem").startswith(words)
        assert view.text(f"{box}-problem").endswith(stays)
        assert view.text("steps") == before
        view.type(box, "0.7")
    view.set(order="reference", temperature=0.005)
    view.type("order", "vllm")
    assert view.text("order-problem").startswith("temperature is 0.005: vllm takes that as 0.01;")
    assert view.text("steps").startswith("temperature 0.005 → ")
    for order in ("vllm", "mlx-lm"):  # vLLM has its filter off up to 1e-5, and divides by no temperature of 1
        view.set(temperature=1, k=40, top_p=0.9, min_p=1e-6, order=order)
        shown = [step.split()[0] for step in view.text("steps").split(" → ")]
        assert shown == [NAMES[step] for step, _ in steps_of(1.0, 40, 0.9, 1e-6, order)]


TIES = """
import { Head } from "./src/head.mjs";
let text = "";
for await (const part of process.stdin) text += part;
const { orders, logits, settings } = JSON.parse(text);
const head = new Head({ V: 8, d: 1, context: Float32Array.of(1), embedding: Float32Array.from(logits), orders });
const cutOf = ({ of, kept }) => [of, kept];
console.log(JSON.stringify(settings.map((setting) => {
  const { top_p, min_p } = head.cuts(setting);
  return { probs: Array.from(head.probs(setting)), cuts: [top_p, min_p].map(cutOf) };
})));
"""


@spec("FILTER-1", "FILTER-3", "TOPK-2", "TOPK-7")
def test_ties_and_exact_sums_are_cut_by_the_contract_of_the_order() -> None:
    """Among equal tokens nothing rounds. What an engine leaves open is the lowest ids."""
    node = shutil.which("node")
    if node is None:
        unavailable("this machine has no node: make setup-explorer")
    logits = np.array([0, 2, 2, -9, 2, 2, 0, 0], f32)
    chosen: list[dict[str, Any]] = [
        dict(zip(BOXES, (2.0, k, p, 0.0, order), strict=True)) for order in ORDERS for k in (2, 4) for p in (0.5, 0.75)
    ]
    given = {"orders": orders(), "logits": logits.tolist(), "settings": [{"prompt": 0, **one} for one in chosen]}
    command = [str(node), "--input-type=module", "-e", TIES]
    run = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True, cwd=EXPLORER)
    survivors: set[Any] = set()
    for one, found in zip(chosen, json.loads(run.stdout), strict=True):
        kept = reference.process(logits, steps_of(*one.values()))
        assert np.array_equal(np.array(found["probs"]) > 0, kept > -np.inf), one
        assert np.abs(np.array(found["probs"]) - reference.softmax(kept)).max() <= 2**-23, one
        assert found["cuts"][1][0] == found["cuts"][1][1]  # min-p is off
        survivors.add((one["k"], one["top_p"], tuple(np.flatnonzero(kept > -np.inf).tolist())))
    assert {len(ids) for _, _, ids in survivors} == {1, 2, 3, 4}

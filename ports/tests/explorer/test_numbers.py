"""What the explorer's page shows is what the reference computes."""

import numpy as np
import pytest

import reference
from parity_tests.verdict import exact_softmax
from reference import bounds
from weights_export import Bundle

from .view import View, check_bars, f32, probabilities

spec = pytest.mark.spec


@spec("HEAD-1", "SOFTMAX-1", "TEMP-1", "TOPK-1")
def test_sliders_move_the_bars_to_what_the_reference_computes(view: View, bundle: Bundle) -> None:
    check_bars(view, bundle, 0, 0.7, 50)
    page = view.page
    seen = set()
    page.focus("#temperature-slider")
    for key in [*["ArrowRight"] * 5, "PageUp", "End", "Home"]:
        page.keyboard.press(key)
        view.settle()
        temperature = float(page.input_value("#temperature"))
        assert float(page.input_value("#temperature-slider")) == temperature
        check_bars(view, bundle, 0, temperature, 50)
        seen.add(temperature)
    page.focus("#k-slider")
    for key in [*["ArrowLeft"] * 5, "PageUp", "PageDown", "End", "Home"]:
        page.keyboard.press(key)
        view.settle()
        k = int(page.input_value("#k"))
        check_bars(view, bundle, 0, 0.05, k)
        seen.add(k)
    assert {0.75, 3.0, 0.05, 1, 2048} <= seen
    assert len(seen) >= 14


@spec("HEAD-1")
def test_every_prompt_is_what_the_reference_computes(view: View, bundle: Bundle) -> None:
    settings = [(0.7, 50), (1.0, 5), (2.5, 2048), (0.013, 3), (1e30, 1)]
    for prompt in range(len(bundle.prompts)):
        temperature, k = settings[prompt % len(settings)]
        view.set(prompt=prompt, temperature=temperature, k=k)
        check_bars(view, bundle, prompt, temperature, k)


@spec("LOGITS-1", "LOGITS-2")
def test_running_sum_ends_at_the_logit(view: View, bundle: Bundle) -> None:
    exact = bundle.logits_exact[0]
    bound = bounds.logits(np.array(bundle.context[0]), np.array(bundle.embedding), "float32")
    shown = view.page.evaluate(
        """() => [...document.querySelectorAll("#candidates button")].map((button) => {
          button.dispatchEvent(new PointerEvent("pointerenter"));
          const pressed = document.querySelector("#candidates [aria-pressed=true]").value;
          return { value: button.value, pressed, ...document.getElementById("stage-product").dataset };
        })"""
    )
    assert len(shown) == 12
    for stage in shown:
        token = int(stage["token"])
        assert stage["value"] == stage["pressed"] == str(token)
        assert abs(float(stage["logit"]) - exact[token]) <= bound[token]
        assert abs(float(stage["runningSum"]) - exact[token]) <= bound[token]


@spec("LOGITS-1")
def test_strips_show_the_numbers(view: View, bundle: Bundle) -> None:
    """The opacity of each cell is its share of the strip's largest number: the outliers can be seen."""
    h, w = np.array(bundle.context[0]), np.array(bundle.embedding)[int(view.data("stage-product")["token"])]
    for chart, strips in (("context", [h]), ("factors", [h, w, h.astype(float) * w])):
        read = view.page.evaluate(
            """chart => {
              const svg = document.getElementById(chart);
              const { data, width } = (({ width, height }, pen) => pen.getImageData(0, 0, width, height))(
                svg.previousElementSibling, svg.previousElementSibling.getContext("2d"));
              return [...svg.querySelectorAll(".frame")].map((path) => {
                const { x, y, width: w } = path.getBBox();
                return [x, w, Array.from({ length: width }, (_, i) => data[4 * ((y + 12) * width + i) + 3])];
              });
            }""",
            chart,
        )
        for values, (left, width, opacity) in zip(strips, read, strict=True):
            assert width / len(values) > 2  # so that the middle pixel belongs to one cell alone
            middles = (left + width * (np.arange(len(values)) + 0.5) / len(values)).astype(int)
            share = np.abs(values) / np.abs(values).max()
            assert np.all(np.abs(np.array(opacity)[middles] - 255 * share) <= 1)
    (largest,) = np.flatnonzero(np.abs(h) == np.abs(h).max())
    assert f"{h[largest]:.2f} in dimension {largest}".replace("-", "−") in view.text("context-text")
    assert f"[{largest}]" in view.page.text_content("#context .labels")


def test_tail_entropy_and_effective_number(view: View, bundle: Bundle) -> None:
    for temperature, k in [(0.7, 50), (1.5, 8), (1.0, 1), (1.0, 2048)]:
        view.set(temperature=temperature, k=k)
        scaled = bundle.logits_exact[0] / float(f32(temperature))
        whole = exact_softmax(scaled)
        kept = reference.lm_head(np.array(bundle.context[0]), np.array(bundle.embedding), temperature, k) > 0
        probs = whole[kept] / whole[kept].sum()
        entropy = -float(np.sum(probs * np.log2(probs)))
        # With each p off by its relative bound at most: the sum, and the terms p log p.
        r = np.max(probabilities(bundle, 0, temperature, 2048)[1] / whole)
        stage = view.data("stage-probabilities")
        assert abs(float(stage["tail"]) - whole[~kept].sum()) <= r * whole[~kept].sum()
        r = np.max(probabilities(bundle, 0, temperature, k)[1][kept] / probs)
        found = float(stage["entropy"])
        assert abs(found - entropy) <= np.sum(r * probs * (np.abs(np.log2(probs)) + (1 + r) / np.log(2)))
        assert abs(float(stage["effective"]) - 2**found) <= 2 * np.spacing(2**found)  # two libraries' powers
        assert view.text("survive") == f"{min(k, 2048):,}"
        assert view.text("cut") == f"{2048 - k:,}"
        assert int(view.data("stage-logits")["survivors"]) == k
        assert view.page.get_attribute("#histogram .kept", "d").count("M") > 0


@spec("TEMP-1")
def test_spread_and_extremes_of_the_logits(view: View, bundle: Bundle) -> None:
    """Before and after the division on one axis, and where all logits lie."""
    exact = bundle.logits_exact[0]
    assert f"2,048 logits, from −{-exact.min():.2f} to {exact.max():.2f};" in view.text("histogram-text")
    best = np.sort(exact)[::-1]
    for temperature, k in [(0.7, 50), (2.0, 5), (0.05, 1)]:
        view.set(temperature=temperature, k=k)
        spread = best[0] - best[min(k, 12) - 1]
        stage = view.data("stage-cut")
        assert abs(float(stage["before"]) - spread) < 1e-4
        assert abs(float(stage["after"]) - spread / temperature) < 1e-4 / temperature
        dots = {name: view.page.get_attribute(f"#spread .{name}-dots", "d").count("h0") for name in ("kept", "cut")}
        assert dots == {"kept": 2 * min(k, 12), "cut": 24 - 2 * min(k, 12)}

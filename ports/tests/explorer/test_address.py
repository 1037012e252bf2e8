"""The explorer's view is in its address, and in a few lines of NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weights_export import Bundle

from .view import ROOT, View, check_bars, probabilities, steps_of


def test_fragment_restores_the_view(view: View, visit: Callable[..., View], made: Path, bundle: Bundle) -> None:
    first = view
    first.set(prompt=5, temperature=1.3, k=17, top_p=0.85, min_p=0.015, order="mlx-lm", seed=123)
    first.page.locator("#candidates button").nth(4).hover()
    first.press("draw")
    first.wait_for_draws(2)
    first.page.wait_for_function("() => location.hash.includes('draws=2')")
    fragment = first.page.evaluate("location.hash")
    other = visit(made, fragment)
    everything = ("stage-product", "stage-logits", "sums", "shares", "stage-probabilities", "stage-draw")
    assert [first.data(stage) for stage in everything] == [other.data(stage) for stage in everything]
    tables = ("bars", "race", "counts")
    assert [first.rows(table) for table in tables] == [other.rows(table) for table in tables]
    boxes = ("prompt", "temperature", "k", "top_p", "min_p", "order", "seed")
    assert [other.page.input_value(f"#{box}") for box in boxes] == ["5", "1.3", "17", "0.85", "0.015", "mlx-lm", "123"]
    first.set(temperature="1e30", top_p=1, min_p=0, order="reference")
    first.page.wait_for_function("() => location.hash.includes('30')")
    assert "_p" not in first.page.evaluate("location.hash")  # as before there were filters
    links = [(first.page.evaluate("location.hash"), 5, 1e30, 17), ("#prompt=1&temperature=0.9&k=3", 1, 0.9, 3)]
    for link, prompt, temperature, k in links:
        other.page.evaluate("link => { location.hash = link }", link)  # followed within the page
        other.page.wait_for_function("k => Number(document.getElementById('temperature').value) === k", arg=temperature)
        other.settle()
        check_bars(other, bundle, prompt, temperature, k)


def test_a_bad_fragment_is_reported_and_the_rest_used(visit: Callable[..., View], made: Path, bundle: Bundle) -> None:
    bad = visit(made, "#prompt=99&temperature=warm&k=7&seed=x&draws=0&colour=red&order=best&top_p=x")
    check_bars(bad, bundle, 0, 0.7, 7)
    assert "prompt is 99: it must be a whole number from 0 to 15" in bad.text("prompt-problem")
    assert 'temperature is "warm": type a number above 0' in bad.text("temperature-problem")
    assert 'seed is "x": type a whole number' in bad.text("seed-problem")
    assert 'order is "best": it must be one of reference, transformers' in bad.text("order-problem")
    assert 'top-p is "x": type a number above 0' in bad.text("top_p-problem")
    assert "which this page does not know" in bad.text("notice")
    bad.page.evaluate("location.hash = '#temperature=0&k=7'")  # the port's own refusal
    bad.page.wait_for_function("() => document.getElementById('k').value === '50'")
    assert "temperature is 0: it must be finite and > 0" in bad.text("temperature-problem")
    check_bars(bad, bundle, 0, 0.7, 50)
    bad.set(k=9)
    check_bars(bad, bundle, 0, 0.7, 9)
    bad.page.evaluate("location.hash = '#min_p=2&k=7&order=llama.cpp'")
    bad.page.wait_for_function("() => document.getElementById('k').value === '50'")
    assert "p is 2: it must be between 0 and 1" in bad.text("min_p-problem")
    check_bars(bad, bundle, 0, 0.7, 50)


def test_copied_code_computes_the_view(view: View, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    view.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.set(prompt=2, temperature=1.1, k=20, seed=5)
    view.press("draw")
    view.wait_for_draws(2)
    view.page.bring_to_front()
    view.press("copy")
    view.page.wait_for_function("() => document.getElementById('copied').textContent !== ''")
    assert view.text("copied") == "Copied the code."
    code = view.page.evaluate("navigator.clipboard.readText()")
    assert len(code.splitlines()) == 6
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(code, names)
    assert np.array_equal(names["probs"], probabilities(bundle, 2, 1.1, 20)[0])
    assert names["drawn"].tolist()[-1] == int(view.data("stage-draw")["drawn"])
    assert len(names["drawn"]) == 2
    view.press("copy-link")
    view.page.wait_for_function("() => document.getElementById('copied').textContent === 'Copied the link.'")
    assert view.page.evaluate("navigator.clipboard.readText()").endswith(
        "#prompt=2&temperature=1.1&k=20&seed=5&draws=2"
    )
    view.set(prompt=4, temperature=0.8, k=40, top_p=0.95, min_p=0.05, order="llama.cpp")
    exec(view.text("numpy"), names)
    assert np.array_equal(names["probs"], probabilities(bundle, 4, 0.8, 40, 0.95, 0.05, "llama.cpp")[0])
    assert names["steps"] == steps_of(0.8, 40, 0.95, 0.05, "llama.cpp")
    assert names["drawn"][0] == int(view.data("stage-draw")["drawn"])

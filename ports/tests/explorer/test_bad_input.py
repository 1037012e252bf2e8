"""The explorer says in words what is wrong with a box, its bundle or its browser, and stays usable."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
from parity_tests.verdict import compare
from weights_export import Bundle

from .view import Tabs, View, check_bars, f32

spec = pytest.mark.spec


BAD_BOXES = [
    ("temperature", "", "temperature is empty: type a number above 0, such as 0.7. The view stays as it was."),
    ("temperature", " ", "temperature is empty"),
    ("temperature", "warm", 'temperature is "warm": type a number above 0'),
    ("temperature", "0", "temperature is 0: it must be finite and > 0; for greedy take the argmax"),
    ("temperature", "-1", "temperature is -1: it must be finite and > 0"),
    ("temperature", "1e-60", "temperature is 1e-60: it must be finite and > 0"),
    ("temperature", "1e999", "temperature is Infinity: it must be finite"),
    ("temperature", "1e-38", "it must be finite, or -Infinity"),
    ("k", "", "k is empty: type a whole number from 1 to V = 2048"),
    ("k", "0", "k is 0: it must be at least 1"),
    ("k", "2.5", "k is 2.5: it must be an integer"),
    ("top_p", "", "top-p is empty: type a number above 0 and up to 1, which is off. The view stays as it was."),
    ("top_p", "most", 'top-p is "most": type a number above 0'),
    ("top_p", "0", "p is 0: it must be between 0 and 1, or 1. The view stays as it was."),
    ("top_p", "1.5", "p is 1.5: it must be between 0 and 1, or 1"),
    ("top_p", "1e999", "p is Infinity: it must be between 0 and 1"),
    ("min_p", "", "min-p is empty: type a number from 0, which is off, to 1"),
    ("min_p", "-0.1", "p is -0.1: it must be between 0 and 1, or 0, or 1. The view stays as it was."),
    ("min_p", "2", "p is 2: it must be between 0 and 1, or 0, or 1"),
    ("seed", "", 'seed is "": type a whole number'),
    ("seed", "1.5", 'seed is "1.5": type a whole number'),
    ("seed", str(2**64), "it must be from -2^63 to 2^64 - 1"),
]


@spec("TEMP-2", "TOPK-4", "TOPK-5", "FILTER-11", "RNG-1")
def test_bad_boxes_are_explained_in_words(view: View, bundle: Bundle) -> None:
    tables = ("bars", "race", "counts")
    for box, text, words in BAD_BOXES:
        before = [view.rows(table) for table in tables]
        view.type(box, text)
        assert words in view.text(f"{box}-problem")
        assert view.page.get_attribute(f"#{box}", "aria-invalid") == "true"
        assert view.page.input_value(f"#{box}") == text  # what was typed stays to be corrected
        assert [view.rows(table) for table in tables] == before
        view.type(box, {"top_p": "1", "min_p": "0"}.get(box, "3"))
        assert view.text(f"{box}-problem") == ""
        assert view.page.get_attribute(f"#{box}", "aria-invalid") is None
    check_bars(view, bundle, 0, 3.0, 3)


@spec("TOPK-4")
def test_k_above_the_vocabulary_means_all_of_it_and_says_so(view: View, bundle: Bundle) -> None:
    view.type("k", "5000")
    assert view.text("k-problem") == "k is 5,000, more than V = 2,048, so every token survives [TOPK-4]."
    check_bars(view, bundle, 0, 0.7, 5000)
    assert view.text("survive") == "2,048"
    view.type("k", "10")
    assert view.text("k-problem") == ""


def use_the_toy(view: View) -> None:
    """The page without its bundle works, on four tokens."""
    context, embedding = np.array([2, 1], f32), np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], f32)
    for temperature, k in [(0.7, 2), (1.5, 4), (1.5, 50)]:
        view.set(temperature=temperature, k=k)
        probs = reference.lm_head(context, embedding, temperature, k)
        shown = {int(bar["id"]): float(bar["probability"]) for bar in view.rows("bars")}
        theirs = np.array([shown[v] for v in range(4)], f32)
        inputs: dict[str, Any] = {"context": context, "embedding": embedding, "temperature": temperature, "k": k}
        compare("lm_head", probs, theirs, **inputs).require()
    view.set(seed=4)
    assert int(view.data("stage-draw")["drawn"]) == reference.multinomial(probs, rng=reference.TorchGenerator(4))[0]
    names: dict[str, Any] = {}
    exec(view.text("numpy"), names)
    assert np.array_equal(names["probs"], probs)


def test_corrupted_bundle_is_reported_and_the_page_stays_usable(
    visit: Callable[..., View], made: Path, tmp_path: Path
) -> None:
    text = made.read_text("utf-8")
    for file in ("manifest.json", "head.safetensors", "tokens.json", "expected.safetensors"):
        start = text.index(f'id="file:{file}">') + len(f'id="file:{file}">')
        at = start + 400
        other = "A" if text[at] != "A" else "B"
        (tmp_path / f"{file}.html").write_text(text[:at] + other + text[at + 1 :], encoding="utf-8")
        view = visit(tmp_path / f"{file}.html")
        assert "The bundle in this page cannot be used: " in view.text("notice")
        assert file in view.text("notice")
        assert "A toy model with four tokens is shown instead." in view.text("notice")
    use_the_toy(view)


def test_cut_page_and_no_base64(visit: Callable[..., View], made: Path, tmp_path: Path) -> None:
    text = made.read_text("utf-8")
    start = text.index('id="file:head.safetensors">') + len('id="file:head.safetensors">')
    (tmp_path / "page.html").write_text(text[:start] + "%" + text[start + 5000 :], encoding="utf-8")
    view = visit(tmp_path / "page.html")
    assert "head.safetensors cannot be read" in view.text("notice")
    use_the_toy(view)


def with_script(made: Path, output: Path, script: str) -> Path:
    """The page with a script before its own, which makes the browser another one."""
    text = made.read_text("utf-8").replace("<script>", f"<script>{script};", 1)
    output.write_text(re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", text), encoding="utf-8")
    return output


def test_browser_without_web_crypto(visit: Callable[..., View], made: Path, tmp_path: Path) -> None:
    without = "Object.defineProperty(Crypto.prototype, 'subtle', {value: undefined})"
    view = visit(with_script(made, tmp_path / "page.html", without))
    assert "this browser has no Web Crypto here" in view.text("notice")
    use_the_toy(view)


def test_browser_without_javascript(visit: Callable[..., View], made: Path) -> None:
    view = visit(made, ready=False, java_script_enabled=False)
    assert "If this line does not go away" in view.page.locator("#notice").inner_text()
    assert "JavaScript is switched off" in view.page.locator("noscript").inner_text()
    assert "A model does not read letters" in view.page.locator("#stage-prompt").inner_text()


def test_browser_that_is_too_old(visit: Callable[..., View], tabs: Tabs, made: Path, tmp_path: Path) -> None:
    """A script that it cannot parse: the line that the script would remove stays."""
    view = visit(with_script(made, tmp_path / "page.html", "#not(the language of this browser)"), ready=False)
    assert "JavaScript is off or the browser is too old" in view.text("notice")
    assert tabs.faults, "a script that does not parse is on the console"
    tabs.faults.clear()

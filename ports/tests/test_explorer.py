"""The explorer's page in Debian's Chromium: what it shows is what the reference computes, and it can be used by all."""

import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
import torch_impl
from parity_tests import checkpoints
from parity_tests.random_stream import OTHER_STREAM, local_stream_is_mt19937
from parity_tests.verdict import Word, compare, exact_softmax
from ports.__main__ import main
from ports.explorer import page as pages
from ports.explorer import pytorch
from ports.explorer.pytorch import SEEDS, SETTINGS
from reference import bounds
from weights_export.bundle import Bundle, BundleError, open_bundle
from weights_export.export import Options, export
from weights_export.source import Source

spec = pytest.mark.spec
f32 = np.float32
ROOT = Path(__file__).parents[2]
EXPLORER = ROOT / "ports" / "explorer"
TINY = Path("ports/tiny_bundle")  # from ROOT
CI = os.environ.get("CI", "") not in ("", "0", "false")
CHROMIUM = "/usr/bin/chromium"
OFFLINE = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
ARGUMENTS = [f"--{name}" for name in [*OFFLINE.split(), "disable-sync"]]
GRAVE = ("serious", "critical")


def unavailable(reason: str) -> None:
    """Skip, but fail on CI, where everything is to be installed."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
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


SETTLED = """async () => {
  while (document.getElementById("explorer").dataset.pending !== "0") await new Promise((done) => setTimeout(done));
}"""


class View:
    """The page in a browser: how a user changes it, and what its data attributes say."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def data(self, element: str) -> dict[str, str]:
        return self.page.evaluate("id => ({...document.getElementById(id).dataset})", element)

    def rows(self, table: str) -> list[dict[str, str]]:
        return self.page.evaluate(
            "id => [...document.querySelectorAll(`#${id} tbody tr`)].map(r => ({...r.dataset}))", table
        )

    def text(self, element: str) -> str:
        return self.page.inner_text(f"#{element}")

    def type(self, element: str, text: str) -> None:
        """Write into a box, as typing does, and wait until all sections show it."""
        self.page.evaluate(
            "async ([id, text]) => { const e = document.getElementById(id); e.value = text;"
            " e.dispatchEvent(new Event('input', { bubbles: true })); await (" + SETTLED + ")(); }",
            [element, text],
        )

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            self.type(name, str(value))

    def press(self, element: str) -> None:
        self.page.evaluate("async id => { document.getElementById(id).click(); await (" + SETTLED + ")(); }", element)

    def settle(self) -> None:
        self.page.evaluate(SETTLED)

    def wait_for_draws(self, n: int) -> None:
        self.page.wait_for_function("n => document.getElementById('stage-draw').dataset.draws == n", arg=n)


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., View]]:
    """Open a page; afterwards no error was on the console and no request had left it, unless the test expected one."""
    contexts, faults = [], []

    def open_page(path: Path, fragment: str = "", *, ready: bool = True, init: str = "", **options: Any) -> View:
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        contexts.append(context)
        context.on(
            "request", lambda r: r.url.split("#")[0] == path.as_uri() or r.url == "data:," or faults.append(r.url)
        )
        context.on("console", lambda m: m.type in ("error", "warning") and faults.append(m.text))
        context.on("weberror", lambda e: faults.append(str(e.error)))
        page = context.new_page()
        page.set_default_timeout(20_000)
        if init:
            page.add_init_script(init)
        page.goto(path.as_uri() + fragment)
        if ready:
            page.wait_for_selector("#explorer[data-ready]")
            page.evaluate(SETTLED)
        return View(page)

    open_page.faults = faults  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(ROOT / TINY)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the embedded bundle, by the command, from the top of the project."""
    output = tmp_path_factory.mktemp("explorer") / "explorer.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main(["explorer", str(TINY), "-o", str(output)]) == 0
    return output


@pytest.fixture
def view(visit: Callable[..., View], made: Path) -> View:
    return visit(made)


def probabilities(bundle: Bundle, prompt: int, temperature: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The reference's row, and how far a float32 head that is right may be from it: twice the derived bound."""
    context, embedding = np.array(bundle.context[prompt]), np.array(bundle.embedding)
    probs = reference.lm_head(context, embedding, temperature=temperature, k=k)
    exact = context.astype(np.float64) @ embedding.astype(np.float64).T
    logits_error = bounds.logits(context, embedding, "float32") + bounds.logits(context, embedding, "float64")
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


# ---- the file ------------------------------------------------------------------------------------------------------


def test_one_small_file_the_same_each_time_whose_path_is_printed(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explorer"]) == 0  # the embedded bundle, explorer.html
    assert capsys.readouterr().out == "explorer.html\n"
    again = (tmp_path / "explorer.html").read_text("utf-8")
    assert again.replace('data-bundle="tiny_bundle"', f'data-bundle="{TINY}"') == made.read_text("utf-8")
    assert made.stat().st_size < 5_000_000


def test_policy_permits_the_page_and_nothing_else(made: Path) -> None:
    text = made.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    assert parts.keys() == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert (parts["img-src"], parts["base-uri"], parts["form-action"]) == ("data:", "'none'", "'none'")
    for element in ("script", "style"):
        (code,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert parts[f"{element}-src"] == f"'sha256-{digest}'"


def test_damaged_and_headless_bundles_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    damaged = shutil.copytree(ROOT / TINY, tmp_path / "damaged")
    raw = bytearray((damaged / "head.safetensors").read_bytes())
    raw[-1] ^= 1
    (damaged / "head.safetensors").write_bytes(raw)
    output = tmp_path / "explorer.html"
    assert main(["explorer", str(damaged), "-o", str(output)]) == 2
    assert "does not match its sha256" in capsys.readouterr().err
    assert main(["explorer", str(tmp_path / "none"), "-o", str(output)]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert not output.exists()
    checkpoints.make(tmp_path / "checkpoint")
    export(Source("checkpoint", None, tmp_path / "checkpoint"), Options(output=tmp_path / "head", head_only=True))
    with pytest.raises(BundleError, match="holds no prompts: export it without --head-only"):
        pages.write(open_bundle(tmp_path / "head"), output)
    assert main(["explorer", str(TINY), "-o", str(tmp_path / "no" / "folder.html")]) == 2


def test_every_stage_names_rules_of_the_specification(made: Path) -> None:
    text = made.read_text("utf-8")
    known = pages.rules()
    for stage in re.findall(r'<section id="stage-(\w+)".*?</section>', text, re.DOTALL):
        section = re.search(rf'<section id="stage-{stage}".*?</section>', text, re.DOTALL).group(0)
        cited = re.findall(r'class="rule">([A-Z]+-\d+)<', section)
        assert cited or stage == "prompt"
        assert set(cited) <= known.keys()


def test_built_script_is_what_its_sources_build(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (EXPLORER / "node_modules" / "esbuild").exists():
        unavailable("no node, or ports/explorer/node_modules is not installed: make setup-explorer")
    subprocess.run([node, "build.mjs", str(tmp_path / "page.js")], cwd=EXPLORER, check=True, capture_output=True)
    assert (tmp_path / "page.js").read_bytes() == (EXPLORER / "page.js").read_bytes(), (
        "npm run build, then commit page.js"
    )


# ---- what it shows -------------------------------------------------------------------------------------------------


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
    buttons = view.page.locator("#candidates button")
    assert buttons.count() == 12
    for i in range(12):
        buttons.nth(i).hover()
        stage = view.data("stage-product")
        token = int(stage["token"])
        assert buttons.nth(i).get_attribute("value") == str(token)
        assert buttons.nth(i).get_attribute("aria-pressed") == "true"
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
    assert f"dimension {largest} is" in view.text("context-text")
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


# ---- the draw ------------------------------------------------------------------------------------------------------


@spec("DRAW-1", "RNG-1", "RNG-3")
def test_seeded_draws_are_the_reference_s(view: View, bundle: Bundle) -> None:
    probs = reference.lm_head(np.array(bundle.context[0]), np.array(bundle.embedding))
    seeds = [*range(196), 2**32, -1, 2**64 - 1, -(2**63)]
    shown = view.page.evaluate(
        f"""async (seeds) => {{
          const box = document.getElementById("seed");
          const shown = [];
          for (box.value of seeds) {{
            box.dispatchEvent(new Event("input", {{ bubbles: true }}));
            await ({SETTLED})();
            const {{ seed, drawn }} = document.getElementById("stage-draw").dataset;
            shown.push([seed, drawn, document.querySelector("#race tbody tr").dataset.id]);
          }}
          return shown;
        }}""",
        [str(seed) for seed in seeds],
    )
    tokens = [reference.multinomial(probs, rng=reference.TorchGenerator(seed))[0] for seed in seeds]
    assert shown == [[str(seed), str(token), str(token)] for seed, token in zip(seeds, tokens, strict=True)]
    assert len(set(tokens)) > 10


@spec("DRAW-1", "RNG-2", "RNG-5")
def test_draws_go_on_in_the_stream_and_are_counted(view: View, bundle: Bundle) -> None:
    probs = reference.lm_head(np.array(bundle.context[3]), np.array(bundle.embedding), temperature=1.2, k=40)
    rng = reference.TorchGenerator(11)
    tokens = [int(reference.multinomial(probs, rng=rng)[0]) for _ in range(1003)]
    view.set(prompt=3, temperature=1.2, k=40, seed=11)
    for n in (1, 2, 3):
        assert view.data("stage-draw")["drawn"] == str(tokens[n - 1])
        assert view.data("stage-draw")["draws"] == str(n)
        view.press("draw")
        view.wait_for_draws(n + 1)
    view.press("restart")
    view.wait_for_draws(1)
    view.press("draw")
    view.press("draw")
    view.press("draw-1000")
    view.wait_for_draws(1003)
    assert view.data("stage-draw")["drawn"] == str(tokens[-1])
    counts = np.bincount(tokens, minlength=len(probs))
    rows = view.rows("counts")
    assert len(rows) == 12
    _, bound = probabilities(bundle, 3, 1.2, 40)
    for row in rows:
        token = int(row["id"])
        assert int(row["count"]) == counts[token]
        assert abs(float(row["expected"]) - 1003 * float(probs[token])) <= 1003 * bound[token]
    noise = reference.TorchGenerator(11).standard_exponential((1003, len(probs)), f32)[-1]
    reach = bounds.race(probs, noise, "float32", bound) + bounds.race(probs, noise, "float64")
    for row in view.rows("race"):
        token = int(row["id"])
        assert f32(row["noise"]) == noise[token]
        assert abs(float(row["race"]) - float(probs[token]) / float(noise[token])) <= reach[token]


# ---- the address, the code -----------------------------------------------------------------------------------------


def test_fragment_restores_the_view(visit: Callable[..., View], made: Path, bundle: Bundle) -> None:
    first = visit(made)
    first.set(prompt=5, temperature=1.3, k=17, seed=123)
    first.page.locator("#candidates button").nth(4).hover()
    first.press("draw")
    first.wait_for_draws(2)
    first.page.wait_for_function("() => location.hash.includes('draws=2')")
    fragment = first.page.evaluate("location.hash")
    other = visit(made, fragment)
    everything = ("stage-product", "stage-logits", "stage-probabilities", "stage-draw")
    assert [first.data(stage) for stage in everything] == [other.data(stage) for stage in everything]
    assert [first.rows(table) for table in ("bars", "race", "counts")] == [
        other.rows(table) for table in ("bars", "race", "counts")
    ]
    assert [other.page.input_value(f"#{box}") for box in ("prompt", "temperature", "k", "seed")] == [
        "5",
        "1.3",
        "17",
        "123",
    ]
    first.set(temperature="1e30")
    first.page.wait_for_function("() => location.hash.includes('30')")
    check_bars(visit(made, first.page.evaluate("location.hash")), bundle, 5, 1e30, 17)
    other.page.evaluate("location.hash = '#prompt=1&temperature=0.9&k=3'")  # a link followed within the page
    other.page.wait_for_function("() => document.getElementById('k').value === '3'")
    check_bars(other, bundle, 1, 0.9, 3)


def test_a_bad_fragment_is_told_and_the_rest_of_it_used(visit: Callable[..., View], made: Path, bundle: Bundle) -> None:
    bad = visit(made, "#prompt=99&temperature=warm&k=7&seed=x&draws=0&colour=red")
    check_bars(bad, bundle, 0, 0.7, 7)
    assert "prompt is 99: it must be a whole number from 0 to 15" in bad.text("prompt-problem")
    assert 'temperature is "warm": type a number above 0' in bad.text("temperature-problem")
    assert 'seed is "x": type a whole number' in bad.text("seed-problem")
    assert "which is not known here" in bad.text("notice")
    refused = visit(made, "#temperature=0&k=7")  # the port's own refusal
    assert "temperature is 0: it must be finite and > 0" in refused.text("temperature-problem")
    check_bars(refused, bundle, 0, 0.7, 50)
    refused.set(k=9)
    check_bars(refused, bundle, 0, 0.7, 9)


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
    assert len(code.splitlines()) == 4
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


# ---- what PyTorch says ---------------------------------------------------------------------------------------------


@spec("HEAD-1", "LOGITS-2", "DRAW-1")
def test_pytorch_s_answers_are_shown_with_the_verdict_of_the_suite(view: View, bundle: Bundle) -> None:
    context, embedding = np.array(bundle.context), np.array(bundle.embedding)
    for (temperature, k), prompt in zip([*SETTINGS, *SETTINGS], range(10), strict=True):
        n = k or len(embedding)
        view.set(prompt=prompt, temperature=temperature, k=n, seed=prompt)
        theirs = torch_impl.lm_head(torch.tensor(context), torch.tensor(embedding), temperature, n)[prompt]
        column = view.page.locator("#bars tbody td:nth-child(6)").all_inner_texts()
        ids = [int(row["id"]) for row in view.rows("bars")]
        assert column == [f"{theirs[i]:.6f}" if theirs[i] > 0 or n > 12 else "cut" for i in ids]
        ours = reference.lm_head(context[prompt], embedding, temperature, n)
        word = compare(
            "lm_head", ours, theirs.numpy(), context=context[prompt], embedding=embedding, temperature=temperature, k=n
        ).word
        agree = (Word.IDENTICAL, Word.WITHIN_BOUND)  # which of them hangs on last bits, the page's are not NumPy's
        assert word in agree
        assert view.data("verdict-probs")["word"] in agree
        assert view.data("verdict-logits")["word"] in (Word.IDENTICAL, Word.WITHIN_BOUND)
        if local_stream_is_mt19937():
            drawn = torch.multinomial(theirs, 1, generator=torch.Generator().manual_seed(prompt))
            assert int(view.data("stage-draw")["first"]) == int(drawn)
            assert view.data("verdict-draw")["word"] == Word.IDENTICAL
        else:
            assert OTHER_STREAM.split(",")[0] in view.text("pytorch-note")
    view.set(temperature=0.71)
    assert "not exported for this T and k" in view.text("verdict-probs")
    assert view.data("verdict-logits")["word"] == Word.WITHIN_BOUND
    view.page.locator("#settings button").first.click()
    view.settle()
    assert view.data("verdict-probs")["word"] == Word.WITHIN_BOUND
    view.set(seed=SEEDS)
    assert f"exported for seeds 0 to {SEEDS - 1}" in view.text("verdict-draw") or not local_stream_is_mt19937()


def changed(made: Path, output: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The page with other answers of PyTorch."""
    text = made.read_text("utf-8")
    block = re.search(r'(<script type="application/json" id="pytorch">)(.*?)(</script>)', text, re.DOTALL)
    answers = json.loads(block.group(2))
    change(answers)
    output.write_text(text.replace(block.group(2), json.dumps(answers)), encoding="utf-8")
    return output


@spec("HEAD-1", "DRAW-1", "DRAW-2")
def test_a_pytorch_that_differs_is_called_diverged(visit: Callable[..., View], made: Path, tmp_path: Path) -> None:
    def wrong(answers: dict[str, Any]) -> None:
        for setting, factor in zip(answers["settings"], (1.01, 1.0, 1.0), strict=False):
            probs = np.frombuffer(base64.b64decode(setting["probs"]), "<f4") * f32(factor)
            setting["probs"] = base64.b64encode(probs.tobytes()).decode()
        for setting, token in zip(answers["settings"], (0, 721, 881), strict=False):  # cut, a candidate, a candidate
            if setting["draws"]:
                size = len(base64.b64decode(setting["draws"]))
                setting["draws"] = base64.b64encode(np.full(size // 4, token, "<i4").tobytes()).decode()

    view = visit(changed(made, tmp_path / "wrong.html", wrong))
    assert view.text("verdict-probs").startswith("DIVERGED from HEAD-1")
    if local_stream_is_mt19937():
        assert view.text("verdict-draw").startswith("DIVERGED from DRAW-2")
        view.set(temperature=1)
        assert view.data("verdict-probs")["word"] == Word.WITHIN_BOUND
        assert view.text("verdict-draw").startswith("DIVERGED from DRAW-1")
    short = visit(changed(made, tmp_path / "short.html", lambda a: a["settings"][0].update(probs="AAAA")))
    assert "PyTorch's answers in this page are damaged" in short.text("pytorch-note")
    short.set(k=3)
    assert short.data("stage-probabilities")["k"] == "3"


JUDGE = """
import { HeadJudge, draw, logitErrors, logits } from "./src/verdict.mjs";
let text = "";
for await (const part of process.stdin) text += part;
const say = ({ context, embedding, ours, theirs, exact, temperature, k, stage, probs, noise, tokens }) => {
  if (stage === "multinomial")
    return draw(...tokens, Float32Array.from(probs), Float32Array.from(noise), () => 0).word;
  const error = logitErrors(Float32Array.from(context), Float32Array.from(embedding.flat()));
  const [a, b, z] = [Float32Array.from(ours), Float32Array.from(theirs), Float64Array.from(exact)];
  if (stage === "compute_logits") return logits(a, b, z, error).word;
  return new HeadJudge(z, error, temperature, k).compare(a, b).word;
};
console.log(JSON.stringify(JSON.parse(text).map(say)));
"""


@spec("HEAD-1", "LOGITS-2", "TOPK-1", "DRAW-1")
def test_the_page_s_judges_say_what_the_suite_says() -> None:
    node = shutil.which("node") or unavailable("this machine has no node: make setup-explorer")
    rng = np.random.default_rng(0)
    cases, words = [], []

    def add(stage: str, ours: np.ndarray, theirs: np.ndarray, **inputs: Any) -> None:
        words.append(str(compare(stage, ours, theirs, **inputs).word))
        exact = inputs["context"].astype(float) @ inputs["embedding"].astype(float).T
        case = {"stage": stage, "ours": ours, "theirs": theirs, "exact": exact, **inputs}
        cases.append({name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in case.items()})

    for trial in range(60):
        v, d = int(rng.integers(2, 40)), int(rng.integers(1, 12))
        context = rng.normal(size=d).astype(f32)
        embedding = rng.normal(size=(v, d)).astype(f32)
        if trial % 3 == 0:
            embedding[-1] = embedding[0]  # ties
        if trial % 5 == 0:
            embedding[-1] = embedding[0] * (1 + f32(2**-22))  # all but ties
        temperature, k = float(rng.choice([0.05, 0.7, 2.0])), int(rng.integers(1, v + 3))
        inputs = {"context": context, "embedding": embedding}
        ours = reference.lm_head(context, embedding, temperature=temperature, k=k)
        first = reference.compute_logits(context, embedding)
        for i, wrong in enumerate((0.0, 2.0**-24, 1e-6, 1e-3)):
            noisy = (ours * (1 + wrong * rng.choice([-1.0, 1.0], size=v))).astype(f32)
            add("lm_head", ours, noisy, temperature=temperature, k=k, **inputs)
            add("compute_logits", first, (first * (1 + wrong * rng.normal(size=v))).astype(f32), **inputs)
            if i == 0:  # another survivor, one too many, one too few
                swapped = ours.copy()
                swapped[0], swapped[-1] = ours[-1], ours[0]
                add("lm_head", ours, swapped, temperature=temperature, k=k, **inputs)
                more = reference.lm_head(context, embedding, temperature=temperature, k=k + 1)
                add("lm_head", ours, more, temperature=temperature, k=k, **inputs)
                add("lm_head", more, ours, temperature=temperature, k=k + 1, **inputs)
        noise = rng.standard_exponential(v, dtype=f32)
        tokens = np.argsort(-ours / noise)[:2].astype(int)
        if trial % 2:
            with np.errstate(all="ignore"):
                noise[tokens[1]] = ours[tokens[1]] / (ours[tokens[0]] / noise[tokens[0]] * (1 - f32(2**-24)))
        if np.isfinite(noise).all() and (noise > 0).all():
            for pair in (tokens, tokens[[0, 0]]):
                answer = compare("multinomial", pair[:1], pair[1:], probs=ours, noise=noise)
                words.append(str(answer.word))
                cases.append(
                    {"stage": "multinomial", "tokens": pair.tolist(), "probs": ours.tolist(), "noise": noise.tolist()}
                )
    assert set(words) == {str(word) for word in Word}
    run = subprocess.run(
        [str(node), "--input-type=module", "-e", JUDGE],
        input=json.dumps(cases),
        cwd=EXPLORER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [
        (i, said, word)
        for i, (said, word) in enumerate(zip(json.loads(run.stdout), words, strict=True))
        if said != word
    ] == []


# ---- bad input -----------------------------------------------------------------------------------------------------


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
    ("seed", "", 'seed is "": type a whole number'),
    ("seed", "1.5", 'seed is "1.5": type a whole number'),
    ("seed", str(2**64), "it must be from -2^63 to 2^64 - 1"),
]


@spec("TEMP-2", "TOPK-4", "TOPK-5", "RNG-1")
def test_bad_boxes_are_told_in_words(view: View, bundle: Bundle) -> None:
    tables = ("bars", "race", "counts")
    for box, text, words in BAD_BOXES:
        before = [view.rows(table) for table in tables]
        view.type(box, text)
        assert words in view.text(f"{box}-problem")
        assert view.page.get_attribute(f"#{box}", "aria-invalid") == "true"
        assert view.page.input_value(f"#{box}") == text  # what was typed stays to be corrected
        assert [view.rows(table) for table in tables] == before
        view.type(box, "3")
        assert view.text(f"{box}-problem") == ""
        assert view.page.get_attribute(f"#{box}", "aria-invalid") is None
    check_bars(view, bundle, 0, 3.0, 3)


@spec("TOPK-4")
def test_k_above_the_vocabulary_means_all_of_it_and_says_so(view: View, bundle: Bundle) -> None:
    view.type("k", "5000")
    assert view.text("k-problem") == "k is 5,000, above V = 2,048: it means V, every token survives [TOPK-4]."
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
        inputs = {"context": context, "embedding": embedding, "temperature": temperature, "k": k}
        compare("lm_head", probs, theirs, **inputs).require()
    view.set(seed=4)
    assert int(view.data("stage-draw")["drawn"]) == reference.multinomial(probs, rng=reference.TorchGenerator(4))[0]
    names: dict[str, Any] = {}
    exec(view.text("numpy"), names)
    assert np.array_equal(names["probs"], probs)


@pytest.mark.parametrize("file", ["manifest.json", "head.safetensors", "tokens.json", "expected.safetensors"])
def test_corrupted_bundle_is_told_and_the_page_stays_usable(
    visit: Callable[..., View], made: Path, tmp_path: Path, file: str
) -> None:
    text = made.read_text("utf-8")
    start = text.index(f'id="file:{file}">') + len(f'id="file:{file}">')
    at = start + 400
    other = "A" if text[at] != "A" else "B"
    (tmp_path / "page.html").write_text(text[:at] + other + text[at + 1 :], encoding="utf-8")
    view = visit(tmp_path / "page.html")
    assert "The bundle in this page cannot be used: " in view.text("notice")
    assert file in view.text("notice")
    assert "In its place: a toy of four tokens." in view.text("notice")
    use_the_toy(view)


def test_cut_page_and_no_base64(visit: Callable[..., View], made: Path, tmp_path: Path) -> None:
    text = made.read_text("utf-8")
    start = text.index('id="file:head.safetensors">') + len('id="file:head.safetensors">')
    (tmp_path / "page.html").write_text(text[:start] + "%" + text[start + 5000 :], encoding="utf-8")
    view = visit(tmp_path / "page.html")
    assert "head.safetensors cannot be read" in view.text("notice")
    use_the_toy(view)


def test_browser_without_web_crypto(visit: Callable[..., View], made: Path) -> None:
    view = visit(made, init="Object.defineProperty(Crypto.prototype, 'subtle', {value: undefined})")
    assert "this browser has no Web Crypto here" in view.text("notice")
    use_the_toy(view)


def test_browser_without_javascript(visit: Callable[..., View], made: Path) -> None:
    view = visit(made, ready=False, java_script_enabled=False)
    assert "If this line does not go away" in view.page.locator("#notice").inner_text()
    assert "JavaScript is switched off" in view.page.locator("noscript").inner_text()
    assert "A model does not read letters" in view.page.locator("#stage-prompt").inner_text()


def test_browser_that_is_too_old(visit: Callable[..., View], made: Path, tmp_path: Path) -> None:
    """A script that it cannot parse: the line that a script would take away stays."""
    text = made.read_text("utf-8").replace("<script>", "<script>#not(the language of this browser);", 1)
    text = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", text)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    view = visit(tmp_path / "page.html", ready=False)
    assert "the browser has none or is too old" in view.text("notice")
    assert visit.faults, "a script that does not parse is on the console"  # type: ignore[attr-defined]
    visit.faults.clear()  # type: ignore[attr-defined]


# ---- for all -------------------------------------------------------------------------------------------------------


def test_keyboard_alone(view: View, bundle: Bundle) -> None:
    page = view.page
    focused = "document.activeElement.id || document.activeElement.parentElement.id"
    order = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(focused)
        if name == "":  # past the last one
            break
        order += [name] if name not in order else []
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid", f"{name} does not show that it has the focus"
    assert order == [
        *("prompt", "candidates", "temperature-slider", "temperature", "k-slider", "k", "seed", "draw", "draw-1000"),
        *("restart", "numpy", "copy", "copy-link", "settings"),
    ]

    def go(name: str) -> None:
        for _ in range(60):
            if page.evaluate(focused) == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {name}")

    go("prompt")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    go("candidates")
    page.keyboard.press("Tab")
    view.settle()
    assert view.data("stage-product")["token"] == view.rows("bars")[1]["id"]
    go("temperature-slider")
    page.keyboard.press("ArrowLeft")
    go("temperature")
    page.keyboard.press("Control+A")
    page.keyboard.type("1.25")
    go("k")
    page.keyboard.press("Control+A")
    page.keyboard.type("33")
    view.settle()
    check_bars(view, bundle, 2, 1.25, 33)
    go("seed")
    page.keyboard.press("Control+A")
    page.keyboard.type("77")
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


def test_a_change_is_told_to_a_screen_reader(view: View) -> None:
    charts = ("context", "factors", "running", "histogram")
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
    assert {chart for chart in charts if after[chart] != before[chart]} == {"context", "factors", "histogram"}
    assert "9 survive" in after["histogram"]
    view.page.wait_for_function("said => document.getElementById('live').textContent !== said", arg=said)
    assert "Last drawn: " in view.page.text_content("#live")
    view.page.focus("#k-slider")
    assert view.page.get_attribute("#k-slider", "aria-valuetext") == "9 of 2,048"


@pytest.mark.parametrize("width", [360, 900, 1600])
def test_axe_finds_no_serious_fault(visit: Callable[..., View], made: Path, width: int) -> None:
    axe = EXPLORER / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.exists():
        unavailable("ports/explorer/node_modules is not installed: make setup-explorer")
    view = visit(made, "#temperature=1.5&k=5", viewport={"width": width, "height": 900})
    view.type("seed", "x")  # a problem in words is looked at too
    assert view.page.evaluate("document.documentElement.scrollWidth") <= width
    view.page.evaluate(axe.read_text("utf-8"))
    for scheme in ("light", "dark"):
        view.page.emulate_media(color_scheme=scheme)
        found = view.page.evaluate("async () => (await axe.run()).violations")
        assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in found if v["impact"] in GRAVE] == []


# ---- nothing leaves ------------------------------------------------------------------------------------------------


def test_policy_keeps_every_request_in(visit: Callable[..., View], made: Path) -> None:
    """Were the page to ask for something, the browser would refuse; a server that hears all hears nothing."""
    heard = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET  # noqa: N815  the name that the library calls

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with socket.create_connection(server.server_address) as probe:  # it does hear
            probe.sendall(b"GET /probe HTTP/1.0\r\n\r\n")
            probe.recv(1000)
        view = visit(made)
        refused = view.page.evaluate(
            """async (address) => {
              const refused = [];
              addEventListener("securitypolicyviolation", (e) => refused.push(e.effectiveDirective));
              await fetch(address + "fetch").catch(() => {});
              try { new XMLHttpRequest().open("GET", address) } catch {}
              try { new WebSocket(address.replace("http", "ws")) } catch {}
              try { new EventSource(address) } catch {}
              navigator.sendBeacon(address + "beacon", "x");
              for (const tag of ["img", "script", "iframe", "audio", "embed"]) {
                const e = document.createElement(tag);
                e.src = address + tag;
                document.body.append(e);
              }
              const style = document.createElement("link");
              style.rel = "stylesheet";
              style.href = address + "style";
              document.head.append(style);
              await new Promise((resolve) => setTimeout(resolve, 300));
              return refused;
            }""",
            address,
        )
        server.shutdown()
    assert heard == ["/probe"]
    assert {"connect-src", "img-src", "script-src-elem", "style-src-elem", "frame-src", "media-src"} <= set(refused)
    visit.faults.clear()  # type: ignore[attr-defined]  # the browser's own words about each refusal


# ---- fast enough ---------------------------------------------------------------------------------------------------

CHANGES = """async ([id, values]) => {
  const box = document.getElementById(id);
  box.scrollIntoView({ block: "center" }); // where somebody who changes it looks
  for (const value of values) {
    await new Promise((done) => requestAnimationFrame(() => {
      if (value === null) box.click();
      else {
        box.value = value;
        box.dispatchEvent(new Event("input", { bubbles: true }));
      }
      setTimeout(done);
    }));
    await (SETTLED)();
  }
}""".replace("SETTLED", SETTLED)


def frames(chromium: Any, page: Any, box: str, values: list[Any]) -> list[float]:
    """Milliseconds of processor time of each change's frame: script, style, layout, paint and commit.

    They are one task of the page's main thread, the one that the change is in. Its processor time does not hang on
    how many others use the machine, as the time on the clock does.
    """
    timeline = "devtools.timeline"
    chromium.start_tracing(page=page, categories=[timeline, f"disabled-by-default-{timeline}"])
    page.evaluate(CHANGES, [box, values])
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    kind = "click" if values[0] is None else "input"
    tasks = [e for e in events if e["name"] == "RunTask" and "tdur" in e]
    taken = []
    for event in events:
        if event["name"] == "EventDispatch" and event["args"]["data"]["type"] == kind:
            around = [
                task
                for task in tasks
                if (task["pid"], task["tid"]) == (event["pid"], event["tid"])
                and task["ts"] <= event["ts"] <= task["ts"] + task["dur"]
            ]
            assert len(around) == 1
            taken.append(around[0]["tdur"] / 1000)
    assert len(taken) == len(values)
    return taken


@pytest.mark.parametrize(("vocabulary", "d", "milliseconds"), [(4096, 192, 16), (50257, 64, 100)])
def test_every_change_redraws_in_time(
    chromium: Any,
    visit: Callable[..., View],
    tmp_path: Path,
    vocabulary: int,
    d: int,
    milliseconds: int,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pytorch, "SEEDS", 3)  # for the draws of 200 seeds there is another test
    settings = {"n_embd": d, "n_layer": 1, "n_head": 2, "n_positions": 32}
    checkpoints.make(tmp_path / "checkpoint", vocab_size=vocabulary, settings=settings)
    source = Source("checkpoint", None, tmp_path / "checkpoint")
    export(source, Options(output=tmp_path / "bundle", prompts=("to be", "or not")))
    bundle = open_bundle(tmp_path / "bundle")
    assert (bundle.manifest["vocab_size"], bundle.manifest["hidden_size"]) == (vocabulary, d)
    pages.write(bundle, tmp_path / "page.html")
    view = visit(tmp_path / "page.html")
    check_bars(view, bundle, 0, 0.7, 50)
    changes = {
        "temperature-slider": [0.5 + 0.05 * i for i in range(12)],
        "k-slider": list(range(12)),
        "seed": list(range(12)),
        "draw": [None] * 12,
        "prompt": [i % 2 for i in range(1, 13)],
        "k": [vocabulary - i for i in range(12)],
    }
    # The first of each kind are compiled on the way, and caches are shared: the page's own time is the smallest.
    every = {box: frames(chromium, view.page, box, values) for box, values in changes.items()}
    with capsys.disabled():
        words = (f"{box} {min(ms):.1f} (median {statistics.median(ms):.1f})" for box, ms in every.items())
        print(f"\nV = {vocabulary:,}, d = {d}, ms of a frame: {', '.join(words)}")
    assert all(min(ms) <= milliseconds for ms in every.values()), every

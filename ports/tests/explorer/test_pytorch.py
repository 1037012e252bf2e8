"""What PyTorch says, in the explorer: its answers, with the suite's own verdicts."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
import torch_impl
from parity_tests.local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from parity_tests.verdict import Word, compare
from ports.explorer.pytorch import SEEDS, SETTINGS
from weights_export import Bundle

from ..missing import unavailable
from .view import EXPLORER, View, f32, logits_of, probabilities, steps_of

spec = pytest.mark.spec


@spec("HEAD-1", "LOGITS-2", "DRAW-1")
def test_pytorch_s_answers_are_shown_with_the_verdict_of_the_suite(view: View, bundle: Bundle) -> None:
    context, embedding = np.array(bundle.context), np.array(bundle.embedding)
    logits = torch_impl.compute_logits(torch.tensor(context), torch.tensor(embedding))
    agree = (Word.IDENTICAL, Word.WITHIN_BOUND)  # which one depends on last bits, and the page's are not NumPy's
    filters: list[Any]
    for (temperature, k, *filters), prompt in zip([*SETTINGS, *SETTINGS[:7]], range(16), strict=True):
        n = k or len(embedding)
        chosen = dict(zip(("top_p", "min_p", "order"), filters, strict=True))
        view.set(prompt=prompt, temperature=temperature, k=n, seed=prompt, **chosen)
        kept = torch_impl.process(logits[prompt], steps_of(temperature, n, *filters))
        theirs = torch_impl.softmax(kept)
        column = view.page.locator("#bars tbody td:nth-child(6)").all_inner_texts()
        ids = [int(row["id"]) for row in view.rows("bars")]
        assert column == [f"{theirs[i]:.6f}" if kept[i] > -np.inf else "cut" for i in ids]
        assert np.all(
            np.abs(theirs.numpy() - (of := probabilities(bundle, prompt, temperature, n, *filters))[0]) <= of[1]
        )
        if SETTINGS.index((temperature, k, *filters)) < 5:  # a head without filters
            ours = reference.lm_head(context[prompt], embedding, temperature, n)
            inputs = {"context": context[prompt], "embedding": embedding, "temperature": temperature, "k": n}
            assert compare("lm_head", ours, theirs.numpy(), **inputs).word in agree
        assert view.data("verdict-probs")["word"] in agree
        assert view.data("verdict-logits")["word"] in (Word.IDENTICAL, Word.WITHIN_BOUND)
        if local_stream_is_mt19937():
            drawn = torch.multinomial(theirs, 1, generator=torch.Generator().manual_seed(prompt))
            assert int(view.data("stage-draw")["first"]) == int(drawn)
            assert view.data("verdict-draw")["word"] == Word.IDENTICAL
        else:
            assert OTHER_STREAM.split(",")[0] in view.text("pytorch-note")
    view.set(temperature=0.71)
    assert "not included for these settings" in view.text("verdict-probs")
    assert view.data("verdict-logits")["word"] == Word.WITHIN_BOUND
    view.page.locator("#settings button").first.click()
    view.settle()
    assert view.data("verdict-probs")["word"] == Word.WITHIN_BOUND
    view.set(seed=SEEDS)
    assert f"included for seeds 0 to {SEEDS - 1}" in view.text("verdict-draw") or not local_stream_is_mt19937()


def changed(made: Path, output: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The page with other answers of PyTorch."""
    text = made.read_text("utf-8")
    (block,) = re.findall(r'<script type="application/json" id="pytorch">(.*?)</script>', text, re.DOTALL)
    answers = json.loads(block)
    change(answers)
    output.write_text(text.replace(block, json.dumps(answers)), encoding="utf-8")
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


@spec("FILTER-1", "PIPE-1")
def test_a_cut_that_rounding_decides_is_called_a_tie_break(
    visit: Callable[..., View], made: Path, bundle: Bundle, tmp_path: Path
) -> None:
    """PyTorch as if it had found a running sum below p that the page finds above it; then one that is far below."""
    index = next(i for i, setting in enumerate(SETTINGS) if setting.top_p < 1)
    temperature, k = 1.0, 50
    assert SETTINGS[index][:2] == (temperature, k)
    logits, n = logits_of(bundle, 0)[0], len(bundle.prompts)
    probs = reference.softmax(reference.process(logits, steps_of(temperature, k)))
    sum_of_six = float(np.cumsum(np.sort(probs.astype(float))[::-1])[5])
    p = sum_of_six * (1 - 2e-6)  # the page's sums are closer to exact than that; a float32 head's need not be

    def other(by: float) -> Callable[[dict[str, Any]], None]:
        row = reference.softmax(reference.process(logits, steps_of(temperature, k, sum_of_six * (1 + by))))
        ids = np.argsort(-row, kind="stable")[:50].astype("<i4")
        last = ids[np.count_nonzero(row) - 1]

        def change(answers: dict[str, Any]) -> None:
            of_all = {"ids": np.tile(ids, n), "probs": np.tile(row[ids].astype("<f4"), n)}
            of_all["draws"] = np.full(n * SEEDS, last, "<i4")
            encoded = {name: base64.b64encode(array.tobytes()).decode() for name, array in of_all.items()}
            answers["settings"][index].update(top_p=p, **encoded)

        return change

    view = visit(changed(made, tmp_path / "close.html", other(2e-6)))
    view.set(temperature=temperature, k=k, top_p=p)
    assert (view.text("survive"), view.data("verdict-probs")["word"]) == ("6", Word.TIE_BREAK)
    assert view.data("verdict-draw")["word"] == Word.TIE_BREAK  # of a token that does not survive here
    view = visit(changed(made, tmp_path / "far.html", other(0.08)))
    view.set(temperature=temperature, k=k, top_p=p)
    assert view.text("verdict-probs").startswith("DIVERGED from PIPE-1")
    assert view.text("verdict-draw").startswith("DIVERGED from DRAW-2")


JUDGE = """
import { HeadJudge, draw, logitErrors, logits } from "./src/verdict.mjs";
let text = "";
for await (const part of process.stdin) text += part;
const say = ({ context, embedding, ours, theirs, exact, steps, stage, probs, noise, tokens }) => {
  if (stage === "multinomial")
    return draw(...tokens, Float32Array.from(probs), Float32Array.from(noise), () => 0).word;
  const error = logitErrors(Float32Array.from(context), Float32Array.from(embedding.flat()));
  const [a, b, z] = [Float32Array.from(ours), Float32Array.from(theirs), Float64Array.from(exact)];
  if (stage === "compute_logits") return logits(a, b, z, error).word;
  return new HeadJudge(z, error, steps).compare(a, b).word;
};
console.log(JSON.stringify(JSON.parse(text).map(say)));
"""


@spec("HEAD-1", "LOGITS-2", "TOPK-1", "DRAW-1")
def test_the_page_s_judges_say_what_the_suite_says() -> None:
    node = shutil.which("node") or ""
    if not node:
        unavailable("this machine has no node: make setup-explorer")
    rng = np.random.default_rng(0)
    cases, words = [], []

    def add(stage: str, ours: np.ndarray, theirs: np.ndarray, **inputs: Any) -> None:
        words.append(str(compare(stage, ours, theirs, **inputs).word))
        exact = inputs["context"].astype(float) @ inputs["embedding"].astype(float).T
        steps = [("apply_temperature", {"temperature": temperature}), ("keep_top_k", {"k": inputs.get("k", 1)})]
        case = {"stage": stage, "ours": ours, "theirs": theirs, "exact": exact, "steps": steps, **inputs}
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
    assert set(words) == {"IDENTICAL", "WITHIN_BOUND", "TIE_BREAK", "DIVERGED"}
    run = subprocess.run(
        [node, "--input-type=module", "-e", JUDGE],
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

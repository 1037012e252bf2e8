"""The judge of the explorer's page lets rounding decide the survivors of its steps where the suite does, no further."""

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

import reference
from parity_tests.judges.cuts import near
from parity_tests.judges.filters import cut_of
from parity_tests.verdict import Word, compare, exact_softmax
from ports.explorer.orders import orders

from ..missing import unavailable
from .view import EXPLORER, f32, steps_of

spec = pytest.mark.spec

JUDGE = """
import { HeadJudge } from "./src/verdict.mjs";
import { cutOf } from "./src/survivors.mjs";
let text = "";
for await (const part of process.stdin) text += part;
const numbers = (values) => Float64Array.from(values, (x) => x ?? -Infinity);
const say = ({ name, given, steps, ours, theirs, ...state }) => {
  const [z, error] = [numbers(state.z), numbers(state.error)];
  if (steps) return new HeadJudge(z, error, steps).compare(Float32Array.from(ours), Float32Array.from(theirs)).word;
  const { sure, possible } = cutOf(name, { z, error }, given);
  return [sure, possible].map((is) => Array.from(z.keys()).filter((v) => z[v] > -Infinity && is(v)));
};
console.log(JSON.stringify(JSON.parse(text).map(say)));
"""


def said(cases: list[dict[str, Any]]) -> list[Any]:
    """What the page's judge says of each case; a masked logit is null."""
    node = shutil.which("node")
    if node is None:
        unavailable("this machine has no node: make setup-explorer")

    def plain(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return [None if x == -np.inf else x for x in value.tolist()]

    text = json.dumps([{name: plain(value) for name, value in case.items()} for case in cases])
    command = [str(node), "--input-type=module", "-e", JUDGE]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=EXPLORER)
    answers: list[Any] = json.loads(run.stdout)
    assert len(answers) == len(cases)
    return answers


@spec("FILTER-1", "FILTER-2", "FILTER-3", "FILTER-4")
def test_what_surely_stays_and_what_may_is_what_the_suite_says() -> None:
    rng = np.random.default_rng(0)
    cases, due = [], []
    for trial in range(400):
        v = int(rng.integers(2, 80))
        z = rng.normal(scale=rng.choice([0.01, 1, 4]), size=v)
        z[rng.random(v) < 0.2] = -np.inf
        z[0] = 1.0
        alive = z > -np.inf
        error = np.where(alive, rng.uniform(0.5, 1, v) * rng.choice([1e-7, 1e-4, 1e-2, 0.3]), 0)
        kinds: list[tuple[str, dict[str, Any]]] = [
            ("keep_top_k", {"k": int(rng.integers(1, v + 1))}),
            ("keep_top_p", {"p": float(rng.uniform(0.01, 1)), "until": "reached"}),
            ("keep_top_p", {"p": float(rng.uniform(0.01, 1)), "until": "exceeded"}),
            ("keep_min_p", {"p": float(rng.uniform(0, 1))}),
        ]
        name, given = kinds[trial % 4]
        if trial % 8 == 1:  # a sum that is reached but for rounding
            given["p"] = min(float(np.cumsum(np.sort(exact_softmax(z))[::-1])[int(rng.integers(alive.sum()))]), 1.0)
        if name == "keep_top_k":
            cut = near(np.where(alive, -z, np.inf), error, np.ones(v), min(given["k"], int(alive.sum())), band=0)
        else:
            cut = cut_of(name, z, "float32", error, **given, **({"ties": "lowest_id"} if "until" in given else {}))
        cases.append({"name": name, "given": given, "z": z, "error": error})
        due.append([np.flatnonzero(of & alive).tolist() for of in (cut.sure, cut.possible)])
    assert said(cases) == due
    assert sum(sure != possible for sure, possible in due) > 100


@spec("PIPE-1", "FILTER-1")
def test_a_close_call_is_a_tie_break_and_no_other_survivor_is() -> None:
    """For every order: a sum or a weight that equals p but for rounding, cut either way; and cut too far away."""
    rng = np.random.default_rng(1)
    cases, words = [], []
    for trial in range(240):
        order = list(orders())[trial % 6]
        logits = rng.normal(scale=2, size=int(rng.integers(5, 40))).astype(f32)
        temperature, k = float(rng.choice([0.5, 0.9, 2.0])), int(rng.integers(4, 40))
        box = ("top_p", "min_p")[trial % 2]
        settings: dict[str, Any] = {"temperature": temperature, "k": k, "top_p": 0.9, "min_p": 0.02, "order": order}
        share = reached(logits, settings, box, rng)
        if not 0.001 < share < 0.999:
            continue  # there is no other token
        at, below, above = (settings | {box: share * (1 + off)} for off in (0.0, -1e-9, 1e-9))
        far = settings | {box: min(share * float(rng.choice([0.7, 0.9, 1.1])), 0.999)}
        ours = reference.process(logits, steps_of(**below))
        for other in (below, above, far):
            theirs = reference.process(logits, steps_of(**other))
            words.append(str(compare("process", ours, theirs, logits=logits, steps=steps_of(**at)).word))
            probs = {"ours": reference.softmax(ours), "theirs": reference.softmax(theirs)}
            tiny = np.full(len(logits), 1e-300)
            cases.append({"z": logits.astype(float), "error": tiny, "steps": steps_of(**at), **probs})
    assert said(cases) == words
    for word in (Word.IDENTICAL, Word.TIE_BREAK, Word.DIVERGED):
        assert words.count(word) > 60


@spec("TOPK-1", "TOPK-2", "TOPK-7")
def test_of_tokens_too_close_to_tell_top_k_keeps_k_or_all_of_them() -> None:
    rows = {"first": [1.0, 0.0, 0.0], "second": [0.0, 1.0, 0.0], "both": [0.5, 0.5, 0.0], "other": [0.0, 0.0, 1.0]}
    due = {
        "lowest_id": ["IDENTICAL", "TIE_BREAK", "DIVERGED", "DIVERGED"],
        "any": ["IDENTICAL", "TIE_BREAK", "DIVERGED", "DIVERGED"],
        "all": ["IDENTICAL", "TIE_BREAK", "TIE_BREAK", "DIVERGED"],
    }
    state = {"z": np.array([1.0, 1.0, 0.0]), "error": np.full(3, 1e-6)}
    for ties, words in due.items():
        steps = [["apply_temperature", {"temperature": 0.5}], ["keep_top_k", {"k": 1, "ties": ties}]]
        assert said([{**state, "steps": steps, "ours": rows["first"], "theirs": row} for row in rows.values()]) == words


@spec("PIPE-1", "FILTER-1")
def test_who_falls_later_may_have_counted_for_top_p() -> None:
    """A weight of exactly min-p's p: with it, top-p needs two tokens, without it one; and it falls in any case."""
    weights = np.array([1.0, 0.8, 0.3])
    state = {"z": np.log(weights), "error": np.full(3, 1e-6)}
    one, two, three = [1.0, 0.0, 0.0], [1 / 1.8, 0.8 / 1.8, 0.0], (weights / weights.sum()).tolist()
    cases = [
        {**state, "steps": steps_of(1.1, 3, 0.5, 0.3, "vllm")[1:], "ours": one, "theirs": theirs}
        for theirs in (one, two, three)
    ]
    assert said(cases) == ["IDENTICAL", "TIE_BREAK", "DIVERGED"]
    for case in cases:
        case["steps"] = steps_of(1.1, 3, 0.5, 0.31, "vllm")[1:]
    assert said(cases) == ["IDENTICAL", "DIVERGED", "DIVERGED"]


def reached(logits: np.ndarray, settings: dict[str, Any], box: str, rng: np.random.Generator) -> float:
    """A share that a running sum of what top-p sees, or a weight of what min-p sees, is but for rounding."""
    name = {"top_p": "keep_top_p", "min_p": "keep_min_p"}[box]
    for step, given in steps_of(**settings):
        if step == name:
            break
        logits = reference.process(logits, [(step, given)])
    q = np.sort(exact_softmax(logits.astype(float)))[::-1]
    place = int(rng.integers(1, max(2, min(int((q > 0).sum()) - 1, 6))))
    return float(np.cumsum(q)[place - 1] if box == "top_p" else q[place] / q[0])

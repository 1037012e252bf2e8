"""ATLAS.md from the records: the rules that each implementation keeps, the questions side by side, the differences."""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from . import streams, survey
from .by_profile import tables
from .questions import QUESTIONS

NAMES = (
    "pytorch",
    "transformers_processors",
    "onnxruntime_operators",
    "onnxruntime_genai_generator",
    "openvino_genai_generator",
    "llama_cpp_samplers",
    "jax_lax",
    "mlx_lm_sampler",
    "ctranslate2_generator",
    "numpy_naive",
    "scipy_softmax",
    "llm_c",
    "llama2_c",
)

INTRO = """\
# The atlas of LM heads

What existing implementations do at each rule of [SPEC.md](../reference/SPEC.md). Each one was run on the
[vectors](vectors/README.md) and on the random cases of `python -m ports check`. This page is written by
`python -m ports.atlas`, never by hand.

A difference is not a defect. Most of these libraries never set out to follow SPEC.md. Some questions have more than one
good answer: which of two equal logits survives, whether temperature 0 means greedy decoding or an error, whether bad
input is refused. A port needs to know how its runtime answers them.

Each implementation is called through a small adapter in [`atlas/adapters/`](atlas/adapters). An adapter adds no
decisions and no checks of its own.
"""

MATRIX = """\
## Rule by rule

`=`: no case differs. `≠`: at least one case differs; the details are below. Empty: the implementation has no function
that the rule is about, or does not claim PyTorch's random stream. For HEAD-5, only the type of the error is compared: a
`TypeError` for a wrong kind, a `ValueError` for a wrong value.
"""


def page(records: dict[str, dict[str, Any]]) -> str:
    """The whole document. `records` maps the names of the adapters to their records."""
    names = [name for name in NAMES if name in records]
    lines = [INTRO, *_what(names, records), "", MATRIX, *_matrix(names, records), "", *_questions(names, records)]
    lines += [*tables(names, records), *streams.section(), "## How each differs", ""]
    for name in names:
        lines += _differences(name, records[name])
    return "\n".join(lines).rstrip() + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _what(names: list[str], records: dict[str, Any]) -> Iterator[str]:
    yield "| implementation | version | date | on |"
    yield "| --- | --- | --- | --- |"
    for name in names:
        record = records[name]
        versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
        title = f"[{record['title']}](atlas/adapters/{name}.py)"
        yield f"| {title} | {versions} | {record['date']} | {record['platform']} |"


def _matrix(names: list[str], records: dict[str, Any]) -> Iterator[str]:
    yield "| rule | " + " | ".join(records[name]["short"] for name in names) + " |"
    yield "| --- |" + " :-: |" * len(names)
    for rule, title in _titles().items():
        marks = [_mark(records[name]["rules"].get(rule)) for name in names]
        if any(marks):
            yield f"| {rule} {title} |" + "".join(f" {mark} |" if mark else " |" for mark in marks)


def _mark(of_rule: dict[str, Any] | None) -> str:
    return "" if of_rule is None else "≠" if of_rule["differ"] else "="


def _titles() -> dict[str, str]:
    """Rule -> heading, in the order of SPEC.md."""
    return dict(re.findall(r"^### (\w+-\d+)\s+(.+)$", survey.SPEC.read_text("utf-8"), re.MULTILINE))


def _questions(names: list[str], records: dict[str, Any]) -> Iterator[str]:
    yield "## The same question to each"
    yield ""
    yield "All logits are float32. For *one token drawn*, the implementation used its own random stream from a fixed"
    yield "seed, or the number 0.5 if it takes one. Where several tokens are possible, which one came up means nothing."
    yield ""
    for question in QUESTIONS:
        groups: dict[str, list[str]] = {}
        for name in names:
            if question in records[name]["answers"]:
                groups.setdefault(records[name]["answers"][question], []).append(records[name]["short"])
        if groups:
            yield f"- {question}?"
            for answer, who in groups.items():
                yield _wrapped(f"  - {answer}: {', '.join(who)}", "    ")
    yield ""


def _differences(name: str, record: dict[str, Any]) -> Iterator[str]:
    yield f"### {record['title']}"
    yield ""
    yield _wrapped(record["about"])
    yield ""
    titles = _titles()
    same = [rule for rule, found in record["rules"].items() if not found["differ"]]
    if same:
        yield _wrapped(f"No difference in {', '.join(same)}.")
    if same and len(same) < len(record["rules"]):
        yield ""
    for rule, found in record["rules"].items():
        if found["differ"]:
            count = f"{found['differ']} of {found['cases']} cases, in {', '.join(found['in'])}"
            yield _wrapped(f"- **{rule}** {titles[rule]} ({count}): {found['smallest']}", "  ")
    yield ""

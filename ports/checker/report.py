"""The report of a check: for the terminal, as JSON, as JUnit XML, and as an HTML page."""

import json
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity_tests.contract import Contract
from parity_tests.judges.words import BAD, Verdict, Word, brief, described, printable

from .port import PROTOCOL
from .results import Report

SHOWN = 4  # how many wrong answers of an operation the terminal shows, each for another rule
_COLUMNS = {
    Word.IDENTICAL: "identical",
    Word.WITHIN_BOUND: "in bound",
    Word.TIE_BREAK: "tie",
    Word.REFUSED: "refused",
    Word.DIVERGED: "DIVERGED",
    Word.UNREFUSED: "UNREFUSED",
    Word.ERRORED: "ERRORED",
    Word.NOT_CHECKED: "unchecked",
}


ON_PURPOSE = (
    "If the port does otherwise on purpose (fewer dtypes, another answer to T = 0 or k = 0, no refusals), it may "
    "declare a contract and is judged by that: reference/SPEC.md, What conforms"
)


def conclusion(report: Report) -> str:
    """The verdict in one sentence. Wrong numbers, missing refusals and protocol faults are counted apart."""
    name = f"{report.port['name']} ({report.port['language']})"
    if report.status == 2:
        if any(verdict.conforms for verdict in report.verdicts):
            why = f"whether it follows {report.profile} could not be checked: it answers no apply_settings"
            return f"{name} conforms in what was checked; {why}"
        return f"{name} could not be checked: it supports nothing that was asked for"
    contract = Contract.read(report.port).words
    named = f" to the profile {report.profile}" * bool(report.profile)
    terms = named + f"{' and' * bool(named)} to its contract: {', '.join(contract)}" * bool(contract)
    if report.status == 0:
        part = (", in what was checked" if terms else " in what was checked") if report.not_checked() else ""
        return f"{name} conforms{terms}{part}"
    counts = Counter(failure.word for failure in report.failures)
    said = [
        _count(counts[Word.DIVERGED], "wrong answer"),
        f"{_count(counts[Word.UNREFUSED], 'refusal')} missing or with another code" if counts[Word.UNREFUSED] else "",
        f"{_count(counts[Word.ERRORED], 'request')} without a right reply" if counts[Word.ERRORED] else "",
        f"{_count(len(report.unusual), 'answer')} unusual" if report.strict else "",
    ]
    if report.failures and set(counts) == {Word.UNREFUSED}:
        return f"{name} does not conform: numbers conform; {_count(counts[Word.UNREFUSED], 'refusal')} missing"
    return ": ".join(part for part in (f"{name} does not conform", "; ".join(filter(None, said))) if part)


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}" if count else ""


def show(report: Report, console: Console) -> None:
    """Print the table, the first failures of each operation with the likely mistake, and what was not checked."""
    rows = [row for row in report.rows() if row[1].total() > row[1][Word.NOT_CHECKED]]  # the others are listed below
    # What was not checked is listed too. Other columns are left out where nothing is in them.
    words = [word for word in _COLUMNS if word != Word.NOT_CHECKED and any(counts[word] for _, counts, _ in rows)]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("operation", no_wrap=True)
    for title in (*(_COLUMNS[word] for word in words), "error/bound"):
        table.add_column(title, justify="right", no_wrap=True)
    for op, counts, ratio in rows:
        numbers = [
            Text(str(counts[word] or ""), style="bold red" if word in BAD and counts[word] else "") for word in words
        ]
        table.add_row(op, *numbers, f"{ratio:.2g}" if ratio else "")
    if console.measure(table, options=console.options.update(max_width=1_000)).maximum <= console.width:
        console.print(table)
    else:  # too narrow for a table
        for op, counts, _ in rows:
            said = ", ".join(f"{counts[word]} {_COLUMNS[word]}" for word in words if counts[word])
            _print(console, f"{op}: {said}", indent=2)
        console.print()
    by_op: dict[str, list[Verdict]] = {}
    for failure in report.failures:
        by_op.setdefault(failure.operation, []).append(failure)
    for op, failures in by_op.items():
        telling = _telling(failures)
        for failure in telling:
            for line in str(failure).splitlines():
                _print(console, line, indent=12 if line.startswith("  ") else 2)
        if len(failures) > len(telling):
            console.print(f"... and {len(failures) - len(telling)} more of {op}: --json or --html FILE has them all")
        if op in report.mistakes:
            _print(console, report.mistakes[op], "bold")
        console.print()
    varying = sum(not failure.repeats for failure in report.failures)
    if varying:
        of = f"{varying} of {_count(len(report.failures), 'failure')}"
        _print(console, f"{of} did not repeat: the answers do not depend on the request alone", "bold red")
    if report.unusual:
        largest = max(report.unusual, key=lambda verdict: verdict.figure)
        _print(console, f"unusual: {_count(len(report.unusual), 'answer')}, the most {largest}")
    for line in report.departs:
        _print(console, f"{report.profile}: {line}")
    for line in not_checked(report):
        _print(console, f"not checked: {line}")
    if str(report.seen):
        _print(console, f"seen: {report.seen}")
    if any(failure.reason == "refused" or failure.word == Word.UNREFUSED for failure in report.failures):
        _print(console, ON_PURPOSE)
    if report.gave_up:
        console.print(Text(report.gave_up, style="bold red"), soft_wrap=True)
    _print(console, conclusion(report), "bold green" if report.status == 0 else "bold red")


def _print(console: Console, text: str, style: str = "", indent: int = 0) -> None:
    """Print a paragraph, wrapped; rich's own wrapping leaves blanks at the ends of lines."""
    wrapped = textwrap.fill(text, console.width, subsequent_indent=" " * indent, break_on_hyphens=False)
    console.print(Text(wrapped, style=style), soft_wrap=True)


def _telling(failures: list[Verdict]) -> list[Verdict]:
    """The failures to show: the first one of each rule, then one where there was no answer at all."""
    of_rules = {failure.rule: failure for failure in reversed(failures) if failure.word != Word.ERRORED}
    wrong = sorted(of_rules.values(), key=failures.index)[:SHOWN]
    return wrong + [failure for failure in failures if failure.word == Word.ERRORED][:1]


def not_checked(report: Report) -> list[str]:
    """What was not checked and why: one line for each reason. Operations that the port lacks share one line."""
    left = report.not_checked()
    absent = [op for op, reason in left if op not in report.port["operations"] and reason == f"it has no {op}"]
    by_reason: dict[str, list[str]] = {}
    for (op, reason), count in left.items():
        if op not in absent:
            by_reason.setdefault(reason, []).append(f"{count} of {op}")
    lines = [f"{', '.join(ops)}: {reason}" for reason, ops in by_reason.items()]
    return ([f"{', '.join(absent)}: it has no such operations"] if absent else []) + lines


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain data: the port, the counts, every failure, the likely mistakes, and what was not checked."""
    return {
        "port": report.port,
        "conforms": report.status == 0,
        "status": report.status,
        "conclusion": conclusion(report),
        "gave_up": report.gave_up,
        "contract": Contract.read(report.port).words,
        "profile": report.profile,
        "departs_from_profile": report.departs,
        "seen": report.seen.sizes,
        "unusual": [str(verdict) for verdict in report.unusual],
        "operations": {
            op: {**{str(word): counts[word] for word in _COLUMNS}, "worst_error_over_bound": ratio}
            for op, counts, ratio in report.rows()
        },
        "failures": [
            {
                "phase": failure.phase,
                "op": failure.operation,
                "word": str(failure.word),
                "rule": failure.rule,
                "case": failure.about,
                "reason": failure.reason,
                "place": list(failure.place),
                "actual": brief(described(failure.actual, failure.place)),
                "expected": brief(described(failure.expected, failure.place)),
                "repeats": failure.repeats,
                "ratio": _finite(failure.ratio),
            }
            for failure in report.failures
        ],
        "likely_mistakes": report.mistakes,
        "not_checked": [
            {"op": op, "reason": reason, "cases": count} for (op, reason), count in report.not_checked().items()
        ],
    }


def _finite(ratio: float) -> float | str:
    return ratio if ratio < float("inf") else "inf"


def junit(report: Report) -> str:
    """The report as JUnit XML: one test suite for each operation, one test case for each verdict."""
    root = ElementTree.Element("testsuites", name=f"LM head {report.port['name']}")
    for op, _, _ in report.rows():
        results = [result for result in report.verdicts if result.operation == op]
        suite = ElementTree.SubElement(root, "testsuite", name=op, tests=str(len(results)))
        wrong = (Word.DIVERGED, Word.UNREFUSED)
        suite.set("failures", str(sum(result.word in wrong for result in results)))
        suite.set("errors", str(sum(result.word == Word.ERRORED for result in results)))
        suite.set("skipped", str(sum(result.word == Word.NOT_CHECKED for result in results)))
        for number, result in enumerate(results, 1):
            case = ElementTree.SubElement(suite, "testcase", classname=f"{op}.{result.phase}", name=f"{number}")
            kinds = {Word.ERRORED: "error", Word.NOT_CHECKED: "skipped"}
            kind = "failure" if result.word in wrong else kinds.get(result.word)
            if kind:
                ElementTree.SubElement(case, kind, message=_xml(result.reason)).text = _xml(str(result))
    if report.gave_up:
        suite = ElementTree.SubElement(root, "testsuite", name="protocol", tests="1", errors="1")
        case = ElementTree.SubElement(suite, "testcase", classname="protocol", name="kept to")
        ElementTree.SubElement(case, "error", message=_xml(report.gave_up))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """The text without the control characters that XML cannot hold, and without what cannot be encoded."""
    return printable(text)


def html(report: Report) -> str:
    """The report as one self-contained HTML page."""
    template = jinja2.Template(
        Path(__file__).with_name("report.html").read_text("utf-8"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return template.render(
        report=report,
        left=not_checked(report),
        columns=_COLUMNS,
        bad=BAD,
        conclusion=conclusion(report),
        json=json.dumps(as_json(report), indent=1),
    )


def replay(report: Report) -> str:
    """The requests that failed as lines that the port's command reads: `COMMAND < FILE` asks them all again."""
    asked = [request for requests in report.requests for request in requests]
    lines = [("hello", {"protocol": PROTOCOL}), *asked, ("stop", {})]
    return "".join(
        json.dumps({"seq": number, "op": op, "inputs": inputs}, allow_nan=False) + "\n"
        for number, (op, inputs) in enumerate(lines, 1)
    )

"""The report of a check: for the terminal, as JSON, as JUnit XML, and as an HTML page."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity_tests.judges.words import BAD, Verdict, Word, brief

from .results import Report

SHOWN = 4  # how many wrong answers of an operation the terminal shows, each for another rule
_COLUMNS = {
    Word.IDENTICAL: "identical",
    Word.WITHIN_BOUND: "in bound",
    Word.TIE_BREAK: "tie",
    Word.REFUSED: "refused",
    Word.DIVERGED: "DIVERGED",
    Word.ERRORED: "ERRORED",
    Word.NOT_CHECKED: "unchecked",
}


def conclusion(report: Report) -> str:
    """The verdict in one sentence."""
    name = f"{report.port['name']} ({report.port['language']})"
    if report.status == 0:
        return f"{name} conforms in what was checked"
    if report.status == 2:
        return f"{name} could not be checked: it supports nothing that was asked for"
    count = len(report.failures)
    return f"{name} does not conform: {count} case{'s' * (count != 1)} failed" if count else f"{name} does not conform"


def show(report: Report, console: Console) -> None:
    """Print the table, the first failures of each operation with the likely mistake, and what was not checked."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("operation", no_wrap=True)
    for title in (*_COLUMNS.values(), "error/bound"):
        table.add_column(title, justify="right", no_wrap=True)
    for op, counts, ratio in report.rows():
        if counts.total() == counts[Word.NOT_CHECKED]:
            continue  # listed below
        numbers = [
            Text(str(counts[word] or ""), style="bold red" if word in BAD and counts[word] else "") for word in _COLUMNS
        ]
        table.add_row(op, *numbers, f"{ratio:.2g}" if ratio else "")
    console.print(table)
    by_op: dict[str, list[Verdict]] = {}
    for failure in report.failures:
        by_op.setdefault(failure.operation, []).append(failure)
    for op, failures in by_op.items():
        telling = _telling(failures)
        for failure in telling:
            console.print(Text(str(failure)), soft_wrap=True)
        if len(failures) > len(telling):
            console.print(f"... and {len(failures) - len(telling)} more of {op}: --json or --html FILE has them all")
        if op in report.mistakes:
            console.print(Text(report.mistakes[op], style="bold"), soft_wrap=True)
        console.print()
    for line in not_checked(report):
        console.print(Text(f"not checked: {line}"), soft_wrap=True)
    if report.gave_up:
        console.print(Text(report.gave_up, style="bold red"), soft_wrap=True)
    console.print(Text(conclusion(report), style="bold green" if report.status == 0 else "bold red"), soft_wrap=True)


def _telling(failures: list[Verdict]) -> list[Verdict]:
    """The failures to show: the first one of each rule, then one where there was no answer at all."""
    of_rules = {failure.rule: failure for failure in reversed(failures) if failure.word == Word.DIVERGED}
    wrong = sorted(of_rules.values(), key=failures.index)[:SHOWN]
    return wrong + [failure for failure in failures if failure.word == Word.ERRORED][:1]


def not_checked(report: Report) -> list[str]:
    """What was not checked and why: one line for each reason. Operations that the port lacks share one line."""
    left = report.not_checked()
    absent = [op for op, _ in left if op not in report.port["operations"]]
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
                "actual": brief(failure.actual),
                "expected": brief(failure.expected),
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
        suite.set("failures", str(sum(result.word == Word.DIVERGED for result in results)))
        suite.set("errors", str(sum(result.word == Word.ERRORED for result in results)))
        suite.set("skipped", str(sum(result.word == Word.NOT_CHECKED for result in results)))
        for number, result in enumerate(results, 1):
            case = ElementTree.SubElement(suite, "testcase", classname=f"{op}.{result.phase}", name=f"{number}")
            kind = {Word.DIVERGED: "failure", Word.ERRORED: "error", Word.NOT_CHECKED: "skipped"}.get(result.word)
            if kind:
                ElementTree.SubElement(case, kind, message=_xml(result.reason)).text = _xml(str(result))
    if report.gave_up:
        suite = ElementTree.SubElement(root, "testsuite", name="protocol", tests="1", errors="1")
        case = ElementTree.SubElement(suite, "testcase", classname="protocol", name="kept to")
        ElementTree.SubElement(case, "error", message=_xml(report.gave_up))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """The text without the control characters that XML cannot hold."""
    return "".join(c if c >= " " or c in "\n\t" else "\ufffd" for c in text)


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

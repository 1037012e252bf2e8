"""The report for the terminal."""

from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .findings import DEVIATIONS, Report, at_least


def show(report: Report, console: Console) -> None:
    """Prints a row for each parameter, then the engines that it behaves as, then the verdict."""
    console.print(f"{escape(report.url)}, model {escape(report.model)}", soft_wrap=True)
    console.print(
        f"prompt {report.prompt!r}: log-probabilities of {report.tokens} tokens, from {report.source}; "
        f"{report.asked} requests"
    )
    table = Table(box=SIMPLE_HEAD)
    for heading in ("parameter", "verdict", "what was seen", "would have been found"):
        table.add_column(heading, overflow="fold")
    for finding in report.findings:
        style = "bold red" if finding.word in DEVIATIONS else ""
        told = f"{finding.told}: {at_least(finding.power or 0.0)}" if finding.told else ""
        cells = (finding.parameter, finding.word, finding.detail, told)
        table.add_row(*(escape(cell) for cell in cells), style=style)
    console.print(table)
    for line in conclusion(report):
        indent = " " * (len(line) - len(line.lstrip()))
        console.print(escape(fill(line, console.width, subsequent_indent=indent)), soft_wrap=True)


def conclusion(report: Report) -> list[str]:
    """Which engines it behaves as, and the verdict, a sentence each."""
    lines = []
    but = f", but for {', '.join(report.but)}" if report.but else ""
    if report.profiles:
        lines.append(f"behaves as: {', '.join(report.profiles)}{but}")
    else:
        nearest = f"no engine known here; the nearest is {report.nearest}"
        lines.append(f"behaves as: {f'another engine than {report.wanted}' if report.wanted else nearest}")
    names_of: dict[str, list[str]] = {}
    for name in report.excluded | report.lacking:
        names_of.setdefault(report.why_not(name), []).append(name)
    lines += [f"  not as {', '.join(names)}: {why}" for why, names in names_of.items()]
    if report.spent:
        lines.append(f"{report.spent} were used up: what is not checked was not asked")
    found = report.deviations
    if found:
        lines.append(f"deviates: {', '.join(dict.fromkeys(finding.parameter for finding in found))}")
    elif not report.profiles:
        lines.append(f"deviates from {report.nearest}: {report.why_not(report.nearest)}")
    elif report.status == 0:
        lines.append("no deviation found")
    else:
        lines.append("nothing could be judged")
    if report.status == 1:
        lines.append(f"a server that follows its rules is called so with a probability of at most {report.level:.0e}")
    return lines

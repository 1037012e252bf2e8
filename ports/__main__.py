"""`python -m ports check -- COMMAND`: whether an LM head in any language conforms, and which rule it breaks.

The port is a command that speaks PROTOCOL.md; MODULE[:OBJECT], Python called without a process; or engine:NAME, such
as engine:llama.cpp, an engine that is installed. Exit status: 0 it conforms, 1 it does not, 2 it could not be checked.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from reference.profiles import PROFILES
from reference.version import VERSION


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ports", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check",
        help="check a port",
        description=__doc__,
        usage="%(prog)s [options] -- COMMAND [ARG ...]\n       %(prog)s [options] MODULE[:OBJECT] or engine:NAME",
    )
    check.add_argument("port", nargs="+", metavar="COMMAND", help="the port's command after --, or MODULE[:OBJECT]")
    check.add_argument(
        "--bundle", type=Path, metavar="DIR", help="an exported bundle (default: the embedded tiny GPT-2's)"
    )
    check.add_argument(
        "--profile", choices=PROFILES, metavar="NAME", help=f"judge it by an engine's profile: {', '.join(PROFILES)}"
    )
    check.add_argument("--thorough", action="store_true", help="thousands of random cases instead of dozens")
    check.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="seconds a request may take (default 10)"
    )
    check.add_argument("--json", action="store_true", help="print JSON in place of the table")
    check.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML too")
    check.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained HTML page too")
    check.add_argument(
        "--replay", type=Path, metavar="FILE", help="write the requests that failed: COMMAND < FILE asks them again"
    )
    check.add_argument("--strict", action="store_true", help="exit status 1 for unusual answers too")
    explorer = commands.add_parser("explorer", help="write a page on which a bundle's head can be watched")
    explorer.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="default: the embedded tiny GPT-2's")
    explorer.add_argument("-o", "--output", type=Path, default=Path("explorer.html"), metavar="FILE")
    ask = commands.add_parser(
        "ask",
        help="judge a running server",
        description="Asks a server that speaks the OpenAI completions interface, and says of each sampling parameter "
        "whether it follows it, and which engine it behaves as. A key is read from OPENAI_API_KEY. Exit status: "
        "0 no deviation, 1 a deviation found, 2 it could not be asked.",
    )
    ask.add_argument("url", metavar="URL", help="as in http://localhost:8000; nothing else is contacted")
    ask.add_argument("--model", metavar="NAME", help="needed where the server has several")
    ask.add_argument("--profile", choices=sorted(PROFILES), help="the engine that it should behave as (default: any)")
    ask.add_argument(
        "--logprobs", choices=("raw", "processed"), default="raw", help="what its log-probabilities should be"
    )
    ask.add_argument(
        "--weights", metavar="MODEL", help="a copy of its model, as for weights_export: predict from this one's logits"
    )
    ask.add_argument("--requests", type=int, default=400, metavar="N", help="at most so many requests (default 400)")
    ask.add_argument("--seconds", type=float, default=300.0, metavar="S", help="at most so many seconds (default 300)")
    ask.add_argument("--json", action="store_true", help="print JSON in place of the table")
    words = sys.argv[1:] if arguments is None else arguments
    # What follows -- is the port's own, options included; without -- there is one word, a Python object.
    cut = words.index("--") if "--" in words else len(words)
    options, unknown = parser.parse_known_args([*words[:cut], *(["COMMAND"] if words[cut + 1 :] else [])])
    if unknown:
        parsers = {"check": check, "explorer": explorer, "ask": ask}
        parsers[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        if options.command == "ask":
            from .ask.command import run

            return run(options)
        return _explorer(options) if options.command == "explorer" else _check(check, options, words[cut + 1 :])
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        print(f"ports {options.command}: this needs {package}: pip install '.[dev]' in a clone", file=sys.stderr)
        return 2


def _explorer(options: argparse.Namespace) -> int:
    from weights_export.bundle import open_bundle

    from .explorer.page import write

    folder = options.bundle or Path(__file__).with_name("tiny_bundle")
    try:
        write(open_bundle(folder), options.output)
    except (OSError, ValueError) as error:
        print(f"ports explorer: {error}", file=sys.stderr)
        return 2
    print(options.output)
    return 0


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace, command: list[str]) -> int:
    if not command and len(options.port) != 1:
        parser.error("put -- before the port's command")
    if options.timeout <= 0:
        parser.error(f"--timeout is {options.timeout:g}: it must be above 0")
    from parity_tests.terminal import console

    from .checker import check as plan
    from .checker import report as reports
    from .checker.port import NoPortError, from_command, from_python
    from .checker.process import Process
    from .checker.progress import Progress

    try:
        if command:
            port = from_command(Process(command, options.timeout))
        elif options.port[0].startswith("engine:"):
            from .atlas.engines import engine

            port = engine(options.port[0].removeprefix("engine:"), options.timeout)
        else:
            port = from_python(options.port[0], options.timeout)
    except NoPortError as error:
        print(f"ports check: {error}", file=sys.stderr)
        return 2
    if options.profile:
        port = replace(port, profile=PROFILES[options.profile])
    chosen = plan.THOROUGH if options.thorough else plan.Plan()
    if options.bundle:
        chosen = replace(chosen, bundle=options.bundle)
    try:
        with Progress() as progress:
            report = plan.check(port, chosen, progress.at)
    except (OSError, ValueError, KeyError) as error:
        print(f"ports check: --bundle {chosen.bundle}: {error}", file=sys.stderr)
        return 2
    report.strict = options.strict
    if options.json:
        print(json.dumps(reports.as_json(report), indent=1))
    else:
        reports.show(report, console())
    written = ((options.junit, reports.junit), (options.html, reports.html), (options.replay, reports.replay))
    for path, write in written:
        if path:
            try:
                path.write_text(write(report), encoding="utf-8")
            except OSError as error:
                print(f"ports check: {path} cannot be written: {error.strerror}", file=sys.stderr)
                return 2
    return report.status


if __name__ == "__main__":
    raise SystemExit(main())

"""The command: asks a server, judges its answers, prints what was found."""

import json
import sys
from argparse import Namespace

from parity_tests.terminal import console
from ports.checker.progress import Progress

from . import report as reports
from .client import CannotAskError, Client, RefusedError, SpentError
from .findings import Report
from .interview import interview
from .judge import judge


def run(options: Namespace) -> int:
    """The exit status: 0 it behaves as it says, 1 a deviation found, 2 it could not be asked."""
    try:
        found = ask(options)
    except CannotAskError as error:
        print(f"ports ask: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        reports.show(found, console())
    return found.status


def ask(options: Namespace) -> Report:
    """Asks and judges. Raises: CannotAskError, one sentence."""
    known = None
    if options.weights:
        from .weights import rows_of

        try:
            known = rows_of(options.weights)
        except (OSError, ValueError) as error:
            raise CannotAskError(f"--weights {options.weights}: {error}") from None
    client = Client(options.url, options.requests, options.seconds)
    with Progress("ports ask") as progress:
        try:
            asked = interview(client, options.model or _only(client), known, progress=progress.at)
        except RefusedError as error:
            raise CannotAskError(f"{client.url} refuses a request that it took before: {error}") from None
        except SpentError as error:
            raise CannotAskError(f"{error} were used up before anything could be judged") from None
        progress.at("judging the answers")
        return judge(asked, client.url, client.asked, options.profile, options.logprobs == "processed")


def _only(client: Client) -> str:
    models = client.models()
    if len(models) == 1:
        return models[0]
    if models:
        shown = ", ".join(models[:8]) + (", ..." if len(models) > 8 else "")
        raise CannotAskError(f"{client.url} has several models, name one with --model: {shown}")
    raise CannotAskError(f"{client.url} does not say which models it has: name one with --model")

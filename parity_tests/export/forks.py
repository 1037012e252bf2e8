"""Exports from a Hub, each in a fork of one process that has imported what they need.

`python -m parity_tests.export.forks` reads JSON lines `[arguments, file for standard output, file for standard error]`
and answers each with the exit status. Importing PyTorch and Transformers takes longer than such an export; what they
read from the environment holds for all of them. Needs `os.fork`, before PyTorch has started a thread.
"""

import json
import os
import signal
import sys

from transformers import AutoTokenizer, GPT2LMHeadModel  # noqa: F401

import weights_export.export
import weights_export.forward
import weights_export.hub
import weights_export.model  # noqa: F401
from weights_export.__main__ import main


def run(arguments: list[str], out: str, err: str) -> int:
    """One command in a fork; its exit status, 1 with a traceback if it raises, as that of a process of its own."""
    child = os.fork()
    if child == 0:
        signal.alarm(600)  # a hang ends
        for path, descriptor in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        status = 1
        try:
            status = main(arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        print(run(*json.loads(line)), flush=True)

"""`python -m ports.atlas`: run every implementation that is installed here, keep the records, write ATLAS.md.

`python -m ports.atlas seeds` asks the runtimes alone what they draw from a seed. Records of what is not installed stay
as they are, with their versions and their date.
"""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

from reference.version import VERSION

from . import records, streams
from .page import NAMES, page
from .survey import survey

SEEDS = "seeds"  # not an implementation: what every runtime draws from a seed
ATLAS = Path(__file__).parents[1] / "ATLAS.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ports.atlas", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join((*NAMES, SEEDS))} (default: all)")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="of the records (default: today)")
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--print", action="store_true", help="print one record as JSON and write nothing")
    options = parser.parse_args()
    unknown = set(options.names) - {*NAMES, SEEDS}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such implementation")
    if options.print:
        print(json.dumps(survey(options.names[0], options.date)))
        return 0
    for name in options.names or (*NAMES, SEEDS):
        if name == SEEDS:
            streams.run(options.date)
        else:
            print(f"{name}: {_run(name, options.date)}")
    ATLAS.write_text(page(records.load_all()), encoding="utf-8")
    return 0


def _run(name: str, date: str) -> str:
    """In a process of its own: libraries that cannot be loaded side by side, or crash, harm nobody else."""
    command = [sys.executable, "-m", __package__, name, "--print", "--date", date]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        return "not run: " + (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
    record = json.loads(run.stdout.splitlines()[-1])
    records.save(record)
    return f"{sum(bool(found['differ']) for found in record['rules'].values())} of {len(record['rules'])} rules differ"


if __name__ == "__main__":
    raise SystemExit(main())

"""`make vectors`: writes the vectors, their schemas, FLAGS.md and the tables of PROTOCOL.md in their places."""

import argparse

from reference.version import VERSION

from . import write_all


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ports.vectors.generate", description=__doc__)
    parser.add_argument("--version", action="version", version=VERSION)
    parser.parse_args()
    written = write_all()
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written):,} bytes")


if __name__ == "__main__":
    main()

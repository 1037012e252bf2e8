"""`python -m ports.vectors.generate [FOLDER]`: writes the vectors, by default into `ports/vectors/`."""

import sys
from pathlib import Path

from . import write


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    written = write(folder)
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written):,} bytes in {folder}")


if __name__ == "__main__":
    main()

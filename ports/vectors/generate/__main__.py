"""`make vectors`: writes the vectors, their schemas, FLAGS.md and the tables of PROTOCOL.md in their places."""

from . import write_all


def main() -> None:
    written = write_all()
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written):,} bytes")


if __name__ == "__main__":
    main()

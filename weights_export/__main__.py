"""`python -m weights_export MODEL -o DIR`: export a checkpoint as a bundle."""

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m weights_export", description=__doc__)
    parser.add_argument("model", nargs="?", default="tiny", help="tiny (the embedded GPT-2) or a checkpoint folder")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to create; must not exist")
    options = parser.parse_args(arguments)
    # After the arguments are known to be good: these import torch.
    from transformers.utils import logging

    from .bundle import write
    from .checkpoint import PROMPTS, load

    logging.set_verbosity_error()  # a prompt longer than the context window is cut on purpose
    logging.disable_progress_bar()

    try:
        write(load(options.model), PROMPTS, options.output)
    except (OSError, ValueError) as error:
        print(f"weights_export: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: a bundle of {options.model} with {len(PROMPTS)} prompts")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

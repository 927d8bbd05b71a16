"""Build the models that ship in the wheel: python pipelines/ready_models.py [FILE] --out DIR."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError
from stratify.experiment.ready_models import build_ready_models


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).with_name("ready_models.yaml")
    arguments.add_argument("file", type=Path, nargs="?", default=default)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--only", help="name of one model")
    given = arguments.parse_args()
    models = build_ready_models(given.file, given.out, only=given.only, progress=print)
    for model in models:
        print(f"{model.card['study']}: {model.version}, {model.card['n']} patients")
    print(f"Bundles in {given.out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

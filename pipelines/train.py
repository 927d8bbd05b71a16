"""Train on a study file: python pipelines/train.py STUDY --out DIR [--store URI | --no-track]."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, Study, train
from stratify.tracking.runs import log_results


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--store", help="MLflow tracking URI; default mlflow.db beside --out")
    arguments.add_argument("--no-track", action="store_true")
    given = arguments.parse_args()

    results = train(Study.load(given.study), given.out, progress=print)
    if not given.no_track:
        print("MLflow run", log_results(results, given.out, uri=given.store))
    print(f"Model {results.model.version} in {given.out / 'bundle'}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

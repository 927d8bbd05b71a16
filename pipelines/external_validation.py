"""Judge a bundle on external cohorts.

python pipelines/external_validation.py BUNDLE STUDY [STUDY ...] --out DIR
writes one folder of results a study into DIR; options --store URI, --no-track.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, evaluate
from stratify.tracking.runs import log_results


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("studies", type=Path, nargs="+")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--store", help="MLflow tracking URI; default mlflow.db in --out")
    arguments.add_argument("--no-track", action="store_true")
    given = arguments.parse_args()
    if len({study.stem for study in given.studies}) < len(given.studies):
        arguments.error("two studies have the same file name and would share a folder; rename one")

    for study in given.studies:
        out = given.out / study.stem
        results = evaluate(given.bundle, study, out, progress=print)
        if not given.no_track:
            print("MLflow run", log_results(results, out, uri=given.store))
        print(f"Results on {study.stem} in {out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

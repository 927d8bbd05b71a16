"""Compare the arms of a study: python pipelines/compare_arms.py STUDY --out DIR.

Options: --bundle BUNDLE (a frozen model whose risk is tested), --policy FILE, --store URI,
--no-track.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, Study
from stratify.experiment.effect import run_effect
from stratify.tracking.effect_runs import log_effect


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--bundle", type=Path)
    arguments.add_argument("--policy", type=Path)
    arguments.add_argument("--store", help="MLflow tracking URI; default mlflow.db next to --out")
    arguments.add_argument("--no-track", action="store_true")
    given = arguments.parse_args()

    results = run_effect(
        Study.load(given.study),
        given.out,
        bundle=given.bundle,
        policy=given.policy,
        progress=print,
    )
    if not given.no_track:
        print("MLflow run", log_effect(results, given.out, uri=given.store))
    print(*results.analysis.statements, sep="\n")
    print(f"Results in {given.out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

"""Score a cohort: python pipelines/score.py BUNDLE STUDY --out FILE (.csv or .parquet)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, score


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()

    scores = score(given.bundle, given.study, given.out)
    print(f"{len(scores)} patients scored, research use only: {given.out}")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

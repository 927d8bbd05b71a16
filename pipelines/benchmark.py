"""Leave each public cohort out in turn: python pipelines/benchmark.py [FILE] --out DIR."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError
from stratify.experiment.benchmark import run_benchmark


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).with_name("benchmark.yaml")
    arguments.add_argument("file", type=Path, nargs="?", default=default)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--store", help="MLflow tracking URI or folder; by default no runs")
    arguments.add_argument("--workers", type=int, default=1, help="processes; 1: threads")
    given = arguments.parse_args()

    result = run_benchmark(given.file, given.out, workers=given.workers, progress=print)
    print(result.headline().to_string(index=False))
    print(f"Results in {given.out}, research use only")
    if given.store:
        from stratify.tracking.benchmark_runs import log_benchmark

        print("MLflow runs", *log_benchmark(result, given.out, uri=given.store))


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

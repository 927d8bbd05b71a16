"""Check a bundle for prognosis: python pipelines/prognosis.py BUNDLE STUDY --out FILE.csv.

STUDY holds patients who had no ICI (`regimen: none`, chemotherapy or targeted), with survival;
labels are not needed. Others are shown apart: of them nothing is said to be prognostic.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, Study, load, read_cohort
from stratify.cohort.reading import require_usable
from stratify.tables.tabular import write_table
from stratify.validation.prognosis import prognosis, statements


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--outcome", choices=["os", "pfs"], default="os")
    given = arguments.parse_args()

    study = Study.load(given.study)
    cohort = read_cohort(study, labels=False)
    require_usable(cohort, f"The study {study.name}")
    found = prognosis(load(given.bundle), cohort, outcome=given.outcome)
    write_table(found, given.out)
    for sentence in statements(found):
        print(sentence)
    print(f"Association with {given.outcome} in {given.out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

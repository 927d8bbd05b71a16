"""What each panel adds and what masking it costs: python pipelines/panels.py STUDY --out DIR.

By cross-validation in the training patients of the study; writes added_value.csv and
masking_cost.csv, with paired 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, Study, read_cohort
from stratify.cohort.features import informative_features
from stratify.cohort.reading import require_usable
from stratify.experiment.training import classifier_of
from stratify.tables.tabular import make_folder, write_table
from stratify.validation.panels import added_value, masking_cost


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()

    study = Study.load(given.study)
    cohort = read_cohort(study)
    require_usable(cohort, f"The study {study.name}")
    home = cohort.of_split("train").evaluable
    features = informative_features(home, study.features)
    out = make_folder(given.out)
    for name, judged in (("added_value", added_value), ("masking_cost", masking_cost)):
        found = judged(
            classifier_of(study),
            home.table,
            features,
            rescaled=cohort.refitted_scales,
            progress=print,
        )
        write_table(found, out / f"{name}.csv")
        print(found.round(3).to_string(index=False))
    print(f"Results in {out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

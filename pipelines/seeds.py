"""Train with ten seeds, judge on unseen cohorts: python pipelines/seeds.py STUDY [STUDY ...].

The training cohorts are those of the first study; its test cohorts and all cohorts of the other
studies are judged. Prints means weighted by patients with paired 95 % intervals.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import ResistanceClassifier, StratifyError, Study, read_cohort
from stratify.cohort.features import informative_features
from stratify.cohort.reading import require_usable
from stratify.tables.tabular import write_table
from stratify.validation.seeds import across_seeds, weighted_differences


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("studies", type=Path, nargs="+")
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--out", type=Path, help="CSV of every seed, cohort and reference")
    given = arguments.parse_args()

    away, home, features = {}, None, []
    for path in given.studies:
        study = Study.load(path)
        cohort = read_cohort(study)
        require_usable(cohort, f"The study {study.name}")
        if home is None:
            trained = cohort.of_split("train").evaluable
            home, features = trained.table, informative_features(trained, study.features)
            cohort = cohort.of_split("test", "external")
        away |= dict(iter(cohort.evaluable.table.groupby("cohort")))
    found = across_seeds(
        ResistanceClassifier(n_jobs=-1),
        home,
        features,
        away,
        seeds=range(given.seeds),
        progress=print,
    )
    if given.out:
        write_table(found, given.out)
    print(found.groupby(["cohort", "reference"])[["auroc", "auroc_reference"]].median().round(4))
    print(weighted_differences(found).round(4).to_string(index=False))


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

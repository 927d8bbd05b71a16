"""Would more patients help? python pipelines/learning_curve.py STUDY --out DIR.

Performance on unseen patients by the number of training patients; writes learning_curve.csv and
learning_curve.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratify import StratifyError, Study, read_cohort
from stratify.cohort.features import informative_features
from stratify.cohort.reading import require_usable
from stratify.experiment.training import classifier_of
from stratify.report.figures import png
from stratify.report.share_figures import auroc_by_size
from stratify.tables.tabular import make_folder, write_table, written_whole
from stratify.validation.learning_curve import learning_curve


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("study", type=Path)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()

    study = Study.load(given.study)
    cohort = read_cohort(study)
    require_usable(cohort, f"The study {study.name}")
    home = cohort.of_split("train").evaluable
    curve = learning_curve(
        classifier_of(study),
        home.table,
        informative_features(home, study.features),
        repeats=given.repeats,
        seed=study.seed,
        progress=print,
    )
    out = make_folder(given.out)
    write_table(curve, out / "learning_curve.csv")
    title = f"{study.title or study.name}, n = {len(home.table)}"
    with written_whole(out / "learning_curve.png") as part:
        part.write_bytes(png(auroc_by_size(curve, title=title)))
    print(curve.round(3).to_string(index=False))
    print(f"Results in {out}, research use only")


if __name__ == "__main__":
    try:
        main()
    except StratifyError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

"""Reports without a training: of a cohort, of one patient, and of labels alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from stratify.cohort.reading import Cohort, data_sha256, read_cohort, require_usable
from stratify.experiment.results import Results, results_of
from stratify.experiment.scores import deciding, patients_to_score
from stratify.experiment.training import evaluate
from stratify.interpretation.patient import PatientFindings, patient_findings, the_patient
from stratify.progress import Progress
from stratify.report.label_report import write_label_report
from stratify.report.patient_report import write_patient_report
from stratify.scoring import load
from stratify.study import Study
from stratify.tables.schema import load_schema, long_panels
from stratify.tables.tabular import make_folder, write_table

__all__ = ["label", "report_cohort", "report_patient"]


def report_cohort(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    policy: str | Path | None = None,
    progress: Progress = lambda _: None,
) -> Results:
    """Write the report of a bundle on a study, without performance where there are no labels."""
    out = Path(out)
    stated = Study.load(study_path)
    mapped = {panel for c in stated.cohorts for table in c.tables for panel in table.panels}
    if mapped & {"outcomes", *long_panels()}:
        return evaluate(bundle, study_path, out, policy=policy, progress=progress)
    make_folder(out.parent)
    model = load(bundle)
    progress("reading the cohorts")
    read = patients_to_score(model, stated)
    model = deciding(model, stated, read, policy)
    unlabelled = {"label": np.nan, "state": None, "reason": None, "endpoint_rule": None}
    cohort = replace(read, table=read.table.assign(**unlabelled))
    progress("scoring and explaining")
    scores = model.score_cohort(cohort)
    hashes = {"data": data_sha256(read.table)}
    hashes |= {f"file {name}": digest for name, digest in sorted(read.files.items())}
    results = results_of(model, stated, "evaluation report", cohort, scores, [], hashes)
    progress("writing the results")
    results.write_report(out)
    return results


def report_patient(
    bundle: str | Path,
    study_path: str | Path,
    patient_id: str,
    out: str | Path,
    *,
    cohort: str | None = None,
    policy: str | Path | None = None,
) -> PatientFindings:
    """Write the report of one patient of a study; outcomes are not read."""
    out = Path(out)
    make_folder(out.parent)
    model = load(bundle)
    study = Study.load(study_path)
    read = patients_to_score(model, study)
    model = deciding(model, study, read, policy)
    found = patient_findings(model, the_patient(read, patient_id, cohort))
    write_patient_report(out, model, found)
    return found


def label(study: Study, out: str | Path, *, eligible_only: bool = True) -> Cohort:
    """Label the patients of a study, without a model, and say why."""
    cohort = read_cohort(study, eligible_only=eligible_only)
    codes = {"single_class_outcome"}  # labels of one class are labels
    if {row["code"] for row in cohort.findings.rows if row["severity"] == "error"} - codes:
        require_usable(cohort, f"The study {study.name}")
    out = make_folder(Path(out))
    columns = [name for name in load_schema("outcomes").fields if name in cohort.table]
    write_table(cohort.labels, out / "labels.csv")
    write_table(cohort.table[["patient_id", "cohort", *columns[1:]]], out / "outcomes.csv")
    if cohort.responses is not None:
        write_table(cohort.responses, out / "responses.csv")
    write_table(cohort.findings.table(), out / "findings.csv")
    write_table(cohort.attrition, out / "attrition.csv")
    write_label_report(out / "labels.html", cohort, study)
    return cohort

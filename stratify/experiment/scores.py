"""Patients of a study scored with a bundle into one file; registries have a module of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from stratify.cohort.reading import Cohort, read_cohort
from stratify.errors import ArgumentError
from stratify.interpretation.explained import explained_in_chunks
from stratify.progress import Progress
from stratify.scoring import ResistanceModel, load
from stratify.scoring.prepared import Prepared
from stratify.scoring.reasons import check_explain
from stratify.study import Study
from stratify.study.policy import Policy
from stratify.tables.tabular import make_folder, write_table, written_chunks

__all__ = ["deciding", "patients_to_score", "score"]


def patients_to_score(model: ResistanceModel, study: Study) -> Cohort:
    """Read all patients of a study as a model asks for them: without outcomes, on its scales."""
    cohort = read_cohort(study, outcomes=False, eligible_only=False, plan=model.plan)
    cohort.findings.raise_errors(f"The study {study.name}")
    return cohort


def deciding(
    model: ResistanceModel,
    study: Study,
    cohort: Cohort,
    policy: str | Path | dict[str, Any] | None = None,
) -> ResistanceModel:
    """Take the model with a policy file, else the policy of the study, else that of the bundle."""
    chosen = study.policy if policy is None else Policy.load(policy)
    if chosen is None:
        return model
    return model.with_policy(chosen, cohort.table.columns, f"the study {study.name}")


def score(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    policy: str | Path | None = None,
    explain: str = "none",
    top: int = 5,
    progress: Progress = lambda _: None,
) -> pd.DataFrame:
    """Score all patients of a study in memory; outcomes are not read.

    Parameters
    ----------
    bundle, study_path : path
    out : path
        File ending in ``.csv`` or ``.parquet``. For more patients than fit into memory, and to
        resume, see :func:`stratify.experiment.registry.score_registry`.
    policy : path, optional
        Policy file in place of the study's, which stands in place of the bundle's.
    explain : {"none", "top", "full"}
        Why: nothing, the `top` reasons in columns of the scores, or every contribution and the
        resistance profiles in ``<out>_attributions.parquet`` and ``<out>_profiles.parquet``
        beside `out`, written chunk by chunk.
    top : int
        Reasons for ``explain="top"``.
    progress : callable
        Told of each step.

    Returns
    -------
    DataFrame
        As in the ``scores`` dictionary, then the reasons; by cohort and patient.

    Raises
    ------
    ArgumentError, BundleError, DataError, FileError
    """
    out = Path(out)
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ArgumentError(f"out is {out.name}; a file ending in .csv or .parquet is expected.")
    check_explain(explain, top)
    make_folder(out.parent)
    model = load(bundle)
    study = Study.load(study_path)
    progress("reading the cohorts")
    cohort = patients_to_score(model, study)
    model = deciding(model, study, cohort, policy)
    progress(f"scoring {len(cohort)} patients")
    patients = model.prepare(cohort)
    scores = model.score_table(patients, top=top if explain == "top" else 0)
    if explain == "full" and len(cohort):
        _write_explained(model, patients, out, progress)
    write_table(scores, out)
    return scores


def _write_explained(
    model: ResistanceModel, patients: Prepared, out: Path, progress: Progress
) -> None:
    """Contributions and profiles of all patients, in memory a chunk at a time."""
    names = ("attributions", "profiles")
    files = [out.with_name(f"{out.stem}_{name}.parquet") for name in names]
    with written_chunks(files[0]) as contributions, written_chunks(files[1]) as profiles:
        for part in explained_in_chunks(
            model,
            patients,
            progress=lambda done, of: progress(f"{done} of {of} patients explained"),
        ):
            contributions(part.attributions)
            profiles(part.profiles)

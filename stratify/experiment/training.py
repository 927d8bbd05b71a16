"""One experiment from a study file to a folder of results: train, evaluate, recalibrate, score.

The order of the work and what is written where stand here; each step is done elsewhere. Result
files are written whole or not at all, and only after everything has been computed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stratify.cohort.feature_plan import FeaturePlan
from stratify.cohort.features import informative_features, model_matrix
from stratify.cohort.reading import Cohort, data_sha256, read_cohort, require_usable
from stratify.cohort.subgroups import SMALLEST_CLASS
from stratify.errors import CohortError
from stratify.experiment.results import Results, results_of
from stratify.experiment.scores import deciding
from stratify.model.classifier import ResistanceClassifier
from stratify.progress import Progress
from stratify.report.figures import calibration as calibration_figure
from stratify.report.figures import png
from stratify.report.model_card import bundle_card
from stratify.scoring import ResistanceModel, load
from stratify.statistics.survival import censoring_weights
from stratify.study import ResponseCriteria, Study
from stratify.tables.schema import field_named
from stratify.tables.tabular import make_folder, write_table, written_whole
from stratify.treatment.guarantee import RiskCuts
from stratify.treatment.triage import triage
from stratify.uncertainty.drift import Profile
from stratify.uncertainty.risk_interval import Uncertainty
from stratify.validation import local_recalibration
from stratify.validation.assessment import Assessment, assess, cross_validate
from stratify.validation.decisions import decision_performance
from stratify.validation.diagnostics import check_training
from stratify.validation.training import EarlyCensoring, Risks, fit_with_references, judged_risks

__all__ = [
    "Results",
    "check_against_training",
    "classifier_of",
    "evaluate",
    "external_cohorts",
    "recalibrate",
    "train",
]

SEARCH = "search.log"  # settings tried so far, by patients and fold; nothing of a patient


def train(
    study: Study,
    out: str | Path,
    *,
    classifier: ResistanceClassifier | None = None,
    folds: int = 5,
    workers: int = 1,
    progress: Progress = lambda _: None,
) -> Results:
    """Train on a study, judge on patients the model never saw, write results and bundle.

    Parameters
    ----------
    study : Study
        From :meth:`stratify.study.Study.load`.
    out : path
        Folder for ``bundle/``, ``findings.csv``, ``attrition.csv``, ``performance.csv``,
        ``scores.csv``, ``labels.csv`` (with the split), ``attributions.parquet``,
        ``report.html`` and ``study.yaml``.
    classifier : ResistanceClassifier, optional
        Unfitted, with other settings than the default.
    folds : int
        Folds of the cross-validation.
    workers : int
        Processes of one thread each that share the folds; 1 for this process, with a thread for
        each processor. The results are the same.
    progress : callable
        Told of each step.

    Returns
    -------
    Results

    Raises
    ------
    DataError, CohortError, FileError
        If the data have errors, cannot serve, or files cannot be read or written; nothing is
        written then.

    Notes
    -----
    A search of settings (`tune` of the study's model) is kept in `out` until the results are
    there: the same call goes on where it was interrupted.
    """
    out = make_folder(Path(out))
    progress("reading the cohorts")
    policy = study.policy
    cohort = read_cohort(study)
    require_usable(cohort, f"The study {study.name}")
    if policy is not None:  # a contraindication may have kept its patients out of the study
        known = [*cohort.table.columns, *(each.marker for each in policy.contraindications)]
        policy.require_known(known, f"the study {study.name}", study.landmark_weeks)
    home = cohort.of_split("train").evaluable
    if not len(home):
        raise CohortError(
            f"The study {study.name} has no training patients; give a cohort `role: train`."
        )
    features = informative_features(home, study.features, landmark_weeks=study.landmark_weeks)
    check_training(home, features)
    if policy is not None:
        policy.require_model(study.endpoint.name, features)
    template = classifier or classifier_of(study)

    progress("fitting the model")
    censoring = _early_censoring(cohort, study)
    trials = study.model.tune
    search = out / SEARCH if trials else None
    tried: list[dict[str, float]] = []
    fitted, references = fit_with_references(
        template,
        home.table,
        features,
        censoring=censoring,
        trials=trials,
        storage=search,
        tried=tried.append,
        progress=progress,
    )
    cuts = [float(q) for q in np.quantile(fitted.oof_risk_, [1 / 3, 2 / 3])]
    hashes = {
        "data": data_sha256(cohort.table),
        "split": data_sha256(cohort.table[["patient_id", "cohort", "split"]]),
        **{f"file {name}": digest for name, digest in sorted(cohort.files.items())},
    }
    card = bundle_card(study, cohort, home, features, cuts, hashes)
    weight = None if censoring is None else _label_weights(home.table, censoring)
    label = home.table["label"].to_numpy(dtype=float)
    matrix = model_matrix(home.table, features)
    card["capacity"] = fitted.capacity_.to_json()
    card["profile"] = Profile.fit(matrix, fitted.oof_risk_).to_json()
    uncertainty = Uncertainty.fit(fitted, matrix, label, weight)
    plan = FeaturePlan.of(
        fitted.features_,
        cohort.scales,
        [source.pdl1 for source in study.cohorts if source.role == "train"],
        study.landmark_weeks,
        {
            name: {c: assay for c, assay in by_cohort.items() if c in set(home.table["cohort"])}
            for name, by_cohort in cohort.assays.items()
        },
    )
    model = ResistanceModel(fitted, references, card, policy, uncertainty, plan=plan)

    def out_of_fold(folds: int | None) -> Risks:
        return cross_validate(
            template,
            home.table,
            features,
            folds=folds,
            seed=study.seed,
            censoring=censoring,
            trials=trials,
            storage=search,
            workers=workers,
            rescaled=cohort.refitted_scales,
            progress=progress,
        ).with_comparators(study.references, home.table)

    held_out = out_of_fold(folds)
    # thresholds of a policy hold in a new cohort only as far as in one left out
    apart = out_of_fold(None) if _cohorts_can_be_left_out(home.table) else held_out
    model = model.judged_by(RiskCuts.of(label, apart.by_model["stratify"]))
    progress("judging on patients the model never saw")
    assessments = _assess_training(model, home, held_out, study)
    for split in ("test", "external"):
        assessments += _assess_cohorts(model, cohort.of_split(split).evaluable, split, study)

    progress("scoring and explaining")
    scores = _flag_trained_on(model.score_cohort(cohort), home.table)
    results = results_of(
        model, study, "model card", cohort, scores, assessments, hashes, trials=tried
    )
    progress("writing the results")
    results.write(out)
    if search is not None:
        search.unlink(missing_ok=True)
    return results


def evaluate(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    policy: str | Path | None = None,
    progress: Progress = lambda _: None,
) -> Results:
    """Judge a bundle on external cohorts; the bundle's endpoint rule labels them.

    Parameters
    ----------
    bundle : path
        Folder of the bundle.
    study_path : path
        Study file of the external cohorts; cohorts of role ``train`` are left out if there are
        others.
    out : path
        Folder for the same files as :func:`train`, without ``bundle/``; or a file ending in
        ``.html`` for the report alone.
    policy : path, optional
        Policy file in place of the study's, which stands in place of the bundle's.
    progress : callable
        Told of each step.

    Returns
    -------
    Results

    Raises
    ------
    BundleError, DataError, CohortError, FileError
    """
    out = Path(out)
    alone = out.suffix == ".html"
    make_folder(out.parent if alone else out)
    model = load(bundle)
    study, cohort = external_cohorts(model, study_path, progress)
    model = deciding(model, study, cohort, policy)
    progress("judging on patients the model never saw")
    assessments = _assess_cohorts(model, cohort.evaluable, "external", study)
    progress("scoring and explaining")
    scores = model.score_cohort(cohort)
    hashes = {"data": data_sha256(cohort.table)}
    hashes |= {f"file {name}": digest for name, digest in sorted(cohort.files.items())}
    results = results_of(model, study, "evaluation report", cohort, scores, assessments, hashes)
    progress("writing the results")
    if alone:
        results.write_report(out)
    else:
        results.write(out)
    return results


def recalibrate(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
    what: str = "closed_test",
    progress: Progress = lambda _: None,
) -> tuple[ResistanceModel, pd.DataFrame]:
    """Fit a bundle's risks to a local cohort; the bundle's endpoint rule labels it."""
    out = Path(out)
    make_folder(out.parent)
    model = load(bundle)
    _, cohort = external_cohorts(model, study_path, progress)
    progress("recalibrating")
    local = local_recalibration.recalibrate(model, cohort, what=what)
    performance, curves = local_recalibration.before_and_after(model, cohort, what=what)
    record = local.card["recalibration"]
    drawn = calibration_figure(
        curves,
        title=f"Calibration, {record['cohorts']} (n = {record['n']}, after: cross-fitted)",
    )
    progress("writing the results")
    local.save(out)
    write_table(performance, out.with_name(f"{out.name}_performance.csv"))
    with written_whole(out.with_name(f"{out.name}_calibration.png")) as temporary:
        temporary.write_bytes(png(drawn))
    return local, performance


# ---------------------------------------------------------------------------------- steps


def external_cohorts(
    model: ResistanceModel, study_path: str | Path, progress: Progress
) -> tuple[Study, Cohort]:
    """External cohorts of a study, labelled by the model's rule."""
    stated = model.card.get("endpoint_stated", model.card["endpoint"])  # not in older bundles
    study = Study.load(study_path, endpoint=stated)
    criteria = ResponseCriteria.model_validate(model.card.get("response_criteria", {}))
    study = study.model_copy(
        update={"landmark_weeks": model.card["landmark_weeks"], "response_criteria": criteria}
    )
    if any(source.role != "train" for source in study.cohorts):
        kept = [source for source in study.cohorts if source.role != "train"]
        study = study.model_copy(update={"cohorts": kept})
    study = study.model_copy(
        update={"cohorts": [s.model_copy(update={"role": "external"}) for s in study.cohorts]}
    )
    progress("reading the cohorts")
    cohort = read_cohort(study, plan=model.plan)
    check_against_training(model, cohort)
    require_usable(cohort, f"The study {study.name}")
    return study, cohort


def classifier_of(study: Study) -> ResistanceClassifier:
    """Unfitted classifier with the settings of the study file."""
    return ResistanceClassifier(random_state=study.seed, n_jobs=-1, **study.model.parameters)


def _early_censoring(cohort: Cohort, study: Study) -> EarlyCensoring | None:
    """Training patients to be stood for by weights, if the study says so."""
    if study.censored_early == "exclude" or study.endpoint.months is None:
        return None
    table = cohort.of_split("train").table
    early = table[table["reason"] == "censored_before_horizon"]
    return EarlyCensoring(early, study.endpoint.months)


def _label_weights(table: pd.DataFrame, censoring: EarlyCensoring) -> np.ndarray:
    """Weight of each patient with a label, as in training."""
    both = pd.concat([table, censoring.table], ignore_index=True)
    return censoring_weights(both["pfs"], both["pfs_event"], censoring.horizon)[: len(table)]


def _cohorts_can_be_left_out(table: pd.DataFrame) -> bool:
    """Whether there are several, and enough of both labels stay without any of them."""
    counts = pd.crosstab(table["cohort"], table["label"])
    rest = counts.sum() - counts
    return len(counts) > 1 and bool((rest >= SMALLEST_CLASS).all(axis=None))


def _assess_training(
    model: ResistanceModel, home: Cohort, held_out: Any, study: Study
) -> list[Assessment]:
    """Apparent and cross-validated performance of the training patients."""
    names = sorted(set(home.table["cohort"]))
    name = names[0] if len(names) == 1 else "pooled"
    ready = model.prepare(home).table
    apparent = judged_risks(model.classifier, model.references, ready, study.references)
    groups = model.risk_groups(held_out.by_model["stratify"])
    judged = assess(
        home.table,
        held_out,
        cohort=name,
        split="cv",
        thresholds=study.thresholds,
        groups=groups,
        apparent=apparent,
    )
    if model.policy is not None and model.policy.decide_by == "risk":  # no interval out of fold
        risk = pd.DataFrame({"risk": held_out.by_model["stratify"]}, index=home.table.index)
        answers = triage(
            risk.assign(risk_low=risk["risk"], risk_high=risk["risk"]),
            home.table,
            model.policy,
            mixed_regimens=model.card["mixed_regimens"],
            assays=home.assays,
            landmark_weeks=model.landmark_weeks,
        )
        judged = _with_decisions(judged, model, home.table, answers["recommendation"], held_out)
    return [
        assess(home.table, apparent, cohort=name, split="train", thresholds=study.thresholds),
        judged,
    ]


def _with_decisions(
    judged: Assessment,
    model: ResistanceModel,
    table: pd.DataFrame,
    answers: pd.Series,
    risks: Risks,
) -> Assessment:
    """Add what the policy of a baseline model decided."""
    if model.policy is None or model.landmark_weeks is not None:
        return judged
    loris = risks.by_model.get("loris")
    rows = decision_performance(
        table, answers, model.policy, cohort=judged.cohort, split=judged.split, loris=loris
    )
    kept = [each for each in (judged.performance, rows) if len(each)]
    return replace(judged, performance=pd.concat(kept, ignore_index=True))


def _assess_cohorts(
    model: ResistanceModel, cohort: Cohort, split: str, study: Study
) -> list[Assessment]:
    found = []
    ready = model.prepare(cohort)
    for name in sorted(set(ready.cohorts)):
        patients = ready.take(ready.cohorts == name)
        rows = patients.table.reset_index(drop=True)
        risks = judged_risks(model.classifier, model.references, rows, study.references)
        judged = assess(
            rows,
            risks,
            cohort=str(name),
            split=split,
            thresholds=study.thresholds,
            groups=model.risk_groups(risks.by_model["stratify"]),
        )
        answers = model.score_table(patients)["recommendation"]
        found.append(_with_decisions(judged, model, rows, answers, risks))
    return found


def check_against_training(model: ResistanceModel, cohort: Cohort) -> None:
    """Files the model was trained on, and other assays, are told as findings."""
    trained = set(model.card["training_files"].values())
    trained |= set(model.card.get("recalibration", {}).get("files", {}).values())
    same = sorted(name for name, digest in cohort.files.items() if digest in trained)
    if same:
        cohort.findings.add(
            "patients_shared",
            f"the model was trained on {', '.join(same)}: the same file, byte by byte.",
            n=len(same),
        )
    for name, by_cohort in sorted(cohort.assays.items()):
        known = model.card["assays"].get(name)
        for where, assay in by_cohort.items():
            if known and assay not in known:
                cohort.findings.add(
                    "assay_differs",
                    f"{name} measured with {assay}; the model was trained with {', '.join(known)}.",
                    cohort=where,
                    panel=field_named(name).panel,
                    column=name,
                    n=len(cohort),
                )


def _flag_trained_on(scores: pd.DataFrame, home: pd.DataFrame) -> pd.DataFrame:
    """Flag training patients: the model has seen their outcome, so their risk is optimistic."""
    known = pd.MultiIndex.from_frame(scores[["cohort", "patient_id"]]).isin(
        pd.MultiIndex.from_frame(home[["cohort", "patient_id"]])
    )
    flags = scores["flags"].where(~known, scores["flags"] + ";trained_on")
    return scores.assign(flags=flags)

"""One experiment from a study file to a folder of results: train, evaluate, score.

The order of the work and what is written where stand here; each step is done elsewhere. Result
files are written whole or not at all, and only after everything has been computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratify.attribution import attributions
from stratify.classifier import ResistanceClassifier
from stratify.cohort import Cohort, data_sha256, read_cohort, require_usable
from stratify.diagnostics import check_training
from stratify.endpoint import rule_name
from stratify.errors import ArgumentError, CohortError, DataError
from stratify.features import informative_features
from stratify.figures import png
from stratify.label_report import write_label_report
from stratify.model_card import card_facts, card_figures, card_tables
from stratify.report import write_report
from stratify.schema import field_named, load_schema, panel_versions
from stratify.scoring import ResistanceModel, load
from stratify.study import ResponseCriteria, Study
from stratify.tabular import make_folder, write_table, written_whole
from stratify.treatment import EVIDENCE_CLASS, Policy
from stratify.validation import (
    Assessment,
    EarlyCensoring,
    assess,
    cross_validate,
    fit_with_references,
    judged_risks,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Results", "evaluate", "label", "score", "train"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Results:
    """Everything a training or an evaluation found.

    Attributes
    ----------
    model : ResistanceModel
    study : Study
    kind : {"model card", "evaluation report"}
    performance, attrition, findings, scores, attributions, labels : DataFrame
        As in the data dictionaries of the results.
    assessments : list of Assessment
    figures : dict of str to (Figure, caption)
    facts : dict
        What the report prints beside the tables.
    hashes : dict of str to str
        SHA-256 of data, split and files.
    """

    model: ResistanceModel
    study: Study
    kind: str
    performance: pd.DataFrame
    attrition: pd.DataFrame
    findings: pd.DataFrame
    scores: pd.DataFrame
    attributions: pd.DataFrame
    labels: pd.DataFrame
    assessments: list[Assessment]
    figures: dict[str, tuple[Figure, str]]
    facts: dict[str, Any]
    hashes: dict[str, str]

    def write(self, out: Path) -> None:
        """Write the result files of the output contract into a folder.

        Raises
        ------
        FileError
            If the folder cannot be written.
        """
        import yaml

        if self.kind == "model card":
            self.model.save(out / "bundle")
        write_table(self.findings, out / "findings.csv")
        write_table(self.attrition, out / "attrition.csv")
        write_table(self.performance, out / "performance.csv")
        write_table(self.scores, out / "scores.csv")
        write_table(self.labels, out / "labels.csv")
        write_table(self.attributions, out / "attributions.parquet")
        with written_whole(out / "study.yaml") as temporary:
            temporary.write_text(
                yaml.safe_dump(self.study.resolved(), sort_keys=False, allow_unicode=True),
                encoding="utf-8",
            )
        self.write_report(out / "report.html")

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """PNG of each figure; drawn once, for the report and for tracking."""
        return {name: png(figure) for name, (figure, _) in self.figures.items()}

    def write_report(self, path: Path) -> None:
        """Write the report alone."""
        write_report(path, self.facts, self.report_tables(), self.figures, drawn=self.pictures)

    def report_tables(self) -> dict[str, pd.DataFrame]:
        """Tables of the report: aggregates only, no patient in them."""
        return card_tables(
            self.findings,
            self.attrition,
            self.performance,
            self.scores,
            self.labels,
            self.attributions,
            self.assessments,
        )


def train(
    study: Study,
    out: str | Path,
    *,
    classifier: ResistanceClassifier | None = None,
    folds: int = 5,
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
    """
    out = make_folder(Path(out))
    progress("reading the cohorts")
    policy = _policy(study)
    cohort = read_cohort(study)
    require_usable(cohort, f"The study {study.name}")
    home = cohort.of_split("train").evaluable
    if not len(home):
        raise CohortError(
            f"The study {study.name} has no training patients; give a cohort `role: train`."
        )
    features = informative_features(home, study.features, landmark_weeks=study.landmark_weeks)
    check_training(home, features)
    template = classifier or _classifier(study)

    progress("fitting the model")
    censoring = _early_censoring(cohort, study)
    fitted, references = fit_with_references(template, home.table, features, censoring=censoring)
    cuts = [float(q) for q in np.quantile(fitted.oof_risk_, [1 / 3, 2 / 3])]
    hashes = {
        "data": data_sha256(cohort.table),
        "split": data_sha256(cohort.table[["patient_id", "cohort", "split"]]),
        **{f"file {name}": digest for name, digest in sorted(cohort.files.items())},
    }
    card = _card(study, cohort, home, features, cuts, hashes)
    model = ResistanceModel(fitted, references, card, policy)

    held_out = cross_validate(
        template,
        home.table,
        features,
        folds=folds,
        seed=study.seed,
        censoring=censoring,
        progress=progress,
    )
    progress("judging on patients the model never saw")
    assessments = _assess_training(model, home, held_out, study)
    for split in ("test", "external"):
        assessments += _assess_cohorts(model, cohort.of_split(split).evaluable, split, study)

    progress("scoring and explaining")
    scores = _flag_trained_on(model.score_cohort(cohort), home.table)
    results = _results(model, study, "model card", cohort, scores, assessments, hashes)
    progress("writing the results")
    results.write(out)
    return results


def evaluate(
    bundle: str | Path,
    study_path: str | Path,
    out: str | Path,
    *,
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
    cohort = read_cohort(study)
    _check_against_training(model, cohort)
    require_usable(cohort, f"The study {study.name}")
    progress("judging on patients the model never saw")
    assessments = _assess_cohorts(model, cohort.evaluable, "external", study)
    progress("scoring and explaining")
    scores = model.score_cohort(cohort)
    hashes = {"data": data_sha256(cohort.table)}
    hashes |= {f"file {name}": digest for name, digest in sorted(cohort.files.items())}
    results = _results(model, study, "evaluation report", cohort, scores, assessments, hashes)
    progress("writing the results")
    if alone:
        results.write_report(out)
    else:
        results.write(out)
    return results


def score(bundle: str | Path, study_path: str | Path, out: str | Path) -> pd.DataFrame:
    """Score all patients of a study; outcomes are not read.

    Parameters
    ----------
    bundle, study_path : path
    out : path
        File ending in ``.csv`` or ``.parquet``.

    Returns
    -------
    DataFrame
        As in the ``scores`` dictionary.

    Raises
    ------
    ArgumentError, BundleError, DataError, FileError
    """
    out = Path(out)
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ArgumentError(f"out is {out.name}; a file ending in .csv or .parquet is expected.")
    make_folder(out.parent)
    model = load(bundle)
    study = Study.load(study_path)
    cohort = read_cohort(study, outcomes=False, eligible_only=False)
    cohort.findings.raise_errors(f"The study {study.name}")
    scores = model.score_cohort(cohort)
    write_table(scores, out)
    return scores


def label(study: Study, out: str | Path, *, eligible_only: bool = True) -> Cohort:
    """Label the patients of a study, without a model, and say why.

    Parameters
    ----------
    study : Study
    out : path
        Folder for ``labels.csv``, ``outcomes.csv`` (outcomes behind the labels, derived ones
        included), ``responses.csv`` (response at each visit, where there are visits or lesions),
        ``findings.csv``, ``attrition.csv`` and ``labels.html``. All but the last two tables hold
        patients.
    eligible_only : bool
        Label only patients of an eligible regimen.

    Returns
    -------
    Cohort

    Raises
    ------
    DataError, CohortError, FileError
        If the data have errors or files cannot be read or written; nothing is written then.
    """
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


# ---------------------------------------------------------------------------------- steps


def _policy(study: Study) -> Policy | None:
    if study.policy is None:
        return None
    return Policy.load(study.policy, study.source.parent if study.source else None)


def _classifier(study: Study) -> ResistanceClassifier:
    """Unfitted classifier with the settings of the study file."""
    known = set(ResistanceClassifier().get_params()) - {"random_state", "n_jobs"}
    if unknown := sorted(set(study.model) - known):
        raise DataError(
            f"model: {', '.join(unknown)} not known; settings are {', '.join(sorted(known))}."
        )
    return ResistanceClassifier(random_state=study.seed, n_jobs=-1, **study.model)


def _early_censoring(cohort: Cohort, study: Study) -> EarlyCensoring | None:
    """Training patients to be stood for by weights, if the study says so."""
    if study.censored_early == "exclude":
        return None
    rule = study.rule
    if "months" not in rule:
        raise DataError(
            f"censored_early: weight needs an endpoint by progression; {rule['name']} has no "
            "horizon. Remove the key or change the endpoint."
        )
    table = cohort.of_split("train").table
    early = table[table["reason"] == "censored_before_6_months"]
    return EarlyCensoring(early, float(rule["months"]))


def _card(
    study: Study,
    cohort: Cohort,
    home: Cohort,
    features: list[str],
    cuts: list[float],
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    trained = sorted(set(home.table["cohort"]))
    training_files = {
        table.file for source in study.cohorts if source.name in trained for table in source.tables
    }
    return {
        "study": study.name,
        "title": study.title,
        "endpoint": study.rule["name"],
        "endpoint_stated": study.endpoint_stated,
        "endpoint_rule": rule_name(study.rule),
        "response_criteria": study.response_criteria.model_dump(mode="json"),
        "target": study.rule["target"],
        "eligible_regimens": list(study.eligible_regimens),
        "mixed_regimens": study.mixed_regimens,
        "landmark_weeks": study.landmark_weeks,
        "censored_early": study.censored_early,
        "features": features,
        "training_cohorts": trained,
        "n": len(home),
        "n_events": int(home.table["label"].sum()),
        "risk_group_cuts": cuts,
        "assays": {
            name: sorted({assay for c, assay in by_cohort.items() if c in trained})
            for name, by_cohort in sorted(cohort.assays.items())
        },
        "hashes": dict(hashes),
        "training_files": {
            name: digest for name, digest in cohort.files.items() if name in training_files
        },
        "schema_versions": panel_versions(),
        "package_versions": _versions(),
        "evidence_class": EVIDENCE_CLASS,
    }


def _versions() -> dict[str, str]:
    names = ("stratify-immuno", "lightgbm", "numpy", "pandas", "scikit-learn", "shap", "mlflow")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _assess_training(
    model: ResistanceModel, home: Cohort, held_out: Any, study: Study
) -> list[Assessment]:
    """Apparent and cross-validated performance of the training patients."""
    names = sorted(set(home.table["cohort"]))
    name = names[0] if len(names) == 1 else "pooled"
    apparent = judged_risks(model.classifier, model.references, home.table)
    groups = model.risk_groups(held_out.by_model["stratify"])
    return [
        assess(home.table, apparent, cohort=name, split="train", thresholds=study.thresholds),
        assess(
            home.table,
            held_out,
            cohort=name,
            split="cv",
            thresholds=study.thresholds,
            groups=groups,
            apparent=apparent,
        ),
    ]


def _assess_cohorts(
    model: ResistanceModel, cohort: Cohort, split: str, study: Study
) -> list[Assessment]:
    found = []
    for name, table in cohort.table.groupby("cohort", sort=True):
        rows = table.reset_index(drop=True)
        risks = judged_risks(model.classifier, model.references, rows)
        found.append(
            assess(
                rows,
                risks,
                cohort=str(name),
                split=split,
                thresholds=study.thresholds,
                groups=model.risk_groups(risks.by_model["stratify"]),
            )
        )
    return found


def _check_against_training(model: ResistanceModel, cohort: Cohort) -> None:
    """Files the model was trained on, and other assays, are told as findings."""
    trained = set(model.card["training_files"].values())
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


def _results(
    model: ResistanceModel,
    study: Study,
    kind: str,
    cohort: Cohort,
    scores: pd.DataFrame,
    assessments: list[Assessment],
    hashes: dict[str, str],
) -> Results:
    judged = cohort.evaluable
    shown = judged.of_split("test", "external")
    explained = attributions(model.classifier, cohort.table)
    plotted = explained
    if len(shown):
        plotted = explained[explained["cohort"].isin(set(shown.table["cohort"]))]
    performance = pd.concat([a.performance for a in assessments], ignore_index=True)
    return Results(
        model=model,
        study=study,
        kind=kind,
        performance=performance,
        attrition=cohort.attrition,
        findings=cohort.findings.table(),
        scores=scores,
        attributions=explained,
        labels=cohort.labels,
        assessments=assessments,
        figures=card_figures(assessments, plotted, performance, cohort.labels),
        facts=card_facts(model, study, kind, cohort, hashes),
        hashes=hashes,
    )

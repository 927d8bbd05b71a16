"""Facts, figures and tables of a model card or an evaluation report, from results.

What is shown, in which order and with which words about the model; nothing is estimated here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pandas as pd

from stratify.cohort.features import model_matrix
from stratify.cohort.reading import Cohort
from stratify.endpoint import endpoint_rule
from stratify.interpretation.attribution import importance
from stratify.interpretation.cohort_profile import CohortProfile
from stratify.report import figures
from stratify.report import profile_figures as drawn_profiles
from stratify.report.response_figures import label_flow
from stratify.report.share_figures import error_by_share
from stratify.report.text import CARD
from stratify.scoring import ResistanceModel
from stratify.study import Study
from stratify.tables.documents import document
from stratify.tables.schema import field_named, panel_versions
from stratify.treatment.triage import EVIDENCE_CLASS
from stratify.validation.assessment import Assessment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "bundle_card",
    "card_facts",
    "card_figures",
    "card_tables",
    "profile_figures",
    "recalibration_statement",
    "share_figures",
    "tripod_items",
]

INTERVAL_LEVEL = 0.95


def card_tables(
    findings: pd.DataFrame,
    attrition: pd.DataFrame,
    performance: pd.DataFrame,
    scores: pd.DataFrame,
    labels: pd.DataFrame,
    attributions: pd.DataFrame,
    assessments: list[Assessment],
    profile: CohortProfile | None = None,
    characteristics: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Tables of the report: aggregates only, no patient in them."""
    shares = scores["recommendation"].fillna("none").value_counts()
    tables = {
        "findings": findings,
        "attrition": attrition,
        "performance": performance,
        "recommendations": pd.DataFrame(
            {
                "recommendation": shares.index,
                "n": shares.to_numpy(),
                "share": shares.to_numpy() / max(len(scores), 1),
            }
        ),
        "labels": labels.groupby(["cohort", "state", "reason"], as_index=False).agg(
            n=("patient_id", "size")
        ),
        "importance": importance(attributions),
    }
    if profile is not None:
        tables |= {
            "leading": profile.leading,
            "clusters": profile.clusters,
            "interactions": profile.interactions,
            "dependence": profile.dependence,
            "subgroup_profiles": profile.subgroups,
        }
    if characteristics is not None:
        tables["characteristics"] = characteristics
    if assessments and "pfs" in (shown := _shown(assessments)).survival:
        tables["km"] = _km_summary(shown, "pfs")
    return tables


def profile_figures(
    profile: CohortProfile, explained: pd.DataFrame, cohorts: str, n: int
) -> dict[str, tuple[Figure, str]]:
    """Figures with captions of a cohort's profiles, dependences and subgroups."""
    found: dict[str, tuple[Figure, str]] = {}
    titles, captions = CARD["titles"], CARD["captions"]
    where = CARD["patients"].format(cohorts=cohorts, n=n)
    if profile.matrix.shape[1] > 1:
        drawn = drawn_profiles.profile_heat_map(
            profile.matrix,
            title=titles["profiles"].format(
                CARD["patients"].format(cohorts=cohorts, n=len(profile.matrix))
            ),
        )
        found["profiles"] = (drawn, captions["profiles"])
    if len(profile.subgroups):
        found["subgroup_profiles"] = (
            drawn_profiles.subgroup_differences(
                profile.subgroups, title=titles["subgroup_profiles"].format(where)
            ),
            captions["subgroup_profiles"],
        )
    for feature, other in profile.partners.items():
        title = field_named(feature).title
        found[f"dependence_{feature}"] = (
            drawn_profiles.dependence(explained, feature, other, title=f"{title}, {where}"),
            captions["dependence"].format(field_named(other).title),
        )
    return found


def _shown(assessments: list[Assessment]) -> Assessment:
    """Choose the assessment that leads: unseen cohorts before cross-validation."""
    order = {"external": 0, "test": 1, "cv": 2, "train": 3}
    return min(assessments, key=lambda a: (order[a.split], -a.n))


def _km_summary(assessment: Assessment, outcome: str) -> pd.DataFrame:
    return assessment.survival[outcome][1].rename(
        columns={"hazard_ratio_low": "low", "hazard_ratio_high": "high"}
    )


def card_figures(
    assessments: list[Assessment],
    explained: pd.DataFrame,
    performance: pd.DataFrame,
    labels: pd.DataFrame,
) -> dict[str, tuple[Figure, str]]:
    """Figures with captions: every assessment but the apparent one, and the beeswarm."""
    found: dict[str, tuple[Figure, str]] = {}
    counts = labels.groupby(["cohort", "state", "reason"], as_index=False).agg(
        n=("patient_id", "size")
    )
    titles, captions = CARD["titles"], CARD["captions"]
    for cohort, rows in counts.groupby("cohort", sort=True):
        who = CARD["patients"].format(cohorts=cohort, n=rows["n"].sum())
        found[f"labels_{cohort}"] = (
            label_flow(rows, title=titles["labels"].format(who)),
            captions["labels"],
        )
    for a in assessments:
        if a.split == "train":
            continue
        where = CARD["patients_events"].format(
            cohort=a.cohort, split=a.split, n=a.n, n_events=a.n_events
        )
        name = f"{a.cohort}_{a.split}"
        here = performance[
            (performance["cohort"] == a.cohort)
            & (performance["split"] == a.split)
            & (performance["subgroup"] == "all")
        ]
        if len(a.roc):
            aurocs = here[(here["metric"] == "auroc") & (here["reference"] == "")]
            found[f"roc_{name}"] = (
                figures.roc(a.roc, title=titles["roc"].format(where), aurocs=aurocs),
                captions["roc"],
            )
        found[f"calibration_{name}"] = (
            figures.calibration(a.calibration, title=titles["calibration"].format(where)),
            captions["calibration"],
        )
        found[f"decision_curve_{name}"] = (
            figures.decision_curve(a.decision, title=titles["decision_curve"].format(where)),
            captions["decision_curve"],
        )
        for outcome, (curves, _) in a.survival.items():
            found[f"kaplan_meier_{outcome}_{name}"] = (
                figures.kaplan_meier(
                    curves,
                    _km_summary(a, outcome),
                    title=titles["kaplan_meier"].format(outcome=outcome.upper(), where=where),
                    outcome=outcome.upper(),
                ),
                captions["kaplan_meier"],
            )
    cohorts = ", ".join(sorted(set(explained["cohort"])))
    n = explained[["patient_id", "cohort"]].drop_duplicates().shape[0]
    who = CARD["patients"].format(cohorts=cohorts, n=n)
    found["beeswarm"] = (
        figures.beeswarm(explained, title=titles["beeswarm"].format(who)),
        captions["beeswarm"],
    )
    return found


def share_figures(
    curves: Mapping[str, pd.DataFrame], threshold: float
) -> dict[str, tuple[Figure, str]]:
    """Figures with captions of how often the model errs by the share of patients decided on.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        By cohort, as from :func:`stratify.statistics.selective.selective_curve`.
    threshold : float
        Risk from which a patient was called resistant.
    """
    return {
        f"selective_{name}": (
            error_by_share(
                curve,
                title=CARD["titles"]["selective"].format(
                    CARD["patients"].format(cohorts=name, n=curve["n"].max())
                ),
            ),
            CARD["captions"]["selective"].format(threshold),
        )
        for name, curve in curves.items()
    }


def bundle_card(
    study: Study,
    cohort: Cohort,
    home: Cohort,
    features: list[str],
    cuts: list[float],
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    """Gather what a bundle says of itself: study, rule, patients, files and versions."""
    trained = sorted(set(home.table["cohort"]))
    training_files = {
        table.file for source in study.cohorts if source.name in trained for table in source.tables
    }
    return {
        "study": study.name,
        "title": study.title,
        "endpoint": study.endpoint.name,
        "endpoint_stated": study.endpoint.stated,
        "endpoint_rule": study.endpoint.id,
        "response_criteria": study.response_criteria.model_dump(mode="json"),
        "target": study.endpoint.target,
        "eligible_regimens": list(study.eligible_regimens),
        "mixed_regimens": study.mixed_regimens,
        "landmark_weeks": study.landmark_weeks,
        "censored_early": study.censored_early,
        "training_scales": None if cohort.scales is None else cohort.scales.to_json(),
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
            found[name] = CARD["not_installed"]
    return found


def card_facts(
    model: ResistanceModel, study: Study, kind: str, cohort: Cohort, hashes: Mapping[str, str]
) -> dict[str, Any]:
    """Facts that the report prints beside the tables."""
    card = model.card
    rule = endpoint_rule(card.get("endpoint_stated", card["endpoint"]))
    matrix = model_matrix(cohort.table, list(card["features"]))
    directions = dict(zip(model.classifier.features_, model.classifier.monotone_, strict=True))
    words = CARD["directions"]
    trained = CARD["trained"].format(
        cohorts=", ".join(card["training_cohorts"]),
        n=card["n"],
        n_events=card["n_events"],
        regimens=", ".join(card["eligible_regimens"]),
        mixed=CARD["mixed"] if card["mixed_regimens"] else "",
    )
    facts = {
        "kind": kind,
        "study": study.name,
        "title": study.title or study.name,
        "description": study.description,
        "model_version": model.version,
        "endpoint_rule": card["endpoint_rule"],
        "endpoint_title": rule.title,
        "endpoint_source": rule.source,
        "target": card["target"],
        "evidence_class": card["evidence_class"],
        "regimens_statement": trained
        + (f" {recalibration_statement(card)}" if "recalibration" in card else ""),
        "recommendation_statement": _recommendation_statement(model),
        "limits": list(CARD["limits"]),
        "created": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "versions": dict(card["package_versions"]),
        "hashes": dict(hashes),
        "settings": model.classifier.get_params(),
        "features": [
            {
                "feature": name,
                "title": field_named(name).title,
                "panel": field_named(name).panel,
                "unit": field_named(name).unit or "",
                "direction": words[directions[name]],
                "share_missing": float(matrix[name].isna().mean()),
            }
            for name in card["features"]
        ],
        "interval_level": INTERVAL_LEVEL,
        "risk_level": f"{100 * model.classifier.interval_level:g} %",
    }
    return facts | {"tripod": tripod_items(facts)}


def tripod_items(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Items of TRIPOD+AI with what the report answers; an empty answer is open."""
    items = document("tripod_ai")["items"]
    known = {**facts, "objective": CARD["objective"].get(facts["kind"], "")}
    return [{**item, "answer": item["answer"].format_map(known)} for item in items]


def recalibration_statement(card: Mapping[str, Any]) -> str:
    """Sentence on the local cohort and the line fitted to it."""
    record = card["recalibration"]
    lines = [figures.estimate(*record[name]) for name in ("intercept", "slope")]
    return str(
        CARD["recalibrated"].format(
            cohorts=record["cohorts"],
            n=record["n"],
            n_events=record["n_events"],
            changed=CARD["changed"][record["changed"]].format(*lines),
            version=record["from_version"],
        )
    )


def _recommendation_statement(model: ResistanceModel) -> str:
    if model.card["mixed_regimens"]:
        return str(CARD["none_mixed"])
    if model.policy is None:
        return str(CARD["no_policy"])
    return model.policy.statement(model.landmark_weeks)

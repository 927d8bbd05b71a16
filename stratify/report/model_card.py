"""Facts and tables of a model card or an evaluation report, from results.

What is shown, in which order and with which words about the model; nothing is estimated here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any

import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.endpoint import endpoint_rule
from stratify.interpretation.attribution import importance
from stratify.interpretation.cohort_profile import CohortProfile
from stratify.report.evaluation_report import CardFacts
from stratify.report.figures import estimate
from stratify.report.text import CARD
from stratify.scoring.resistance_model import ResistanceModel
from stratify.study import Study
from stratify.tables.documents import document
from stratify.tables.schema import field_named, panel_versions
from stratify.treatment.triage import EVIDENCE_CLASS
from stratify.validation.assessment import Assessment
from stratify.validation.decisions import decision_statement

__all__ = [
    "bundle_card",
    "card_facts",
    "card_tables",
    "recalibration_statement",
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
        names = {"hazard_ratio_low": "low", "hazard_ratio_high": "high"}
        tables["km"] = shown.survival["pfs"][1].rename(columns=names)
    return tables


def _shown(assessments: list[Assessment]) -> Assessment:
    """Choose the assessment that leads: unseen cohorts before cross-validation."""
    order = {"external": 0, "test": 1, "cv": 2, "train": 3}
    return min(assessments, key=lambda a: (order[a.split], -a.n))


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
    model: ResistanceModel,
    study: Study,
    kind: str,
    cohort: Cohort,
    hashes: Mapping[str, str],
    performance: pd.DataFrame,
) -> CardFacts:
    """Facts that the report prints next to the tables."""
    card = model.card
    rule = endpoint_rule(card.get("endpoint_stated", card["endpoint"]))
    matrix = model.prepare(cohort).matrix[list(card["features"])]
    directions = dict(zip(model.classifier.features_, model.classifier.monotone_, strict=True))
    words = CARD["directions"]
    trained = CARD["trained"].format(
        cohorts=", ".join(card["training_cohorts"]),
        n=card["n"],
        n_events=card["n_events"],
        regimens=", ".join(card["eligible_regimens"]),
        mixed=CARD["mixed"] if card["mixed_regimens"] else "",
    )
    if "capacity" in card and None not in card["capacity"].values():
        trained += f" {capacity_statement(card['capacity'])}"
    regimens = trained + (f" {recalibration_statement(card)}" if "recalibration" in card else "")
    fields = [field_named(name) for name in card["features"]]
    features = pd.DataFrame(
        {
            "title": [field.title for field in fields],
            "panel": [field.panel for field in fields],
            "unit": [field.unit or "" for field in fields],
            "direction": [words[directions[name]] for name in card["features"]],
            "share_missing": matrix.isna().mean().to_numpy(dtype=float),
        }
    )
    facts = CardFacts(
        kind=kind,
        study=study.name,
        title=study.title or study.name,
        description=study.description,
        model_version=model.version,
        endpoint_rule=card["endpoint_rule"],
        endpoint_title=rule.title,
        endpoint_source=rule.source,
        target=card["target"],
        evidence_class=card["evidence_class"],
        regimens_statement=regimens,
        recommendation_statement=_recommendation_statement(model, performance),
        limits=CARD["limits"],
        created=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        versions=card["package_versions"],
        hashes=hashes,
        settings=model.classifier.get_params(),
        features=features,
        interval_level=INTERVAL_LEVEL,
    )
    level = f"{100 * model.classifier.interval_level:g} %"
    return replace(facts, tripod=tripod_items({**vars(facts), "risk_level": level}))


def tripod_items(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Items of TRIPOD+AI with what the report answers; an empty answer is open."""
    items = document("tripod_ai")["items"]
    known = {**facts, "objective": CARD["objective"].get(facts["kind"], "")}
    return [{**item, "answer": item["answer"].format_map(known)} for item in items]


def capacity_statement(capacity: Mapping[str, Any]) -> str:
    """Sentence on larger trees: whether they were taken, and what they gain or lose."""
    words, gain = CARD["capacity"], capacity["gain"]
    return str(
        words["larger" if capacity["taken"] else "stated"].format(
            moved=words["gain" if gain >= 0 else "loss"].format(by=abs(gain)),
            error=capacity["error"],
        )
    )


def recalibration_statement(card: Mapping[str, Any]) -> str:
    """Sentence on the local cohort and the line fitted to it."""
    record = card["recalibration"]
    lines = [estimate(*record[name]) for name in ("intercept", "slope")]
    return str(
        CARD["recalibrated"].format(
            cohorts=record["cohorts"],
            n=record["n"],
            n_events=record["n_events"],
            changed=CARD["changed"][record["changed"]].format(*lines),
            version=record["from_version"],
        )
    )


def _recommendation_statement(model: ResistanceModel, performance: pd.DataFrame) -> str:
    if model.card["mixed_regimens"]:
        return str(CARD["none_mixed"])
    if model.policy is None:
        return str(CARD["no_policy"])
    policy, found = model.policy, model.policy.found
    guaranteed = [] if found is None else [found.monotherapy, found.combination]
    judged = decision_statement(performance, policy.error_bounds(model.landmark_weeks))
    return " ".join([policy.statement(model.landmark_weeks), *guaranteed, judged]).strip()

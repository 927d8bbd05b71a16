"""Everything that a report states of one patient: risk, reasons, profile, gaps, what if."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stratify.cohort.reading import Cohort
from stratify.errors import ArgumentError
from stratify.interpretation.attribution import risk_points, stability
from stratify.interpretation.counterfactual import along, what_if
from stratify.interpretation.cycle import Partner, cycle
from stratify.interpretation.explained import explain
from stratify.interpretation.information import value_of_information
from stratify.interpretation.interactions import interactions
from stratify.interpretation.profile import (
    Inflammation,
    inflammation,
    partner_classes,
    why_no_partner,
)
from stratify.model.recalibration import Recalibration
from stratify.scoring import ResistanceModel
from stratify.scoring.prepared import Prepared
from stratify.scoring.resistance_model import PatientsLike
from stratify.tables.schema import field_named
from stratify.trees.model_text import UnsupportedTreesError

__all__ = ["PatientFindings", "patient_findings", "the_patient", "training_risks"]

_REASONS = 6
_PAIRS, _LEAST_PAIR = 3, 0.01  # pairs of features, and the log-odds from which they are stated
_ALONG = 3  # reasons whose value is set to the training median


@dataclass(frozen=True)
class PatientFindings:
    """What is found of one patient.

    Attributes
    ----------
    score : mapping
        Row of the ``scores`` table.
    base_risk : float
        Risk at the base value, from which the reasons lead to the patient's.
    reasons : DataFrame
        Strongest measured features: ``feature, title, unit, value, level, median, shap,
        risk_points, same_sign, in_top, step, outside``.
    pairs : DataFrame
        From :func:`~stratify.interpretation.interactions.interactions`: the strongest pairs of
        measured features; empty where the model's trees have none.
    unmeasured_points : float
        Risk that all features without a value add or take in sum.
    profile : DataFrame
        Rows of the ``profiles`` table, by step.
    leading, second, statement : str
    inflammation : Inflammation
    partners : list of Partner
    no_partner : str
        Why none is listed; empty if any is.
    information : DataFrame or None
        From :func:`~stratify.interpretation.information.value_of_information`; None for a bundle
        that keeps no summary of its training patients.
    what_if : DataFrame
        ``feature, state, value, risk, risk_low, risk_high, change, change_low, change_high,
        outside``; `state` is empty where the feature is set to the training median.
    training : DataFrame or None
        From :func:`training_risks`.
    """

    score: Mapping[str, Any]
    base_risk: float
    reasons: pd.DataFrame
    pairs: pd.DataFrame
    unmeasured_points: float
    profile: pd.DataFrame
    leading: str
    second: str
    statement: str
    inflammation: Inflammation
    partners: list[Partner]
    no_partner: str
    information: pd.DataFrame | None
    what_if: pd.DataFrame
    training: pd.DataFrame | None


def the_patient(cohort: Cohort, patient_id: str, name: str | None = None) -> Cohort:
    """Find one patient of a study."""
    table = cohort.table
    names = list(dict.fromkeys(table["cohort"]))
    if name is not None and name not in names:
        raise ArgumentError(f"There is no cohort {name!r}; there are {', '.join(names)}.")
    found = table["patient_id"].astype(str) == str(patient_id)
    if name is not None:
        found &= table["cohort"] == name
    where = table.loc[found, "cohort"].tolist()
    if not where:
        raise ArgumentError(
            f"No patient of {name or ', '.join(names)} has the identifier given (--patient); "
            f"{len(table)} patients were read. Give it as it stands in the study's files."
        )
    if len(where) > 1:
        raise ArgumentError(
            f"The identifier given (--patient) is in several cohorts: {', '.join(where)}. "
            "Name one with --cohort."
        )
    return cohort.take(found)


def training_risks(model: ResistanceModel) -> pd.DataFrame | None:
    """Out-of-fold risks of the training patients, as counts by range of risk.

    Returns
    -------
    DataFrame or None
        ``low, high, n``: at least five patients a range; None for a bundle without them.
    """
    counts = None if model.uncertainty is None else model.uncertainty.training_risks
    if counts is None:
        return None
    edges = np.array([0.0, *counts.edges, 1.0])
    if "recalibration" in model.card:
        edges = Recalibration.from_json(model.card["recalibration"]).risk(
            edges.clip(1e-6, 1 - 1e-6)
        )
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": counts.n})


def patient_findings(model: ResistanceModel, source: PatientsLike) -> PatientFindings:
    """Work out everything that a report states of one patient."""
    from scipy.special import expit

    patient = model.prepare(source)
    if len(patient) != 1:
        raise ArgumentError(f"`source` has {len(patient)} patients; one is expected.")
    classifier, explained = model.classifier, explain(model, patient)
    long, led = explained.attributions, explained.leading.iloc[0]
    values = {name: _plain(value[0]) for name, value in patient.values.items()}
    score = {str(name): value for name, value in model.score_table(patient).iloc[0].items()}
    known = model.training_distribution
    points = risk_points(long, classifier.calibration_)
    measured = (long["value"].notna() | long["level"].notna()).to_numpy()
    slope, intercept = classifier.calibration_
    posterior = None if model.uncertainty is None else model.uncertainty.posterior
    agreement = stability(
        model, patient, top=len(classifier.features_), posterior=posterior
    ).set_index("feature")
    reasons = long[measured].assign(risk_points=points[measured])
    reasons = reasons.sort_values("shap", key=np.abs, ascending=False, kind="stable").head(_REASONS)
    reasons = reasons.assign(
        title=[field_named(name).title for name in reasons["feature"]],
        median=[np.nan if known is None else known.median(name) for name in reasons["feature"]],
        step=[cycle().assignment(name).step for name in reasons["feature"]],
        same_sign=agreement["same_sign"].reindex(reasons["feature"]).to_numpy(),
        outside=[_outside(model, row) for row in reasons.to_dict("records")],
    )
    partners = partner_classes(led["leading"], led["second"], values, score["risk_group"])
    by_step = not partners or not any(led["leading"] in p.steps for p in partners)
    return PatientFindings(
        score=score,
        base_risk=float(expit(slope * long["base_value"].iloc[0] + intercept)),
        reasons=reasons.reset_index(drop=True),
        pairs=_pairs(model, patient, set(long.loc[measured, "feature"])),
        unmeasured_points=float(points[~measured].sum()),
        profile=explained.profiles,
        leading=led["leading"],
        second=led["second"],
        statement=led["statement"],
        inflammation=inflammation(values, None if known is None else known.numbers),
        partners=partners,
        no_partner=why_no_partner(led["leading"], score["risk_group"]) if by_step else "",
        information=None if known is None else value_of_information(model, patient),
        what_if=_what_if(model, patient, reasons),
        training=training_risks(model),
    )


def _pairs(model: ResistanceModel, patient: Prepared, measured: set[str]) -> pd.DataFrame:
    try:
        found = interactions(model, patient)
    except UnsupportedTreesError:  # trees of a kind that only LightGBM scores have none
        found = pd.DataFrame(columns=["feature", "other", "shap"]).astype({"shap": float})
    known = found["feature"].isin(measured) & found["other"].isin(measured)
    return found[known & (found["shap"].abs() >= _LEAST_PAIR)].head(_PAIRS)


def _what_if(model: ResistanceModel, patient: Prepared, reasons: pd.DataFrame) -> pd.DataFrame:
    """Named states, and the strongest reasons that raise the risk set to the training median."""
    found = [what_if(model, patient).assign(feature="", value=np.nan)]
    raising = reasons[(reasons["shap"] > 0) & reasons["median"].notna()]
    for row in raising[raising["value"] != raising["median"]].head(_ALONG).to_dict("records"):
        moved = along(model, patient, row["feature"], [row["median"]])
        found.append(moved.assign(feature=row["feature"], state=""))
    columns = ["feature", "state", "value", "risk", "risk_low", "risk_high"]
    columns += ["change", "change_low", "change_high", "outside"]
    kept = [rows[columns] for rows in found if len(rows)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=columns)


def _outside(model: ResistanceModel, row: Mapping[Any, Any]) -> bool:
    low, high = model.classifier.ranges_.get(row["feature"], (-np.inf, np.inf))
    return bool(row["value"] < low or row["value"] > high)


def _plain(value: Any) -> Any:
    """Python's own number or text."""
    return value.item() if isinstance(value, np.generic) else value

"""Resistance profile: a patient's contributions by step of the cancer-immunity cycle.

Which step leads is a statement about the model. A step without a measured feature is not assessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from stratify.interpretation.cycle import Marker, Partner, cycle
from stratify.tables.schema import load_schema
from stratify.uncertainty.normal_scores import NormalScores

__all__ = [
    "Inflammation",
    "MarkerReading",
    "inflammation",
    "leading_steps",
    "partner_classes",
    "profile_matrix",
    "resistance_profiles",
    "why_no_partner",
]

_THIRD = NormalDist().inv_cdf(2 / 3)
_KEY = ["cohort", "patient_id"]
_COMPETING = ("monitoring", "unmapped")  # carry risk, but are never named as leading


def resistance_profiles(long: pd.DataFrame) -> pd.DataFrame:
    """Contributions by step, for every patient.

    Returns
    -------
    DataFrame of shape (n_patients * n_steps, 9)
        As in the ``profiles`` dictionary: log-odds before calibration; patients in the order
        given, steps in that of the cycle.

    Examples
    --------
    >>> long = pd.DataFrame({"patient_id": "1", "cohort": "a", "feature": ["cd8_density", "tmb"],
    ...                      "value": [80.0, None], "level": None, "shap": [0.4, -0.1]})
    >>> profile = resistance_profiles(long).set_index("step")
    >>> profile.loc[["release", "infiltration"], ["contribution", "n_measured", "n_features"]]
                  contribution  n_measured  n_features
    step
    release                NaN           0           1
    infiltration           0.4           1           1
    """
    patient, patients = pd.factorize(pd.MultiIndex.from_frame(long[_KEY]))
    feature, names = pd.factorize(long["feature"])
    known = (long["value"].notna() | long["level"].notna()).to_numpy()
    shape = (len(patients), len(names))
    shap, measured = np.zeros(shape), np.zeros(shape, dtype=bool)
    shap[patient, feature] = long["shap"].to_numpy()
    measured[patient, feature] = known
    step_of = cycle().steps_of(names)
    steps = []
    for step in cycle().steps:
        columns = np.array([step_of[name] == step.id for name in names], dtype=bool)
        ours, there = shap[:, columns], measured[:, columns]
        n_measured = there.sum(axis=1)
        counted = np.where(there, ours, 0.0)
        steps.append(
            {
                "step": np.full(shape[0], step.id, dtype=object),
                "contribution": np.where(n_measured > 0, counted.sum(axis=1), np.nan),
                "raising": counted.clip(min=0).sum(axis=1),
                "lowering": counted.clip(max=0).sum(axis=1),
                "n_measured": n_measured,
                "n_features": np.full(shape[0], int(columns.sum())),
                "unmeasured": np.where(there, 0.0, ours).sum(axis=1),
            }
        )
    table = pd.DataFrame(
        {name: np.stack([step[name] for step in steps], axis=1).ravel() for name in steps[0]}
    )
    for name, level in zip(_KEY, (0, 1), strict=True):
        values = patients.get_level_values(level).to_numpy(dtype=object)
        table[name] = np.repeat(values, len(steps))
    return table[list(load_schema("profiles").fields)]


def profile_matrix(profiles: pd.DataFrame) -> pd.DataFrame:
    """Profiles as a matrix.

    Returns
    -------
    DataFrame of shape (n_patients, n_steps)
        Contributions in log-odds, NaN where not assessed; patients by cohort and identifier in
        the order given, steps as columns.
    """
    steps = [step.id for step in cycle().steps]
    values = profiles["contribution"].to_numpy(dtype=float).reshape(-1, len(steps))
    index = pd.MultiIndex.from_frame(profiles[_KEY].iloc[:: len(steps)])
    return pd.DataFrame(values, index=index, columns=steps)


def leading_steps(profiles: pd.DataFrame, long: pd.DataFrame) -> pd.DataFrame:
    """Name the step that raises each patient's risk most, if any does.

    Returns
    -------
    DataFrame of shape (n_patients, 5)
        ``cohort, patient_id, leading, second, statement``; `leading` is empty where no step
        raises the risk by the least of ``cycle.yaml``, `second` names a step of correlated markers
        that cannot be separated from it.

    Notes
    -----
    A step is found as far as its markers separate it from the others. On simulated patients in whom
    one step was planted (``tests/unit/test_planted_step.py``) it is killing that is missed: all
    who lost the checkpoint axis have a TPS of 0, but so have half of all patients, and the
    contribution of a TPS of 0 is the mean over both. What still separates them, expression
    lower than infiltration explains, counts for the step of the expression signature.
    """
    rules, wording = cycle().leading, cycle().wording
    matrix = profile_matrix(profiles).drop(columns=list(_COMPETING))
    values = matrix.to_numpy()
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), axis=1, kind="stable")
    steps = np.array(matrix.columns, dtype=object)
    known = long["value"].notna() | long["level"].notna()
    features = long.loc[known, "feature"].groupby([long[name] for name in _KEY]).agg(list)
    leading, second, statements = [], [], []
    for i, key in enumerate(matrix.index):
        first, next_ = order[i, 0], order[i, 1]
        most, runner = values[i, first], values[i, next_]
        if np.isnan(most) or most < rules.least:
            leading.append("")
            second.append("")
            statements.append(wording["none_leads"])
            continue
        one, other = str(steps[first]), str(steps[next_])
        near = not np.isnan(runner) and runner >= max(rules.apart * most, rules.least)
        near = near and cycle().share_credit(one, other, features.get(key, []))
        leading.append(one)
        second.append(other if near else "")
        words = {
            "step": cycle().step(one).title.lower(),
            "other": cycle().step(other).title.lower(),
        }
        statements.append(wording["leads_two" if near else "leads"].format(**words))
    found = matrix.index.to_frame(index=False)
    return found.assign(leading=leading, second=second, statement=statements)


@dataclass(frozen=True)
class MarkerReading:
    """What one marker says: ``hot``, ``cold``, ``excluded`` or ``between``."""

    feature: str
    value: float | str
    reading: str
    kind: str
    status: str


@dataclass(frozen=True)
class Inflammation:
    """Cold against hot, and the markers that say so.

    Attributes
    ----------
    state : str
        Key of the states in ``cycle.yaml``.
    decided_by : str
        The marker that decided; empty where none could.
    exclusion_suspected : bool
        Fibroblast signature in the highest third with T cells not there.
    readings : list of MarkerReading
        Every marker measured, the deciding one among them.
    """

    state: str
    decided_by: str
    exclusion_suspected: bool
    readings: list[MarkerReading]


def inflammation(values: Mapping[str, Any], numbers: NormalScores | None) -> Inflammation:
    """Read the markers of inflammation of one patient.

    Parameters
    ----------
    values : mapping
        Features by canonical name; missing ones are None or NaN.
    numbers : NormalScores or None
        Of the training patients; without them markers that have no cut-off are not read.

    Examples
    --------
    >>> inflammation({"immune_phenotype": "desert", "pdl1_tps": 60.0}, None).state
    'cold'
    >>> inflammation({"pdl1_tps": 60.0}, None).state
    'unknown'
    """
    markers = cycle().inflammation
    kinds = {"spatial": markers.spatial, "bulk": markers.bulk, "proxy": markers.proxy}
    readings = [
        MarkerReading(marker.feature, values[marker.feature], reading, kind, marker.status)
        for kind, listed in kinds.items()
        for marker in listed
        if (reading := _reading(marker, values.get(marker.feature), numbers))
    ]
    spatial = next((r for r in readings if r.kind == "spatial"), None)
    bulk = next((r for r in readings if r.kind == "bulk"), None)
    suspected = any(
        _reading(marker.model_copy(update={"thirds": True}), values.get(marker.feature), numbers)
        == "hot"
        for marker in markers.excluding
    )
    decider = spatial or bulk
    if decider is None:
        return Inflammation("unknown", "", False, readings)
    state = decider.reading if spatial else f"bulk_{decider.reading}"
    return Inflammation(state, decider.feature, suspected and decider.reading != "hot", readings)


def _reading(marker: Marker, value: Any, numbers: NormalScores | None) -> str:
    """Read one marker; empty where it is missing or cannot be read."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        levels = {marker.hot: "hot", marker.excluded: "excluded", marker.cold: "cold"}
        return levels.get(value, "")
    if not marker.thirds:
        assert isinstance(marker.hot, float)
        assert isinstance(marker.cold, float)
        return "hot" if value >= marker.hot else "cold" if value < marker.cold else "between"
    knots = {} if numbers is None else numbers.knots
    if not knots.get(marker.feature, ([], []))[0]:
        return ""
    own = NormalScores({marker.feature: knots[marker.feature]})
    score = float(own(pd.DataFrame({marker.feature: [float(value)]}))[0, 0])
    return "hot" if score > _THIRD else "cold" if score < -_THIRD else "between"


def partner_classes(
    leading: str, second: str, values: Mapping[str, Any], risk_group: str
) -> list[Partner]:
    """Partner classes worth discussing, never recommended, by the rules of ``cycle.yaml``.

    Parameters
    ----------
    risk_group : {"low", "intermediate", "high"}
        None are listed by step for the lowest third.

    Examples
    --------
    >>> [p.id for p in partner_classes("recognition", "", {}, "high")]
    ['hla_independent']
    >>> [p.id for p in partner_classes("recognition", "", {"msi_high": 1.0}, "high")]
    []
    >>> partner_classes("host", "burden", {}, "high")
    []
    """
    named = {leading, second} - {""} if risk_group != "low" else set()
    if leading not in {step.id for step in cycle().numbered}:
        named = set()
    return [
        partner
        for partner in cycle().partners
        if (named & set(partner.steps) or any(m.holds(values) for m in partner.markers))
        and not any(condition.holds(values) for condition in partner.unless)
        and (not partner.cancer_types or values.get("cancer_type") in partner.cancer_types)
    ]


def why_no_partner(leading: str, risk_group: str) -> str:
    """Sentence where no partner class is listed."""
    wording = cycle().wording
    if risk_group == "low":
        return wording["low_risk"]
    if not leading:
        return wording["none_leads"]
    if leading in {step.id for step in cycle().numbered}:
        return wording["unsaid"]
    return wording["prognostic"]

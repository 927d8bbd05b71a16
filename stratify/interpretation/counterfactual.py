"""How the model's risk moves along one feature of a patient, all else as it is.

It is the behaviour of the model. It does not say what a treatment that changes the feature does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError
from stratify.interpretation.cycle import cycle
from stratify.scoring import ResistanceModel
from stratify.scoring.change import risk_change
from stratify.scoring.prepared import Prepared
from stratify.scoring.resistance_model import PatientsLike
from stratify.tables.schema import field_named

__all__ = ["along", "what_if"]

_STATED = ["risk", "risk_low", "risk_high", "change", "change_low", "change_high", "outside"]
_QUANTILES = (-2.0537, -1.2816, -0.5244, 0.0, 0.5244, 1.2816, 2.0537)  # 2 % to 98 %, as deviates


def along(
    model: ResistanceModel,
    source: PatientsLike,
    feature: str,
    values: Sequence[float | str] | None = None,
) -> pd.DataFrame:
    """Risk of one patient with other values of a feature.

    Parameters
    ----------
    source : Cohort, DataFrame of shape (1, ...), mapping, or Prepared
        One patient, as for :meth:`stratify.scoring.ResistanceModel.prepare`.
    values : sequence, optional
        Values in canonical units, or levels; by default the levels, yes and no, or quantiles of
        the training patients from 2 to 98 %.
    """
    if feature not in model.classifier.features_:
        known = ", ".join(model.classifier.features_)
        raise ArgumentError(f"The model does not read {feature!r}; it reads {known}.")
    at = _grid(model, feature) if values is None else list(values)
    scored = _scored(model, model.prepare(source), [{feature: value} for value in at])
    return scored.assign(value=at)[["value", *_STATED]]


def what_if(model: ResistanceModel, source: PatientsLike) -> pd.DataFrame:
    """Risk of one patient in the named states of ``cycle.yaml`` that the model distinguishes.

    Parameters
    ----------
    source : Cohort, DataFrame of shape (1, ...), mapping, or Prepared
        One patient, as for :meth:`stratify.scoring.ResistanceModel.prepare`.
    """
    patient = model.prepare(source)
    features = set(model.classifier.features_)
    states: dict[str, Mapping[str, Any]] = {}
    for state in cycle().what_if:
        changed = {name: value for name, value in state.values.items() if name in features}
        now = {name: patient.columns[name][0] for name in changed}
        if any(now[name] != value and not pd.isna(now[name]) for name, value in changed.items()):
            states[state.title] = changed
    if not states:
        return pd.DataFrame(columns=["state", *_STATED])
    scored = _scored(model, patient, list(states.values())).assign(state=list(states))
    return scored[["state", *_STATED]]


def _grid(model: ResistanceModel, feature: str) -> list[Any]:
    field = field_named(feature)
    if field.categorical:
        return list(model.classifier.levels_.get(feature, []))
    if field.type == "boolean":
        return [0.0, 1.0]
    if model.uncertainty is None:
        raise ArgumentError(
            f"The bundle keeps no quantiles of {feature!r}; give the `values` to look at."
        )
    numbers = model.uncertainty.posterior.numbers
    if not numbers.knots.get(feature, ([], []))[0]:
        raise ArgumentError(f"No two values of {feature!r} are known; give the `values`.")
    found = numbers.values(feature, np.array(_QUANTILES))
    if field.type == "integer":
        found = np.round(found)
    return [float(value) for value in dict.fromkeys(found)]


def _scored(
    model: ResistanceModel, patient: Prepared, changes: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    if len(patient) != 1:
        raise ArgumentError(f"`source` has {len(patient)} patients; one is expected.")
    rows = []
    for change in changes:
        row = patient.table.copy()
        for name, value in change.items():
            row[name] = pd.Series(
                [value], index=row.index, dtype=object if isinstance(value, str) else float
            )
        rows.append(row)
    changed = pd.concat(rows, ignore_index=True)
    after = model.prepare(changed, patient.assays)
    before = patient.take(np.zeros(len(rows), dtype=int))
    risks = model.score_table(after)[["risk", "risk_low", "risk_high"]]
    found = pd.concat([risks, risk_change(model, before, after)], axis=1)
    ranges = model.classifier.ranges_
    found["outside"] = [
        any(
            name in ranges and not ranges[name][0] <= float(value) <= ranges[name][1]
            for name, value in change.items()
        )
        for change in changes
    ]
    return found

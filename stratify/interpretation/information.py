"""What measuring a missing panel could change: value of information.

The missing values are drawn from what the training patients looked like, given what is measured;
the model's risk for each draw shows how far the risk could move. It is a statement about the
model: nothing is said about what the measurement would show in this patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stratify.errors import ArgumentError
from stratify.scoring import ResistanceModel
from stratify.scoring.measuring import DRAWS, Lacking, drawn_patients
from stratify.scoring.resistance_model import PatientsLike
from stratify.tables.schema import field_named, patient_panels

__all__ = ["missing_features", "value_of_information"]

_COLUMNS = ["patient_id", "cohort", "group", "features", "risk", "drawn_low", "drawn_high"]
_COLUMNS += ["spread", "mean_change", "share_group", "share_recommendation"]


def missing_features(matrix: pd.DataFrame) -> dict[str, list[str]]:
    """Features that a patient lacks, by panel.

    Parameters
    ----------
    matrix : DataFrame of shape (1, n_features)

    Examples
    --------
    >>> missing_features(pd.DataFrame({"albumin": [3.9], "nlr": [np.nan], "tmb": [np.nan]}))
    {'clinical': ['nlr'], 'tmb': ['tmb']}
    """
    absent = [name for name in matrix.columns if matrix[name].isna().iloc[0]]
    by_panel = {p: [n for n in absent if field_named(n).panel == p] for p in patient_panels()}
    return {panel: names for panel, names in by_panel.items() if names}


def value_of_information(
    model: ResistanceModel,
    source: PatientsLike,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """How far measuring what is missing could move each patient's risk.

    Parameters
    ----------
    source : Cohort, DataFrame of shape (n_patients, ...), mapping, or Prepared
        As for :meth:`stratify.scoring.ResistanceModel.prepare`.
    groups : mapping of str to sequence of str, optional
        Features measured at once, by the name of the group; by default each patient's missing
        features by panel. Only those that a patient lacks are drawn.

    Returns
    -------
    DataFrame
        One row a patient and group that lacks something: ``patient_id, cohort, group, features``
        (separated by semicolons), ``risk`` as it is, ``drawn_low, drawn_high`` (range of the drawn
        risks at the model's ``interval_level``), ``spread`` (their standard deviation),
        ``mean_change`` (mean absolute change), ``share_group`` and ``share_recommendation`` (draws
        with another risk group or recommendation), 0 to 1.

    Notes
    -----
    The range is a little too narrow: on simulated patients that of 80 % held the risk that the
    panel then gave in 81, 76, 70 and 78 % (PD-L1, TMB, infiltration, ctDNA; 250 patients, one
    seed). Preposterior analysis (Raiffa & Schlaifer 1961); the values of a group are drawn jointly,
    see :class:`~stratify.uncertainty.training_distribution.TrainingDistribution`.
    """
    known = model.training_distribution
    if known is None:
        raise ArgumentError(
            "The bundle keeps no summary of its training patients; train it again to see what a "
            "missing panel could change."
        )
    patients = model.prepare(source)
    lacking: list[Lacking] = []
    named: list[str] = []
    for i in range(len(patients)):
        by_panel = missing_features(patients.matrix.iloc[[i]])
        absent = {name for names in by_panel.values() for name in names}
        wanted: Mapping[str, Sequence[str]] = by_panel if groups is None else groups
        for k, (group, names) in enumerate(wanted.items()):
            if own := [name for name in names if name in absent]:
                lacking.append(Lacking(i, k, own))
                named.append(group)
    if not lacking:
        return pd.DataFrame(columns=_COLUMNS)
    before = model.score_table(patients).iloc[[each.place for each in lacking]]
    before = before.reset_index(drop=True)
    found = before[["patient_id", "cohort", "risk"]].assign(
        group=named, features=[";".join(each.features) for each in lacking]
    )
    after = model.score_table(
        drawn_patients(known, patients, lacking, draws, seed), patients.assays
    )
    return _compared(found, before, after, draws, model.classifier.interval_level)[_COLUMNS]


def _compared(
    found: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, draws: int, level: float
) -> pd.DataFrame:
    """Range, spread and changes of the drawn scores of each row against those as they are."""
    risk = after["risk"].to_numpy().reshape(-1, draws)
    limits = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(risk, limits, axis=1, method="weibull")
    change = np.abs(risk - found["risk"].to_numpy()[:, None]).mean(axis=1)
    found = found.assign(
        drawn_low=low, drawn_high=high, spread=risk.std(axis=1), mean_change=change
    )
    for share, column in (
        ("share_group", "risk_group"),
        ("share_recommendation", "recommendation"),
    ):
        drawn = after[column].fillna("").to_numpy(dtype=object).reshape(-1, draws)
        own = before[column].fillna("").to_numpy(dtype=object)[:, None]
        found[share] = (drawn != own).mean(axis=1)
    return found

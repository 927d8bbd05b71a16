"""The patients whom the `effect` section of a study file compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.cohort.features import informative_features
from stratify.cohort.reading import Cohort
from stratify.errors import CohortError
from stratify.study.estimand import Arm, Estimand
from stratify.tables.findings import shared_levels
from stratify.treatment.restricted_mean import unbiased_times

__all__ = ["Arms", "read_arms"]


@dataclass(frozen=True, eq=False)
class Arms:
    """Patients of both arms, with what the analysis needs of them.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, ...)
        As in the cohort; both arms, whoever has the primary outcome.
    treated : ndarray of shape (n_patients,)
        Whether the patient is in the alternative arm.
    covariates : list of str
    outcomes : dict of str to ndarray of shape (n_patients,)
        Per-patient outcomes whose mean is the arm's: months by the horizon (see
        :func:`stratify.treatment.restricted_mean.unbiased_times`), or 1 with response and 0
        without; NaN where not recorded.
    attrition : DataFrame
        step, reason, n.
    """

    estimand: Estimand
    table: pd.DataFrame
    treated: Flags
    covariates: list[str]
    outcomes: dict[str, Floats]
    attrition: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def primary(self) -> str:
        """Name of the primary outcome."""
        return self.estimand.outcomes[0]

    def sizes(self) -> dict[str, int]:
        """Patients by arm name."""
        names = (self.estimand.reference.name, self.estimand.alternative.name)
        return {name: int((self.treated == side).sum()) for side, name in enumerate(names)}


def read_arms(cohort: Cohort, estimand: Estimand) -> Arms:
    """Patients of the two arms of a cohort.

    Parameters
    ----------
    cohort : Cohort
        Read with ``eligible_only=False``.
    estimand : Estimand

    Raises
    ------
    CohortError
        If an arm has nobody, or an outcome is not recorded for anybody; everything is told.
    """
    table, column = cohort.table, estimand.column
    faults = []
    if column not in table or table[column].isna().all():
        raise CohortError(
            f"The column {column} tells no arms; map it in the clinical panel, for example "
            f"`{column}: TRT01P`."
        )
    values = table[column].astype(object).map(str, na_action="ignore").fillna("")
    found = set(values)
    shown = shared_levels(sorted(values))  # a text of one patient may be an identifier
    sides, absent_arms = {}, False
    for name in ("reference", "alternative"):
        arm: Arm = getattr(estimand, name)
        sides[name] = values.isin(arm.arms).to_numpy()
        if absent := [x for x in arm.arms if x not in found]:
            absent_arms = True
            faults.append(
                f"{name}: {', '.join(map(repr, absent))} stands nowhere in {column}, which holds "
                f"{shown}"
            )
    for outcome in estimand.outcomes:
        needed = [outcome] if outcome == "objective_response" else [outcome, f"{outcome}_event"]
        if outcome == "objective_response" and "best_response" in table:
            needed = []
        lacking = [n for n in needed if n not in table or table[n].isna().all()]
        if lacking:
            faults.append(f"outcomes: {outcome} needs {', '.join(lacking)}, which is not recorded")
    if faults:
        one = len(found) == 1
        raise CohortError(
            "The arms cannot be compared. "
            + "; ".join(faults)
            + "."
            + (" One arm only: an effect is never estimated from one arm." if one else "")
            + (f" Write `arms` as the column {column} does, or map it." if absent_arms else "")
        )
    steps = [("read", "", len(table))]
    either = sides["reference"] | sides["alternative"]
    steps += [("other_arm", "", int((~either).sum()))]
    part = table[either].reset_index(drop=True)
    treated = sides["alternative"][either]
    outcome = estimand.outcomes[0]
    known = ~np.isnan(_raw(part, outcome))
    steps += [
        ("no_primary_outcome", outcome, int((~known).sum())),
        ("compared", "", int(known.sum())),
    ]
    part, treated = part[known].reset_index(drop=True), treated[known]
    covariates = [
        name
        for name in informative_features(cohort, estimand.covariates)
        if name in part and len(part[name].dropna().unique()) > 1
    ]
    faults = [
        f"{arm.name} has no patient"
        for arm, side in ((estimand.reference, False), (estimand.alternative, True))
        if not (treated == side).any()
    ]
    if faults:
        raise CohortError(
            f"One arm only: {'; '.join(faults)}. An effect is never estimated from one arm."
        )
    return Arms(
        estimand=estimand,
        table=part,
        treated=treated,
        covariates=covariates,
        outcomes={name: _per_patient(part, treated, name, estimand) for name in estimand.outcomes},
        attrition=pd.DataFrame(steps, columns=["step", "reason", "n"]),
    )


def _raw(table: pd.DataFrame, outcome: str) -> Floats:
    """Outcome as recorded; for a time NaN too where its event is not known."""
    if outcome == "objective_response":
        return _response(table)
    time = pd.to_numeric(table[outcome]).to_numpy(dtype=float, na_value=np.nan)
    return np.where(table[f"{outcome}_event"].isna(), np.nan, time)


def _response(table: pd.DataFrame) -> Floats:
    """1 with CR or PR, 0 without (NE too, as in an intention-to-treat rate), NaN not recorded."""
    result = np.full(len(table), np.nan)
    if "best_response" in table:
        best = table["best_response"]
        result = np.where(best.notna(), best.isin(["CR", "PR"]).astype(float), np.nan)
    if "objective_response" in table:
        stated = table["objective_response"].to_numpy(dtype=float, na_value=np.nan)
        result = np.where(np.isnan(result), stated, result)
    return result


def _per_patient(table: pd.DataFrame, treated: Flags, outcome: str, estimand: Estimand) -> Floats:
    raw = _raw(table, outcome)
    if outcome == "objective_response":
        filled = estimand.missing_response == "no_response"
        return np.where(np.isnan(raw), 0.0, raw) if filled else raw
    event = table[f"{outcome}_event"].to_numpy(dtype=float, na_value=np.nan)
    result = np.full(len(table), np.nan)
    for side in (False, True):
        rows = (treated == side) & ~np.isnan(raw)
        if rows.any():
            result[rows] = unbiased_times(raw[rows], event[rows], estimand.horizon_months)
    return result

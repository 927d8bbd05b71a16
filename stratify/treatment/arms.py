"""The patients whom the `effect` section of a study file compares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.cohort.features import informative_features
from stratify.cohort.reading import Cohort
from stratify.errors import CohortError
from stratify.study.estimand import Estimand
from stratify.tables.findings import shared_levels
from stratify.treatment.outcomes import MEASURES

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

    @property
    def randomised(self) -> bool:
        """Whether patients came to their arm by chance."""
        return self.estimand.assignment == "randomised"

    @property
    def sides(self) -> tuple[tuple[str, Flags], tuple[str, Flags]]:
        """Name and patients of the reference, and of the alternative."""
        names = (self.estimand.reference.name, self.estimand.alternative.name)
        return (names[0], ~self.treated), (names[1], self.treated)

    def sizes(self) -> dict[str, int]:
        """Patients by arm name."""
        return {name: int(arm.sum()) for name, arm in self.sides}

    def take(self, rows: Ints) -> Arms:
        """Keep some of the patients."""
        return replace(
            self,
            table=self.table.iloc[rows].reset_index(drop=True),
            treated=self.treated[rows],
            outcomes={name: values[rows] for name, values in self.outcomes.items()},
        )


def read_arms(cohort: Cohort, estimand: Estimand) -> Arms:
    """Patients of the two arms of a cohort."""
    reference, alternative = _allocated(cohort.table, estimand)
    either, primary = reference | alternative, estimand.outcomes[0]
    table, treated = cohort.table[either].reset_index(drop=True), alternative[either]
    known = ~np.isnan(MEASURES[primary].recorded(table))
    steps = [
        ("read", "", len(either)),
        ("other_arm", "", int((~either).sum())),
        ("no_primary_outcome", primary, int((~known).sum())),
        ("compared", "", int(known.sum())),
    ]
    table, treated = table[known].reset_index(drop=True), treated[known]
    covariates = [
        name
        for name in informative_features(cohort, estimand.covariates)
        if name in table and len(table[name].dropna().unique()) > 1
    ]
    arms = Arms(
        estimand=estimand,
        table=table,
        treated=treated,
        covariates=covariates,
        outcomes={},
        attrition=pd.DataFrame(steps, columns=["step", "reason", "n"]),
    )
    if faults := [f"{name} has no patient" for name, arm in arms.sides if not arm.any()]:
        raise CohortError(
            f"One arm only: {'; '.join(faults)}. An effect is never estimated from one arm."
        )
    for name in estimand.outcomes:
        arms.outcomes[name] = MEASURES[name].by_patient(table, treated, estimand)
    return arms


def _allocated(table: pd.DataFrame, estimand: Estimand) -> tuple[Flags, Flags]:
    """Patients of the reference and of the alternative; refused where these are not all there."""
    column, faults = estimand.column, []
    if column not in table or table[column].isna().all():
        raise CohortError(
            f"The column {column} names no arms; map it in the clinical panel, for example "
            f"`{column}: TRT01P`."
        )
    values = table[column].astype(object).map(str, na_action="ignore").fillna("")
    found = set(values)
    shown = shared_levels(sorted(values))  # a text of one patient may be an identifier
    arms = {"reference": estimand.reference.arms, "alternative": estimand.alternative.arms}
    for name, stated in arms.items():
        if absent := [x for x in stated if x not in found]:
            written = ", ".join(map(repr, absent))
            faults.append(f"{name}: {written} stands nowhere in {column}, which holds {shown}")
    remedy = f" Write `arms` as the column {column} does, or map it." if faults else ""
    for outcome in estimand.outcomes:
        if lacking := MEASURES[outcome].lacking(table):
            faults.append(f"outcomes: {outcome} needs {', '.join(lacking)}, which is not recorded")
    if faults:
        one = len(found) == 1
        never = " One arm only: an effect is never estimated from one arm." if one else ""
        raise CohortError(f"The arms cannot be compared. {'; '.join(faults)}.{never}{remedy}")
    reference, alternative = (values.isin(stated).to_numpy() for stated in arms.values())
    return reference, alternative

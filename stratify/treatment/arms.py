"""The patients whom the `effect` section of a study file compares."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Ints
from stratify.cohort.features import informative_features
from stratify.cohort.reading import Cohort
from stratify.errors import CohortError
from stratify.study.estimand import Estimand
from stratify.tables.findings import shared_levels
from stratify.treatment.covariates import CovariateMatrix
from stratify.treatment.outcomes import MEASURES, MeasuredOutcome

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
    stratum : ndarray of shape (n_patients,)
        Position in `strata`: cohort, and the columns that the study states. Arms are compared
        within strata.
    strata : list of str
    attrition : DataFrame
        step, reason, n.
    censored_at_next_therapy : int
        Patients whose PFS, derived from visits, ends there without an event.
    outcomes : dict of str to MeasuredOutcome
        See :meth:`with_outcomes`; empty before.
    """

    estimand: Estimand
    table: pd.DataFrame
    treated: Flags
    covariates: list[str]
    stratum: Ints
    strata: list[str]
    attrition: pd.DataFrame
    censored_at_next_therapy: int = 0
    outcomes: dict[str, MeasuredOutcome] = field(default_factory=dict)

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

    def cells(self) -> pd.DataFrame:
        """Patients by stratum (rows, in order) and arm (columns: reference, alternative)."""
        counts = [np.bincount(self.stratum[a], minlength=len(self.strata)) for _, a in self.sides]
        return pd.DataFrame(dict(zip(("reference", "alternative"), counts, strict=True)))

    def take(self, rows: Ints) -> Arms:
        """Keep some of the patients, without outcomes."""
        kept, stratum = np.unique(self.stratum[rows], return_inverse=True)
        return replace(
            self,
            table=self.table.iloc[rows].reset_index(drop=True),
            treated=self.treated[rows],
            stratum=stratum,
            strata=[self.strata[k] for k in kept],
            outcomes={},
        )

    def with_outcomes(self) -> Arms:
        """Measure the stated outcomes of these patients, arm by arm."""
        X = CovariateMatrix(self.covariates).fit(self.table).transform(self.table)
        measured: dict[str, MeasuredOutcome] = {
            name: MEASURES[name].by_patient(
                self.table, self.treated, X, self.stratum, self.estimand
            )
            for name in self.estimand.outcomes
        }
        return replace(self, outcomes=measured)


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
    stratum, strata = _strata(table, ["cohort", *estimand.strata])
    arms = Arms(
        estimand=estimand,
        table=table,
        treated=treated,
        covariates=covariates,
        stratum=stratum,
        strata=strata,
        attrition=pd.DataFrame(steps, columns=["step", "reason", "n"]),
        censored_at_next_therapy=_censored_at_next_therapy(table, cohort.responses),
    )
    if faults := [f"{name} has no patient" for name, arm in arms.sides if not arm.any()]:
        raise CohortError(
            f"One arm only: {'; '.join(faults)}. An effect is never estimated from one arm."
        )
    return arms


def _censored_at_next_therapy(table: pd.DataFrame, visits: pd.DataFrame | None) -> int:
    if visits is None or not {"next_therapy", "pfs", "pfs_event"} <= set(table):
        return 0
    keys = ["cohort", "patient_id"]
    seen = pd.MultiIndex.from_frame(table[keys]).isin(pd.MultiIndex.from_frame(visits[keys]))
    other, pfs, event = (
        table[name].to_numpy(dtype=float, na_value=np.nan)
        for name in ("next_therapy", "pfs", "pfs_event")
    )
    return int((seen & (event == 0) & (pfs <= other)).sum())


def _strata(table: pd.DataFrame, columns: list[str]) -> tuple[Ints, list[str]]:
    """Position of each patient's stratum, and the strata in words."""
    if absent := [name for name in columns if name not in table]:
        raise CohortError(
            f"strata: {', '.join(absent)} is not recorded; map it, or leave it out of `strata`."
        )
    values = table[columns].astype(object).map(str, na_action="ignore").fillna("not recorded")
    # what is the same for all is no stratum
    names = ["cohort", *(name for name in columns[1:] if len(set(values[name])) > 1)]
    words = values[names[0]] if len(names) == 1 else values[names].agg(", ".join, axis=1)
    codes, labels = pd.factorize(words, sort=True)
    return codes.astype(np.int64), [str(label) for label in labels]


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

"""Outcomes by which arms are compared: as recorded, and as one number a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints
from stratify.study.estimand import Estimand
from stratify.treatment.restricted_mean import adjusted_times, unbiased_times

__all__ = ["MEASURES", "MeasuredOutcome", "Response", "Time"]


@dataclass(frozen=True, eq=False)
class MeasuredOutcome:
    """An outcome of both arms' patients.

    Attributes
    ----------
    values : ndarray of shape (n_patients,)
        One number a patient whose mean is the arm's: months by the horizon, or 1 with response
        and 0 without; NaN where not recorded.
    unadjusted : ndarray of shape (n_patients,)
        The same where censoring is taken not to depend on covariates, by arm and stratum.
    weight, uncensored : ndarray or None
        Of a time: see :class:`stratify.treatment.restricted_mean.AdjustedTimes`.
    truncated : int
    """

    values: Floats
    unadjusted: Floats
    weight: Floats | None = None
    uncensored: Floats | None = None
    truncated: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Time:
    """Months to an event, compared by their restricted mean and their hazards."""

    name: str

    def lacking(self, table: pd.DataFrame) -> list[str]:
        """Columns that it needs and that hold nothing."""
        return _empty(table, [self.name, f"{self.name}_event"])

    def recorded(self, table: pd.DataFrame) -> Floats:
        """Outcome of each patient; NaN where it, or its event, is not known."""
        time = pd.to_numeric(table[self.name]).to_numpy(dtype=float, na_value=np.nan)
        return np.where(table[f"{self.name}_event"].isna(), np.nan, time)

    def by_patient(
        self, table: pd.DataFrame, treated: Flags, X: Floats, stratum: Ints, estimand: Estimand
    ) -> MeasuredOutcome:
        """Months by the horizon whose mean is not biased by censoring, arm by arm."""
        time, (_, event) = self.recorded(table), self.follow_up(table)
        known, horizon = ~np.isnan(time), estimand.horizon_months
        at = np.unique(time[known & (event == 1) & (time <= horizon)])
        values, plain, weight = (np.full(len(table), np.nan) for _ in range(3))
        uncensored, truncated = np.ones((len(table), len(at))), []
        for side in (False, True):
            rows = np.flatnonzero((treated == side) & known)
            args = (time[rows], event[rows], horizon)
            found = adjusted_times(*args, X[rows], stratum[rows], at=at)
            values[rows], weight[rows], uncensored[rows] = (
                found.values, found.weight, found.uncensored,
            )  # fmt: skip
            truncated.append(found.truncated)
            if estimand.assignment != "randomised":
                continue  # a plain difference is not shown
            for k in np.unique(stratum[rows]):
                mine = rows[stratum[rows] == k]
                plain[mine] = unbiased_times(time[mine], event[mine], horizon)
        return MeasuredOutcome(values, plain, weight, uncensored, (truncated[0], truncated[1]))

    def follow_up(self, table: pd.DataFrame) -> tuple[Floats, Floats]:
        """Time in months, and 1 where it ended with the event."""
        time, event = (
            table[name].to_numpy(dtype=float, na_value=np.nan)
            for name in (self.name, f"{self.name}_event")
        )
        return time, event

    def scale(self, values: Floats, reference: Floats) -> dict[str, float]:
        """Give what turns a difference into a risk ratio, for :func:`e_value`."""
        return {"spread": float(values.std(ddof=1))}


@dataclass(frozen=True)
class Response:
    """Objective response: 1 with CR or PR, 0 without (NE too, as in intention-to-treat rates)."""

    name: str = "objective_response"

    def lacking(self, table: pd.DataFrame) -> list[str]:
        """Columns that it needs and that hold nothing."""
        return [] if "best_response" in table else _empty(table, [self.name])

    def recorded(self, table: pd.DataFrame) -> Floats:
        """Outcome of each patient, NaN where none is recorded; RECIST's response comes first."""
        result = np.full(len(table), np.nan)
        if "best_response" in table:
            best = table["best_response"]
            result = np.where(best.notna(), best.isin(["CR", "PR"]).astype(float), np.nan)
        if self.name in table:
            stated = table[self.name].to_numpy(dtype=float, na_value=np.nan)
            result = np.where(np.isnan(result), stated, result)
        return result

    def by_patient(
        self, table: pd.DataFrame, treated: Flags, X: Floats, stratum: Ints, estimand: Estimand
    ) -> MeasuredOutcome:
        """Outcome as recorded; 0 for who has none where the estimand says so."""
        found = self.recorded(table)
        if estimand.missing_response == "no_response":
            found = np.where(np.isnan(found), 0.0, found)
        return MeasuredOutcome(found, found)

    def follow_up(self, table: pd.DataFrame) -> None:
        """Give none: a response has no time."""

    def scale(self, values: Floats, reference: Floats) -> dict[str, float]:
        """Give what turns a difference into a risk ratio, for :func:`e_value`."""
        return {"reference": float(reference.mean())}


def _empty(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in table or table[name].isna().all()]


# by the name in the study file, whose units and words are stratify.study.estimand.OUTCOMES
MEASURES: dict[str, Time | Response] = {
    each.name: each for each in (Time("os"), Time("pfs"), Response())
}

"""Outcomes by which arms are compared: as recorded, and as one number a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.study.estimand import Estimand
from stratify.treatment.restricted_mean import unbiased_times

__all__ = ["MEASURES", "Response", "Time"]


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

    def by_patient(self, table: pd.DataFrame, treated: Flags, estimand: Estimand) -> Floats:
        """Months by the horizon whose mean is not biased by censoring, arm by arm."""
        time, (_, event) = self.recorded(table), self.follow_up(table)
        result = np.full(len(table), np.nan)
        for side in (False, True):
            rows = (treated == side) & ~np.isnan(time)
            if rows.any():
                result[rows] = unbiased_times(time[rows], event[rows], estimand.horizon_months)
        return result

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

    def by_patient(self, table: pd.DataFrame, treated: Flags, estimand: Estimand) -> Floats:
        """Outcome as recorded; 0 for who has none where the estimand says so."""
        found = self.recorded(table)
        filled = estimand.missing_response == "no_response"
        return np.where(np.isnan(found), 0.0, found) if filled else found

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

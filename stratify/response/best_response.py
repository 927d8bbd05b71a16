"""Best overall response, PFS and duration of response over a course of assessed visits.

By RECIST 1.1 here; :mod:`stratify.response.irecist` goes on from it. Choices where the guideline is
silent stand in :mod:`stratify.response.recist`.

References
----------
Eisenhauer EA. Eur J Cancer 2009;45:228-247, 10.1016/j.ejca.2008.10.026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints, Strings
from stratify.errors import ArgumentError, DataError
from stratify.response.visits import (
    CR,
    NE,
    NON,
    PD,
    PR,
    RECIST,
    SD,
    UPD,
    first_in,
    patient_faults,
    runs,
)
from stratify.study.response_criteria import ResponseCriteria
from stratify.tables.rows import check_table, numbers_of

__all__ = ["Outcome", "best_response"]


def best_response(
    visits_assessed: pd.DataFrame,
    patients: pd.DataFrame | None = None,
    criteria: ResponseCriteria | None = None,
) -> pd.DataFrame:
    """Best overall response, PFS and duration of response of each patient by RECIST 1.1.

    Parameters
    ----------
    visits_assessed : DataFrame of shape (n_visits, ...)
        Output of :func:`stratify.response.recist.assess_recist`, with the same options.
    patients : DataFrame of shape (n_patients, ...), optional
        ``patient_id``, each once, and as far as known ``death_day`` and ``censor_day`` (start of
        another cancer treatment: what comes later is not counted), in days from day 0. Other
        columns, such as ``last_contact_day``, are not used: PFS ends at the last assessment.

    Returns
    -------
    DataFrame of shape (n_patients, 10)
        Sorted by ``patient_id``: ``best_response``, ``best_response_day`` (first day of it; NaN
        for NE), ``best_change`` (smallest change of the target sum from baseline up to
        progression, a fraction), ``pfs_days``, ``pfs_event`` (1 at the first PD or death; 0 at
        the last assessment that is not NE, or at day 0 if there is none or no baseline),
        ``pfs_event_kind`` (``progression | death``, None without event),
        ``duration_of_response_days`` and ``dor_event`` (from the first CR or PR that counts to
        the end of PFS; NaN without response) and ``reason`` (a code of the dictionary).

    References
    ----------
    Eisenhauer EA. Eur J Cancer 2009;45:228-247, 4.4 to 4.7 and table 3.

    Examples
    --------
    >>> from stratify.response.recist import assess_recist
    >>> visits = pd.DataFrame({"patient_id": list("aaabb"), "visit_day": [0, 56, 112, 0, 60],
    ...                        "target_sum": [100.0, 60.0, 80.0, 40.0, 41.0]})
    >>> patients = pd.DataFrame({"patient_id": list("ab"), "death_day": [300, 150]})
    >>> best = best_response(assess_recist(visits), patients)
    >>> best[["best_response", "pfs_days", "pfs_event", "duration_of_response_days"]]
      best_response  pfs_days  pfs_event  duration_of_response_days
    0            PR     112.0        1.0                       56.0
    1            SD     150.0        1.0                        NaN
    """
    outcome = Outcome.of(visits_assessed, patients, RECIST)
    progression = outcome.first(outcome.code == PD)
    return outcome.table(RECIST, progression, criteria or ResponseCriteria())


@dataclass(frozen=True)
class Outcome:
    """Responses that count, sorted by patient and day, and the patients' ends."""

    ids: pd.Index
    has_baseline: Flags
    death: Floats
    patient: Ints
    day: Floats
    code: Ints
    change: Floats
    only_non_target: Flags

    @classmethod
    def of(
        cls, assessed: pd.DataFrame, patients: pd.DataFrame | None, names: Mapping[int, str]
    ) -> Outcome:
        """Read assessed visits, up to confirmed progression and to the patients' censoring."""
        needed = ["patient_id", "visit_day", "response", "nadir_mm", "reason"]
        check_table(visits_assessed=assessed)
        absent = [name for name in needed if name not in assessed]
        codes = {name: code for code, name in names.items()}
        if absent or not assessed["response"].dropna().isin(codes).all():
            what = f"no column {', '.join(absent)}" if absent else "other responses"
            raise ArgumentError(
                f"visits_assessed has {what}; expected the visits as assessed by the same "
                f"criteria, with responses {', '.join(codes)}."
            )
        if patients is None:
            patients = pd.DataFrame({"patient_id": assessed["patient_id"].unique()})
        faults = patient_faults(patients)
        if faults.rows:
            raise DataError(" ".join(faults.messages()), faults.table())
        ends = {name: numbers_of(patients, name) for name in ("death_day", "censor_day")}
        both = pd.concat([patients["patient_id"], assessed["patient_id"]])
        ids = pd.Index(both.unique()).sort_values()
        at = ids.get_indexer(patients["patient_id"])
        death, censor = np.full(len(ids), np.inf), np.full(len(ids), np.inf)
        death[at] = np.where(np.isnan(ends["death_day"]), np.inf, ends["death_day"])
        censor[at] = np.where(np.isnan(ends["censor_day"]), np.inf, ends["censor_day"])

        patient = ids.get_indexer(assessed["patient_id"]).astype(np.int64)
        day = numbers_of(assessed, "visit_day")
        given = assessed["response"].astype(object).map(codes)
        code = given.to_numpy(dtype=float, na_value=np.nan)
        starts = patient[(assessed["reason"] == "baseline").to_numpy()]
        stop = first_in(day, patient, code == PD, len(ids))
        keep = ~np.isnan(code) & (day <= np.minimum(stop, censor)[patient])
        order = np.flatnonzero(keep)
        order = order[np.lexsort((day[order], patient[order]))]
        return cls(
            ids=ids,
            has_baseline=np.bincount(starts, minlength=len(ids)) > 0,
            death=np.where(death <= censor, death, np.inf),
            patient=patient[order],
            day=day[order],
            code=code[order].astype(np.int64),
            change=numbers_of(assessed, "change_from_baseline")[order],
            only_non_target=np.isnan(numbers_of(assessed, "nadir_mm")[order]),
        )

    def first(self, chosen: Flags) -> Floats:
        """First day of the chosen rows by patient, infinite where none is chosen."""
        return first_in(self.day, self.patient, chosen, len(self.ids))

    def _first_confirmed(self, chosen: Flags, breaks: Flags, days: float) -> Floats:
        run = runs(self.patient, breaks)
        start = first_in(self.day, run, chosen, len(run))[run]
        return first_in(start, self.patient, chosen & (self.day - start >= days), len(self.ids))

    def table(
        self,
        names: Mapping[int, str],
        progression: Floats,
        criteria: ResponseCriteria,
    ) -> pd.DataFrame:
        """One row a patient, given the day of progression (infinite without)."""
        days = self._days(criteria)
        met = [np.isfinite(day) for day in days.values()]
        best = np.select(met, list(days), NE)
        last = -first_in(-self.day, self.patient, ~np.isin(self.code, [NE, UPD]), len(self.ids))
        end = np.minimum(progression, self.death)
        event = np.isfinite(end)
        pfs = np.where(event, end, np.where(np.isfinite(last), last, 0.0))
        kind = np.full(len(self.ids), None, dtype=object)
        kind[event] = np.where((progression <= self.death)[event], "progression", "death")
        change = first_in(self.change, self.patient, ~np.isnan(self.change), len(self.ids))
        responded = np.isin(best, [PR, CR])
        duration = np.where(responded, pfs - np.where(responded, days[PR], 0.0), np.nan)
        return pd.DataFrame(
            {
                "patient_id": self.ids.to_numpy(dtype=object),
                "best_response": pd.Series(best).map(names).to_numpy(dtype=object),
                "best_response_day": np.select(met, list(days.values()), np.nan),
                "best_change": np.where(np.isfinite(change), change, np.nan),
                "pfs_days": pfs,
                "pfs_event": event.astype(float),
                "pfs_event_kind": pd.Series(kind, dtype=object),
                "duration_of_response_days": duration,
                "dor_event": np.where(responded, event, np.nan),
                "reason": self._reason(best, criteria.confirm),
            }
        )

    def _days(self, criteria: ResponseCriteria) -> dict[int, Floats]:
        """First day of each response that counts, from best to worst, infinite without."""
        code, late, responds = self.code, self.day >= criteria.min_sd_days, self._responds
        complete, response = self.first(code == CR), self.first(responds)
        if criteria.confirm:
            breaks, apart = ~np.isin(code, [CR, NE]), criteria.confirm_days
            complete = self._first_confirmed(code == CR, breaks, apart)
            response = self._first_confirmed(responds, np.isin(code, [PD, UPD]), apart)
        return {
            CR: complete,
            PR: response,
            SD: self.first(late & ((code == SD) | (responds & ~self.only_non_target))),
            NON: self.first(late & ((code == NON) | (responds & self.only_non_target))),
            PD: self.first(code == PD),
            UPD: self.first(code == UPD),
        }

    @property
    def _responds(self) -> Flags:
        return np.isin(self.code, [PR, CR])

    def _reason(self, best: Ints, confirm: bool) -> Strings:
        """Why a response is the best one, by the codes of the dictionary."""
        responded, stable = np.isin(best, [PR, CR]), np.isin(best, [SD, NON])
        cases = [
            (responded & confirm, "response_confirmed"),
            (responded, "response"),
            (stable & np.isfinite(self.first(self._responds)), "response_unconfirmed"),
            (stable, "stable"),
            (best == PD, "progression"),
            (best == UPD, "progression_unconfirmed"),
            (~self.has_baseline, "no_baseline"),
            (np.isfinite(self.first(np.isin(self.code, [NON, SD, PR, CR]))), "stable_too_short"),
            (np.bincount(self.patient, minlength=len(self.ids)) > 0, "not_evaluable"),
        ]
        met, reasons = zip(*cases, strict=True)
        return np.asarray(np.select(met, reasons, "no_assessment_after_baseline"), dtype=object)

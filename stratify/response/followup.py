"""Follow-up of a cohort: visits or lesions as read -> the outcomes that endpoint rules ask for.

What was measured goes before what was recorded: where a patient has visits, best response and PFS
are derived from them, and a recorded outcome that differs is a finding. Patients without visits
keep what is recorded, else their death is the event. Where guidelines are silent:

- a progression is confirmed by a later scan, at least the days of confirmation on, that shows it
  again (iRECIST: by iCPD), and unconfirmed by one that does not; without such a scan by death
  within the days of :class:`stratify.study.ResponseCriteria`; else it is not recorded;
- an unconfirmed progression by iRECIST (iUPD) as best response is PD, not confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.response.best_response import best_response
from stratify.response.irecist import assess_irecist, best_irecist
from stratify.response.lesions import lesion_findings, visits_from_lesions
from stratify.response.recist import assess_recist
from stratify.response.visits import first_in, visit_findings
from stratify.study import ResponseCriteria
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of
from stratify.tables.schema import convert

__all__ = ["assess_visits", "follow_up", "outcomes_from_visits"]

DERIVED = (
    *("best_response", "best_change", "pfs", "pfs_event", "pfs_event_kind", "pd_confirmed"),
    "duration_of_response",
)
# Responses by iRECIST in the words of RECIST 1.1, in which endpoint rules are written.
AS_RECIST = {"iCR": "CR", "iPR": "PR", "iSD": "SD", "NON-iCR/NON-iUPD": "NON-CR/NON-PD"}
AS_RECIST |= {"iUPD": "PD", "iCPD": "PD"}
# Months by which a recorded time may differ from the derived one.
TOLERANCES = {"pfs": 0.25, "duration_of_response": 0.25}
# Columns by which visits see progression beyond the target lesions.
SIGHTS = (("new_lesion", "n_new_lesions"), ("non_target",))
ROUNDED_MONTHS = 0.05  # days
NO_PROGRESSION = ("CR", "PR", "SD", "NON-CR/NON-PD", *list(AS_RECIST)[:4])


def assess_visits(visits: pd.DataFrame, criteria: ResponseCriteria) -> pd.DataFrame:
    """Response at each visit by the criteria of a study.

    Parameters
    ----------
    visits : DataFrame of shape (n_visits, ...)
        As in the ``visits`` dictionary.

    Returns
    -------
    DataFrame of shape (n_visits, 7)
        See :func:`stratify.response.recist.assess_recist`.
    """
    assess = assess_irecist if criteria.by == "irecist" else assess_recist
    return assess(visits, criteria)


def outcomes_from_visits(
    assessed: pd.DataFrame, patients: pd.DataFrame, criteria: ResponseCriteria
) -> pd.DataFrame:
    """Outcomes of each patient from assessed visits.

    Parameters
    ----------
    assessed : DataFrame of shape (n_visits, 7)
        From :func:`assess_visits` with the same criteria.
    patients : DataFrame of shape (n_patients, ...)
        ``patient_id``, and as far as known ``os`` (months), ``os_event`` and ``next_therapy``
        (months), as in the ``outcomes`` dictionary.

    Returns
    -------
    DataFrame of shape (n_patients, 8)
        ``patient_id`` and the derived outcomes of the ``outcomes`` dictionary, in its units, in
        the order of ``patients``; all missing for patients without visits who are not known to
        have died.

    Examples
    --------
    >>> visits = pd.DataFrame({"patient_id": "a", "visit_day": [0, 42, 84],
    ...                        "target_sum": [50.0, 65.0, 70.0]})
    >>> patients = pd.DataFrame({"patient_id": ["a", "b"]})
    >>> criteria = ResponseCriteria()
    >>> outcomes = outcomes_from_visits(assess_visits(visits, criteria), patients, criteria)
    >>> outcomes[["best_response", "pfs", "pfs_event_kind", "pd_confirmed"]].round(2)
      best_response   pfs pfs_event_kind  pd_confirmed
    0            PD  1.38    progression           1.0
    1           NaN   NaN            NaN           NaN
    """
    assessed = assessed[_among(assessed["patient_id"], patients["patient_id"])]
    died = numbers_of(patients, "os_event") == 1
    death = np.where(died, _days(patients, "os"), np.nan)
    ends = pd.DataFrame(
        {
            "patient_id": patients["patient_id"].to_numpy(),
            "death_day": death,
            "censor_day": _days(patients, "next_therapy"),
        }
    )
    seen = _among(ends["patient_id"], assessed["patient_id"])
    censored = ends["censor_day"].to_numpy(dtype=float)
    assessed = _up_to(assessed, ends["patient_id"], censored)
    ends["death_day"] = ends["death_day"].where(~(ends["death_day"] > ends["censor_day"]))
    best_of = best_irecist if criteria.by == "irecist" else best_response
    best = best_of(assessed, ends, criteria)
    best = best.set_index("patient_id").reindex(ends["patient_id"]).reset_index()
    response = best["best_response"].map(lambda code: AS_RECIST.get(code, code))
    confirmed = _confirmed(assessed, best, ends, criteria)
    derived = pd.DataFrame(
        {
            "patient_id": best["patient_id"],
            "best_response": response.astype(object).where(seen, np.nan),
            "best_change": best["best_change"],
            "pfs": convert(best["pfs_days"], "days", "pfs"),
            "pfs_event": best["pfs_event"],
            "pfs_event_kind": best["pfs_event_kind"].astype(object),
            "pd_confirmed": confirmed,
            "duration_of_response": convert(best["duration_of_response_days"], "days", "pfs"),
        }
    )
    known = pd.Series(seen | np.isfinite(death), index=derived.index)
    names = list(DERIVED)
    derived[names] = derived[names].where(known)
    kind = derived["pfs_event_kind"]
    derived["pfs_event_kind"] = kind.where(kind.notna(), np.nan)
    return derived


def _up_to(assessed: pd.DataFrame, patients: pd.Series, day: Floats) -> pd.DataFrame:
    """Assessments up to a day of each patient, all where it is missing."""
    last = day[pd.Index(patients).get_indexer(assessed["patient_id"])]
    kept: pd.DataFrame = assessed[~(numbers_of(assessed, "visit_day") > last)]
    return kept


def _confirmed(
    assessed: pd.DataFrame,
    best: pd.DataFrame,
    ends: pd.DataFrame,
    criteria: ResponseCriteria,
) -> Floats:
    """Whether progression was confirmed: 1, 0, or NaN where it is not known or none was seen."""
    ids, n = pd.Index(ends["patient_id"]), len(ends)
    progressed = (best["pfs_event_kind"] == "progression").to_numpy(dtype=bool)
    start = np.where(progressed, best["pfs_days"].to_numpy(dtype=float), np.nan)
    patient = ids.get_indexer(assessed["patient_id"]).astype(np.int64)
    day = assessed["visit_day"].to_numpy(dtype=float)
    response = assessed["response"]
    after = day > start[patient]
    late = after & (day - start[patient] >= criteria.confirm_days)
    irecist = criteria.by == "irecist"
    again = response == "iCPD" if irecist else late & (response == "PD")
    contrary = after & response.isin(NO_PROGRESSION)
    if irecist:  # growth confirms, persistence does not
        contrary |= late & (response == "iUPD")
    first_again = first_in(day, patient, np.asarray(again), n)
    first_contrary = first_in(day, patient, np.asarray(contrary), n)
    if irecist:
        first_contrary = np.where(np.isfinite(first_again), np.inf, first_contrary)
    scanned = np.isfinite(np.minimum(first_again, first_contrary))
    wait = ends["death_day"].to_numpy() - start
    died = ~scanned & (wait <= criteria.death_confirms_days)
    cases = [died, ~scanned, first_again < first_contrary]
    return np.where(progressed, np.select(cases, [1.0, np.nan, 1.0], 0.0), np.nan)


def _among(ids: pd.Series, others: pd.Series) -> Flags:
    """Which identifiers are among others; ten times faster than ``isin`` of texts."""
    found: Flags = pd.Index(others.unique()).get_indexer(ids) >= 0
    return found


def _days(patients: pd.DataFrame, name: str) -> Floats:
    return convert(numbers_of(patients, name), "days", name, back=True)


def follow_up(
    patients: pd.DataFrame,
    table: pd.DataFrame,
    panel: str,
    criteria: ResponseCriteria,
    file: str,
    cohort: str,
    findings: Findings,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Join outcomes derived from visits or lesions to those of the other files.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    table : DataFrame of shape (n_rows, ...)
        The ``visits`` or ``lesions`` as read; its index names the lines of the file.

    Returns
    -------
    assessed : DataFrame or None
        From :func:`assess_visits`.
    """
    found, visits, name = Findings(), table, file
    if panel == "lesions":
        found.extend(lesion_findings(table, name=file))
        if not found.has_errors:
            visits, name = visits_from_lesions(table), f"{file}, summed by visit"
    if not found.has_errors:
        # a month has 30.4375 days: a death of day 300 may come back as 299.9999
        last = np.ceil(_days(patients, "os") - ROUNDED_MONTHS)
        ends = pd.DataFrame({"patient_id": patients["patient_id"], "last_contact_day": last})
        found.extend(visit_findings(visits, ends.reset_index(drop=True), name=name))
    findings.extend(found, cohort=cohort)
    if found.has_errors:
        return patients, None
    if np.isnan(numbers_of(patients, "os_event")).all():
        findings.add(
            "death_not_recorded",
            f"{file}: PFS is derived from visits alone, since os and os_event are not mapped or "
            "hold no value; deaths would be events.",
            cohort=cohort,
            panel="outcomes",
            column="os_event",
            n=len(patients),
        )
    assessed = assess_visits(visits, criteria)
    derived = outcomes_from_visits(assessed, patients, criteria)
    seen = _among(patients["patient_id"], visits["patient_id"])
    stands = _recorded_stands(patients, derived, seen, unseen := _never_mapped(visits))
    if stands.any():
        day = pd.Series(_days(patients, "pfs"), index=patients["patient_id"].to_numpy())
        until = assessed["patient_id"].map(day.where(stands))
        derived = outcomes_from_visits(
            assessed[~(assessed["visit_day"] > until)], patients, criteria
        )
        # what the visits say of an event that they did not see does not hold
        of_event = [name for name in DERIVED if name not in ("best_response", "best_change")]
        derived[of_event] = derived[of_event].mask(pd.Series(stands, index=derived.index))
        findings.add(
            "recorded_event_stands",
            f"{file}: a recorded progression or death that the visits do not show stands in "
            f"{int(stands.sum())} of {int(seen.sum())} patients with visits, since "
            f"{' and '.join(unseen)}.",
            cohort=cohort,
            panel="outcomes",
            column="pfs_event",
            n=int(stands.sum()),
        )
    return _joined(patients, derived, seen, stands, file, cohort, findings), assessed


def _never_mapped(visits: pd.DataFrame) -> list[str]:
    """Say which columns are missing, so that visits cannot see what they hold."""
    return [
        f"{' and '.join(columns)} {'is' if len(columns) == 1 else 'are'} not mapped or empty"
        for columns in SIGHTS
        if not any(name in visits and visits[name].notna().any() for name in columns)
    ]


def _recorded_stands(
    patients: pd.DataFrame, derived: pd.DataFrame, seen: Flags, unseen: Sequence[str]
) -> Flags:
    """Whether a recorded event is kept: visits that cannot see all show none, or a later one."""
    if not unseen:
        return np.zeros(len(patients), dtype=bool)
    recorded, event = numbers_of(patients, "pfs"), numbers_of(patients, "pfs_event") == 1
    shown = numbers_of(derived, "pfs_event") == 1
    later = numbers_of(derived, "pfs") > recorded + TOLERANCES["pfs"]
    counted = ~np.isnan(recorded) & ~(recorded > numbers_of(patients, "next_therapy"))
    stands: Flags = seen & event & counted & (~shown | later)
    return stands


def _joined(
    patients: pd.DataFrame,
    derived: pd.DataFrame,
    seen: Flags,
    stands: Flags,
    file: str,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Take derived outcomes of patients with visits, recorded ones of the others.

    Where a recorded event stands, so does all that is recorded.
    """
    joined = patients.copy()
    with_visits = seen | np.isnan(numbers_of(patients, "pfs"))
    for name in DERIVED:
        values = derived[name].to_numpy()
        if name not in patients:
            joined[name] = pd.Series(values, index=patients.index, dtype=derived[name].dtype)
            continue
        recorded = patients[name]
        have = with_visits & ~(stands & recorded.notna().to_numpy())
        both = have & recorded.notna().to_numpy() & derived[name].notna().to_numpy()
        if derived[name].dtype.kind == "f":
            tolerance = TOLERANCES.get(name, 0.01)
            differs = both & ~np.isclose(
                recorded.to_numpy(dtype=float), values.astype(float), rtol=0, atol=tolerance
            )
        else:
            differs = both & (recorded.to_numpy(dtype=object) != values)
        if differs.any():
            findings.add(
                "outcome_differs_from_visits",
                f"{file}: {name} as derived differs from what is recorded in "
                f"{int(differs.sum())} of {int(both.sum())} patients; the derived one is used.",
                cohort=cohort,
                panel="outcomes",
                column=name,
                n=int(differs.sum()),
            )
        joined[name] = recorded.where(~have, pd.Series(values, index=patients.index))
    return joined

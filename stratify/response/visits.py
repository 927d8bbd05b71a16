"""Visits of a trial, read: response texts, and everything that is wrong.

Visits are as in ``data_schemas/panels/visits.yaml``; :mod:`stratify.response.recist` assesses them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints, Strings
from stratify.study.response_criteria import limits
from stratify.tables.findings import Findings
from stratify.tables.levels import plain_text
from stratify.tables.rows import add_number_faults, check_table, numbers_of
from stratify.tables.schema import load_schema

__all__ = [
    "read_response",
    "visit_findings",
]

# Responses from worst to best, in the order in which the best one is chosen; CR, PR, ... are
# also the codes of a category, where ABSENT is no disease at baseline.
ABSENT, NE, UPD, PD, NON, SD, PR, CR = range(-1, 7)
RECIST = {NE: "NE", PD: "PD", NON: "NON-CR/NON-PD", SD: "SD", PR: "PR", CR: "CR"}
NON_TARGET = {"absent": ABSENT, "NE": NE, "PD": PD, "NON-CR/NON-PD": NON, "CR": CR}

ROUNDING = 1e-9  # diameters add up in binary: 12.3 + 24.8 is not quite 37.1
ENOUGH_SUMS = 5  # fewer baseline sums say nothing about their unit
MEASURES = (
    *("target_sum", "target_sum_partial", "target_non_nodal_sum", "max_nodal_short_axis"),
    *("n_new_lesions", "new_lesion_sum"),
)
YES_NO = ("new_lesion", "non_target_worse")
PATIENT_DAYS = (
    *("death_day", "last_contact_day", "censor_day"),
    *("treatment_start_day", "treatment_stop_day"),
)

PROGRESSIONS = (
    "target_progression",
    "new_lesion",
    "non_target_progression",
    "relapse_after_complete_response",
)


def read_response(texts: pd.Series) -> tuple[pd.Series, Findings]:
    """Read responses as exports write them into the codes of RECIST 1.1 and iRECIST.

    Parameters
    ----------
    texts : Series of shape (n,)
        Codes or words, in any case, with any spaces, dashes or underscores.

    Returns
    -------
    codes : Series of shape (n,)
        ``CR, PR, SD, NON-CR/NON-PD, PD, NE`` or the iRECIST codes, None where missing or unknown.

    Examples
    --------
    >>> codes, findings = read_response(pd.Series(["partial response", " Stable_Disease", "iUPD"]))
    >>> codes.tolist(), findings.codes()
    (['PR', 'SD', 'iUPD'], [])
    >>> read_response(pd.Series(["PR", "better"], name="BOR"))[1].messages()
    ['BOR, row 2: not known; expected CR, PR, SD, NON-CR/NON-PD, PD or NE, or the like of iRECIST.']
    """
    known = load_schema("visits").fields["recorded_response"].spellings
    plain = texts.astype("string").map(plain_text, na_action="ignore")
    codes = plain.map(known).astype(object)
    codes = codes.where(codes.notna(), None)
    unknown = (plain.notna() & (plain != "") & codes.isna()).to_numpy(dtype=bool)
    column = str(texts.name or "response")
    found = Findings.of_table(texts.to_frame(), column, "visits")
    text = "not known; expected CR, PR, SD, NON-CR/NON-PD, PD or NE, or the like of iRECIST."
    found.add_rows("unknown_category", column, unknown, text)
    return codes, found


def visit_findings(
    visits: pd.DataFrame, patients: pd.DataFrame | None = None, *, name: str = "visits"
) -> Findings:
    """Find everything that is wrong or unusual in a visit table.

    Messages name rows (from 1, or the lines of a file if the index is named ``line`` or ``row``)
    and never a value of a patient. What can be lived with is looked for where there is no fault.

    Examples
    --------
    >>> visits = pd.DataFrame({"patient_id": ["a", "a"], "visit_day": [9, 60], "target_sum": 50.0})
    >>> visit_findings(visits).messages()
    ['visits, rows 1 and 2: no assessment at or before day 0 (patients: 1, with one by day 7: 0).']
    """
    found = visit_faults(visits, name)
    if patients is not None:
        found.extend(patient_faults(patients))
    if found.rows:
        return found
    ids, day = (
        pd.Series(visits["patient_id"].to_numpy()),
        pd.Series(numbers_of(visits, "visit_day")),
    )
    _add_day_warnings(ids, day, numbers_of(visits, "target_sum"), found)
    _add_contradictions(visits, found)
    if "recorded_response" in visits:
        recorded, unknown = read_response(visits["recorded_response"])
        found.extend(unknown)
        days = limits()["min_icpd_days"]
        unfounded = _unfounded_icpd(ids, day, recorded, days)
        text = f"iCPD without an iUPD at least {days:g} days before it in the same block."
        found.add_rows("impossible_confirmation", "recorded_response", unfounded, text)
    if patients is not None:
        ends = [numbers_of(patients, name) for name in ("death_day", "last_contact_day")]
        end = pd.Series(np.fmin(*ends), index=patients["patient_id"].to_numpy())
        after = day > ids.map(end)
        text = "an assessment after death or last contact, so that PFS may exceed OS."
        found.add_rows("pfs_longer_than_os", "visit_day", after, text, ids[after].nunique())
        of_patients = Findings.of_table(patients, "patients", "visits")
        text = "death or last contact before day 0."
        of_patients.add_rows("outcome_before_first_dose", "death_day", end < 0, text)
        found.extend(of_patients)
    return found


def visit_faults(visits: pd.DataFrame, name: str = "visits") -> Findings:
    """Find what forbids computing."""
    check_table(visits=visits)
    found = Findings.of_table(visits, name, "visits")
    absent = [name for name in ("patient_id", "visit_day") if name not in visits]
    if not {"target_sum", "non_target"} & set(visits):
        absent.append("target_sum or non_target")
    found.add_absent(absent)
    if absent:
        return found
    ids = visits["patient_id"]
    found.add_rows("missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    add_number_faults(visits, load_schema("visits"), found)
    if "non_target" in visits:
        unknown = visits["non_target"].notna() & ~visits["non_target"].isin(NON_TARGET)
        text = f"non_target not known; expected {', '.join(NON_TARGET)} (see `read_response`)."
        found.add_rows("unknown_category", "non_target", unknown, text)
    missing = visits["visit_day"].isna()
    found.add_rows("visit_day_missing", "visit_day", missing, "no day of the assessment.")
    key = pd.DataFrame({"patient_id": ids, "day": numbers_of(visits, "visit_day")})
    twice = key.notna().all(axis=1) & key.duplicated(keep=False)
    text = "the same patient and day more than once."
    found.add_rows("duplicate_visit", "visit_day", twice, text)
    return found


def _add_day_warnings(ids: pd.Series, day: pd.Series, total: Floats, found: Findings) -> None:
    """Add days out of order, and baselines that are late, without a sum or in another unit."""
    backwards = day.groupby(ids, sort=False).diff() < 0
    text = "an earlier day than in the patient's row before; the rows are sorted."
    found.add_rows("visit_days_decreasing", "visit_day", backwards, text)
    first = day.groupby(ids, sort=False).transform("min")
    late, within = ids[first > 0].nunique(), ids[(first > 0) & (first <= 7)].nunique()
    text = f"no assessment at or before day 0 (patients: {late}, with one by day 7: {within})."
    found.add_rows("baseline_visit_missing", "visit_day", first > 0, text, late)
    baseline = day == day.where(day <= 0).groupby(ids, sort=False).transform("max")
    no_sum = (first <= 0) & ~ids.isin(ids[baseline & (total > 0)]) & (day > 0) & (total > 0)
    text = "a target sum, but none at the patient's baseline."
    found.add_rows("baseline_sum_missing", "target_sum", no_sum, text, ids[no_sum].nunique())
    low, high = load_schema("visits").fields["target_sum"].typical or (0.0, np.inf)
    measured = baseline & (total > 0)
    if measured.sum() >= ENOUGH_SUMS and np.median(total[measured]) < low / 2:
        text = (
            f"target_sum should be in mm but looks like cm: the median at baseline is below "
            f"{low / 2:g} mm, where {low:g} to {high:g} mm is usual."
        )
        found.add_rows("looks_like_another_unit", "target_sum", measured, text)


def _add_contradictions(visits: pd.DataFrame, found: Findings) -> None:
    """Add columns of a visit that contradict each other."""
    most = numbers_of(visits, "target_sum") * (1 + ROUNDING)
    beyond = numbers_of(visits, "target_non_nodal_sum") > most
    text = "target_non_nodal_sum exceeds target_sum, of which it is a part."
    found.add_rows("target_sum_contradiction", "target_non_nodal_sum", beyond, text)
    denied = (numbers_of(visits, "new_lesion") == 0) & (numbers_of(visits, "n_new_lesions") > 0)
    text = "n_new_lesions above 0 where new_lesion is false; the lesions are counted."
    found.add_rows("new_lesion_contradiction", "new_lesion", denied, text)


def patient_faults(patients: pd.DataFrame) -> Findings:
    """Find what forbids reading the patients' ends."""
    check_table(patients=patients)
    found = Findings.of_table(patients, "patients", "visits")
    if "patient_id" not in patients:
        found.add("missing_column", "patients: no column patient_id.", n=1)
        return found
    ids = patients["patient_id"]
    found.add_rows("missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    twice = ids.notna() & ids.duplicated(keep=False)
    found.add_rows("duplicate_patient", "patient_id", twice, "a patient more than once.")
    for name in PATIENT_DAYS:
        if name in patients:
            wrong = np.isnan(numbers_of(patients, name)) & patients[name].notna()
            found.add_rows("not_numeric", name, wrong, f"{name} is not a number.")
    return found


def _unfounded_icpd(ids: pd.Series, day: pd.Series, recorded: pd.Series, min_days: float) -> Flags:
    patient, _ = pd.factorize(ids)
    order = np.lexsort((day, patient))
    response = recorded.to_numpy(dtype=object)[order]
    pending = np.isin(response, ["iUPD", "iCPD", "NE"]) | pd.isna(response)
    run = runs(patient[order], ~pending)
    days = day.to_numpy()[order]
    since = days - first_in(days, run, response == "iUPD", len(run))[run]
    unfounded = np.zeros(len(day), dtype=bool)
    unfounded[order] = (response == "iCPD") & ~(since >= min_days)
    return unfounded


def runs(patient: Ints, breaks: Flags) -> Ints:
    """Stretch of each row, sorted by patient and day; a row that breaks opens a new one."""
    return np.cumsum(breaks | (np.diff(patient, prepend=-1) != 0)) - 1


def first_in(values: Floats, group: Ints, chosen: Flags, n: int) -> Floats:
    """Smallest value of the chosen rows in each of n groups, infinite where none is chosen."""
    smallest = np.full(n, np.inf)
    np.minimum.at(smallest, group[chosen], values[chosen])
    return smallest


def joined(words: Sequence[str], bits: Ints) -> Strings:
    """Words whose bit is set, joined by semicolons."""
    texts = [
        ";".join(word for i, word in enumerate(words) if number >> i & 1)
        for number in range(1 << len(words))
    ]
    return np.array(texts, dtype=object)[bits]


def grown(size: Floats, smallest: Floats) -> Flags:
    """Whether a sum is by the least share and mm of growth above the smallest one before it."""
    spare, share, by = ROUNDING * (size + smallest), limits()["growth"], limits()["growth_mm"]
    return (size - (1 + share) * smallest >= -spare) & (size - smallest >= by - spare)

"""Visits of a trial, read: response texts, and everything that looks wrong.

Visits are as in ``data_schemas/panels/visits.yaml``; :mod:`stratify.response.recist` assesses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Ints, Strings
from stratify.errors import ArgumentError
from stratify.tables.findings import lines_text
from stratify.tables.rows import check_table, numbers_of
from stratify.tables.schema import load_schema, plain_text

__all__ = [
    "read_response",
    "visit_findings",
]

# Responses from worst to best, in the order in which the best one is chosen; CR, PR, ... are
# also the codes of a category, where ABSENT is no disease at baseline.
ABSENT, NE, UPD, PD, NON, SD, PR, CR = range(-1, 7)
RECIST = {NE: "NE", PD: "PD", NON: "NON-CR/NON-PD", SD: "SD", PR: "PR", CR: "CR"}
NON_TARGET = {"absent": ABSENT, "NE": NE, "PD": PD, "NON-CR/NON-PD": NON, "CR": CR}

SHRINKAGE, GROWTH, GROWTH_MM = 0.3, 0.2, 5.0
NORMAL_NODE_MM, TOO_SMALL_MM = 10.0, 5.0
MIN_SD_DAYS, CONFIRM_DAYS, MIN_ICPD_DAYS = 42, 28, 28
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


def read_response(texts: pd.Series) -> tuple[pd.Series, list[dict[str, Any]]]:
    """Read responses as exports write them into the codes of RECIST 1.1 and iRECIST.

    Parameters
    ----------
    texts : Series of shape (n,)
        Codes or words, in any case, with any spaces, dashes or underscores.

    Returns
    -------
    codes : Series of shape (n,)
        ``CR, PR, SD, NON-CR/NON-PD, PD, NE`` or the iRECIST codes, None where missing or unknown.
    findings : list of dict
        ``unknown_category`` if texts are not known; see :func:`visit_findings`.

    Examples
    --------
    >>> codes, findings = read_response(pd.Series(["partial response", " Stable_Disease", "iUPD"]))
    >>> codes.tolist(), findings
    (['PR', 'SD', 'iUPD'], [])
    >>> read_response(pd.Series(["PR", "better"], name="BOR"))[1][0]["message"]
    'BOR, row 2: not known; expected CR, PR, SD, NON-CR/NON-PD, PD or NE, or the like of iRECIST.'
    """
    known = load_schema("visits").fields["recorded_response"].spellings
    plain = texts.astype("string").map(plain_text, na_action="ignore")
    codes = plain.map(known).astype(object)
    codes = codes.where(codes.notna(), None)
    unknown = (plain.notna() & (plain != "") & codes.isna()).to_numpy(dtype=bool)
    column = str(texts.name or "response")
    found = Faults.of(texts.to_frame(), column)
    text = "not known; expected CR, PR, SD, NON-CR/NON-PD, PD or NE, or the like of iRECIST."
    found.tell("unknown_category", column, unknown, text)
    return codes, found.found


def visit_findings(
    visits: pd.DataFrame, patients: pd.DataFrame | None = None, *, name: str = "visits"
) -> list[dict[str, Any]]:
    """Say everything that is wrong or doubtful about a visit table, all at once.

    Parameters
    ----------
    visits : DataFrame of shape (n_visits, ...)
        As in the ``visits`` dictionary.
    patients : DataFrame of shape (n_patients, ...), optional
        See :func:`best_response`.
    name : str
        Name of the table in messages, such as that of its file.

    Returns
    -------
    list of dict
        Each with ``code``, ``column``, ``n`` (rows or patients) and ``message``, which names rows
        (from 1, or the lines of a file if the index is named ``line`` or ``row``) and never a
        value of a patient. Doubts are looked for where there is no fault.

    Raises
    ------
    TypeError
        If a table is not a DataFrame.

    Examples
    --------
    >>> visits = pd.DataFrame({"patient_id": ["a", "a"], "visit_day": [9, 60], "target_sum": 50.0})
    >>> [found["message"] for found in visit_findings(visits)]
    ['visits, rows 1 and 2: no assessment at or before day 0 (patients: 1, with one by day 7: 0).']
    """
    faults = visit_faults(visits, name)
    if patients is not None:
        faults += patient_faults(patients)
    return faults or _doubts(visits, patients, name)


@dataclass(frozen=True)
class Faults:
    """Collector of what is wrong with one table, told by its rows or the lines of its file."""

    name: str
    lines: pd.Index
    found: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, table: pd.DataFrame, name: str) -> Faults:
        known = table.index.name in ("line", "row")
        return cls(name, table.index if known else pd.RangeIndex(1, len(table) + 1, name="row"))

    def tell(self, code: str, column: str, wrong: Any, message: str, n: int | None = None) -> None:
        """Tell of the rows marked in ``wrong``, if there are any."""
        lines = self.lines[np.asarray(wrong, dtype=bool)]
        if len(lines):
            text = f"{self.name}, {lines_text(lines, str(self.lines.name))}: {message}"
            n = len(lines) if n is None else n
            self.found.append({"code": code, "column": column, "n": n, "message": text})


def visit_faults(visits: pd.DataFrame, name: str = "visits") -> list[dict[str, Any]]:
    """Find what forbids computing."""
    check_table(visits=visits)
    absent = [name for name in ("patient_id", "visit_day") if name not in visits]
    if not {"target_sum", "non_target"} & set(visits):
        absent.append("target_sum or non_target")
    if absent:
        text = f"{name}: no column {' and '.join(absent)}; see the visits dictionary."
        return [{"code": "missing_column", "column": "", "n": len(absent), "message": text}]
    found = Faults.of(visits, name)
    fields = load_schema("visits").fields
    ids = visits["patient_id"]
    found.tell("missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    for column in ("visit_day", *MEASURES, *YES_NO):
        if column not in visits:
            continue
        limits, numbers = fields[column], numbers_of(visits, column)
        unread = np.isnan(numbers)
        if unread.any():
            unread &= visits[column].notna().to_numpy()
            found.tell("not_numeric", column, unread, f"{column} is not a number.")
        low, high, unit = limits.minimum, limits.maximum, f" {limits.unit}"
        if low is None or high is None:
            low, high, unit = 0.0, 1.0, " (no or yes)"
        wrong = (numbers < low) | (numbers > high)
        if column in YES_NO:
            wrong |= (numbers > low) & (numbers < high)
        text = f"{column} outside {low:g} to {high:g}{unit}."
        found.tell("outside_limits", column, wrong, text)
    if "non_target" in visits:
        unknown = visits["non_target"].notna() & ~visits["non_target"].isin(NON_TARGET)
        text = f"non_target not known; expected {', '.join(NON_TARGET)} (see `read_response`)."
        found.tell("unknown_category", "non_target", unknown, text)
    missing = visits["visit_day"].isna()
    found.tell("visit_day_missing", "visit_day", missing, "no day of the assessment.")
    key = pd.DataFrame({"patient_id": ids, "day": numbers_of(visits, "visit_day")})
    twice = key.notna().all(axis=1) & key.duplicated(keep=False)
    text = "the same patient and day more than once."
    found.tell("duplicate_visit", "visit_day", twice, text)
    return found.found


def _doubts(visits: pd.DataFrame, patients: pd.DataFrame | None, name: str) -> list[dict[str, Any]]:
    """Find what can be lived with, in a table without faults."""
    found = Faults.of(visits, name)
    ids = pd.Series(visits["patient_id"].to_numpy())
    day = pd.Series(numbers_of(visits, "visit_day"))
    total = numbers_of(visits, "target_sum")
    backwards = day.groupby(ids, sort=False).diff() < 0
    text = "an earlier day than in the patient's row before; the rows are sorted."
    found.tell("visit_days_decreasing", "visit_day", backwards, text)

    first = day.groupby(ids, sort=False).transform("min")
    late, within = ids[first > 0].nunique(), ids[(first > 0) & (first <= 7)].nunique()
    text = f"no assessment at or before day 0 (patients: {late}, with one by day 7: {within})."
    found.tell("baseline_visit_missing", "visit_day", first > 0, text, late)

    baseline = day == day.where(day <= 0).groupby(ids, sort=False).transform("max")
    no_sum = (first <= 0) & ~ids.isin(ids[baseline & (total > 0)]) & (day > 0) & (total > 0)
    text = "a target sum, but none at the patient's baseline."
    found.tell("baseline_sum_missing", "target_sum", no_sum, text, ids[no_sum].nunique())

    low, high = load_schema("visits").fields["target_sum"].typical or (0.0, np.inf)
    measured = baseline & (total > 0)
    if measured.sum() >= ENOUGH_SUMS and np.median(total[measured]) < low / 2:
        text = (
            f"target_sum should be in mm but looks like cm: the median at baseline is below "
            f"{low / 2:g} mm, where {low:g} to {high:g} mm is usual."
        )
        found.tell("looks_like_another_unit", "target_sum", measured, text)

    beyond = numbers_of(visits, "target_non_nodal_sum") > total * (1 + ROUNDING)
    text = "target_non_nodal_sum exceeds target_sum, of which it is a part."
    found.tell("target_sum_contradiction", "target_non_nodal_sum", beyond, text)

    denied = (numbers_of(visits, "new_lesion") == 0) & (numbers_of(visits, "n_new_lesions") > 0)
    text = "n_new_lesions above 0 where new_lesion is false; the lesions are counted."
    found.tell("new_lesion_contradiction", "new_lesion", denied, text)

    if "recorded_response" in visits:
        recorded, unknown = read_response(visits["recorded_response"])
        found.found.extend(unknown)
        unfounded = _unfounded_icpd(ids, day, recorded)
        text = f"iCPD without an iUPD at least {MIN_ICPD_DAYS} days before it in the same block."
        found.tell("impossible_confirmation", "recorded_response", unfounded, text)
    if patients is not None:
        ends = [numbers_of(patients, day) for day in ("death_day", "last_contact_day")]
        end = pd.Series(np.fmin(*ends), index=patients["patient_id"].to_numpy())
        after = day > ids.map(end)
        text = "an assessment after death or last contact, so that PFS may exceed OS."
        found.tell("pfs_longer_than_os", "visit_day", after, text, ids[after].nunique())
        text = "death or last contact before day 0."
        others = Faults.of(patients, "patients")
        others.tell("outcome_before_first_dose", "death_day", end < 0, text)
        found.found.extend(others.found)
    return found.found


def patient_faults(patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Find what forbids reading the patients' ends."""
    check_table(patients=patients)
    if "patient_id" not in patients:
        text = "patients: no column patient_id."
        return [{"code": "missing_column", "column": "", "n": 1, "message": text}]
    found = Faults.of(patients, "patients")
    ids = patients["patient_id"]
    text = "no patient identifier."
    found.tell("missing_identifier", "patient_id", ids.isna(), text)
    twice = ids.notna() & ids.duplicated(keep=False)
    text = "a patient more than once."
    found.tell("duplicate_patient", "patient_id", twice, text)
    for name in PATIENT_DAYS:
        if name in patients:
            wrong = np.isnan(numbers_of(patients, name)) & patients[name].notna()
            found.tell("not_numeric", name, wrong, f"{name} is not a number.")
    return found.found


def _unfounded_icpd(ids: pd.Series, day: pd.Series, recorded: pd.Series) -> Flags:
    patient, _ = pd.factorize(ids)
    order = np.lexsort((day, patient))
    response = recorded.to_numpy(dtype=object)[order]
    pending = np.isin(response, ["iUPD", "iCPD", "NE"]) | pd.isna(response)
    run = runs(patient[order], ~pending)
    days = day.to_numpy()[order]
    since = days - first_in(days, run, response == "iUPD", len(run))[run]
    unfounded = np.zeros(len(day), dtype=bool)
    unfounded[order] = (response == "iCPD") & ~(since >= MIN_ICPD_DAYS)
    return unfounded


def runs(patient: Ints, breaks: Flags) -> Ints:
    """Stretch of each row, sorted by patient and day; a row that breaks opens a new one."""
    return np.cumsum(breaks | (np.diff(patient, prepend=-1) != 0)) - 1


def first_in(values: Floats, group: Ints, chosen: Flags, n: int) -> Floats:
    """Smallest value of the chosen rows in each of n groups, infinite where none is chosen."""
    smallest = np.full(n, np.inf)
    np.minimum.at(smallest, group[chosen], values[chosen])
    return smallest


def check_days(**days: float) -> None:
    for name, value in days.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} is a {type(value).__name__}; expected a number of days.")
        if not 0 <= value < np.inf:
            raise ArgumentError(f"{name} is {value}; expected 0 days or more.")


def joined(words: Sequence[str], bits: Ints) -> Strings:
    """Words whose bit is set, joined by semicolons."""
    texts = [
        ";".join(word for i, word in enumerate(words) if number >> i & 1)
        for number in range(1 << len(words))
    ]
    return np.array(texts, dtype=object)[bits]


def grown(size: Floats, smallest: Floats) -> Flags:
    """Whether a sum is at least 20 % and 5 mm above the smallest one before it."""
    spare = ROUNDING * (size + smallest)
    return (size - (1 + GROWTH) * smallest >= -spare) & (size - smallest >= GROWTH_MM - spare)

"""Visits of a trial, read: response texts, lesions summed, and everything that looks wrong.

Visits are as in ``data_schemas/panels/visits.yaml``; :mod:`stratify.recist` assesses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stratify.errors import ArgumentError, DataError
from stratify.findings import lines_text
from stratify.schema import load_schema

__all__ = [
    "read_response",
    "visit_findings",
    "visits_from_lesions",
]

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Codes: TypeAlias = NDArray[np.int64]
Objects: TypeAlias = NDArray[np.object_]

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
_TEXTS = {
    "CR": "cr; complete response; complete remission",
    "PR": "pr; partial response; partial remission",
    "SD": "sd; stable; stable disease; no change",
    "NON-CR/NON-PD": "non-cr/non-pd; noncr/nonpd; incomplete response/stable disease",
    "PD": "pd; progression; progressive; progressed; progressive disease; disease progression",
    "NE": "ne; not evaluable; not evaluated; inevaluable; unevaluable; nd; not done",
    "iCR": "icr",
    "iPR": "ipr",
    "iSD": "isd",
    "NON-iCR/NON-iUPD": "non-icr/non-iupd; nonicr/noniupd",
    "iUPD": "iupd; unconfirmed progressive disease; unconfirmed progression",
    "iCPD": "icpd; confirmed progressive disease; confirmed progression",
}
RESPONSE_TEXTS: Mapping[str, str] = {
    text.strip().casefold(): code for code, texts in _TEXTS.items() for text in texts.split(";")
}


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
    plain = texts.astype("string").str.casefold()
    plain = plain.str.replace(r"[\s_\u2010-\u2015-]+", " ", regex=True)
    plain = plain.str.replace(r"\s*/\s*", "/", regex=True).str.strip()
    known = {text.replace("-", " "): code for text, code in RESPONSE_TEXTS.items()}
    codes = plain.map(known).astype(object)
    codes = codes.where(codes.notna(), None)
    unknown = (plain.notna() & (plain != "") & codes.isna()).to_numpy(dtype=bool)
    findings: list[dict[str, Any]] = []
    column = str(texts.name or "response")
    text = "not known; expected CR, PR, SD, NON-CR/NON-PD, PD or NE, or the like of iRECIST."
    _tell(findings, "unknown_category", column, unknown, text, table=column)
    return codes, findings


def visit_findings(
    visits: pd.DataFrame, patients: pd.DataFrame | None = None
) -> list[dict[str, Any]]:
    """Say everything that is wrong or doubtful about a visit table, all at once.

    Parameters
    ----------
    visits : DataFrame of shape (n_visits, ...)
        As in the ``visits`` dictionary.
    patients : DataFrame of shape (n_patients, ...), optional
        See :func:`best_response`.

    Returns
    -------
    list of dict
        Each with ``code``, ``column``, ``n`` (rows or patients) and ``message``, which names rows
        (from 1) and never a value of a patient. Doubts are looked for where there is no fault.

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
    faults = visit_faults(visits)
    if patients is not None:
        faults += patient_faults(patients)
    return faults or _doubts(visits, patients)


def visit_faults(visits: pd.DataFrame) -> list[dict[str, Any]]:
    """Find what forbids computing."""
    check_table(visits=visits)
    absent = [name for name in ("patient_id", "visit_day") if name not in visits]
    if not {"target_sum", "non_target"} & set(visits):
        absent.append("target_sum or non_target")
    if absent:
        text = f"visits: no column {' and '.join(absent)}; see the visits dictionary."
        return [{"code": "missing_column", "column": "", "n": len(absent), "message": text}]
    found: list[dict[str, Any]] = []
    fields = load_schema("visits").fields
    ids = visits["patient_id"]
    _tell(found, "missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    for name in ("visit_day", *MEASURES, *YES_NO):
        if name not in visits:
            continue
        field, numbers = fields[name], numbers_of(visits, name)
        unread = np.isnan(numbers)
        if unread.any():
            unread &= visits[name].notna().to_numpy()
            _tell(found, "not_numeric", name, unread, f"{name} is not a number.")
        low, high, unit = field.minimum, field.maximum, f" {field.unit}"
        if low is None or high is None:
            low, high, unit = 0.0, 1.0, " (no or yes)"
        wrong = (numbers < low) | (numbers > high)
        if name in YES_NO:
            wrong |= (numbers > low) & (numbers < high)
        text = f"{name} outside {low:g} to {high:g}{unit}."
        _tell(found, "outside_limits", name, wrong, text)
    if "non_target" in visits:
        unknown = visits["non_target"].notna() & ~visits["non_target"].isin(NON_TARGET)
        text = f"non_target not known; expected {', '.join(NON_TARGET)} (see `read_response`)."
        _tell(found, "unknown_category", "non_target", unknown, text)
    missing = visits["visit_day"].isna()
    _tell(found, "visit_day_missing", "visit_day", missing, "no day of the assessment.")
    key = pd.DataFrame({"patient_id": ids, "day": numbers_of(visits, "visit_day")})
    twice = key.notna().all(axis=1) & key.duplicated(keep=False)
    text = "the same patient and day more than once."
    _tell(found, "duplicate_visit", "visit_day", twice, text)
    return found


def _doubts(visits: pd.DataFrame, patients: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Find what can be lived with, in a table without faults."""
    found: list[dict[str, Any]] = []
    ids = pd.Series(visits["patient_id"].to_numpy())
    day = pd.Series(numbers_of(visits, "visit_day"))
    total = numbers_of(visits, "target_sum")
    backwards = day.groupby(ids, sort=False).diff() < 0
    text = "an earlier day than in the patient's row before; the rows are sorted."
    _tell(found, "visit_days_decreasing", "visit_day", backwards, text)

    first = day.groupby(ids, sort=False).transform("min")
    late, within = ids[first > 0].nunique(), ids[(first > 0) & (first <= 7)].nunique()
    text = f"no assessment at or before day 0 (patients: {late}, with one by day 7: {within})."
    _tell(found, "baseline_visit_missing", "visit_day", first > 0, text, late)

    baseline = day == day.where(day <= 0).groupby(ids, sort=False).transform("max")
    no_sum = (first <= 0) & ~ids.isin(ids[baseline & (total > 0)]) & (day > 0) & (total > 0)
    text = "a target sum, but none at the patient's baseline."
    _tell(found, "baseline_sum_missing", "target_sum", no_sum, text, ids[no_sum].nunique())

    low, high = load_schema("visits").fields["target_sum"].typical or (0.0, np.inf)
    measured = baseline & (total > 0)
    if measured.sum() >= ENOUGH_SUMS and np.median(total[measured]) < low / 2:
        text = (
            f"target_sum should be in mm but looks like cm: the median at baseline is below "
            f"{low / 2:g} mm, where {low:g} to {high:g} mm is usual."
        )
        _tell(found, "looks_like_another_unit", "target_sum", measured, text)

    beyond = numbers_of(visits, "target_non_nodal_sum") > total * (1 + ROUNDING)
    text = "target_non_nodal_sum exceeds target_sum, of which it is a part."
    _tell(found, "target_sum_contradiction", "target_non_nodal_sum", beyond, text)

    denied = (numbers_of(visits, "new_lesion") == 0) & (numbers_of(visits, "n_new_lesions") > 0)
    text = "n_new_lesions above 0 where new_lesion is false; the lesions are counted."
    _tell(found, "new_lesion_contradiction", "new_lesion", denied, text)

    if "recorded_response" in visits:
        recorded, unknown = read_response(visits["recorded_response"])
        found.extend(unknown)
        unfounded = _unfounded_icpd(ids, day, recorded)
        text = f"iCPD without an iUPD at least {MIN_ICPD_DAYS} days before it in the same block."
        _tell(found, "impossible_confirmation", "recorded_response", unfounded, text)
    if patients is not None:
        ends = [numbers_of(patients, name) for name in ("death_day", "last_contact_day")]
        end = pd.Series(np.fmin(*ends), index=patients["patient_id"].to_numpy())
        after = day > ids.map(end)
        text = "an assessment after death or last contact, so that PFS may exceed OS."
        _tell(found, "pfs_longer_than_os", "visit_day", after, text, ids[after].nunique())
        text = "death or last contact before day 0."
        _tell(found, "outcome_before_first_dose", "death_day", end < 0, text, table="patients")
    return found


def patient_faults(patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Find what forbids reading the patients' ends."""
    check_table(patients=patients)
    if "patient_id" not in patients:
        text = "patients: no column patient_id."
        return [{"code": "missing_column", "column": "", "n": 1, "message": text}]
    found: list[dict[str, Any]] = []
    ids = patients["patient_id"]
    text = "no patient identifier."
    _tell(found, "missing_identifier", "patient_id", ids.isna(), text, table="patients")
    twice = ids.notna() & ids.duplicated(keep=False)
    text = "a patient more than once."
    _tell(found, "duplicate_patient", "patient_id", twice, text, table="patients")
    for name in PATIENT_DAYS:
        if name in patients:
            wrong = np.isnan(numbers_of(patients, name)) & patients[name].notna()
            _tell(found, "not_numeric", name, wrong, f"{name} is not a number.", table="patients")
    return found


def check_table(**tables: Any) -> None:
    for name, table in tables.items():
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"{name} is a {type(table).__name__}; expected a DataFrame.")


def _tell(
    found: list[dict[str, Any]],
    code: str,
    column: str,
    wrong: Any,
    message: str,
    n: int | None = None,
    *,
    table: str = "visits",
) -> None:
    rows = np.flatnonzero(np.asarray(wrong, dtype=bool)) + 1
    if len(rows):
        text = f"{table}, {lines_text(rows, 'row')}: {message}"
        n = len(rows) if n is None else n
        found.append({"code": code, "column": column, "n": n, "message": text})


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


def numbers_of(table: pd.DataFrame, name: str) -> Floats:
    """Column as numbers, NaN where absent, missing or not a number."""
    if name not in table:
        return np.full(len(table), np.nan)
    column = table[name]
    if column.dtype.kind not in "biuf":
        column = pd.to_numeric(column, errors="coerce")
    return column.to_numpy(dtype=float, na_value=np.nan)


def visits_from_lesions(lesions: pd.DataFrame) -> pd.DataFrame:
    """Sum a table of lesions into a table of visits.

    Parameters
    ----------
    lesions : DataFrame of shape (n_measurements, ...)
        One row a lesion and assessment: ``patient_id``, ``visit_day``, ``lesion_id``, ``kind``
        (``target | non_target | new``), and as far as known ``diameter_mm`` (longest),
        ``nodal`` (then ``short_axis_mm`` goes before ``diameter_mm``), ``status`` (``present |
        absent | too_small | NE``, for non-target lesions also ``PD``; missing means present if
        there is a size above 0, absent if it is 0, else NE) and ``worse`` (a non-target lesion
        grew since the last assessment).

    Returns
    -------
    DataFrame of shape (n_visits, 10)
        As in the ``visits`` dictionary, sorted by patient and day.

    Raises
    ------
    DataError
        If columns are missing, a lesion stands twice at a visit, a kind or status is not known, or
        a target or non-target lesion is not there at its patient's baseline.

    Notes
    -----
    ``absent`` is 0 mm; ``too_small`` without a size is 5 mm (RECIST 1.1, 4.3.2). If a target
    lesion of the baseline is not measured, ``target_sum`` is empty and ``target_sum_partial``
    is the sum of the others, which can still show PD. Non-target disease is PD if one lesion
    is, else NE if one was not evaluated, else CR if all are gone (nodes below 10 mm are gone).

    Examples
    --------
    >>> lesions = pd.DataFrame({"patient_id": "a", "visit_day": [0, 0, 56, 56],
    ...     "lesion_id": [1, 2, 1, 2], "kind": "target", "nodal": [False, True, False, True],
    ...     "diameter_mm": [40.0, None, 0.0, None], "short_axis_mm": [None, 18.0, None, 9.0]})
    >>> visits = visits_from_lesions(lesions)
    >>> visits[["visit_day", "target_sum", "target_non_nodal_sum", "max_nodal_short_axis"]]
       visit_day  target_sum  target_non_nodal_sum  max_nodal_short_axis
    0        0.0        58.0                  40.0                  18.0
    1       56.0         9.0                   0.0                   9.0
    """
    table = _lesions(lesions)
    keys = ["patient_id", "visit_day"]
    size, status, nodal = table["size"], table["status"], table["nodal"]
    target, other = table["kind"] == "target", table["kind"] == "non_target"
    new = (table["kind"] == "new") & ~status.isin(["absent", "NE"])
    normal = (status == "absent") | (nodal & (size < NORMAL_NODE_MM) & (status != "PD"))
    counts = {
        "targets": target,
        "measured": target & size.notna(),
        "others": other,
        "evaluated": other & (status != "NE"),
        "gone": other & normal,
        "progressing": other & (status == "PD"),
        "non_target_worse": other & (table["worse"] > 0),
        "n_new_lesions": new,
        "sum": size.where(target),
        "target_non_nodal_sum": size.where(target & ~nodal),
        "new_lesion_sum": size.where(new),
    }
    by_visit = table[keys].assign(**counts).groupby(keys)
    visits = by_visit[list(counts)].sum().astype(float)
    nodes = table[keys].assign(node=size.where(target & nodal)).groupby(keys)["node"].max()
    visits["max_nodal_short_axis"] = nodes
    visits = visits.reset_index()

    day, ids = visits["visit_day"], visits["patient_id"]
    baseline = visits[day == day.where(day <= 0).groupby(ids).transform("max")]
    at_baseline = baseline.set_index("patient_id")[["targets", "others"]].reindex(ids).fillna(0)
    whole = (visits["targets"] > 0) & (visits["measured"] >= at_baseline["targets"].to_numpy())
    visits["target_sum"] = visits["sum"].where(whole)
    visits["target_sum_partial"] = visits["sum"].where(~whole & (visits["measured"] > 0))
    visits["target_non_nodal_sum"] = visits["target_non_nodal_sum"].where(whole)
    visits["max_nodal_short_axis"] = visits["max_nodal_short_axis"].where(whole)
    expected = np.fmax(visits["others"], at_baseline["others"].to_numpy())
    visits["non_target"] = np.select(
        [
            visits["progressing"] > 0,
            expected == 0,
            visits["evaluated"] < expected,
            visits["gone"] == expected,
        ],
        ["PD", "absent", "NE", "CR"],
        "NON-CR/NON-PD",
    ).astype(object)
    visits["non_target_worse"] = visits["non_target_worse"] > 0
    visits["new_lesion"] = visits["n_new_lesions"] > 0
    unmeasured = (visits["new_lesion_sum"] == 0) & visits["new_lesion"]
    visits["new_lesion_sum"] = visits["new_lesion_sum"].mask(unmeasured)
    return visits[[*keys, *MEASURES, "non_target", *YES_NO]]


def _lesions(lesions: pd.DataFrame) -> pd.DataFrame:
    """Check a lesion table; sizes in mm, status never missing."""
    needed = ["patient_id", "visit_day", "lesion_id", "kind"]
    absent = [name for name in needed if name not in lesions]
    if absent:
        raise DataError(f"lesions: no column {', '.join(absent)}; expected {', '.join(needed)}.")
    table = lesions[["patient_id", "lesion_id", "kind"]].reset_index(drop=True)
    no_number = np.zeros(len(table), dtype=bool)
    for name in ("visit_day", "nodal", "worse", "diameter_mm", "short_axis_mm"):
        table[name] = numbers_of(lesions, name)
        if name in lesions:
            no_number |= table[name].isna().to_numpy() & lesions[name].notna().to_numpy()
    table["nodal"] = table["nodal"] > 0
    size = table["short_axis_mm"].where(table["nodal"]).fillna(table["diameter_mm"])
    given = lesions["status"].to_numpy(dtype=object) if "status" in lesions else None
    status = pd.Series(given, index=table.index, dtype=object)
    inferred = pd.Series(np.select([size > 0, size == 0], ["present", "absent"], "NE"))
    status = status.where(status.notna(), inferred.astype(object))
    size_of = size.mask((status == "too_small") & size.isna(), TOO_SMALL_MM)
    size_of = size_of.mask(status == "absent", 0.0).mask(status == "NE")
    table = table.assign(status=status, size=size_of)

    key = table[["patient_id", "visit_day", "lesion_id"]]
    allowed = status.isin(["present", "absent", "too_small", "NE"])
    allowed |= (status == "PD") & (table["kind"] == "non_target")
    start, ids = table["visit_day"] <= 0, table["patient_id"]
    last = table["visit_day"].where(start).groupby(ids).transform("max")
    lesion = pd.MultiIndex.from_frame(table[["patient_id", "lesion_id", "kind"]])
    known = lesion.isin(lesion[table["visit_day"] == last]) | start | ~ids.isin(ids[start])
    faults: dict[str, Any] = {
        "a missing patient, day or lesion": key.isna().any(axis=1),
        "a lesion twice at a visit": key.duplicated(),
        "a day, size, nodal or worse that is not a number": no_number,
        "an unknown kind": ~table["kind"].isin(["target", "non_target", "new"]),
        "an unknown status": ~allowed,
        "a size below 0": size < 0,
    }
    if not any(rows.any() for rows in faults.values()):  # it would follow from those
        late = table["kind"].isin(["target", "non_target"]) & ~known
        faults["a target or non-target lesion that is not there at baseline"] = late
    told = [
        f"{fault} ({lines_text(np.flatnonzero(rows) + 1, 'row')})"
        for fault, rows in faults.items()
        if rows.any()
    ]
    if told:
        raise DataError(f"lesions: {'; '.join(told)}.")
    return table


def runs(patient: Codes, breaks: Flags) -> Codes:
    """Stretch of each row, sorted by patient and day; a row that breaks opens a new one."""
    return np.cumsum(breaks | (np.diff(patient, prepend=-1) != 0)) - 1


def first_in(values: Floats, group: Codes, chosen: Flags, n: int) -> Floats:
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


def joined(words: Sequence[str], bits: Codes) -> Objects:
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

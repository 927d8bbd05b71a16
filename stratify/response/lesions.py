"""Measured lesions -> the visits that RECIST 1.1 and iRECIST assess.

Lesions are as in ``data_schemas/panels/lesions.yaml``, visits as in ``visits.yaml``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.errors import DataError
from stratify.response.visits import MEASURES, YES_NO
from stratify.study.response_criteria import limits
from stratify.tables.findings import Findings
from stratify.tables.rows import add_number_faults, check_table, numbers_of
from stratify.tables.schema import load_schema

__all__ = ["lesion_findings", "visits_from_lesions"]

NEEDED = ("patient_id", "visit_day", "lesion_id", "kind")
NUMBERS = ("visit_day", "nodal", "worse", "diameter", "short_axis")


def visits_from_lesions(lesions: pd.DataFrame) -> pd.DataFrame:
    """Sum a table of lesions into a table of visits.

    Parameters
    ----------
    lesions : DataFrame of shape (n_measurements, ...)
        As in the ``lesions`` dictionary: ``patient_id``, ``visit_day``, ``lesion_id``, ``kind``;
        every other column may be absent. Diameters in mm; of a node ``short_axis`` goes before
        ``diameter``.

    Returns
    -------
    DataFrame of shape (n_visits, 10)
        As in the ``visits`` dictionary, sorted by patient and day.

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
    ...     "diameter": [40.0, None, 0.0, None], "short_axis": [None, 18.0, None, 9.0]})
    >>> visits = visits_from_lesions(lesions)
    >>> visits[["visit_day", "target_sum", "target_non_nodal_sum", "max_nodal_short_axis"]]
       visit_day  target_sum  target_non_nodal_sum  max_nodal_short_axis
    0        0.0        58.0                  40.0                  18.0
    1       56.0         9.0                   0.0                   9.0
    """
    faults = lesion_findings(lesions)
    if faults.rows:
        raise DataError(" ".join(faults.messages()), faults.table())
    visits = _summed(_sized(lesions))
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
    return visits[["patient_id", "visit_day", *MEASURES, "non_target", *YES_NO]]


def _summed(table: pd.DataFrame) -> pd.DataFrame:
    """Count and sum the lesions at each visit, by their kind and status."""
    keys = ["patient_id", "visit_day"]
    size, status, nodal = table["size"], table["status"], table["nodal"]
    target, other = table["kind"] == "target", table["kind"] == "non_target"
    new = (table["kind"] == "new") & ~status.isin(["absent", "NE"])
    normal = (status == "absent") | (nodal & (size < limits()["normal_node_mm"]) & (status != "PD"))
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
    return visits.reset_index()


def lesion_findings(lesions: pd.DataFrame, *, name: str = "lesions") -> Findings:
    """Find everything wrong in a table of lesions, named ``name`` in messages.

    Examples
    --------
    >>> lesions = pd.DataFrame({"patient_id": "a", "visit_day": [0, 42], "lesion_id": ["T1", "T2"],
    ...                         "kind": "target", "diameter": [40.0, 12.0]})
    >>> lesion_findings(lesions).messages()
    ['lesions, row 2: a target or non-target lesion that is not there at baseline.']
    """
    check_table(lesions=lesions)
    found = Findings.of_table(lesions, name, "lesions")
    found.add_absent([column for column in NEEDED if column not in lesions])
    if found.rows:
        return found
    ids, day = lesions["patient_id"], numbers_of(lesions, "visit_day")
    found.add_rows("missing_identifier", "patient_id", ids.isna(), "no patient identifier.")
    text = "no lesion: name or number it, the same at every visit."
    found.add_rows("missing_identifier", "lesion_id", lesions["lesion_id"].isna(), text)
    missing = lesions["visit_day"].isna()
    found.add_rows("visit_day_missing", "visit_day", missing, "no day of the assessment.")
    schema, kind = load_schema("lesions"), lesions["kind"]
    add_number_faults(lesions, schema, found)
    text = f"kind not known; expected {', '.join(schema.fields['kind'].enum)}."
    found.add_rows("unknown_category", "kind", ~kind.isin(schema.fields["kind"].enum), text)
    if "status" in lesions:
        status, known = lesions["status"], schema.fields["status"].enum
        unknown = status.notna() & ~status.isin(known)
        unknown |= (status == "PD") & (kind != "non_target")
        text = f"status not known; expected {', '.join(known)}, PD of non-target lesions alone."
        found.add_rows("unknown_category", "status", unknown, text)
    lesion = pd.DataFrame({"patient_id": ids, "lesion_id": lesions["lesion_id"]})
    at = lesion.assign(day=day)
    twice = at.notna().all(axis=1) & at.duplicated(keep=False)
    found.add_rows("duplicate_visit", "lesion_id", twice, "the same lesion and day more than once.")
    if found.rows:  # what follows may follow from these
        return found
    start = pd.Series(day <= 0, index=ids.index)
    last = at["day"].where(start).groupby(ids).transform("max")
    key = pd.MultiIndex.from_frame(lesion.assign(kind=kind))
    known_lesion = key.isin(key[at["day"] == last]) | start | ~ids.isin(ids[start])
    late = kind.isin(["target", "non_target"]) & ~known_lesion
    text = "a target or non-target lesion that is not there at baseline."
    found.add_rows("lesion_not_at_baseline", "lesion_id", late, text)
    return found


def _sized(lesions: pd.DataFrame) -> pd.DataFrame:
    """Lesions with one size in mm, and a status that is never missing."""
    table = lesions[["patient_id", "lesion_id", "kind"]].reset_index(drop=True)
    for column in NUMBERS:
        table[column] = numbers_of(lesions, column)
    table["nodal"] = table["nodal"] > 0
    size = table["short_axis"].where(table["nodal"]).fillna(table["diameter"])
    given = lesions["status"].to_numpy(dtype=object) if "status" in lesions else None
    status = pd.Series(given, index=table.index, dtype=object)
    inferred = pd.Series(np.select([size > 0, size == 0], ["present", "absent"], "NE"))
    status = status.where(status.notna(), inferred.astype(object))
    size_of = size.mask((status == "too_small") & size.isna(), limits()["too_small_mm"])
    size_of = size_of.mask(status == "absent", 0.0).mask(status == "NE")
    return table.assign(status=status, size=size_of)

"""PD-L1: reports in words -> values with their method and clone; tiers; which clones agree.

Methods (TPS, CPS, IC, TC) and clones stay apart: a value of one is never read as one of another.
Clones, levels and dated cut-offs stand in ``data_schemas/pdl1_cutoffs.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from stratify.biomarkers.reported import with_derived
from stratify.tables.findings import Findings, listed
from stratify.tables.measurements import Pdl1Rule
from stratify.tables.rows import numbers_of
from stratify.tables.schema import field_named, load_schema, pdl1_cutoffs

__all__ = ["add_pdl1", "check_clones", "clone_in", "concordance", "pdl1_tiers", "read_pdl1_reports"]

METHODS = ("pdl1_tps", "pdl1_cps", "pdl1_tc", "pdl1_ic")
_NUMBER = r"[0-9]+(?:[.,][0-9]+)?"
_BETWEEN = r"(?: ?(?:score|is|was|of|=|:|,|\(|\)|tumou?r|cells?|expression))* ?"
_VALUE = (
    rf"(?P<sign><=|>=|<|>|≤|≥|less than|at least|more than)? ?(?P<low>{_NUMBER}) ?%?"
    rf"(?: ?(?:-|–|to) ?(?P<high>{_NUMBER}) ?%?)?"
)
_BELOW, _ABOVE = ("<", "<=", "≤", "less than"), (">", ">=", "≥", "at least", "more than")


@cache
def _clones() -> dict[str, re.Pattern[str]]:
    """How each clone is written."""
    return {
        clone: re.compile(
            "|".join(rf"(?<![0-9a-z.]){re.escape(text)}(?![0-9a-z])" for text in entry["synonyms"])
        )
        for clone, entry in pdl1_cutoffs()["clones"].items()
    }


def clone_in(text: str) -> str | None:
    """Clone that a text names, None where it names none or several.

    Examples
    --------
    >>> clone_in("modified proportion score (22C3)"), clone_in("22C3 or SP263"), clone_in("IHC")
    ('22C3', None, None)
    """
    named = [clone for clone, form in _clones().items() if form.search(text.lower())]
    return named[0] if len(named) == 1 else None


def concordance(clones: Mapping[str, str | None], method: str) -> str:
    """Say why values of several clones cannot be taken together; empty where they can.

    Parameters
    ----------
    clones : mapping of str to (str or None)
        Clone by cohort, or by any other group.
    method : str
        Column of the values.

    References
    ----------
    Tsao 2018, 10.1016/j.jtho.2018.05.013 (Blueprint phase 2).

    Examples
    --------
    >>> concordance({"a": "22C3", "b": "SP263"}, "pdl1_tps")
    ''
    >>> concordance({"a": "22C3", "b": "SP142"}, "pdl1_tps")
    '22C3, 28-8 and SP263, comparable on tumour cells; SP142, which stains fewer tumour cells'
    >>> concordance({"a": "22C3", "b": "SP263"}, "pdl1_ic")
    'no clones agree on immune cells'
    """
    known = set(clones.values())
    if len(known) < 2:
        return ""
    if method in ("pdl1_ic", "pdl1_cps"):
        return "no clones agree on immune cells"
    document = pdl1_cutoffs()
    groups = {
        document["clones"][clone]["group"] if clone in document["clones"] else None
        for clone in known
    }
    if len(groups) == 1 and None not in groups and groups != {"laboratory"}:
        return ""
    named = [text for group, text in document["groups"].items() if group in groups]
    return "; ".join(named + ["clones not stated or not known"] * (None in groups))


def read_pdl1_reports(
    reports: pd.Series, *, name: str = "reports"
) -> tuple[pd.DataFrame, Findings]:
    """Read the values of PD-L1 in reports.

    Parameters
    ----------
    reports : Series of shape (n_patients,)
        Strings; missing where there is none.
    name : str
        Name of the table in messages.

    Returns
    -------
    values : DataFrame of shape (n_patients, 13)
        For each of TPS, CPS, TC and IC the value (middle of an interval) and its bounds, in the
        units of the ``pdl1`` dictionary; and ``pdl1_clone``. Missing where a report does not name
        the method, states a method twice, or names several clones.
    findings : Findings
        Messages name lines, and no text.

    Examples
    --------
    >>> reports = pd.Series(["TPS <1 % (22C3)", "PD-L1 (SP142): IC2/3, TC 10 %", "CPS 12; TPS 5%"])
    >>> values, _ = read_pdl1_reports(reports)
    >>> values[["pdl1_tps", "pdl1_cps", "pdl1_tc", "pdl1_ic_low", "pdl1_clone"]]
       pdl1_tps  pdl1_cps  pdl1_tc  pdl1_ic_low pdl1_clone
    0       0.5       NaN      NaN          NaN       22C3
    1       NaN       NaN     10.0          5.0      SP142
    2       5.0      12.0      NaN          NaN        NaN
    """
    columns = [f"{method}{side}" for method in METHODS for side in ("", "_low", "_high")]
    values = pd.DataFrame(np.nan, index=reports.index, columns=columns)
    values["pdl1_clone"] = pd.Series(np.nan, index=reports.index, dtype=object)
    unread, several, wrong = (np.zeros(len(reports), dtype=bool) for _ in range(3))
    for i, (row, report) in enumerate(reports.items()):
        if pd.isna(report):
            continue
        text = " ".join(str(report).lower().split())
        clones = [clone for clone, form in _clones().items() if form.search(text)]
        for form in _clones().values():  # their digits are no values
            text = form.sub(" ", text)
        read = {method: _values_in(text, method) for method in METHODS}
        read = {method: found for method, found in read.items() if found}
        unread[i] = not read
        several[i] = len(clones) > 1 or any(len(found) > 1 for found in read.values())
        outside = any(not 0 <= low <= high <= 100 for f in read.values() for low, high in f)
        wrong[i] = outside and not several[i]
        if unread[i] or several[i] or wrong[i]:
            continue
        if clones:
            values.loc[row, "pdl1_clone"] = clones[0]
        for method, found in read.items():
            low, high = next(iter(found))
            own = [method, f"{method}_low", f"{method}_high"]
            values.loc[row, own] = [(low + high) / 2, low, high]
    findings = Findings.of_table(reports.to_frame(), name, "pdl1")
    text = "reports in which no value of TPS, CPS, TC or IC is found; they are read as missing."
    findings.add_rows("report_not_read", "pdl1_report", unread, text)
    text = "reports with several values of a method, or several clones; they are read as missing."
    findings.add_rows("report_ambiguous", "pdl1_report", several, text)
    findings.add_rows("outside_limits", "pdl1_report", wrong, "values outside 0 to 100.")
    return values, findings


def _values_in(text: str, method: str) -> set[tuple[float, float]]:
    """Intervals that a text states of a method."""
    labels = "|".join(map(re.escape, field_named(method).labels))
    found = set()
    for match in re.finditer(rf"\b(?:{labels})\b{_BETWEEN}{_VALUE}(?![0-9+/])", text):
        low = float(match["low"].replace(",", "."))
        high = low if match["high"] is None else float(match["high"].replace(",", "."))
        if match["sign"] in _BELOW:
            low = 0.0
        elif match["sign"] in _ABOVE:
            high = 100.0
        found.add((low, high))
    levels = pdl1_cutoffs()["levels"].get(method, {})
    for level in sorted(levels, key=len, reverse=True):  # IC2/3 and IC2+ before IC2
        form = rf"\b{re.escape(level.lower())}(?![0-9+/])"
        if re.search(form, text):
            found.add((float(levels[level][0]), float(levels[level][1])))
            text = re.sub(form, " ", text)
    return found


def pdl1_tiers(patients: pd.DataFrame, rule: Pdl1Rule, clones: Mapping[str, str]) -> pd.DataFrame:
    """Cut-offs that each value reaches, by the patient's cancer type and clone.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        With ``cancer_type``, values of PD-L1 with their bounds, and ``pdl1_clone`` where it
        differs between patients.
    rule : Pdl1Rule
        On which day the cut-offs are valid.
    clones : mapping of str to str
        Clone by column, for patients without one of their own.

    Returns
    -------
    DataFrame of shape (n_patients, n_methods)
        ``pdl1_tps_tier``, ...: 0 below the lowest cut-off. Missing where an interval spans a
        cut-off, or none is listed for the cancer type and clone. Of an interval the upper bound
        is excluded.

    Examples
    --------
    >>> patients = pd.DataFrame({"cancer_type": ["nsclc", "nsclc", "renal"],
    ...                          "pdl1_tps": [0.5, 60.0, 60.0], "pdl1_tps_low": [0.0, 60.0, 60.0],
    ...                          "pdl1_tps_high": [1.0, 60.0, 60.0]})
    >>> pdl1_tiers(patients, Pdl1Rule(), {"pdl1_tps": "22C3"})["pdl1_tps_tier"].tolist()
    [0.0, 2.0, nan]
    """
    tiers = pd.DataFrame(index=patients.index)
    types = patients.get("cancer_type", pd.Series(dtype=object)).reindex(patients.index)
    own = patients.get("pdl1_clone", pd.Series(dtype=object)).reindex(patients.index)
    for method in METHODS:
        if method not in patients:
            continue
        low, high = _bounds(patients, method)
        clone = own.fillna(clones[method]) if method in clones else own
        tier = np.full(len(patients), np.nan)
        rows = _valid(method, rule.cutoffs_on)
        for (indication, antibody), cuts in rows.groupby(["indication", "clone"])["cutoff"]:
            here = ((types == indication) & (clone == antibody)).to_numpy()
            reached = (low[:, None] >= cuts.to_numpy()).sum(axis=1)
            open_end = (high > low)[:, None]
            most = np.where(
                open_end, high[:, None] > cuts.to_numpy(), high[:, None] >= cuts.to_numpy()
            )
            sure = here & np.isfinite(low) & (reached == most.sum(axis=1))
            tier[sure] = reached[sure]
        tiers[f"{method}_tier"] = tier
    return tiers


def _bounds(patients: pd.DataFrame, method: str) -> tuple[np.ndarray[Any, Any], ...]:
    value = numbers_of(patients, method)
    low, high = (numbers_of(patients, f"{method}_{side}") for side in ("low", "high"))
    return np.where(np.isnan(low), value, low), np.where(np.isnan(high), value, high)


def _valid(method: str, day: str | None) -> pd.DataFrame:
    """Cut-offs of a method that are valid on a day, by default all that have no end."""
    rows = pd.DataFrame(pdl1_cutoffs()["cutoffs"])
    ends = rows.get("valid_to", pd.Series(index=rows.index, dtype=object)).fillna("9999")
    valid = rows["method"] == method
    valid &= (ends == "9999") if day is None else (rows["valid_from"] <= day) & (ends >= day)
    return rows[valid].sort_values("cutoff")


def add_pdl1(
    patients: pd.DataFrame,
    rule: Pdl1Rule,
    assays: Mapping[str, str],
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Put what reports say, and tiers if they are asked for, beside the columns of the files.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    rule : Pdl1Rule
    assays : mapping of str to str
        Assay by column, as stated; a clone in it is that of all patients.
    cohort : str
        For findings.
    findings : Findings
        Collector of everything wrong or doubtful.

    Returns
    -------
    DataFrame
        A value that a file reports stays, and is compared.

    Examples
    --------
    >>> patients = pd.DataFrame({"patient_id": ["a", "b"], "cancer_type": "nsclc",
    ...                          "pdl1_report": ["TPS 60 % (22C3)", "TPS <1% (22C3)"]})
    >>> together = add_pdl1(patients, Pdl1Rule(tiers=True), {}, "home", Findings())
    >>> together[["pdl1_tps", "pdl1_clone", "pdl1_tps_tier"]]
       pdl1_tps pdl1_clone  pdl1_tps_tier
    0      60.0       22C3            2.0
    1       0.5       22C3            0.0
    """
    together = patients
    if "pdl1_report" in patients:
        together = _reported(patients, cohort, findings)
    clones = {name: clone for name, text in assays.items() if (clone := clone_in(text))}
    _add_unnamed_clones(together, assays, clones, cohort, findings)
    if "pdl1_clone" in together:
        together = _one_clone(together, rule, cohort, findings)
    if rule.tiers:
        together = together.join(pdl1_tiers(together, rule, clones))
    return together


def _add_unnamed_clones(
    patients: pd.DataFrame,
    assays: Mapping[str, str],
    clones: Mapping[str, str],
    cohort: str,
    findings: Findings,
) -> None:
    """Tell of values whose assay names no clone."""
    for method in METHODS:
        if method in assays and method not in clones and "pdl1_clone" not in patients:
            findings.add(
                "clone_absent",
                f"the assay of {method} names no clone, or several.",
                cohort=cohort,
                panel="pdl1",
                column=method,
                n=int(patients[method].notna().sum()),
            )


def _reported(patients: pd.DataFrame, cohort: str, findings: Findings) -> pd.DataFrame:
    values, found = read_pdl1_reports(patients["pdl1_report"], name="pdl1_report")
    findings.extend(found, cohort=cohort)
    clones = values.pop("pdl1_clone")
    stated = [method for method in METHODS if values[method].notna().any()]
    new = [method for method in stated if method not in patients]
    columns = [f"{method}{side}" for method in new for side in ("", "_low", "_high")]
    kept = values[[*columns, *(method for method in stated if method not in new)]]
    together = with_derived(patients, kept, "pdl1_report", cohort, findings)
    if clones.notna().any():
        own = patients.get("pdl1_clone", pd.Series(np.nan, patients.index, dtype=object))
        together["pdl1_clone"] = own.where(own.notna(), clones).astype(object)
    return together


def _one_clone(
    patients: pd.DataFrame, rule: Pdl1Rule, cohort: str, findings: Findings
) -> pd.DataFrame:
    """Leave out values of other clones than the one asked for; tell of clones side by side."""
    together = patients.copy()
    fields = load_schema("pdl1").fields
    for method in METHODS:
        if method not in patients:
            continue
        measured = patients[method].notna()
        where = {"cohort": cohort, "panel": "pdl1", "column": method}
        if rule.clone is not None:
            others = measured & (patients["pdl1_clone"] != rule.clone)
            own = [name for name in fields if name in patients and name.startswith(method)]
            own = [name for name in own if name in (method, f"{method}_low", f"{method}_high")]
            together.loc[others, own] = np.nan
            if others.any():
                findings.add(
                    "clone_left_out",
                    f"{method} of {int(others.sum())} patients is not known to be of "
                    f"{rule.clone}; it is read as missing.",
                    n=int(others.sum()),
                    **where,
                )
            continue
        counts = patients.loc[measured, "pdl1_clone"].fillna("not stated").value_counts()
        clones = {clone: None if clone == "not stated" else clone for clone in counts.index}
        why = concordance(clones, method)
        if len(counts) > 1:
            each = listed([f"{clone} in {n}" for clone, n in counts.sort_index().items()])
            findings.add(
                "clones_mixed" if why else "clones_concordant",
                f"{method} was stained with {each} patients{f' ({why})' if why else ''}.",
                n=len(counts),
                **where,
            )
    return together


def check_clones(assays: Mapping[str, Mapping[str, str]], findings: Findings) -> None:
    """Tell of clones that do not agree between cohorts.

    Parameters
    ----------
    assays : mapping of str to mapping of str to str
        Assay by column and cohort.
    findings : Findings
    """
    for method in METHODS:
        stated = assays.get(method, {})
        why = concordance({cohort: clone_in(text) for cohort, text in stated.items()}, method)
        if why:
            findings.add(
                "clones_not_concordant",
                f"{method} by cohort: {why}.",
                panel="pdl1",
                column=method,
                n=len(set(stated.values())),
            )

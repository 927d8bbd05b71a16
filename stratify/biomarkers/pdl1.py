"""PD-L1: reports in words -> values with their method and clone; tiers; which clones agree.

Methods (TPS, CPS, IC, TC) and clones stay apart: a value of one is never read as one of another.
Clones, levels and dated cut-offs stand in ``data_schemas/pdl1_cutoffs.yaml``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from stratify.biomarkers.derivation import Columns, DerivationFault, DerivationRules
from stratify.biomarkers.pdl1_words import METHODS, statements_in
from stratify.tables.bounds import reaches
from stratify.tables.findings import Findings, listed
from stratify.tables.schema import pdl1_cutoffs

__all__ = [
    "METHODS",
    "OneClone",
    "ReportedPdl1",
    "Tier",
    "check_clones",
    "clone_in",
    "concordance",
    "read_pdl1_reports",
]

BOUNDED = tuple(f"{method}{side}" for method in METHODS for side in ("", "_low", "_high"))
EITHER = ("pdl1_tc1_ic1", "pdl1_tc3_ic3")


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

    Returns
    -------
    values : DataFrame of shape (n_patients, 15)
        For each of TPS, CPS, TC and IC the value (middle of an interval) and its bounds, in the
        units of the ``pdl1`` dictionary; ``pdl1_clone``; and ``pdl1_tc1_ic1, pdl1_tc3_ic3`` where
        a report says that one of two levels holds. Missing where a report does not name the
        method, is not understood as a whole (see :mod:`stratify.biomarkers.pdl1_words`), states a
        method twice, or names several clones.

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
    values = pd.DataFrame(np.nan, index=reports.index, columns=list(BOUNDED))
    values["pdl1_clone"] = pd.Series(np.nan, index=reports.index, dtype=object)
    values[list(EITHER)] = np.nan
    unread, several, wrong = (np.zeros(len(reports), dtype=bool) for _ in range(3))
    for i, (row, report) in enumerate(reports.items()):
        if pd.isna(report):
            continue
        plain = unicodedata.normalize("NFKC", str(report)).lower()
        clones = [clone for clone, form in _clones().items() if form.search(plain)]
        stated, either, whole = statements_in(str(report), clones, list(_clones().values()))
        read = {m: {(low, high) for n, low, high in stated if n == m} for m in METHODS}
        read = {method: found for method, found in read.items() if found}
        unread[i] = not read and not either
        several[i] = not unread[i] and (
            not whole or len(clones) > 1 or any(len(found) > 1 for found in read.values())
        )
        outside = any(not 0 <= low <= high <= 100 for f in read.values() for low, high in f)
        wrong[i] = outside and not several[i]
        if unread[i] or several[i] or wrong[i]:
            continue
        if clones:
            values.loc[row, "pdl1_clone"] = clones[0]
        for name_, holds in either.items():
            values.loc[row, name_] = float(holds)
        for method, found in read.items():
            low, high = next(iter(found))
            own = [method, f"{method}_low", f"{method}_high"]
            values.loc[row, own] = [(low + high) / 2, low, high]
    findings = Findings.of_table(reports.to_frame(), name, "pdl1")
    text = "reports in which no value of TPS, CPS, TC or IC is found; they are read as missing."
    findings.add_rows("report_not_read", "pdl1_report", unread, text)
    text = "reports with several values of a method or clones, or words that are not understood "
    text += "beside them; they are read as missing."
    findings.add_rows("report_ambiguous", "pdl1_report", several, text)
    findings.add_rows("outside_limits", "pdl1_report", wrong, "values outside 0 to 100.")
    return values, findings


@dataclass(frozen=True)
class ReportedPdl1:
    """Values, bounds and clone that pathology reports state.

    Examples
    --------
    >>> columns = {"pdl1_report": np.array(["TPS 60 % (22C3)", None], dtype=object)}
    >>> given = ReportedPdl1().derive(columns, DerivationRules())
    >>> given["pdl1_tps"], given["pdl1_clone"]
    (array([60., nan]), array(['22C3', nan], dtype=object))
    """

    name: str = "pdl1_report"
    source: str = "pdl1_report"
    needs: tuple[str, ...] = ("pdl1_report",)
    uses: tuple[str, ...] = METHODS
    gives: tuple[str, ...] = (*BOUNDED, *EITHER, "pdl1_clone")
    replaces: bool = False

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Read the reports; bounds are given where the value is not reported otherwise."""
        values, _ = _read(columns)
        given: dict[str, Any] = {}
        for method in METHODS:
            if values[method].isna().all():
                continue
            own = columns.get(method)
            for name in (method, f"{method}_low", f"{method}_high"):
                value = values[name].to_numpy(dtype=float)
                if own is not None and name != method:
                    value = np.where(np.isnan(own), value, np.nan)
                given[name] = value
        for name in EITHER:
            if values[name].notna().any():
                given[name] = values[name].to_numpy(dtype=float)
        if values["pdl1_clone"].notna().any():
            given["pdl1_clone"] = values["pdl1_clone"].to_numpy(dtype=object)
        return given

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Report texts in which nothing, or more than one value, is found."""
        _, found = _read(columns)
        for row in found.rows:
            yield DerivationFault(
                str(row["code"]), str(row["column"]), int(str(row["n"])), str(row["message"])
            )


def _read(columns: Columns) -> tuple[pd.DataFrame, Findings]:
    return read_pdl1_reports(pd.Series(columns["pdl1_report"], dtype=object), name="pdl1_report")


@dataclass(frozen=True)
class OneClone:
    """Values of the clone that a study asks for; others are read as missing."""

    name: str = "pdl1_one_clone"
    source: str = "pdl1_clone"
    needs: tuple[str, ...] = ("pdl1_clone",)
    uses: tuple[str, ...] = BOUNDED
    gives: tuple[str, ...] = BOUNDED
    replaces: bool = True

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Leave values of other clones out, if one is asked for."""
        if rules.pdl1.clone is None:
            return {}
        other = columns["pdl1_clone"] != rules.pdl1.clone
        return {
            name: np.where(other, np.nan, columns[name])
            for name in BOUNDED
            if name in columns and not np.isnan(columns[name][other]).all()
        }

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Values that are left out, or several clones next to each other."""
        for method in METHODS:
            if method not in columns:
                continue
            clones = columns["pdl1_clone"][~np.isnan(columns[method])]
            if rules.pdl1.clone is not None:
                others = int((clones != rules.pdl1.clone).sum())
                if others:
                    text = (
                        f"{method} of {others} patients is not known to be of {rules.pdl1.clone}; "
                        "it is read as missing."
                    )
                    yield DerivationFault("clone_left_out", method, others, text)
                continue
            counts = pd.Series(clones, dtype=object).fillna("not stated").value_counts()
            if len(counts) > 1:
                names = {each: None if each == "not stated" else each for each in counts.index}
                why = concordance(names, method)
                each = listed([f"{clone} in {n}" for clone, n in counts.sort_index().items()])
                yield DerivationFault(
                    "clones_mixed" if why else "clones_concordant",
                    method,
                    len(counts),
                    f"{method} was stained with {each} patients{f' ({why})' if why else ''}.",
                )


@dataclass(frozen=True)
class Tier:
    """Cut-offs that a value of PD-L1 reaches, by the patient's cancer type and clone.

    ``pdl1_tps_tier``, ...: 0 below the lowest cut-off. Missing where an interval spans a cut-off,
    or none is listed for the cancer type and clone. Of an interval the upper bound is excluded.

    Examples
    --------
    >>> columns = {"cancer_type": np.array(["nsclc", "nsclc", "renal"], dtype=object),
    ...            "pdl1_tps": np.array([0.5, 60.0, 60.0]),
    ...            "pdl1_tps_low": np.array([0.0, 60.0, 60.0]),
    ...            "pdl1_tps_high": np.array([1.0, 60.0, 60.0])}
    >>> from stratify.tables.measurements import Pdl1Rule
    >>> rules = DerivationRules(Pdl1Rule(tiers=True), {"pdl1_tps": "22C3"})
    >>> Tier("pdl1_tps").derive(columns, rules)["pdl1_tps_tier"]
    array([ 0.,  2., nan])
    """

    method: str
    source: str = "cut-offs"
    replaces: bool = False

    @property
    def name(self) -> str:
        """The column that it gives."""
        return f"{self.method}_tier"

    @property
    def needs(self) -> tuple[str, ...]:
        """The value."""
        return (self.method,)

    @property
    def uses(self) -> tuple[str, ...]:
        """Bounds of the value, and what the cut-offs depend on."""
        return (f"{self.method}_low", f"{self.method}_high", "pdl1_clone", "cancer_type")

    @property
    def gives(self) -> tuple[str, ...]:
        """The tier."""
        return (self.name,)

    def derive(self, columns: Columns, rules: DerivationRules) -> Columns:
        """Count the cut-offs that are reached, if tiers are asked for."""
        if not rules.pdl1.tiers:
            return {}
        value = columns[self.method]
        empty = np.full(len(value), None, dtype=object)
        types = columns.get("cancer_type", empty)
        clone = columns.get("pdl1_clone", empty)
        stated = clone_in(rules.assays.get(self.method, ""))
        if stated is not None:
            clone = np.where(pd.isna(clone), stated, clone)
        tier = np.full(len(value), np.nan)
        rows = _valid(self.method, rules.pdl1.cutoffs_on)
        for (indication, antibody), cuts in rows.groupby(["indication", "clone"])["cutoff"]:
            here = np.asarray((types == indication) & (clone == antibody), dtype=bool)
            reached = sum(reaches(columns, self.method, cut, len(value)) for cut in cuts)
            tier[here] = np.asarray(reached)[here]
        return {self.name: tier}

    def faults(self, columns: Columns, rules: DerivationRules) -> Iterable[DerivationFault]:
        """Values whose assay names no clone."""
        assay = rules.assays.get(self.method)
        if assay is not None and clone_in(assay) is None and "pdl1_clone" not in columns:
            n = int((~np.isnan(columns[self.method])).sum())
            text = f"the assay of {self.method} names no clone, or several."
            yield DerivationFault("clone_absent", self.method, n, text)


def _valid(method: str, day: str | None) -> pd.DataFrame:
    """Cut-offs of a method that are valid on a day, by default all that have no end."""
    rows = pd.DataFrame(pdl1_cutoffs()["cutoffs"])
    ends = rows.get("valid_to", pd.Series(index=rows.index, dtype=object)).fillna("9999")
    valid = rows["method"] == method
    valid &= (ends == "9999") if day is None else (rows["valid_from"] <= day) & (ends >= day)
    return rows[valid].sort_values("cutoff")


def check_clones(assays: Mapping[str, Mapping[str, str]], findings: Findings) -> None:
    """Tell of clones that do not agree between cohorts.

    Parameters
    ----------
    assays : mapping of str to mapping of str to str
        Assay by column and cohort.
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

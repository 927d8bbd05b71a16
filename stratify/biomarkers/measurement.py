"""Raw measurements of a cohort -> features: what each says of itself, and how they are added.

A measurement is one object; :mod:`stratify.biomarkers.measurements` lists them, and the cohort
iterates over them. What is reported with one row a patient needs a dictionary alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd

from stratify.biomarkers.reported import with_derived
from stratify.study import Study
from stratify.tables.findings import ColumnFindings, Findings, listed
from stratify.tables.plausibility import check_derived
from stratify.tables.schema import field_named
from stratify.tables.sources import CohortSource, TableSource

__all__ = ["Measurement", "RawTables", "add_derived", "add_measured", "read_values"]

# By what a measurement needs: name of the file, and the table as read.
RawTables: TypeAlias = Mapping[str, tuple[str, pd.DataFrame]]


class Measurement:
    """What a raw measurement says of itself.

    Attributes
    ----------
    name : str
    needs : tuple of str
        Long tables (``mutations``, ...) or kinds of matrix (``expression``, ...); any of them
        is enough.
    panel : str
        Of the features.
    measured : str
        The column that says whether a patient was measured; empty where no single one does.
    scalable : bool
        Whether what is read may be placed on a scale of training patients before it is derived.
    """

    name: str
    needs: tuple[str, ...]
    panel: str
    measured: str = ""
    scalable: bool = False

    def rule(self, study: Study, cohort: CohortSource, table: TableSource) -> Any:
        """Say how it is read and derived, as the study states it for its (last) table."""
        raise NotImplementedError

    def assay(self, rule: Any, stated: Mapping[str, str]) -> str | None:
        """Assay of all features: that of the rule, not those ``stated`` by column of a table."""
        return getattr(rule, "assay", None)

    def gives(self, rule: Any) -> list[str]:
        """Columns that may be derived."""
        raise NotImplementedError

    def faults(self, tables: RawTables, rule: Any) -> tuple[Any, Findings]:
        """Read tables; give what :meth:`derive` needs, and everything wrong or unusual."""
        raise NotImplementedError

    def derive(
        self, values: Any, rule: Any, patients: pd.DataFrame, findings: Findings
    ) -> pd.DataFrame:
        """Numbers and levels, by ``patient_id`` of the patients who were measured.

        ``values`` are those of :meth:`faults` without errors, ``patients`` the joined panels; more
        findings go to ``findings``, which name the files as ``table_name``.
        """
        raise NotImplementedError


def read_values(
    measurement: Measurement, tables: RawTables, rule: Any, cohort: str, findings: Findings
) -> Any:
    """Read the tables of a measurement; None where an error forbids to derive anything."""
    values, found = measurement.faults(tables, rule)
    findings.extend(found, cohort=cohort, panel=measurement.panel)
    return None if found.has_errors else values


def add_measured(
    patients: pd.DataFrame,
    measurement: Measurement,
    tables: RawTables,
    rule: Any,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Add what follows from a raw measurement to the columns of the other files.

    Parameters
    ----------
    patients : DataFrame of shape (n_patients, ...)
        Joined panels, one row a patient.
    tables : mapping of str to (str, DataFrame)
        By what the measurement needs: name of the file, and the table as read; its index names
        the lines of the file.

    Returns
    -------
    DataFrame of shape (n_patients, ...)
        With the derived columns; unchanged if a table has errors. Patients without a usable row
        are missing, never negative. A column that a file reports stays, and is compared.

    Examples
    --------
    >>> from stratify.biomarkers.tmb import TissueBurden
    >>> from stratify.tables.measurements import BurdenRule
    >>> patients = pd.DataFrame({"patient_id": ["a", "b", "c"], "tmb_sequenced": [1.0, 1.0, None]})
    >>> mutations = pd.DataFrame({"patient_id": ["a"], "consequence": ["missense"]})
    >>> rule = BurdenRule(scored_mb=0.5, consequences=["missense"], tumour_only=True)
    >>> findings = Findings()
    >>> tables = {"mutations": ("maf.txt", mutations)}
    >>> add_measured(patients, TissueBurden(), tables, rule, "home", findings)
      patient_id  tmb_sequenced  tmb  tmb_tumour_only
    0          a            1.0  2.0              1.0
    1          b            1.0  0.0              1.0
    2          c            NaN  NaN              NaN
    >>> findings.messages()
    ["maf.txt, row 1: no chromosome and position; each row counts, also of one mutation's
    transcripts.", 'maf.txt: 1 of 3 patients have no usable row; they are read as not measured.']
    """
    values = read_values(measurement, tables, rule, cohort, findings)
    if values is None:
        return patients
    file = listed([file for file, _ in tables.values()])
    found = Findings(table_name=file)
    derived = measurement.derive(values, rule, patients, found)
    findings.extend(found, cohort=cohort, panel=measurement.panel)
    confirmed = bool(getattr(rule, "confirmed", False))
    own = derived[derived.index.isin(patients["patient_id"])]
    for name in map(str, own):
        about = ColumnFindings(findings, cohort, file, field_named(name))
        check_derived(own[name], about, confirmed=confirmed)
    return add_derived(patients, derived, measurement, file, cohort, findings)


def add_derived(
    patients: pd.DataFrame,
    derived: pd.DataFrame,
    measurement: Measurement,
    file: str,
    cohort: str,
    findings: Findings,
) -> pd.DataFrame:
    """Add derived columns by patient, and say who is measured but unknown, or not measured."""
    ids = patients["patient_id"]
    strangers, absent = int((~derived.index.isin(ids)).sum()), int((~ids.isin(derived.index)).sum())
    if strangers:
        findings.add(
            "no_patient_matched" if strangers == len(derived) else "unmatched_patient",
            f"{file}: {strangers} of {len(derived)} patients are not in the cohort's first table.",
            cohort=cohort,
            panel=measurement.panel,
            column="patient_id",
            n=strangers,
        )
    if absent:
        findings.add(
            "not_measured",
            f"{file}: {absent} of {len(ids)} patients have no usable row; they are read as not "
            "measured.",
            cohort=cohort,
            panel=measurement.panel,
            column=measurement.measured,
            n=absent,
        )
    return with_derived(patients, derived.reindex(ids.to_numpy()), file, cohort, findings)

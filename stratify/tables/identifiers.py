"""Rows of a file: which are taken, whose they are, and how identifiers are written."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from stratify.arrays import Flags
from stratify.tables.cells import texts_of
from stratify.tables.findings import ColumnFindings, Findings
from stratify.tables.schema import load_schema
from stratify.tables.sources import Identifier, TableSource

__all__ = [
    "UNFIT",
    "add_unfit",
    "as_written",
    "chosen_rows",
    "identifiable",
    "identifier_findings",
    "written_as",
]

UNFIT = "that do not fit the stated pattern."


def written_as(identifiers: pd.Series, identifier: Identifier | None) -> pd.Series:
    r"""Write identifiers as the first table does; missing where they do not fit the pattern.

    Examples
    --------
    >>> written_as(pd.Series(["S.001.ST", "S.001.C3"]),
    ...            Identifier(pattern=r"(S).(\d+).ST", written=r"\1-\2")).tolist()
    ['S-001', nan]
    """
    if identifier is None:
        return identifiers
    form = re.compile(identifier.pattern)
    fitting = identifiers.map(lambda text: form.fullmatch(str(text)), na_action="ignore")
    known = fitting.notna()
    written = identifiers.astype(object).where(known, np.nan)
    written[known] = [match.expand(identifier.written) for match in fitting[known]]
    return written


def add_unfit(file: str, n: int, cohort: str, findings: Findings) -> None:
    """Add identifiers of a matrix that do not fit the pattern stated for them."""
    text = f"{file}: identifiers {UNFIT}"
    findings.add("pattern_not_matched", text, cohort=cohort, column="patient_id", n=n)


def identifier_findings(table: TableSource, cohort: str, findings: Findings) -> ColumnFindings:
    """Give the findings about the identifiers of a table, which are of no panel."""
    field = replace(load_schema("clinical").fields["patient_id"], panel="")
    return ColumnFindings(findings, cohort, table.file, field)


def as_written(
    raw: pd.DataFrame, identifiers: pd.Series, table: TableSource, found: ColumnFindings
) -> tuple[pd.DataFrame, pd.Series]:
    """Rows whose identifier fits the table's pattern, and how the first table writes it."""
    written = written_as(identifiers, table.identifier)
    others = identifiers.notna() & written.isna()
    found.add_rows("pattern_not_matched", others, f"identifiers {UNFIT}")
    return raw[~others], written[~others]


def chosen_rows(raw: pd.DataFrame, table: TableSource, cohort: str, findings: Findings) -> Flags:
    """Rows that `rows` of the table takes; none where it cannot be followed."""
    chosen = np.ones(len(raw), dtype=bool)
    for column, cells in table.rows.items():
        if column not in raw:
            text = f"{table.file}: no column {column!r}, which `rows` names."
            findings.add("missing_column", text, cohort=cohort, column=column, n=1)
            return np.zeros(len(raw), dtype=bool)
        chosen &= texts_of(raw[column], []).isin(cells).to_numpy()
    if not chosen.any():
        asked = " and ".join(
            f"{' or '.join(map(repr, cells))} in {column!r}" for column, cells in table.rows.items()
        )
        text = f"{table.file}: none of {len(raw)} rows has {asked}."
        columns = ", ".join(table.rows)
        findings.add("no_row_chosen", text, cohort=cohort, column=columns, n=len(raw))
    return chosen


def identifiable(
    identifiers: pd.Series, table: TableSource, found: ColumnFindings, long: bool
) -> Flags:
    """Rows with an identifier, and of a patient the first one alone; others are findings."""
    absent = identifiers.isna()
    repeated = identifiers.duplicated(keep=False) & ~absent & (not long)
    where = f"in column {table.patient_id!r}"
    expected = "each row needs its patient" if long else "one row a patient is expected"
    found.add_rows("missing_identifier", absent, f"no identifier {where}; {expected}.")
    text = f"identifiers that stand more than once {where}; {expected}."
    found.add_rows("duplicate_patient", repeated, text)
    return (~absent & (long | ~identifiers.duplicated(keep="first"))).to_numpy()

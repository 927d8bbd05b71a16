"""Rows of a file: which are taken, whose they are, and how identifiers are written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from stratify.tables.cells import texts_of
from stratify.tables.findings import Findings, lines_text
from stratify.tables.schema import Field
from stratify.tables.sources import Identifier, TableSource

__all__ = ["add_unfit", "as_written", "chosen_rows", "identifiable", "written_as"]

_Flags = np.ndarray[Any, np.dtype[np.bool_]]


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


def add_unfit(
    where: str, what: str, n: int, cohort: str, findings: Findings, field: Field | None = None
) -> None:
    """Tell of texts or identifiers that do not fit the pattern stated for them."""
    findings.add(
        "pattern_not_matched",
        f"{where}: {what} that do not fit the stated pattern.",
        cohort=cohort,
        panel="" if field is None else field.panel,
        column="patient_id" if field is None else field.name,
        n=n,
    )


def as_written(
    raw: pd.DataFrame, identifiers: pd.Series, table: TableSource, cohort: str, findings: Findings
) -> tuple[pd.DataFrame, pd.Series]:
    """Rows whose identifier fits the table's pattern, and how the first table writes it."""
    written = written_as(identifiers, table.identifier)
    others = identifiers.notna() & written.isna()
    if others.any():
        where = lines_text(others.index[others], str(others.index.name or "row"))
        add_unfit(f"{table.file}, {where}", "identifiers", int(others.sum()), cohort, findings)
    return raw[~others], written[~others]


def chosen_rows(raw: pd.DataFrame, table: TableSource, cohort: str, findings: Findings) -> _Flags:
    """Rows that `rows` of the table takes; none where it cannot be followed."""
    chosen = np.ones(len(raw), dtype=bool)
    for column, cells in table.rows.items():
        if column not in raw:
            findings.add(
                "missing_column",
                f"{table.file}: no column {column!r}, which `rows` names.",
                cohort=cohort,
                column=column,
                n=1,
            )
            return np.zeros(len(raw), dtype=bool)
        chosen &= texts_of(raw[column], []).isin(cells).to_numpy()
    if not chosen.any():
        asked = " and ".join(
            f"{' or '.join(map(repr, cells))} in {column!r}" for column, cells in table.rows.items()
        )
        findings.add(
            "no_row_chosen",
            f"{table.file}: none of {len(raw)} rows has {asked}.",
            cohort=cohort,
            column=", ".join(table.rows),
            n=len(raw),
        )
    return chosen


def identifiable(
    identifiers: pd.Series, table: TableSource, cohort: str, findings: Findings, long: bool
) -> _Flags:
    """Rows with an identifier, and of a patient the first one alone; others are told."""
    absent = identifiers.isna()
    repeated = identifiers.duplicated(keep=False) & ~absent & (not long)
    expected = "each row needs its patient" if long else "one row a patient is expected"
    for code, wrong, text in (
        ("missing_identifier", absent, "no identifier"),
        ("duplicate_patient", repeated, "identifiers that stand more than once"),
    ):
        if wrong.any():
            where = lines_text(wrong.index[wrong], str(wrong.index.name or "row"))
            findings.add(
                code,
                f"{table.file}, {where}: {text} in column {table.patient_id!r}; {expected}.",
                cohort=cohort,
                column="patient_id",
                n=int(wrong.sum()),
            )
    return (~absent & (long | ~identifiers.duplicated(keep="first"))).to_numpy()

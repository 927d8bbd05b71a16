"""Rows of a file: which are taken, whose they are, and how identifiers are written."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from stratify.arrays import Flags
from stratify.tables.cells import texts_of
from stratify.tables.findings import ColumnFindings, Findings
from stratify.tables.header import blank
from stratify.tables.schema import load_schema
from stratify.tables.sources import Identifier, TableSource

__all__ = [
    "UNFIT",
    "add_unfit",
    "as_written",
    "beside_patients",
    "chosen_rows",
    "identifiable",
    "identifier_findings",
    "written_as",
]

UNFIT = "that do not fit the stated pattern."
_FEW, _MOST = 3, 0.2  # rows, and their share, that may be summaries
_SUMMARY = (
    r"(median|mean|average|avg|total|totals|sum|sd|std\.?( dev.*)?|se|min|max|minimum|maximum|"
    r"range|iqr|percent|count|counts|note|notes|remark|remarks|legend|footnote|source|summe|gesamt|"
    r"mittelwert|mittel|durchschnitt|standardabweichung|anzahl|bereich|anmerkung|legende|quelle|"
    r"fußnote|fussnote|moyenne|médiane|somme)\b[ :=(].*"
    r"|(median|mean|average|avg|totals?|sum|std|minimum|maximum|range|iqr|count|summe|gesamt|"
    r"mittelwert|durchschnitt|standardabweichung|anzahl|moyenne|médiane|somme)[.:]?"
    r"|n ?[=:] ?[0-9]+.*|[*†‡§¹²³].*|#.*"
)


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


def beside_patients(identifiers: pd.Series, raw: pd.DataFrame) -> Flags:
    """Rows that are no patients: summaries, footnotes, repeated headers.

    An identifier that says so (`Median`, `n = 30`, `* measured locally`); or, where identifiers
    hold no spaces, text with spaces that has nothing beside it or stands below an empty row.

    Parameters
    ----------
    identifiers : Series of shape (n_rows,)
        As text; the index is the place in the file.
    raw : DataFrame of shape (n_rows, ...)

    Examples
    --------
    >>> raw = pd.DataFrame({"ID": ["P1", "P2", "Median"], "age": [60, 70, 65]}, index=[2, 3, 4])
    >>> beside_patients(raw["ID"], raw).tolist()
    [False, False, True]
    """
    texts = identifiers.where(identifiers.notna(), "").astype("str").str.strip()
    named = texts.str.fullmatch(_SUMMARY, case=False).to_numpy(dtype=bool)
    if named.sum() > max(_FEW, _MOST * len(texts)):  # they are how this trial names patients
        named &= False
    found: Flags = named | (texts == str(identifiers.name)).to_numpy(dtype=bool)
    spaced = texts.str.contains(" ", regex=False).to_numpy(dtype=bool)
    if not spaced.any() or spaced[: max(1, len(texts) // 2)].any():
        return found
    first = int(np.flatnonzero(spaced)[0])
    gap = np.zeros(len(texts), dtype=bool)
    if raw.index.name in ("row", "line"):
        gap[1:] = np.diff(raw.index.to_numpy()) > 1
    below = np.maximum.accumulate(gap)
    filled = [sum(not blank(c) and c == c for c in raw.iloc[k]) for k in range(first, len(texts))]
    usual = sum(not blank(cell) and cell == cell for cell in raw.iloc[0])
    for k in range(first, len(texts)):
        alone = filled[k - first] <= 1 < usual
        found[k] |= spaced[k] and (alone or below[k])
    return found


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

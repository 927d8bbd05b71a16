"""A panel read at the door: from a file's cells to canonical columns, with every finding.

Each column goes the same way: text -> number, date, level or yes/no -> scale and unit -> checked
against the dictionary. What cannot be read becomes missing and a finding; nothing is lost in
silence, and the input is not modified.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stratify.findings import Findings, lines_text, shared_levels
from stratify.plausibility import (
    SCALES,
    Place,
    check_events,
    check_filled_in,
    check_possible,
    check_rules,
    check_usual,
    fits_another_unit,
)
from stratify.schema import Field, convert, load_schema
from stratify.study import ColumnSource, TableSource

__all__ = ["read_panels"]

MISSING = frozenset(
    {"", ".", "-", "na", "n/a", "nan", "null", "none", "<na>", "not done", "not available"}
)
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_DECIMAL_COMMA = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+(?:[eE][+-]?\d+)?"


def read_panels(
    raw: pd.DataFrame, table: TableSource, cohort: str, findings: Findings
) -> dict[str, pd.DataFrame]:
    """Read the panels of one file.

    Parameters
    ----------
    raw : DataFrame
        The file as read by :func:`stratify.tabular.read_table`.
    table : TableSource
        How columns map, from the study file.
    cohort : str
        Name of the cohort, for findings.
    findings : Findings
        Collector; every fault of every column is added.

    Returns
    -------
    dict of str to DataFrame
        By panel: ``patient_id`` (text) first, then the mapped columns in canonical names, units
        and levels; numbers and yes/no as float64 (1 yes, 0 no), levels as object, dates as
        datetime64. Rows without identifier and second rows of a patient are left out.
    """
    mapped = {table.patient_id}
    for columns in table.panels.values():
        mapped.update(c.column for c in columns.values() if c.column is not None)
    unknown = [column for column in raw.columns if column not in mapped]
    if unknown:
        findings.add(
            "unknown_column",
            f"{table.file}: columns not mapped: {', '.join(unknown)}.",
            cohort=cohort,
            n=len(unknown),
        )
    if table.patient_id not in raw.columns:
        findings.add(
            "missing_column",
            f"{table.file}: no column {table.patient_id!r} for patient_id; the file has "
            f"{', '.join(raw.columns)}.",
            cohort=cohort,
            column="patient_id",
            n=1,
        )
        return {}
    identifiers = _cells(raw[table.patient_id], MISSING)
    keep = _identifiable(identifiers, table, cohort, findings)
    panels = {}
    for panel, columns in table.panels.items():
        schema = load_schema(panel)
        read = {
            name: _column(raw, source, table, schema.fields[name], cohort, findings)
            for name, source in columns.items()
        }
        frame = pd.DataFrame({"patient_id": identifiers.astype(object), **read})
        check_possible(frame, schema, columns, table.file, cohort, findings)
        check_rules(frame, schema, columns, table.file, cohort, findings)
        check_events(frame, schema, cohort, findings)
        if (
            panel not in ("clinical", "outcomes")
            and read
            and bool(frame[list(read)].isna().to_numpy().all())
        ):
            findings.add(
                "panel_all_missing",
                f"{table.file}: no value in any of {', '.join(read)}.",
                cohort=cohort,
                panel=panel,
                n=len(frame),
            )
        panels[panel] = frame[keep].reset_index(drop=True)
    return panels


def _identifiable(
    identifiers: pd.Series, table: TableSource, cohort: str, findings: Findings
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    absent = identifiers.isna()
    repeated = identifiers.duplicated(keep=False) & ~absent
    for code, wrong, text in (
        ("missing_identifier", absent, "no identifier"),
        ("duplicate_patient", repeated, "identifiers that stand more than once"),
    ):
        if wrong.any():
            where = lines_text(np.flatnonzero(wrong.to_numpy()))
            findings.add(
                code,
                f"{table.file}, {where}: {text} in column {table.patient_id!r}; one row a "
                "patient is expected.",
                cohort=cohort,
                column="patient_id",
                n=int(wrong.sum()),
            )
    return (~absent & ~identifiers.duplicated(keep="first")).to_numpy()


def _cells(cells: pd.Series, missing: frozenset[str]) -> pd.Series:
    """Cells as stripped text, whole numbers without a decimal point, missing as NaN."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        text = cells.dt.strftime("%Y-%m-%d").astype(object)
    elif pd.api.types.is_bool_dtype(cells):
        text = cells.astype(object).map(lambda cell: str(cell).lower(), na_action="ignore")
    else:
        text = cells.astype(object).map(_cell_text, na_action="ignore")
    text = text.where(text.notna(), np.nan)
    lowered = text.str.lower() if text.notna().any() else text
    cleaned: pd.Series = text.where(~lowered.isin(missing), np.nan)
    return cleaned


def _cell_text(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if hasattr(cell, "isoformat"):  # dates in Excel cells
        return str(cell.isoformat())[:10]
    text = str(cell).strip()
    whole, point, zeros = text.partition(".")  # "1.0" of a spreadsheet is the level "1"
    return whole if point and not zeros.strip("0") and whole.lstrip("+-").isdigit() else text


def _column(
    raw: pd.DataFrame,
    source: ColumnSource,
    table: TableSource,
    field: Field,
    cohort: str,
    findings: Findings,
) -> pd.Series:
    place = Place(findings, cohort, table.file, field)
    if field.assay == "required" and source.assay is None:
        place.add("assay_absent", f"{table.file}: no assay is stated for {field.name}.", len(raw))
    if source.column is not None and source.column not in raw.columns:
        from difflib import get_close_matches

        near = get_close_matches(source.column, raw.columns, n=3, cutoff=0.5)
        hint = f"; near names are {', '.join(near)}" if near else ""
        place.add(
            "missing_column",
            f"{table.file}: no column {source.column!r} for {field.name}{hint}.",
            1,
        )
        return pd.Series(np.nan, index=raw.index, dtype=float)
    if source.column is None:
        cells = pd.Series(source.value, index=raw.index, dtype=object)
    else:
        cells = raw[source.column]
    missing = MISSING | {text.lower() for text in (*table.missing, *source.missing)}
    if field.numeric:
        if source.coding is None and pd.api.types.is_numeric_dtype(cells):
            values = cells.astype(float).replace([np.inf, -np.inf], np.nan)
        else:
            values = _numbers(_coded(_cells(cells, missing), source), table.decimal, place)
        return _measured(values, source, place)
    text = _cells(cells, missing)
    if field.type == "date":
        return _dates(text, source, place)
    if field.type == "boolean":
        return _yes_no(text, source, place)
    return _levels(text, source, place) if field.enum else text.astype(object)


def _coded(text: pd.Series, source: ColumnSource) -> pd.Series:
    """Texts that the coding names replaced by their numbers; the rest as it was."""
    if source.coding is None:
        return text
    coding = source.coding
    return text.map(
        lambda cell: (
            (np.nan if coding[cell] is None else str(coding[cell])) if cell in coding else cell
        ),
        na_action="ignore",
    )


def _numbers(text: pd.Series, decimal: str, place: Place) -> pd.Series:
    given = text.notna()
    if not given.any():
        return pd.Series(np.nan, index=text.index, dtype=float)
    strings = text.astype("string")
    if decimal == ",":
        grouped = strings.str.fullmatch(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?").fillna(False)
        strings = strings.where(~grouped, strings.str.replace(".", "", regex=False))
        strings = strings.str.replace(",", ".", regex=False)
    fits = strings.str.fullmatch(_NUMBER).fillna(False).astype(bool)
    values = pd.to_numeric(strings.where(fits), errors="coerce").astype(float)
    wrong = given & ~(fits & np.isfinite(values.fillna(np.inf)))
    comma = wrong & strings.str.fullmatch(_DECIMAL_COMMA).fillna(False).astype(bool)
    if comma.any():
        place.add(
            "decimal_comma",
            f"{place.at(comma)}: decimal commas in a column of numbers.",
            int(comma.sum()),
        )
    other = wrong & ~comma
    if other.any():
        signs = strings[other].str.match(r"^\s*[<>≤≥]").fillna(False)
        what = (
            "values such as '<1' or '>=50' (censored)"
            if signs.all()
            else f"{shared_levels(list(strings[other]))}"
        )
        place.add(
            "not_numeric",
            f"{place.at(other)}: {what} where a number is expected.",
            int(other.sum()),
        )
    return pd.Series(np.where(wrong, np.nan, values), index=text.index, dtype=float)


def _measured(values: pd.Series, source: ColumnSource, place: Place) -> pd.Series:
    """Numbers brought to linear scale and canonical unit, with the checks of a whole column."""
    field = place.field
    if source.scale != "linear":
        with np.errstate(over="ignore"):
            values = SCALES[source.scale](values)
    unit = source.unit
    if unit is None and len(field.accepted_units) > 1:
        place.add(
            "unit_absent",
            f"{place.file}: the unit of {field.name} is not stated; "
            f"{' or '.join(field.accepted_units)} is expected.",
            int(values.notna().sum()),
        )
    elif unit is not None and unit not in field.accepted_units:
        accepted = ", ".join(field.accepted_units) or "none"
        place.add(
            "unit_unknown",
            f"{place.file}: {field.name} in {unit!r}; accepted units are {accepted}.",
            int(values.notna().sum()),
        )
        unit = None
    elif unit == "mutations":
        if source.scored_mb is None:
            place.add(
                "unit_absent",
                f"{place.file}: {field.name} is a number of mutations but `scored_mb` is not "
                "stated; the assay's scored megabases are expected.",
                int(values.notna().sum()),
            )
        else:
            values = values / source.scored_mb
    elif unit is not None:
        values = convert(values, unit, field.name)
    suspected = None if source.unit_confirmed else fits_another_unit(values, unit, source, place)
    if suspected is None:
        check_usual(values, place)
    if field.type == "integer":
        fractions = values.notna() & (values % 1 != 0)
        if fractions.any():
            place.add(
                "not_integer",
                f"{place.at(fractions)}: fractions where whole numbers are expected.",
                int(fractions.sum()),
            )
        return values
    return check_filled_in(values, place, source)


def _dates(text: pd.Series, source: ColumnSource, place: Place) -> pd.Series:
    form = source.date_format or "%Y-%m-%d"
    cut = text.str.slice(0, 10) if source.date_format is None and text.notna().any() else text
    dates = pd.to_datetime(cut, format=form, errors="coerce").astype("datetime64[s]")
    wrong = text.notna() & dates.isna()
    if wrong.any():
        code = "not_a_date" if wrong.sum() == text.notna().sum() else "mixed_date_formats"
        # a format in which every other date can be read tells mixture from nonsense
        others = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%b-%Y", "%d%b%Y")
        readable = any(
            pd.to_datetime(text[wrong], format=o, errors="coerce").notna().any() for o in others
        )
        if not readable:
            code = "not_a_date"
        place.add(
            code,
            f"{place.at(wrong)}: not a date in the format {form}"
            + (", though a date in another." if readable else "."),
            int(wrong.sum()),
        )
    return dates


def _yes_no(text: pd.Series, source: ColumnSource, place: Place) -> pd.Series:
    coding = source.coding
    if coding is None:
        given = set(text.dropna().str.lower())
        if not given <= {"true", "false"}:
            place.add(
                "coding_absent",
                f"{place.file}: {place.field.name} holds {len(given)} levels other than true and "
                "false, and no coding is stated.",
                int(text.notna().sum()),
            )
            return pd.Series(np.nan, index=text.index, dtype=float)
        coding = {"true": True, "false": False}
        text = text.str.lower() if text.notna().any() else text
    wrong_targets = [v for v in coding.values() if v is not None and not isinstance(v, bool)]
    if wrong_targets:
        place.add(
            "unknown_category",
            f"{place.file}: the coding of {place.field.name} leads to levels that are not true, "
            "false or null.",
            len(wrong_targets),
        )
    return (
        _recoded(text, coding, place, "true or false")
        .map({True: 1.0, False: 0.0}, na_action="ignore")
        .astype(float)
    )


def _levels(text: pd.Series, source: ColumnSource, place: Place) -> pd.Series:
    field = place.field
    if source.value is not None and source.coding is None:
        source = source.model_copy(update={"coding": {str(source.value): str(source.value)}})
    coding: dict[str, Any] = {level: level for level in field.enum}
    expected = ", ".join(field.enum)
    if source.coding is not None:
        targets = [v for v in source.coding.values() if v is not None and v not in field.enum]
        if targets:
            place.add(
                "unknown_category",
                f"{place.file}: the coding of {field.name} leads to "
                f"{', '.join(map(repr, targets))}; levels are {expected}.",
                len(targets),
            )
        coding |= {k: (v if v in field.enum else None) for k, v in source.coding.items()}
        unused = [k for k in source.coding if not (text == k).any()]
        if unused and source.column is not None:
            place.add(
                "coding_unused",
                f"{place.file}: {field.name} holds none of the coded levels {', '.join(unused)}.",
                len(unused),
            )
    return _recoded(text, coding, place, expected)


def _recoded(text: pd.Series, coding: dict[str, Any], place: Place, expected: str) -> pd.Series:
    wrong = text.notna() & ~text.isin(list(coding))
    if wrong.any():
        place.add(
            "unknown_category",
            f"{place.at(wrong)}: {shared_levels(list(text[wrong]))} of {place.field.name} not "
            f"known; levels are {expected}.",
            int(wrong.sum()),
        )
    return text.map(
        lambda cell: np.nan if coding.get(cell) is None else coding[cell], na_action="ignore"
    ).astype(object)

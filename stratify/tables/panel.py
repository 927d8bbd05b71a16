"""A panel read at the door: from a file's cells to canonical columns, with every finding.

Each column goes the same way: cell -> number, date, level or yes/no -> scale and unit -> checked
against the dictionary. What cannot be read becomes missing and a finding; nothing is lost in
silence, and the input is not modified.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from stratify.tables.cells import (
    MISSING,
    add_unread,
    cell_text,
    dates_in,
    intervals_in,
    levels_in,
    numbers_in,
    texts_of,
    yes_no_in,
)
from stratify.tables.findings import Findings
from stratify.tables.identifiers import add_unfit, as_written, chosen_rows, identifiable
from stratify.tables.plausibility import (
    SCALES,
    Place,
    check_events,
    check_filled_in,
    check_possible,
    check_rules,
    check_usual,
    fits_another_unit,
)
from stratify.tables.schema import (
    Field,
    convert,
    load_schema,
    long_panels,
    pdl1_cutoffs,
    raw_panels,
)
from stratify.tables.sources import DAY_FORMS, ColumnSource, TableSource

__all__ = ["read_panels"]

# Names of columns listed in one message.
MOST_NAMES = 20
_Flags = np.ndarray[Any, np.dtype[np.bool_]]


def read_panels(
    raw: pd.DataFrame,
    table: TableSource,
    cohort: str,
    findings: Findings,
    *,
    left_out: Collection[str] = (),
    first_doses: pd.Series | None = None,
) -> dict[str, pd.DataFrame]:
    """Read the panels of one file.

    Parameters
    ----------
    raw : DataFrame
        The file as read by :func:`stratify.tables.files.read_numbered`; findings name the rows by
        its index.
    table : TableSource
        How columns map, from the study file.
    cohort : str
        Name of the cohort, for findings.
    findings : Findings
        Collector; every fault of every column is added.
    left_out : collection of str
        Panels that are not to be read.
    first_doses : Series, optional
        Date of the first dose by patient, from a table read before; it gives days to dates.

    Returns
    -------
    dict of str to DataFrame
        By panel: ``patient_id`` (text) first, then the mapped columns in canonical names, units
        and levels; numbers and yes/no as float64 (1 yes, 0 no), levels as object, dates as
        datetime64. Rows without identifier are left out, and second rows of a patient but in
        panels with several rows a patient; the index of those still names the lines.
    """
    names = [str(column) for column in raw.columns]
    mapped = {table.patient_id, *table.rows}
    for columns in table.panels.values():
        mapped.update(c.column for c in columns.values() if c.column is not None)
    sources = {
        panel: _spread(columns, [name for name in sorted(names) if name not in mapped])
        for panel, columns in table.panels.items()
    }
    for columns in sources.values():
        mapped.update(c.column for c in columns.values() if c.column is not None)
    if table.patient_id not in names:
        # few names are told: in a file without header they are a patient's values
        findings.add(
            "missing_column",
            f"{table.file}: no column {table.patient_id!r} for patient_id"
            f"{_near(table.patient_id, [c for c in names if not re.search('[0-9]', c)])}.",
            cohort=cohort,
            column="patient_id",
            n=1,
        )
        return {}
    chosen = chosen_rows(raw, table, cohort, findings)
    if not chosen.any():
        return {}
    raw = raw[chosen]
    unknown = [column for column in names if column not in mapped]
    if unknown:
        rest = len(unknown) - MOST_NAMES
        findings.add(
            "unknown_column",
            f"{table.file}: columns not mapped: {', '.join(unknown[:MOST_NAMES])}"
            f"{f' and {rest} more' if rest > 0 else ''}.",
            cohort=cohort,
            n=len(unknown),
        )
    identifiers = texts_of(raw[table.patient_id], MISSING)
    if table.identifier is not None:
        raw, identifiers = as_written(raw, identifiers, table, cohort, findings)
    long = not set(long_panels()).isdisjoint(table.panels)
    keep = identifiable(identifiers, table, cohort, findings, long)
    starts = None if first_doses is None else identifiers.map(first_doses)
    dosed = table.panels.get("clinical", {}).get("first_dose_date")
    if dosed is not None and "clinical" not in left_out:
        unheard = Findings()  # told when the column is read in its turn
        field = load_schema("clinical").fields["first_dose_date"]
        starts = _column(raw, dosed, table, field, cohort, unheard)
    panels = {}
    for panel, columns in sources.items():
        if panel in left_out:
            continue
        schema = load_schema(panel)
        read = {
            name: _column(raw, source, table, schema.fields[name], cohort, findings, starts)
            for name, source in columns.items()
        }
        for name, source in columns.items():
            if schema.fields[name].interval:
                read |= _bounds(raw, source, table, schema.fields[name], read[name])
        frame = pd.DataFrame({"patient_id": identifiers.astype(object), **read})
        if panel not in raw_panels():  # what makes features of those checks them
            check_possible(frame, schema, columns, table.file, cohort, findings)
        check_rules(frame, schema, columns, table.file, cohort, findings)
        check_events(frame, schema, table.file, cohort, findings)
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
        panels[panel] = frame[keep] if long else frame[keep].reset_index(drop=True)
    return panels


def _spread(columns: Mapping[str, ColumnSource], others: Sequence[str]) -> dict[str, ColumnSource]:
    """Put a source for each other column of the file in place of one whose column is ``*``."""
    spread: dict[str, ColumnSource] = {}
    for name, source in columns.items():
        if source.column != "*":
            spread[name] = source
            continue
        for column in others:
            plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
            new = name.replace("*", plain)
            while new in spread:
                new += "_"
            spread[new] = source.model_copy(update={"column": column})
    return spread


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; near names are {', '.join(near)}" if near else ""


def _column(
    raw: pd.DataFrame,
    source: ColumnSource,
    table: TableSource,
    field: Field,
    cohort: str,
    findings: Findings,
    starts: pd.Series | None = None,
) -> pd.Series:
    place = Place(findings, cohort, table.file, field)
    if field.assay == "required" and source.assay is None:
        place.add("assay_absent", f"{table.file}: no assay is stated for {field.name}.", len(raw))
    if source.column is not None and source.column not in raw.columns:
        place.add(
            "missing_column",
            f"{table.file}: no column {source.column!r} for {field.name}"
            f"{_near(source.column, list(raw.columns))}.",
            1,
        )
        return pd.Series(np.nan, index=raw.index, dtype=field.dtype)
    coding = _coding(source, place)
    stated = {cell_text(text).lower() for text in (*table.missing, *source.missing)}
    if source.column is None:
        cells = pd.Series(source.value, index=raw.index, dtype=object)
    elif source.pattern is not None:
        cells = _group_of(raw[source.column], source.pattern, place)
    else:
        cells = raw[source.column]
        numbers = pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)
        if field.numeric and numbers and not coding and not stated:  # quick for Parquet
            values = cells.astype(float)
            infinite = np.isinf(values.to_numpy())
            if infinite.any():
                nothing = pd.Series(pd.NA, raw.index, dtype="string")
                add_unread(nothing, infinite, table.decimal, place)
            return _measured(values.mask(infinite), source, place)
        cells = cells.astype(object)
    if source.unit in DAY_FORMS and "days" in field.accepted_units:
        return _timed(cells, source, table, place, starts)
    levels = [level for level in field.enum if level.lower() not in stated]
    text = texts_of(cells, MISSING | stated, {*coding, *levels})
    held = set(text.dropna().unique()) if coding else set()
    unused = [key for key in coding if key not in held]
    if unused and held:
        place.add(
            "coding_unused",
            f"{place.file}: {field.name} holds no {' and no '.join(map(repr, unused))}, which its "
            "coding names.",
            len(unused),
        )
    if field.interval:
        intervals = _intervals(text, source, table, field, coding)
        coding |= {cell: (low + high) / 2 for cell, (low, high) in intervals.items()}
        ranges = [cell for cell, (low, high) in intervals.items() if low < high]
        if ranges:
            told = text.isin(ranges)
            place.add(
                "interval_values",
                f"{place.at(told)}: {field.name} reported as intervals, such as '<1'; the middle "
                "is read, and the bounds are kept beside it.",
                int(told.sum()),
            )
    if field.numeric:
        return _measured(numbers_in(cells, text, coding, source, table, place), source, place)
    if field.type == "date":
        return dates_in(cells, text, source, place)
    if field.type == "boolean":
        return yes_no_in(text, coding, place)
    if not field.enum:
        return text.astype(object)
    return levels_in(text, coding, field.spellings, place)


def _group_of(cells: pd.Series, pattern: str, place: Place) -> pd.Series:
    """First group of a pattern in each text."""
    text = texts_of(cells.astype(object), MISSING).astype("string")
    whole = pattern if re.compile(pattern).groups else f"({pattern})"
    group = text.str.extract(whole)[0]
    unfit = text.notna() & group.isna()
    if unfit.any():
        what = f"texts of {place.field.name}"
        add_unfit(
            place.at(unfit), what, int(unfit.sum()), place.cohort, place.findings, place.field
        )
    return group.astype(object)


def _intervals(
    text: pd.Series,
    source: ColumnSource,
    table: TableSource,
    field: Field,
    coding: Mapping[str, Any],
) -> dict[str, tuple[float, float]]:
    """Intervals of a column in the file's unit, but for texts with a coding."""
    unit = str(source.unit if source.unit in field.accepted_units else field.unit)
    highest = convert(float(field.maximum or np.inf), unit, field, back=True)
    named = pdl1_cutoffs()["levels"].get(field.name, {})
    levels = {
        level: (convert(low, unit, field, back=True), convert(high, unit, field, back=True))
        for level, (low, high) in named.items()
    }
    lowest = float(field.minimum or 0)
    found = intervals_in(text, table.decimal, lowest, highest, labels=field.labels, levels=levels)
    return {cell: bounds for cell, bounds in found.items() if cell not in coding}


def _bounds(
    raw: pd.DataFrame, source: ColumnSource, table: TableSource, field: Field, middle: pd.Series
) -> dict[str, pd.Series]:
    """Bounds of a column of intervals in its canonical unit; nothing where there are none."""
    if source.column not in raw or source.scale != "linear":
        return {}
    stated = {cell_text(text).lower() for text in (*table.missing, *source.missing)}
    text = texts_of(raw[source.column].astype(object), MISSING | stated, source.coding or {})
    coded = {cell_text(key) for key in source.coding or {}}
    intervals = _intervals(text, source, table, field, dict.fromkeys(coded))
    if all(low == high for low, high in intervals.values()):
        return {}
    unit = source.unit if source.unit in field.accepted_units else field.unit
    sides = {}
    for k, side in enumerate(("low", "high")):
        bound = text.map({cell: pair[k] for cell, pair in intervals.items()}).astype(float)
        bound = convert(bound, str(unit), field)
        sides[f"{field.name}_{side}"] = bound.where(bound.notna(), middle)
    return sides


def _coding(source: ColumnSource, place: Place) -> dict[str, Any]:
    """Coding with its texts as cells are read; what leads nowhere leads to missing."""
    field = place.field
    if field.numeric:
        expected = "numbers or null are expected"
    elif field.type == "boolean":
        expected = "true, false or null is expected"
    else:
        expected = f"levels are {', '.join(field.enum)}"

    def fits(level: object) -> bool:
        if level is None:
            return True
        if field.numeric:
            return isinstance(level, (int, float)) and not isinstance(level, bool)
        return isinstance(level, bool) if field.type == "boolean" else level in field.enum

    coding = {cell_text(key): level for key, level in (source.coding or {}).items()}
    wrong = [level for level in coding.values() if not fits(level)]
    if wrong:
        place.add(
            "unknown_category",
            f"{place.file}: the coding of {field.name} leads to {', '.join(map(repr, wrong))}; "
            f"{expected}.",
            len(wrong),
        )
    return {key: level if fits(level) else None for key, level in coding.items()}


def _measured(values: pd.Series, source: ColumnSource, place: Place) -> pd.Series:
    """Numbers brought to linear scale and canonical unit, with the checks of a whole column."""
    field = place.field
    if source.scale != "linear":
        with np.errstate(over="ignore"):
            values = SCALES[source.scale](values)
    as_given, unit = values, source.unit
    if unit is None and len(field.accepted_units) > 1:
        place.add(
            "unit_absent",
            f"{place.file}: the unit of {field.name} is not stated; "
            f"{' or '.join(field.accepted_units)} is expected.",
            int(values.count()),
        )
        return values
    if unit is not None and unit not in field.accepted_units:
        accepted = ", ".join(field.accepted_units) or "none"
        place.add(
            "unit_unknown",
            f"{place.file}: {field.name} in {unit!r}; accepted units are {accepted}.",
            int(values.count()),
        )
        return values
    if unit == "mutations" and source.scored_mb is None:
        place.add(
            "unit_absent",
            f"{place.file}: {field.name} is a number of mutations but `scored_mb` is not "
            "stated; the assay's scored megabases are expected.",
            int(values.count()),
        )
        return values
    if unit is not None:
        values = values / source.scored_mb if source.scored_mb else convert(values, unit, field)
    if source.unit_confirmed or not fits_another_unit(values, as_given, source, place):
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


def _timed(
    cells: pd.Series,
    source: ColumnSource,
    table: TableSource,
    place: Place,
    starts: pd.Series | None,
) -> pd.Series:
    """Days from the first dose, given as dates or as study days, which know no day 0."""
    stated = {cell_text(text).lower() for text in (*table.missing, *source.missing)}
    text = texts_of(cells, MISSING | stated)
    in_days = source.model_copy(update={"unit": "days"})
    if source.unit == "study_day":
        given = numbers_in(cells, text, {}, source, table, place)
        zero = given == 0
        if zero.any():
            place.add(
                "outside_limits",
                f"{place.at(zero)}: study day 0, which does not exist; state `unit: days` if days "
                "are counted from 0.",
                int(zero.sum()),
            )
        return _measured(given.mask(zero) - (given > 0), in_days, place)
    dates = dates_in(cells, text, source, place)
    first = pd.Series(pd.NaT, cells.index, dtype="datetime64[s]") if starts is None else starts
    lost = dates.notna() & first.isna()
    if lost.any():
        place.add(
            "first_dose_date_missing",
            f"{place.at(lost)}: a date of {place.field.name}, but no date of the patient's first "
            "dose to count from.",
            int(lost.sum()),
        )
    return _measured((dates - first).dt.days.astype(float), in_days, place)

"""One column of a file: cell -> number, date, level or yes/no -> scale and unit -> checked.

What cannot be read becomes missing and a finding.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
from stratify.tables.distribution import check_distribution
from stratify.tables.findings import ColumnFindings
from stratify.tables.identifiers import UNFIT
from stratify.tables.plausibility import SCALES, check_filled_in, check_usual, fits_another_unit
from stratify.tables.schema import Field, convert, pdl1_cutoffs
from stratify.tables.sources import DAY_FORMS, ColumnSource, TableSource

__all__ = ["ColumnReader", "near_names"]


def near_names(name: str, names: Sequence[str]) -> str:
    """Names near to one that is not there, as text; nothing if there are none."""
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; near names are {', '.join(near)}" if near else ""


@dataclass(frozen=True)
class ColumnReader:
    """Reader of the columns of one file.

    Attributes
    ----------
    raw : DataFrame
        Rows of the file that are taken.
    table : TableSource
        How the file is written.
    starts : Series or None
        Date of the first dose by row, which gives days to dates.
    """

    raw: pd.DataFrame
    table: TableSource
    starts: pd.Series | None

    def read(self, source: ColumnSource, found: ColumnFindings) -> pd.Series:
        """Read a column in its canonical unit or levels, and add all faults."""
        raw, field = self.raw, found.field
        if field.assay == "required" and source.assay is None:
            found.add("assay_absent", f"no assay is stated for {field.name}.", len(raw))
        if source.column is not None and source.column not in raw.columns:
            near = near_names(source.column, list(raw.columns))
            found.add("missing_column", f"no column {source.column!r} for {field.name}{near}.", 1)
            return pd.Series(np.nan, index=raw.index, dtype=field.dtype)
        coding, stated = _coding(source, found), self._stated(source)
        if source.column is None:
            cells = pd.Series(source.value, index=raw.index, dtype=object)
        elif source.pattern is not None:
            cells = _group_of(raw[source.column], source.pattern, found)
        else:
            cells = raw[source.column]
            numbers = pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)
            if field.numeric and numbers and not coding and not stated:  # of Parquet
                return self._typed(cells.astype(float), source, found)
            cells = cells.astype(object)
        if source.unit in DAY_FORMS and "days" in field.accepted_units:
            return self._timed(cells, source, found)
        levels = [level for level in field.enum if level.lower() not in stated]
        text = texts_of(cells, MISSING | stated, {*coding, *levels})
        coding = _in_any_case(coding, text)
        if coding and (held := set(text.dropna().unique())):
            found.findings.add_coding(found, coding, held)
        if field.interval:
            coding |= self._middles(text, source, coding, found)
        if field.numeric:
            values = numbers_in(cells, text, coding, source, self.table, found)
            return _measured(values, source, found)
        if field.type == "date":
            return dates_in(cells, text, source, found)
        if field.type == "boolean":
            return yes_no_in(text, coding, found)
        if not field.enum:
            return text.astype(object)
        return levels_in(text, coding, field.spellings, found)

    def bounds(self, source: ColumnSource, field: Field, middle: pd.Series) -> dict[str, pd.Series]:
        """Bounds of a column of intervals in its canonical unit; nothing where there are none."""
        if source.column not in self.raw or source.scale != "linear":
            return {}
        cells = self.raw[source.column].astype(object)
        text = texts_of(cells, MISSING | self._stated(source), source.coding or {})
        coded = {cell_text(key) for key in source.coding or {}}
        intervals = self._intervals(text, source, field, coded)
        if all(low == high for low, high in intervals.values()):
            return {}
        unit = source.unit if source.unit in field.accepted_units else field.unit
        sides = {}
        for k, side in enumerate(("low", "high")):
            bound = text.map({cell: pair[k] for cell, pair in intervals.items()}).astype(float)
            bound = convert(bound, str(unit), field)
            sides[f"{field.name}_{side}"] = bound.where(bound.notna(), middle)
        return sides

    def _stated(self, source: ColumnSource) -> set[str]:
        """Texts that the study says mean missing."""
        return {cell_text(text).lower() for text in (*self.table.missing, *source.missing)}

    def _typed(self, values: pd.Series, source: ColumnSource, found: ColumnFindings) -> pd.Series:
        """Numbers that the file holds as numbers."""
        infinite = np.isinf(values.to_numpy())
        if infinite.any():
            nothing = pd.Series(pd.NA, values.index, dtype="string")
            add_unread(nothing, infinite, self.table.decimal, found)
        return _measured(values.mask(infinite), source, found)

    def _middles(
        self,
        text: pd.Series,
        source: ColumnSource,
        coding: Mapping[str, Any],
        found: ColumnFindings,
    ) -> dict[str, float]:
        """Middle of each interval by its text."""
        intervals = self._intervals(text, source, found.field, coding)
        ranges = [cell for cell, (low, high) in intervals.items() if low < high]
        message = (
            f"{found.field.name} reported as intervals, such as '<1'; the middle is read, and the "
            "bounds are kept too."
        )
        found.add_rows("interval_values", text.isin(ranges), message)
        return {cell: (low + high) / 2 for cell, (low, high) in intervals.items()}

    def _intervals(
        self, text: pd.Series, source: ColumnSource, field: Field, coded: Collection[str]
    ) -> dict[str, tuple[float, float]]:
        """Intervals of a column in the file's unit, but for texts with a coding."""
        unit = str(source.unit if source.unit in field.accepted_units else field.unit)
        highest = convert(float(field.maximum or np.inf), unit, field, back=True)
        levels = {
            level: (convert(low, unit, field, back=True), convert(high, unit, field, back=True))
            for level, (low, high) in pdl1_cutoffs()["levels"].get(field.name, {}).items()
        }
        read = intervals_in(
            text,
            self.table.decimal,
            float(field.minimum or 0),
            highest,
            labels=field.labels,
            levels=levels,
            percent=0.01 if unit == "fraction" else 1.0,
        )
        return {cell: bounds for cell, bounds in read.items() if cell not in coded}

    def _timed(self, cells: pd.Series, source: ColumnSource, found: ColumnFindings) -> pd.Series:
        """Days from the first dose, given as dates or as study days, which know no day 0."""
        text = texts_of(cells, MISSING | self._stated(source))
        in_days = source.model_copy(update={"unit": "days"})
        if source.unit == "study_day":
            given = numbers_in(cells, text, {}, source, self.table, found)
            message = (
                "study day 0, which does not exist; state `unit: days` if days are counted from 0."
            )
            found.add_rows("outside_limits", given == 0, message)
            return _measured(given.mask(given == 0) - (given > 0), in_days, found)
        dates, first = dates_in(cells, text, source, found), self.starts
        if first is None:
            first = pd.Series(pd.NaT, cells.index, dtype="datetime64[s]")
        message = (
            f"a date of {found.field.name}, but no date of the patient's first dose to count from."
        )
        found.add_rows("first_dose_date_missing", dates.notna() & first.isna(), message)
        return _measured((dates - first).dt.days.astype(float), in_days, found)


def _in_any_case(coding: dict[str, Any], text: pd.Series) -> dict[str, Any]:
    """Coding of yes and no as R, Python and spreadsheets write it: TRUE, True, true."""
    words = {key: level for key, level in coding.items() if key in ("true", "false")}
    if not words:
        return coding
    held = {str(each) for each in text.dropna().unique()}
    others = {each: words[each.lower()] for each in held - set(coding) if each.lower() in words}
    unheld = {each.lower() for each in others} - held
    return {key: level for key, level in coding.items() if key not in unheld} | others


def _group_of(cells: pd.Series, pattern: str, found: ColumnFindings) -> pd.Series:
    """First group of a pattern in each text."""
    text = texts_of(cells.astype(object), MISSING).astype("string")
    whole = pattern if re.compile(pattern).groups else f"({pattern})"
    group = text.str.extract(whole)[0]
    message = f"texts of {found.field.name} {UNFIT}"
    found.add_rows("pattern_not_matched", text.notna() & group.isna(), message)
    return group.astype(object)


def _coding(source: ColumnSource, found: ColumnFindings) -> dict[str, Any]:
    """Coding with its texts as cells are read; what leads nowhere leads to missing."""
    field = found.field
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
        leads = f"the coding of {field.name} leads to {', '.join(map(repr, wrong))}"
        found.add("unknown_category", f"{leads}; {expected}.", len(wrong))
    return {key: level if fits(level) else None for key, level in coding.items()}


def _measured(values: pd.Series, source: ColumnSource, found: ColumnFindings) -> pd.Series:
    """Numbers brought to linear scale and canonical unit, with the checks of a whole column."""
    field, unit = found.field, source.unit
    if source.scale != "linear":
        with np.errstate(over="ignore"):
            values = SCALES[source.scale](values)
    as_given, units = values, field.accepted_units
    fault = None
    if unit is None and len(units) > 1:
        text = f"the unit of {field.name} is not stated; {' or '.join(units)} is expected."
        fault = ("unit_absent", text)
    elif unit is not None and unit not in units:
        accepted = ", ".join(units) or "none"
        fault = ("unit_unknown", f"{field.name} in {unit!r}; accepted units are {accepted}.")
    elif unit == "mutations" and source.scored_mb is None:
        text = (
            f"{field.name} is a number of mutations but `scored_mb` is not stated; the assay's "
            "scored megabases are expected."
        )
        fault = ("unit_absent", text)
    if fault is not None:
        found.add(*fault, int(values.count()))
        return values
    if unit is not None:
        values = values / source.scored_mb if source.scored_mb else convert(values, unit, field)
    if source.unit_confirmed or not fits_another_unit(values, as_given, source, found):
        check_usual(values, found)
        if not source.unit_confirmed:
            check_distribution(values, as_given, found)
    if field.type == "integer":
        fractions = values.notna() & (values % 1 != 0)
        found.add_rows("not_integer", fractions, "fractions where whole numbers are expected.")
        return values
    return check_filled_in(values, found, source)

"""A panel read at the door: from a file's cells to canonical columns, with every finding.

Each column goes the same way: cell -> number, date, level or yes/no -> scale and unit -> checked
against the dictionary. What cannot be read becomes missing and a finding; nothing is lost in
silence, and the input is not modified.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from stratify.findings import Findings, lines_text, listed, shared_levels
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
    {"", ".", "-", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "<na>"}
    | {"not done", "not available"}
)
# Names of columns listed in one message.
MOST_NAMES = 20
_Flags = np.ndarray[Any, np.dtype[np.bool_]]
_Integers = np.ndarray[Any, np.dtype[np.int64]]


def read_panels(
    raw: pd.DataFrame,
    table: TableSource,
    cohort: str,
    findings: Findings,
    *,
    left_out: Collection[str] = (),
) -> dict[str, pd.DataFrame]:
    """Read the panels of one file.

    Parameters
    ----------
    raw : DataFrame
        The file as read by :func:`stratify.tabular.read_numbered`; findings name the rows by its
        index.
    table : TableSource
        How columns map, from the study file.
    cohort : str
        Name of the cohort, for findings.
    findings : Findings
        Collector; every fault of every column is added.
    left_out : collection of str
        Panels that are not to be read.

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
    names = [str(column) for column in raw.columns]
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
    identifiers = _texts(raw[table.patient_id], MISSING)
    keep = _identifiable(identifiers, table, cohort, findings)
    panels = {}
    for panel, columns in table.panels.items():
        if panel in left_out:
            continue
        schema = load_schema(panel)
        read = {
            name: _column(raw, source, table, schema.fields[name], cohort, findings)
            for name, source in columns.items()
        }
        frame = pd.DataFrame({"patient_id": identifiers.astype(object), **read})
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
        panels[panel] = frame[keep].reset_index(drop=True)
    return panels


def _near(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; near names are {', '.join(near)}" if near else ""


def _identifiable(
    identifiers: pd.Series, table: TableSource, cohort: str, findings: Findings
) -> _Flags:
    absent = identifiers.isna()
    repeated = identifiers.duplicated(keep=False) & ~absent
    for code, wrong, text in (
        ("missing_identifier", absent, "no identifier"),
        ("duplicate_patient", repeated, "identifiers that stand more than once"),
    ):
        if wrong.any():
            where = lines_text(wrong.index[wrong], str(wrong.index.name or "row"))
            findings.add(
                code,
                f"{table.file}, {where}: {text} in column {table.patient_id!r}; one row a "
                "patient is expected.",
                cohort=cohort,
                column="patient_id",
                n=int(wrong.sum()),
            )
    return (~absent & ~identifiers.duplicated(keep="first")).to_numpy()


def _texts(cells: pd.Series, missing: Collection[str], meant: Collection[str] = ()) -> pd.Series:
    """Cells as text, missing as NaN; texts that are ``meant`` are not missing."""
    codes, firsts = _distinct(cells)
    first = cells.to_numpy(dtype=object)[firsts]
    texts = ["" if no else _cell_text(cell) for cell, no in zip(first, pd.isna(first), strict=True)]
    kept = [text if text in meant or text.lower() not in missing else np.nan for text in texts]
    return pd.Series(np.array(kept, dtype=object)[codes], index=cells.index)


def _distinct(cells: pd.Series) -> tuple[_Integers, _Integers]:
    """Kind of each cell, and where each kind stands first: equal texts are read once."""
    if pd.api.types.infer_dtype(cells, skipna=True) != "string":  # 1 and True are equal too
        return np.arange(len(cells)), np.arange(len(cells))
    codes, _ = pd.factorize(cells, use_na_sentinel=False)
    return codes, np.unique(codes, return_index=True)[1]


def _cell_text(cell: object) -> str:
    """One cell as text: spaces single, whole numbers without a point, dates as ISO 8601."""
    if isinstance(cell, (bool, np.bool_)):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if hasattr(cell, "isoformat"):  # dates in Excel cells
        return str(cell.isoformat())[:10]
    text = _plain(str(cell))
    whole = text.removesuffix(".0")  # "1.0" of a spreadsheet is the level "1"
    return whole if whole.lstrip("+-").isdigit() else text


def _plain(text: str) -> str:
    return " ".join(text.split())  # no-break spaces are spaces


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
        place.add(
            "missing_column",
            f"{table.file}: no column {source.column!r} for {field.name}"
            f"{_near(source.column, list(raw.columns))}.",
            1,
        )
        return pd.Series(np.nan, index=raw.index, dtype=field.dtype)
    coding = _coding(source, place)
    stated = {_cell_text(text).lower() for text in (*table.missing, *source.missing)}
    if source.column is None:
        cells = pd.Series(source.value, index=raw.index, dtype=object)
    else:
        cells = raw[source.column]
        numbers = pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)
        if field.numeric and numbers and not coding and not stated:  # quick for Parquet
            values = cells.astype(float)
            infinite = np.isinf(values.to_numpy())
            if infinite.any():
                nothing = pd.Series(pd.NA, raw.index, dtype="string")
                _tell_unread(nothing, infinite, table.decimal, place)
            return _measured(values.mask(infinite), source, place)
        cells = cells.astype(object)
    levels = [level for level in field.enum if level.lower() not in stated]
    text = _texts(cells, MISSING | stated, {*coding, *levels})
    held = set(text.dropna().unique()) if coding else set()
    unused = [key for key in coding if key not in held]
    if unused and held:
        place.add(
            "coding_unused",
            f"{place.file}: {field.name} holds no {' and no '.join(map(repr, unused))}, which its "
            "coding names.",
            len(unused),
        )
    if field.numeric:
        return _measured(_numbers(cells, text, coding, source, table, place), source, place)
    if field.type == "date":
        return _dates(cells, text, source, place)
    if field.type == "boolean":
        return _yes_no(text, coding, place)
    if not field.enum:
        return text.astype(object)
    return _recoded(text, coding, {level.lower(): level for level in field.enum}, place)


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

    coding = {_cell_text(key): level for key, level in (source.coding or {}).items()}
    wrong = [level for level in coding.values() if not fits(level)]
    if wrong:
        place.add(
            "unknown_category",
            f"{place.file}: the coding of {field.name} leads to {', '.join(map(repr, wrong))}; "
            f"{expected}.",
            len(wrong),
        )
    return {key: level if fits(level) else None for key, level in coding.items()}


def _numbers(
    cells: pd.Series,
    text: pd.Series,
    coding: Mapping[str, Any],
    source: ColumnSource,
    table: TableSource,
    place: Place,
) -> pd.Series:
    """Numbers of cells: as coded, as typed by Excel or Parquet, or as written."""
    read = _reader(table.decimal, table.thousands, percent=source.unit == "percent")
    codes, firsts = _distinct(cells)
    values = np.full(len(firsts), np.nan)
    unread = np.full(len(firsts), np.nan, dtype=object)
    first, texts = cells.to_numpy(dtype=object)[firsts], text.to_numpy()[firsts]
    for i, (cell, known) in enumerate(zip(first, texts, strict=True)):
        if not isinstance(known, str):
            continue
        if known in coding:
            values[i] = np.nan if coding[known] is None else coding[known]
        elif _is_number(cell):
            values[i] = float(cell)
        elif (number := read(plain := _plain(str(cell)))) is None:  # 1.000 may be a thousand
            unread[i] = plain
        else:
            values[i] = number
    values = values[codes]
    infinite = np.isinf(values)
    if infinite.any() or not pd.isna(unread).all():
        strange = pd.Series(unread[codes], cells.index, dtype="string")
        _tell_unread(strange, infinite, table.decimal, place)
    return pd.Series(np.where(infinite, np.nan, values), index=cells.index)


def _reader(decimal: str, thousands: str | None, *, percent: bool) -> Callable[[str], float | None]:
    """Give a function from text to the number it surely is, else None."""
    point, group = re.escape(decimal), re.escape(thousands or "")
    number = re.compile(
        rf"[+-]?(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        + (rf"|[+-]?[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+(?:{point}[0-9]*)?" if group else "")
    )

    def read(text: str) -> float | None:
        text = text.replace("−", "-").replace("’", "'")
        if percent:
            text = text.removesuffix("%").rstrip()
        if not number.fullmatch(text):
            return None
        return float(text.replace(thousands or " ", "").replace(",", "."))

    return read


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float, np.number, Decimal)) and not isinstance(cell, bool)


def _matches(text: pd.Series, pattern: str) -> pd.Series:
    return text.str.fullmatch(pattern).fillna(False).astype(bool)


def _tell_unread(unread: pd.Series, infinite: _Flags, decimal: str, place: Place) -> None:
    """Say what stands where a number is expected; ambiguous numbers are never guessed."""
    point, other = re.escape(decimal), "," if decimal == "." else r"\."
    foreign = _matches(
        unread,
        rf"[+-]?(?:[0-9]{{1,3}}(?:{point}[0-9]{{3}})+|[0-9]*){other}[0-9]+(?:[eE][+-]?[0-9]+)?",
    )
    grouped = _matches(unread, r"[+-]?[1-9][0-9]{0,2}(?:[ ,.'][0-9]{3})+(?:[.,][0-9]*)?")
    ambiguous = _matches(unread, rf"[+-]?[1-9][0-9]{{0,2}}{other}[0-9]{{3}}")
    if (foreign & ~ambiguous).any():  # beside 3,9 the number 3,125 has three decimals
        grouped &= ~foreign
    else:
        foreign &= ~ambiguous
    censored = _matches(unread, r"[<>≤≥].*")
    percent = _matches(unread, r"[^<>≤≥].*%")
    words = unread.notna() & ~(foreign | grouped | censored | percent)
    if decimal == "." and foreign.any():
        place.add(
            "decimal_comma",
            f"{place.at(foreign)}: decimal commas in a column of numbers.",
            int(foreign.sum()),
        )
        foreign = foreign & False
    if grouped.any():
        place.add(
            "grouped_digits",
            f"{place.at(grouped)}: digits in groups of three, or three decimals behind another "
            f"sign than {decimal!r}.",
            int(grouped.sum()),
        )
    kinds = (
        (censored, "censored value such as '<1'", "censored values such as '<1'"),
        (percent, "value with a percent sign", "values with percent signs"),
        (foreign, "number with a decimal point", "numbers with decimal points"),
        (infinite, "infinite value", "infinite values"),
    )
    found = [f"{n} {one if n == 1 else many}" for at, one, many in kinds if (n := int(at.sum()))]
    if words.any():
        found.append(shared_levels(list(unread[words])))
    wrong = censored | percent | foreign | infinite | words
    if found:
        place.add(
            "not_numeric",
            f"{place.at(wrong)}: {listed(found)} where a number is expected.",
            int(wrong.sum()),
        )


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
        values = (
            values / source.scored_mb if source.scored_mb else convert(values, unit, field.name)
        )
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


def _dates(cells: pd.Series, text: pd.Series, source: ColumnSource, place: Place) -> pd.Series:
    """Dates as typed by Excel or Parquet, or as written in the format stated."""
    form = source.date_format or "%Y-%m-%d"
    written = text.astype("string")
    if source.date_format is None:  # a time of the day may follow
        written = written.mask(_matches(written, r".{10}[ T][0-9:.+Z-]+"), written.str.slice(0, 10))
    typed = cells.map(lambda cell: hasattr(cell, "isoformat")).astype(bool)
    dates = pd.to_datetime(written, format=form, errors="coerce").astype("datetime64[s]")
    if typed.any():
        iso = pd.to_datetime(written.where(typed), format="%Y-%m-%d", errors="coerce")
        dates = dates.mask(typed, iso.astype("datetime64[s]"))
    wrong = text.notna() & dates.isna()
    if wrong.any():
        others = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%b-%Y", "%d%b%Y")
        unread = written[wrong]
        readable = any(
            pd.to_datetime(unread, format=other, errors="coerce").notna().any() for other in others
        )
        mixed = readable and dates.notna().any()  # tells mixture from nonsense
        hint = ", though a date in another" if readable else ""
        if _matches(unread, "[1-9][0-9]{4}").all():
            hint = ", but a number of days as Excel counts them"
        place.add(
            "mixed_date_formats" if mixed else "not_a_date",
            f"{place.at(wrong)}: not a date in the format {form}{hint}.",
            int(wrong.sum()),
        )
    return dates


def _yes_no(text: pd.Series, coding: Mapping[str, Any], place: Place) -> pd.Series:
    others = [cell for cell in text.dropna() if cell.lower() not in ("true", "false")]
    if not coding and others:
        place.add(
            "coding_absent",
            f"{place.file}: {place.field.name} holds {shared_levels(others)} beside true "
            "and false, and no coding is stated.",
            len(others),
        )
        return pd.Series(np.nan, index=text.index, dtype=float)
    return _recoded(text, coding, {"true": True, "false": False}, place).astype(float)


def _recoded(
    text: pd.Series, coding: Mapping[str, Any], canonical: Mapping[str, Any], place: Place
) -> pd.Series:
    """Levels as coded, else canonical levels in any case."""
    levels = list(text.dropna().unique())
    known = {level: canonical[level.lower()] for level in levels if level.lower() in canonical}
    known |= {level: np.nan if goal is None else goal for level, goal in coding.items()}
    wrong = text.notna() & ~text.isin(list(known))
    if wrong.any():
        also = f", or by the coding {', '.join(map(repr, coding))}" if coding else ""
        place.add(
            "unknown_category",
            f"{place.at(wrong)}: {shared_levels(list(text[wrong]))} of {place.field.name} not "
            f"known; levels are {', '.join(place.field.enum or canonical)}{also}.",
            int(wrong.sum()),
        )
    return text.map(known).astype(object)

"""Cells of an export -> numbers, dates, levels and yes/no; what is not surely read is a finding.

Equal texts are read once. Ambiguous numbers and dates are never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Ints
from stratify.tables.findings import ColumnFindings, listed, named_levels, shared_levels
from stratify.tables.levels import plain_text
from stratify.tables.sources import ColumnSource, TableSource
from stratify.tables.workbook import PercentCell

__all__ = [
    "add_unread",
    "cell_text",
    "dates_in",
    "levels_in",
    "numbers_in",
    "texts_of",
    "yes_no_in",
]

MISSING = frozenset(
    {"", ".", "-", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "<na>"}
    | {"not done", "not available"}
)
_ONE_KIND = ("string", "boolean", "integer", "floating")


def texts_of(cells: pd.Series, missing: Collection[str], meant: Collection[str] = ()) -> pd.Series:
    """Cells as text, missing as NaN; texts that are ``meant`` are not missing."""
    codes, firsts = _distinct(cells)
    first = cells.to_numpy(dtype=object)[firsts]
    texts = ["" if no else cell_text(cell) for cell, no in zip(first, pd.isna(first), strict=True)]
    kept = [text if text in meant or text.lower() not in missing else np.nan for text in texts]
    return pd.Series(np.array(kept, dtype=object)[codes], index=cells.index)


def _distinct(cells: pd.Series) -> tuple[Ints, Ints]:
    """Kind of each cell, and where each kind stands first: equal texts are read once."""
    if pd.api.types.infer_dtype(cells, skipna=True) not in _ONE_KIND:  # 1 and True are equal too
        return np.arange(len(cells)), np.arange(len(cells))
    codes, _ = pd.factorize(cells, use_na_sentinel=False)
    return codes, np.unique(codes, return_index=True)[1]


def cell_text(cell: object) -> str:
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


def numbers_in(
    cells: pd.Series,
    text: pd.Series,
    coding: Mapping[str, Any],
    source: ColumnSource,
    table: TableSource,
    found: ColumnFindings,
) -> pd.Series:
    """Numbers of cells: as coded, as typed by Excel or Parquet, or as written."""
    # a percent sign or format is the unit of its cell, whatever the column's
    shown = {"percent": 100.0, "fraction": 1.0}.get(str(source.unit or found.field.unit))
    read = _reader(table.decimal, table.thousands, percent=shown)
    codes, firsts = _distinct(cells)
    values = np.full(len(firsts), np.nan)
    unread = np.full(len(firsts), np.nan, dtype=object)
    first, texts = cells.to_numpy(dtype=object)[firsts], text.to_numpy()[firsts]
    for i, (cell, known) in enumerate(zip(first, texts, strict=True)):
        if not isinstance(known, str):
            continue
        if known in coding:
            values[i] = np.nan if coding[known] is None else coding[known]
        elif isinstance(cell, PercentCell):
            values[i] = float(cell) * (shown or 1.0)
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
        add_unread(strange, infinite, table.decimal, found)
    return pd.Series(np.where(infinite, np.nan, values), index=cells.index)


def _reader(
    decimal: str, thousands: str | None, *, percent: float | None
) -> Callable[[str], float | None]:
    """Give a function from text to the number it surely is, else None.

    ``percent`` is what a whole is in the column's unit, None where a percent sign has no meaning.
    """
    point, group = re.escape(decimal), re.escape(thousands or "")
    number = re.compile(
        rf"[+-]?(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
        + (rf"|[+-]?[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+(?:{point}[0-9]*)?" if group else "")
    )

    def read(text: str) -> float | None:
        text = text.replace("−", "-").replace("’", "'")
        share = 1.0
        if percent is not None and text.endswith("%"):
            text, share = text[:-1].rstrip(), percent / 100
        if not number.fullmatch(text):
            return None
        value = float(text.replace(thousands or " ", "").replace(",", "."))
        return value if share == 1.0 else value * share

    return read


def intervals_in(
    text: pd.Series,
    decimal: str,
    lowest: float,
    highest: float,
    *,
    labels: Sequence[str] = (),
    levels: Mapping[str, tuple[float, float]] | None = None,
    percent: float = 1.0,
) -> dict[str, tuple[float, float]]:
    """Intervals as laboratories write them, by their text.

    Numbers with a percent sign are multiplied by ``percent``: 0.01 where a column holds fractions.

    Returns
    -------
    dict of str to (float, float)
        An exact value, labelled or with a percent sign, has two bounds that are the same.

    Examples
    --------
    >>> cells = pd.Series(["<1 %", "TPS >= 50%", "1–49 %", "60", "5 to 10", "PD-L1 TPS: 70 %",
    ...                    "CPS 10", "IC1"])
    >>> intervals_in(cells, ".", 0, 100, labels=["tps"], levels={"IC1": (1, 5)})
    {'<1 %': (0, 1.0), 'TPS >= 50%': (50.0, 100), '1–49 %': (1.0, 49.0), '5 to 10': (5.0, 10.0),
     'PD-L1 TPS: 70 %': (70.0, 70.0), 'IC1': (1, 5)}
    """
    number = rf"([0-9]+(?:{re.escape(decimal)}[0-9]+)?)"
    label = ""
    if labels:
        label = rf"(?:(?:pd-?l1 )?(?:{'|'.join(map(re.escape, labels))})[ :=]*)"
    maybe = f"{label}?" if label else ""
    one = re.compile(rf"{maybe}(<|<=|≤|>|>=|≥) ?{number} ?%?", re.IGNORECASE)
    two = re.compile(rf"{maybe}{number} ?%? ?(?:-|–|to) ?{number} ?%?", re.IGNORECASE)
    exact = [re.compile(rf"{maybe}{number} ?%", re.IGNORECASE)]
    if label:
        exact.append(re.compile(rf"{label}{number}", re.IGNORECASE))
    named = {level.upper(): bounds for level, bounds in (levels or {}).items()}
    found: dict[str, tuple[float, float]] = {}
    for cell in text.dropna().unique():
        plain = str(cell)
        share = percent if "%" in plain else 1.0
        level = plain.upper().replace(" ", "")
        if level in named:
            found[plain] = named[level]
        elif match := one.fullmatch(plain):
            bound = share * float(match[2].replace(",", "."))
            found[plain] = (lowest, bound) if match[1] in "<=≤" else (bound, highest)
        elif match := two.fullmatch(plain):
            low, high = (share * float(part.replace(",", ".")) for part in match.groups())
            if low <= high:
                found[plain] = (low, high)
        elif match := next((m for form in exact if (m := form.fullmatch(plain))), None):
            value = share * float(match[1].replace(",", "."))
            found[plain] = (value, value)
    return found


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float, np.number, Decimal)) and not isinstance(cell, bool)


def _matches(text: pd.Series, pattern: str) -> pd.Series:
    return text.str.fullmatch(pattern).fillna(False).astype(bool)


def add_unread(unread: pd.Series, infinite: Flags, decimal: str, found: ColumnFindings) -> None:
    """Add what stands where a number is expected; ambiguous numbers are never guessed."""
    point, other = re.escape(decimal), "," if decimal == "." else r"\."
    foreign = _matches(
        unread,
        rf"[+-]?(?:[0-9]{{1,3}}(?:{point}[0-9]{{3}})+|[0-9]*){other}[0-9]+(?:[eE][+-]?[0-9]+)?",
    )
    grouped = _matches(unread, r"[+-]?[1-9][0-9]{0,2}(?:[ ,.'][0-9]{3})+(?:[.,][0-9]*)?")
    ambiguous = _matches(unread, rf"[+-]?[1-9][0-9]{{0,2}}{other}[0-9]{{3}}")
    if (foreign & ~ambiguous).any():  # next to 3,9 the number 3,125 has three decimals
        grouped &= ~foreign
    else:
        foreign &= ~ambiguous
    censored = _matches(unread, r"[<>≤≥].*")
    percent = _matches(unread, r"[^<>≤≥].*%")
    dated = _matches(unread, r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]00:00:00)?")
    errors = _matches(unread, r"#(?:N/A|REF!|DIV/0!|VALUE!|NAME\?|NUM!|NULL!|SPILL!)")
    words = unread.notna() & ~(foreign | grouped | censored | percent | dated | errors)
    if decimal == ".":
        found.add_rows("decimal_comma", foreign, "decimal commas in a column of numbers.")
        foreign = foreign & False
    text = f"digits in groups of three, or three decimals behind another sign than {decimal!r}."
    found.add_rows("grouped_digits", grouped, text)
    kinds = (
        (censored, "censored value such as '<1'", "censored values such as '<1'"),
        (percent, "value with a percent sign", "values with percent signs"),
        (foreign, "number with a decimal point", "numbers with decimal points"),
        (infinite, "infinite value", "infinite values"),
        (dated, "date (spreadsheets make one of 5-10)", "dates (spreadsheets make them of 5-10)"),
        (errors, "error value of a spreadsheet", "error values of a spreadsheet"),
    )
    held = [f"{n} {one if n == 1 else many}" for at, one, many in kinds if (n := int(at.sum()))]
    if words.any():
        held.append(shared_levels(list(unread[words])))
    wrong = censored | percent | foreign | infinite | dated | errors | words
    text = f"{listed(held)} where a number is expected."
    found.add_rows("not_numeric", wrong, text)


def dates_in(
    cells: pd.Series, text: pd.Series, source: ColumnSource, found: ColumnFindings
) -> pd.Series:
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
        hint = ", though a date in another" if readable else ""
        if _matches(unread, "[1-9][0-9]{4}").all():
            hint = ", but a number of days as Excel counts them"
        mixed = readable and dates.notna().any()  # a mixture, not nonsense
        code = "mixed_date_formats" if mixed else "not_a_date"
        found.add_rows(code, wrong, f"not a date in the format {form}{hint}.")
    return dates


def yes_no_in(text: pd.Series, coding: Mapping[str, Any], found: ColumnFindings) -> pd.Series:
    """Yes/no as 1 and 0; other texts than true and false need a coding."""
    spoken = {cell for cell in text.dropna().unique() if cell.lower() not in ("true", "false")}
    if not coding and spoken:
        others = [cell for cell in text.dropna() if cell in spoken]
        levels = f"{found.field.name} holds {shared_levels(others)}"
        message = f"{levels} besides true and false, and no coding is stated."
        found.add("coding_absent", message, len(others))
        return pd.Series(np.nan, index=text.index, dtype=float)
    return levels_in(text, coding, {"true": True, "false": False}, found).astype(float)


def levels_in(
    text: pd.Series, coding: Mapping[str, Any], canonical: Mapping[str, Any], found: ColumnFindings
) -> pd.Series:
    """Levels as coded, else canonical levels by their :func:`plain_text`."""
    levels = list(text.dropna().unique())
    known = {
        level: canonical[plain] for level in levels if (plain := plain_text(level)) in canonical
    }
    known |= {level: np.nan if goal is None else goal for level, goal in coding.items()}
    if found.field.severity:
        several = {t: found.field.most_severe(t, coding) for t in levels if t not in known}
        known |= {text: level for text, level in several.items() if level is not None}
    wrong = text.notna() & ~text.isin(list(known))
    also = f", or by the coding {', '.join(map(repr, coding))}" if coding else ""
    there = f"levels are {', '.join(found.field.enum or canonical)}{also}"
    unknown = shared_levels(list(text[wrong])) if wrong.any() else ""
    if wrong.any() and found.field.public:
        unknown = named_levels(list(text[wrong]))
    message = f"{unknown} of {found.field.name} not known; {there}."
    found.add_rows("unknown_category", wrong, message)
    return text.map(known).astype(object)

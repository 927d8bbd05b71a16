"""Excel workbooks: the cells of a sheet, and what stands beside their values.

A percent format is the unit of its cell, and a formula whose result was never calculated is no
value.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratify.errors import FileError
from stratify.tables.delimited import RATIO, SMALL
from stratify.tables.header import blank, column_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PercentCell", "read_excel", "where_in_workbook"]

_PERCENT = (9, 10)  # numbers of the formats 0% and 0.00%


class PercentCell(float):
    """Number of a cell that shows it as a percentage: 0.6 shown as 60 %.

    Examples
    --------
    >>> PercentCell(0.6) == 0.6, PercentCell(0.6) == PercentCell(0.6)
    (False, True)
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PercentCell) and float(self) == float(other)

    def __hash__(self) -> int:
        return hash(("%", float(self)))


@contextmanager
def _workbook(path: Path, *, results: bool = True) -> Iterator[Any]:
    """Open a workbook with the results of its formulas, or with the formulas."""
    import warnings

    import openpyxl

    _check_expanded(path)
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of styles and extensions, not of cells
        # pandas would take texts such as None, NA and error cells for missing without a word
        book = openpyxl.load_workbook(stream, read_only=True, data_only=results, keep_links=False)
        yield book
        book.close()


def _check_expanded(path: Path) -> None:
    """Refuse a workbook that expands to many times its size, as no table does."""
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as parts:
        size = sum(part.file_size for part in parts.infolist())
        if size > max(SMALL, RATIO * path.stat().st_size):
            raise FileError(
                f"{path} expands to more than {RATIO} times its size; no table of patients does. "
                "Save the sheet as CSV and look at what it holds."
            )


def _sheet(book: Any, path: Path, sheet: str | int | None) -> Any:
    names = book.sheetnames
    if isinstance(sheet, str) and sheet not in names:
        raise FileError(f"{path} has no sheet {sheet!r}; its sheets are {', '.join(names)}.")
    if isinstance(sheet, int) and not 0 <= sheet < len(names):
        raise FileError(
            f"{path} has no sheet number {sheet}; counted from 0, its sheets are "
            f"{', '.join(names)}."
        )
    page = book[sheet if isinstance(sheet, str) else names[sheet or 0]]
    if not hasattr(page, "reset_dimensions"):
        raise FileError(f"{path}: the sheet {page.title!r} is a chart; a table is expected.")
    page.reset_dimensions()  # some exports state them wrongly
    return page


def _has_percent(book: Any) -> bool:
    """Whether any cell may be formatted as a percentage."""
    own = {164 + k for k, form in enumerate(book._number_formats) if "%" in form}
    return any(style.numFmtId in {*_PERCENT, *own} for style in book._cell_styles)


def _values(book: Any, page: Any) -> Iterator[list[Any]]:
    """Rows of a sheet as values; percentages as such."""
    if not _has_percent(book):
        yield from map(list, page.iter_rows(values_only=True))
        return
    for row in page.iter_rows():
        yield [
            PercentCell(cell.value)
            if isinstance(cell.value, (int, float))
            and not isinstance(cell.value, bool)
            and "%" in cell.number_format
            else cell.value
            for cell in row
        ]


def _has_formulas(path: Path) -> bool:
    """Whether any sheet holds a formula, by its text."""
    with zipfile.ZipFile(path) as parts:
        sheets = [name for name in parts.namelist() if name.startswith("xl/worksheets/")]
        return any(re.search(rb"<f[ >]", parts.read(name)) for name in sheets)


def _require_results(path: Path, sheet: str | int | None) -> None:
    """Refuse formulas that nobody has calculated: as written by libraries, 0 or empty."""
    if not _has_formulas(path):
        return
    with _workbook(path, results=False) as book:
        if not book.calculation.fullCalcOnLoad:
            return
        n = sum(
            isinstance(cell, str) and cell.startswith("=")
            for row in _sheet(book, path, sheet).iter_rows(values_only=True)
            for cell in row
        )
    if n:
        raise FileError(
            f"{path}: {n} cells hold formulas whose results were never calculated. Open the "
            "workbook in a spreadsheet program and save it, or export the values."
        )


def read_excel(path: Path, sheet: str | int | None, header_row: int | None) -> pd.DataFrame:
    """Rows of a sheet below its header, as :class:`stratify.tables.files.TableFile` gives them."""
    import pandas as pd

    _require_results(path, sheet)
    with _workbook(path) as book:
        page = _sheet(book, path, sheet)
        cells = list(enumerate(_values(book, page), 1))[(header_row or 1) - 1 :]
    rows = [(n, row) for n, row in cells if not all(map(blank, row))]
    if not rows:
        raise FileError(f"{path} is empty. Export the table again.")
    width = max(len(row) for _, row in rows)
    header, *rest = [row + [None] * (width - len(row)) for _, row in rows]
    index = pd.Index([n for n, _ in rows[1:]], name="row", dtype="int64")
    table = pd.DataFrame(rest, columns=range(width), index=index, dtype=object)
    found = column_names(path, header, lambda i: not all(map(blank, table[i])))
    table = table[list(found)]
    table.columns = pd.Index(list(found.values()), dtype=object)
    return table


def where_in_workbook(
    path: Path, names: Collection[str], sheet: str | int | None, most: int
) -> str:
    """Say in which sheet and row the names of columns stand, else which sheets there are."""
    with _workbook(path) as book:
        pages = book.sheetnames
        own = sheet if isinstance(sheet, str) else pages[sheet or 0]
        for page in sorted(pages, key=lambda name: name != own):
            rows = book[page].iter_rows(values_only=True, max_row=most)
            for n, row in enumerate(rows, 1):
                if set(names) <= {" ".join(str(cell).split()) for cell in row if not blank(cell)}:
                    keys = [] if page == own else [f"sheet: {page}"]
                    keys += [] if n == 1 else [f"header_row: {n}"]
                    where = f"row {n} of the sheet {page!r}"
                    return f"they stand in {where}: state `{'` and `'.join(keys)}`"
        return f"the sheets are {', '.join(pages)}" if len(pages) > 1 else ""

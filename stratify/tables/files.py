"""A table on disk, opened by one object, whatever it is; the content decides, not the ending."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stratify.errors import FileError
from stratify.tables.delimited import DelimitedText
from stratify.tables.header import column_names
from stratify.tables.workbook import read_excel, where_in_workbook

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableFile", "kind_of", "read_numbered", "where_names_stand"]

# How files begin, by kind; all others are text.
_BEGINNINGS = {
    "parquet": rb"PAR1",
    "xlsx": rb"PK\x03\x04",
    "xls": rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "sas7bdat": rb"\0{12}\xc2\xea\x81\x60",
    "xpt": rb"HEADER RECORD\*{7}",
    "dta": rb"<stata_dta>|[\x6e-\x73][\x01\x02]\x01\0",
    "sav": rb"\$FL[23]",
}
_LOOKED_AT = 15  # first rows in which names of columns are looked for
_STATISTICS = ("sas7bdat", "xpt", "dta", "sav")


def kind_of(path: Path) -> str:
    """Say what a file is by its first bytes; a damaged data set of statistics by its ending."""
    try:
        with path.open("rb") as stream:
            begins = stream.read(32)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        hint = (
            f"its folder holds {', '.join(near[:8])}{' ...' if len(near) > 8 else ''}"
            if near
            else "its folder is missing or empty"
        )
        raise FileError(
            f"There is no file {path}; {hint}. Correct `file` or `data` in the study file (or set "
            "STRATIFY_DATA)."
        ) from None
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; a file is expected.") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not begins:
        raise FileError(f"{path} is empty. Export the table again.")
    found = next((kind for kind, form in _BEGINNINGS.items() if re.match(form, begins)), "csv")
    ending = path.suffix.lower().removeprefix(".")
    return ending if found == "csv" and ending in _STATISTICS else found


class TableFile:
    """A table of any size: CSV, Parquet, Excel, SAS, Stata or SPSS.

    Parameters
    ----------
    path : Path
        The file; CSV may be compressed with gzip.
    sheet : str or int, optional
        Sheet of an Excel workbook, by name or counted from 0; the first by default.
    delimiter, encoding : str, optional
        Of a CSV file; found from the first line and the bytes by default.
    comment : str, optional
        Lines of a CSV file that start with this are passed over; by default those of ``#`` before
        its header.
    quoting : {"none"}, optional
        Quotation marks of a CSV file are plain text.
    header_row : int, optional
        Row of the header, from 1, of text and Excel; by default the first with anything in it.

    Attributes
    ----------
    path : Path
    kind : {"csv", "parquet", "xlsx", "sas7bdat", "xpt", "dta", "sav"}
    columns : list of str
        Names of the columns.
    types : dict of str to str
        Type of each column of a Parquet file; empty of others.
    n_rows : int
        Rows; of a CSV file lines below its first, which are as many or more.

    Raises
    ------
    FileError
        If the file is missing, empty, unreadable, or has no rows.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        sheet: str | int | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        comment: str | None = None,
        quoting: str | None = None,
        header_row: int | None = None,
    ) -> None:
        self.path = path = Path(path)
        self.kind = kind_of(path)
        self._content: DelimitedText | _Parquet | _Whole
        with _readable(path):
            if self.kind == "xls":
                raise FileError(f"{path} is an old Excel file (.xls). Save it as .xlsx or CSV.")
            if self.kind == "csv":
                self._content = DelimitedText(
                    path, delimiter, encoding, comment, quoting, header_row
                )
            elif self.kind == "parquet":
                self._content = _Parquet(path)
            elif self.kind == "xlsx":
                self._content = _Whole(read_excel(path, sheet, header_row))
            else:
                self._content = _Whole(_read_statistics(path, self.kind, encoding))
        self.columns, self.types = self._content.columns, self._content.types
        self.n_rows = self._content.n_rows
        if not self.n_rows:
            raise FileError(f"{path} has a header but no rows. Export the table again.")

    def batches(
        self,
        n_rows: int | None = None,
        *,
        first: int = 0,
        columns: Collection[str] | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Batches of rows in their order; put one below the other they are the whole table.

        Parameters
        ----------
        n_rows : int, optional
            Rows of a batch; the last one has fewer, or up to half as many again. By default, and
            of other files than CSV and Parquet, one batch holds all.
        columns : collection of str, optional
            Columns to read; all by default. Others need not be there.

        Yields
        ------
        DataFrame
            CSV cells as text exactly as written; others with their types. Rows of text and Excel
            without any cell filled in, and such columns without a name, are left out. The index
            is the place in the file, counted from 1: ``line`` of text and ``row`` of Excel with
            the header, ``row`` of others without.
        """
        with _readable(self.path):
            yield from self._content.batches(n_rows or sys.maxsize, first, columns)

    def starts(self, n_rows: int) -> list[int]:
        """First row of each batch of a Parquet file, counted from 0."""
        return _starts(self.n_rows, n_rows)


def read_numbered(path: str | Path, **layout: Any) -> pd.DataFrame:
    """Read a whole file, as the one batch of a :class:`TableFile` with these arguments."""
    return next(TableFile(path, **layout).batches())


def where_names_stand(path: Path, names: Collection[str], sheet: str | int | None = None) -> str:
    """Say in which row or sheet names stand that are no columns; empty if in none looked at."""
    if kind_of(path) != "xlsx":
        with _readable(path):
            for line in range(2, _LOOKED_AT):
                try:
                    found = DelimitedText(path, None, None, None, header_row=line).columns
                except FileError:
                    continue
                if set(names) <= set(found):
                    return f"they stand in line {line}: state `header_row: {line}`"
        return ""
    with _readable(path):
        return where_in_workbook(path, names, sheet, _LOOKED_AT)


@contextmanager
def _readable(path: Path, advice: str = "") -> Iterator[None]:
    """Parsers raise many kinds of errors; all mean an unreadable file."""
    try:
        yield
    except FileError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FileError(f"{path} cannot be read: {reason}.{advice}") from error


def _starts(total: int, n_rows: int) -> list[int]:
    """First row of each batch: a short last one goes with the one before."""
    return list(range(0, max(total - n_rows // 2, 1), n_rows))


class _Parquet:
    """Rows of a Parquet file; row groups before a batch are not read."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        with pq.ParquetFile(path) as file:
            schema, self.n_rows = file.schema_arrow, int(file.metadata.num_rows)
            counts = (file.metadata.row_group(g).num_rows for g in range(file.num_row_groups))
            self._groups = list(counts)
        about = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        self._named_ranges = [
            index
            for index in about.get("index_columns", [])
            if isinstance(index, dict) and index.get("name") is not None
        ]
        given = list(self._frame(schema.empty_table(), 0).columns)
        names = column_names(path, given)
        self._given = {name: str(given[i]) for i, name in names.items()}
        self.columns = list(self._given)
        self.types = {
            name: str(schema.field(column).type).removeprefix("large_")
            for name, column in self._given.items()
            if column in schema.names
        }

    def _frame(self, table: Any, start: int) -> pd.DataFrame:
        """Arrow table as pandas saved it: the identifier may stand in its index."""
        import pandas as pd

        frame: pd.DataFrame = table.to_pandas()
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
        for index in self._named_ranges:
            if index["name"] not in frame:
                place = pd.RangeIndex(start, start + len(frame))
                frame.insert(0, index["name"], index["start"] + index["step"] * place)
        frame.index = pd.RangeIndex(start + 1, start + len(frame) + 1, name="row")
        return frame

    def batches(
        self, n_rows: int, first: int, columns: Collection[str] | None
    ) -> Iterator[pd.DataFrame]:
        """Batches of rows, as :meth:`TableFile.batches`."""
        import numpy as np
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        bounds, ends = [*_starts(self.n_rows, n_rows), self.n_rows], np.cumsum(self._groups)
        wanted = {g: n for n, g in self._given.items() if columns is None or n in columns}
        with pq.ParquetFile(self.path) as file:
            stored = [name for name in file.schema_arrow.names if name in wanted]
            for start, end in islice(pairwise(bounds), first, None):
                low = int(np.searchsorted(ends, start, side="right"))
                high = int(np.searchsorted(ends, end, side="left"))
                skipped = start - int(ends[low] - self._groups[low])
                taken: list[pa.RecordBatch] = []
                for batch in file.iter_batches(
                    batch_size=min(n_rows, self.n_rows),
                    row_groups=list(range(low, high + 1)),
                    columns=stored,
                    use_threads=False,
                ):
                    taken.append(batch)
                    if sum(map(len, taken)) >= skipped + end - start:
                        break
                rows = pa.Table.from_batches(taken).select(stored).slice(skipped, end - start)
                frame = self._frame(rows, start)
                table = frame[[name for name in frame if str(name) in wanted]]
                table.columns = pd.Index([wanted[str(name)] for name in table], dtype=object)
                yield table


class _Whole:
    """A table that cannot be read in pieces."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.columns: list[str] = list(table.columns)
        self.types: dict[str, str] = {}
        self.n_rows = len(table)
        self._table = table

    def batches(
        self, n_rows: int, first: int, columns: Collection[str] | None
    ) -> Iterator[pd.DataFrame]:
        """Give the one batch, as :meth:`TableFile.batches`."""
        if not first:
            yield self._table[[c for c in self.columns if columns is None or c in columns]]


def _read_statistics(path: Path, kind: str, encoding: str | None) -> pd.DataFrame:
    """Read a data set of SAS, Stata or SPSS."""
    import pandas as pd
    import pyreadstat

    read = getattr(pyreadstat, {"xpt": "read_xport"}.get(kind, f"read_{kind}"))
    stated = {} if encoding is None else {"encoding": encoding}
    with _readable(path, " Export it again."):
        try:
            table, _ = read(str(path), **stated)
        except UnicodeDecodeError:  # transport files do not state their encoding
            table, _ = read(str(path), encoding="WINDOWS-1252")
    names = column_names(path, list(table.columns))
    table.columns = pd.Index(list(names.values()), dtype=object)
    table.index = pd.RangeIndex(1, len(table) + 1, name="row")
    return cast("pd.DataFrame", table)

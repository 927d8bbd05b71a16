"""A file in batches of rows, so that memory does not grow with the file.

The rows of a batch are read as :func:`stratify.tables.tabular.read_numbered` reads the whole file,
and keep their places in it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import re
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from stratify.errors import FileError
from stratify.tables.tabular import (
    blank,
    check_header,
    check_ragged,
    delimiter_of,
    framed,
    magic_of,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableFile"]

_PARQUET, _GZIP, _EXCEL = b"PAR1", b"\x1f\x8b", (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_BLOCK = 1 << 22  # bytes looked at in one step


class TableFile:
    """A CSV or Parquet file of any size.

    Parameters
    ----------
    path : Path
    delimiter, encoding, comment : str, optional
        Of a CSV file, as for :func:`stratify.tables.tabular.read_table`.

    Attributes
    ----------
    kind : {"csv", "parquet"}
    columns : list of str
        Names of the columns.
    types : dict of str to str
        Type of each column of a Parquet file; none of a CSV file, where every cell is text.
    n_rows : int
        Rows of a Parquet file; lines of a CSV file below its header, which are as many or more.

    Raises
    ------
    FileError
        If the file is missing, empty, neither CSV nor Parquet, or unreadable.
    """

    def __init__(
        self,
        path: Path,
        *,
        delimiter: str | None = None,
        encoding: str | None = None,
        comment: str | None = None,
    ) -> None:
        self.path = path
        self.types: dict[str, str] = {}
        magic = magic_of(path)
        if not magic:
            raise FileError(f"{path} is empty. Export the table again.")
        if magic[:4] in _EXCEL:
            raise FileError(
                f"{path} is a workbook; CSV or Parquet is expected for scoring in batches. "
                "Save it as CSV, or let --out end in .csv or .parquet."
            )
        self.kind = "parquet" if magic[:4] == _PARQUET else "csv"
        self._encoding, self._comment = encoding, comment
        self._gzip = magic[:2] == _GZIP
        try:
            if self.kind == "parquet":
                self._look_at_parquet()
            else:
                self._look_at_csv(delimiter, magic)
        except FileError:
            raise
        except Exception as error:  # parsers raise many kinds; all mean an unreadable file
            raise _unreadable(path, error) from error
        if not self.n_rows:
            raise FileError(f"{path} has a header but no rows. Export the table again.")

    # ------------------------------------------------------------------ what it holds

    def _look_at_parquet(self) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            schema, self.n_rows = file.schema_arrow, int(file.metadata.num_rows)
        self._names = {" ".join(name.split()): name for name in schema.names}
        self.columns = list(check_header(self.path, dict(enumerate(schema.names))))
        self.types = {
            name: str(schema.field(given).type).removeprefix("large_")
            for name, given in self._names.items()
        }

    def _look_at_csv(self, delimiter: str | None, magic: bytes) -> None:
        if self._encoding is None:
            self._encoding = "utf-16" if magic[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
            if not self._decodes():
                self._encoding = "cp1252"
        if not self._decodes():
            raise FileError(
                f"{self.path} is not text in {self._encoding}. State `encoding` for the table in "
                "the study file, or export the table as CSV."
            )
        self._delimiter = delimiter
        with self._text() as stream:
            lines = (line for line in self._lines(stream) if line.strip())
            first = next(lines, "")
            hint = re.match(r'"?sep=(.)"?\n', first)  # Excel's own note of the delimiter
            self._hinted = hint is not None
            if hint:
                self._delimiter, first = delimiter or hint[1], next(lines, "")
        if not first:
            raise FileError(f"{self.path} is empty. Export the table again.")
        self._delimiter = self._delimiter or delimiter_of(self.path, first)
        header = next(self._cells())[1]
        self._width, self._header = len(header), header
        self.columns = [
            str(name)
            for name in check_header(
                self.path, {i: cell for i, cell in enumerate(header) if not blank(cell)}
            )
        ]
        self.n_rows = self._n_lines - 1

    def _decodes(self) -> bool:
        """Whether all bytes are text in the encoding; counts the lines."""
        assert self._encoding is not None
        try:
            decoder = codecs.getincrementaldecoder(self._encoding)()
        except LookupError:
            return False
        self._n_lines, ended = 0, True
        with self._bytes() as stream:
            try:
                for block in iter(lambda: stream.read(_BLOCK), b""):
                    text = decoder.decode(block)
                    if "\0" in text:  # Windows-1252 decodes nearly any bytes
                        return False
                    self._n_lines += text.count("\n")
                    ended = text.endswith("\n")
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                return False
        self._n_lines += not ended
        return True

    def _bytes(self) -> IO[bytes]:
        return gzip.open(self.path) if self._gzip else self.path.open("rb")  # type: ignore[return-value]

    def _text(self) -> IO[str]:
        encoding = "utf-8-sig" if self._encoding == "utf-8" else self._encoding
        opened: Callable[..., Any] = gzip.open if self._gzip else open
        stream: IO[str] = opened(self.path, "rt", encoding=encoding, newline=None)
        return stream

    def _lines(self, stream: IO[str]) -> Iterator[str]:
        """Lines, emptied where they are comments, so that they keep their numbers."""
        comment = self._comment
        if comment is None:
            return iter(stream)
        return ("\n" if line.startswith(comment) else line for line in stream)

    # ------------------------------------------------------------------ rows

    def batches(
        self, n_rows: int, *, first: int = 0, columns: Collection[str] | None = None
    ) -> Iterator[pd.DataFrame]:
        """Batches of rows in their order.

        Parameters
        ----------
        n_rows : int
            Rows of a batch; the last one has fewer, or up to half as many again.
        first : int
            Batches left out at the beginning.
        columns : collection of str, optional
            Columns to read; all by default. Others need not be there.

        Yields
        ------
        DataFrame
            As :func:`stratify.tables.tabular.read_numbered`.

        Raises
        ------
        FileError
            If rows cannot be read, or do not fit the header; complete batches come before.
        """
        read = self._parquet_batches if self.kind == "parquet" else self._csv_batches
        try:
            yield from read(n_rows, first, columns)
        except FileError:
            raise
        except Exception as error:
            raise _unreadable(self.path, error) from error

    def starts(self, n_rows: int) -> list[int]:
        """First row of each batch of a Parquet file, counted from 0."""
        return list(range(0, max(self.n_rows - n_rows // 2, 1), n_rows))

    def _parquet_batches(
        self, n_rows: int, first: int, columns: Collection[str] | None
    ) -> Iterator[pd.DataFrame]:
        import numpy as np
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = [name for name in self.columns if columns is None or name in columns]
        given = [self._names[name] for name in names]
        starts = self.starts(n_rows)
        with pq.ParquetFile(self.path) as file:
            groups = [
                file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)
            ]
            ends = np.cumsum(groups)
            for start, end in zip(starts[first:], [*starts[first + 1 :], self.n_rows], strict=True):
                low = int(np.searchsorted(ends, start, side="right"))
                high = int(np.searchsorted(ends, end, side="left"))
                skipped = start - int(ends[low] - groups[low])
                taken: list[pa.RecordBatch] = []
                held = 0
                for batch in file.iter_batches(
                    batch_size=n_rows,
                    row_groups=list(range(low, high + 1)),
                    columns=given,
                    use_threads=False,
                ):
                    taken.append(batch)
                    held += len(batch)
                    if held >= skipped + end - start:
                        break
                part = pa.Table.from_batches(taken).slice(skipped, end - start)
                table = part.select(given).to_pandas(ignore_metadata=True)
                table.columns = pd.Index(names, dtype=object)
                table.index = pd.RangeIndex(start + 1, end + 1, name="row")
                yield table

    def _csv_batches(
        self, n_rows: int, first: int, columns: Collection[str] | None
    ) -> Iterator[pd.DataFrame]:
        cells = self._cells()
        next(cells)
        for _ in range(first * n_rows):
            next(cells, None)
        held = list(islice(cells, n_rows))
        while held:
            after = list(islice(cells, n_rows))
            if len(after) <= n_rows // 2:  # few patients make a poor judge of a column
                held, after = held + after, []
            numbers = [self._header_line, *(number for number, _ in held)]
            rows = [list(self._header), *(row for _, row in held)]
            check_ragged(self.path, rows, numbers, str(self._delimiter))
            table = framed(self.path, rows, numbers, "line")
            yield table if columns is None else table[[c for c in table if c in columns]]
            held = after

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        """Rows in which something stands, with their lines; the header first."""
        with self._text() as stream:
            if self._hinted:
                stream.readline()
            offset, start = int(self._hinted), 1
            reader = csv.reader(self._lines(stream), delimiter=str(self._delimiter))
            headed = False
            for row in reader:
                if any(cell.strip() for cell in row):
                    if not headed:
                        headed, self._header_line = True, start + offset
                    yield start + offset, row
                start = reader.line_num + 1  # a quoted cell may hold line ends


def _unreadable(path: Path, error: Exception) -> FileError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return FileError(f"{path} cannot be read: {reason}.")

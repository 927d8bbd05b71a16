"""Delimited text: its encoding, delimiter and lines, and its rows in batches."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Collection, Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from stratify.errors import FileError
from stratify.tables.header import blank, column_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DelimitedText"]

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# Text of tables shrinks to a tenth or a fiftieth; what expands further was made to fill a disk.
RATIO, SMALL = 200, 200_000_000
_BLOCK = 1 << 22  # bytes looked at in one step


class _Bounded(gzip.GzipFile):
    """Compressed text that is refused once it grows to many times its size, as no table does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        self._most = max(SMALL, RATIO * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        return self._counted(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._counted(super().read1(size))

    def _counted(self, block: bytes) -> bytes:
        if self.tell() > self._most:
            raise FileError(
                f"{self._path} expands to more than {RATIO} times its size; no table of patients "
                "does. Unpack it and look at what it holds."
            )
        return block


class DelimitedText:
    """Text with one row a line; it may be compressed with gzip.

    Parameters
    ----------
    path : Path
    delimiter, encoding : str, optional
        Found from the first line and the bytes by default.
    comment : str, optional
        Lines that start with this are passed over; by default those of ``#`` before the header.
    quoting : {"none"}, optional
        Quotation marks are plain text. By default they enclose cells, but in tab-separated text
        where each line is a row as it stands and some mark is not closed.
    header_row : int, optional
        Line of the header, from 1; by default the first one.

    Attributes
    ----------
    columns : list of str
    types : dict
        Empty: every cell is text.
    n_rows : int
        Lines below the first, which are as many as rows or more; 0 if there is no row.

    Raises
    ------
    FileError
        If it is empty, no text, or its header cannot be read.
    """

    def __init__(
        self,
        path: Path,
        delimiter: str | None,
        encoding: str | None,
        comment: str | None,
        quoting: str | None = None,
        header_row: int | None = None,
    ) -> None:
        self.path, self.types = path, cast(dict[str, str], {})
        self._marks, self._quoted, self._header = False, quoting != "none", cast(list[str], [])
        with path.open("rb") as stream:
            self._gzip = stream.read(2) == b"\x1f\x8b"
        self._comment, self._passed = comment, 0 if header_row is None else header_row - 1
        self._encoding, n_lines = self._decoded(encoding)
        if comment is None and header_row is None:
            self._passed = self._before_header(delimiter)
        with self._text() as stream:
            filled = ((i, line) for i, line in enumerate(self._lines(stream), 1) if line.strip())
            i, first = next(filled, (0, ""))
            hint = re.match(r'"?sep=(.)"?\n', first)  # Excel's own note of the delimiter
            if hint:
                self._passed, delimiter = i, delimiter or hint[1]
                _, first = next(filled, (0, ""))
        if not first:
            raise FileError(f"{path} is empty. Export the table again.")
        self._delimiter = delimiter or _delimiter_of(path, first)
        if quoting is None and self._marks and self._delimiter == "\t" and self._never_quoted():
            self._quoted = False
        rows = self._rows()
        _, self._header = next(rows, (0, []))
        if not self._header:
            raise FileError(f"{path} is empty. Export the table again.")
        used = self._used_without_name()
        self._names = column_names(path, self._header, used.__contains__)
        self.columns = list(self._names.values())
        self.n_rows = 0 if next(rows, None) is None else max(n_lines - 1, 1)

    def batches(
        self, n_rows: int, first: int, columns: Collection[str] | None
    ) -> Iterator[pd.DataFrame]:
        """Batches of rows, as :meth:`stratify.tables.files.TableFile.batches`."""
        rows = islice(self._rows(), 1 + first * n_rows, None)
        held = list(islice(rows, n_rows))
        if first and len(held) <= n_rows // 2:  # they stand in the batch before
            return
        while held:
            after = list(islice(rows, n_rows))
            if len(after) <= n_rows // 2:  # few patients make a poor judge of a column
                held, after = held + after, []
            yield self._frame(held, columns)
            held = after

    def _frame(
        self, held: list[tuple[int, list[str]]], columns: Collection[str] | None
    ) -> pd.DataFrame:
        import pandas as pd

        lines, rows = [line for line, _ in held], [row for _, row in held]
        index = pd.Index(lines, name="line", dtype="int64")
        table = pd.DataFrame(
            self._fitted(rows, lines), columns=range(len(self._header)), index=index, dtype=object
        )
        names = {i: n for i, n in self._names.items() if columns is None or n in columns}
        if len(names) < len(self._header):
            table = table[list(names)]
        table.columns = pd.Index(list(names.values()), dtype=object)
        return table

    def _fitted(self, rows: list[list[Any]], lines: list[int]) -> list[list[Any]]:
        """Rows as long as the header; only cells without anything may be too many or too few."""
        width, ragged = len(self._header), []
        if set(map(len, rows)) <= {width}:
            return rows
        for i, row in enumerate(rows):
            if len(row) != width:
                if any(map(str.strip, row[width:] + self._header[len(row) :])):
                    ragged.append(lines[i])
                rows[i] = row[:width] + [None] * (width - len(row))
        if ragged:
            shown = ", ".join(map(str, ragged[:5])) + (" ..." if len(ragged) > 5 else "")
            sign = _DELIMITERS.get(self._delimiter, repr(self._delimiter))
            raise FileError(
                f"{self.path}: {len(ragged)} row{'s do' if len(ragged) > 1 else ' does'} not have "
                f"the header's {width} cells (line{'s' if len(ragged) > 1 else ''} {shown}). The "
                f"delimiter read is a {sign}; quote cells that hold it, or state `delimiter`."
            )
        return rows

    # ------------------------------------------------------------------ text

    def _decoded(self, stated: str | None) -> tuple[str, int]:
        """Find the encoding in which all bytes are text, and the number of lines."""
        with self._bytes() as stream:
            if stated is None and stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                stated = "utf-16"
        for encoding in (stated,) if stated else ("utf-8", "cp1252"):
            n_lines = self._lines_in(encoding)
            if n_lines is not None:
                return encoding, n_lines
        raise FileError(
            f"{self.path} is not text in {stated or 'UTF-8 or Windows-1252'}. "
            "State `encoding` for the table in the study file, or export the table as CSV."
        )

    def _lines_in(self, encoding: str) -> int | None:
        """Lines of the file, None where its bytes are no text in the encoding."""
        try:
            bytes_decoder = codecs.getincrementaldecoder(encoding)()
        except LookupError:
            return None
        decoder, n, last = io.IncrementalNewlineDecoder(bytes_decoder, translate=True), 0, "\n"
        with self._bytes() as stream:
            blocks = iter(lambda: stream.read(_BLOCK), b"")
            try:
                for block in chain(blocks, [b""]):
                    text = decoder.decode(block, final=not block)
                    if "\0" in text:  # Windows-1252 decodes nearly any bytes
                        return None
                    self._marks = self._marks or '"' in text
                    n, last = n + text.count("\n"), text[-1:] or last
            except UnicodeDecodeError:
                return None
        return n + (last != "\n")

    def _bytes(self) -> IO[bytes]:
        return cast(IO[bytes], _Bounded(self.path)) if self._gzip else self.path.open("rb")

    def _text(self) -> IO[str]:
        """Text without its byte order mark, each line ended by a line feed."""
        stream = io.TextIOWrapper(cast(Any, self._bytes()), encoding=self._encoding, newline=None)
        if stream.read(1) != "\ufeff":
            stream.seek(0)
        return stream

    def _lines(self, stream: IO[str]) -> Iterator[str]:
        """Lines, emptied where they are no rows, so that the others keep their numbers."""
        lines: Iterator[str] = chain(repeat("\n", self._passed), islice(stream, self._passed, None))
        if not self._comment:
            return lines
        comment = self._comment
        return ("\n" if line.startswith(comment) else line for line in lines)

    def _before_header(self, delimiter: str | None) -> int:
        """Lines of ``#`` before the header (MAF, VCF, cBioPortal); the last may be the header."""
        with self._text() as stream:
            filled = ((i, line) for i, line in enumerate(stream, 1) if line.strip())
            last, leading = 0, list[str]()
            for i, line in filled:
                if not line.startswith("#"):
                    break
                last = i
                leading.append(line)
            else:
                return 0
        if not leading:
            return 0
        sign = delimiter or max(_DELIMITERS, key=line.count)
        cells = [each.count(sign) for each in leading]
        if cells[-1] and not any(cells[:-1]) and cells[-1] == line.count(sign):
            return last - 1
        return last

    def _never_quoted(self) -> bool:
        """Whether every line is a row as it stands, and a mark is not closed in its cell."""
        width, opened = 0, False
        with self._text() as stream:
            for line in self._lines(stream):
                cells = line.rstrip("\n").split(self._delimiter)
                if not line.strip():
                    continue
                width = width or len(cells)
                if len(cells) != width:
                    return False
                if '"' in line:
                    opened |= any(c.startswith('"') and c.count('"') % 2 for c in cells)
        return opened

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Rows in which something stands, with their lines; the header first."""
        held: list[str] = []

        def watched(lines: Iterator[str]) -> Iterator[str]:
            for line in lines:
                held.append(line)
                yield line

        with self._text() as stream:
            lines = self._lines(stream)
            watch = self._quoted and self._marks
            given = watched(lines) if watch else lines
            reader, start = csv.reader(given, delimiter=self._delimiter), 1
            if not self._quoted:
                reader = csv.reader(given, delimiter=self._delimiter, quoting=csv.QUOTE_NONE)
            for row in reader:
                if len(held) > 1:
                    self._require_closed(held, start)
                held.clear()
                if any(map(str.strip, row)):
                    yield start, row
                start = reader.line_num + 1  # a quoted cell may hold line ends

    def _require_closed(self, lines: list[str], start: int) -> None:
        """Refuse a quotation mark that swallows rows: never closed, or over lines that are rows."""
        width = len(self._header)
        whole = all(len(line.split(self._delimiter)) == width for line in lines)
        never = sum(line.count('"') for line in lines) % 2
        if not never and not (width > 1 and whole):
            return
        ends = "is never closed" if never else f"is closed only in line {start + len(lines) - 1}"
        raise FileError(
            f"{self.path}: a quotation mark of line {start} {ends}, and {len(lines)} lines would "
            "be one row. Remove the mark, or state `quoting: none` for the table in the study file "
            "if no cell is quoted."
        )

    def _used_without_name(self) -> set[int]:
        """Columns without a name in which something stands."""
        nameless = [i for i, cell in enumerate(self._header) if blank(cell)]
        if not nameless:
            return set()
        rows = (row for _, row in self._rows())
        return {i for row in rows for i in nameless if i < len(row) and row[i].strip()}


def _delimiter_of(path: Path, header: str) -> str:
    """Delimiter of a text by its first line."""
    header = re.sub(r'"[^"]*"', "", header)  # quoted names may hold other delimiters
    best = max(_DELIMITERS, key=header.count)
    if best not in header:
        raise FileError(
            f"{path} has a single column: no comma, semicolon, tab or bar stands in its first "
            "line. State `delimiter` for the table in the study file."
        )
    return best

"""Tables on disk: read whatever an export is (CSV, Excel, Parquet), write whole files or none."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratify.errors import DataError, FileError
from stratify.tables.documents import read_yaml

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "blank",
    "check_header",
    "check_ragged",
    "delimiter_of",
    "framed",
    "magic_of",
    "make_folder",
    "read_mapping",
    "read_numbered",
    "read_table",
    "sha256_of",
    "write_table",
    "written_whole",
]

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def magic_of(path: Path) -> bytes:
    """First bytes of a file, which tell what it is."""
    try:
        with path.open("rb") as stream:
            return stream.read(8)
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        hint = (
            f"its folder holds {', '.join(near[:8])}{' ...' if len(near) > 8 else ''}"
            if near
            else "its folder is missing or empty"
        )
        raise FileError(
            f"There is no file {path}; {hint}. "
            "Correct `file` or `data` in the study file (or set STRATIFY_DATA)."
        ) from None
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; a file is expected.") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_table(
    path: Path,
    *,
    sheet: str | int | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
) -> pd.DataFrame:
    """Read a CSV, Excel or Parquet file; the content decides, not the file's ending.

    Parameters
    ----------
    path : Path
        The file; CSV may be compressed with gzip.
    sheet : str or int, optional
        Sheet of an Excel workbook, by name or counted from 0; the first by default.
    delimiter, encoding : str, optional
        Of a CSV file; found from the first line and the bytes by default.
    comment : str, optional
        Lines that start with this are passed over (``#`` in cBioPortal files).

    Returns
    -------
    DataFrame
        CSV cells as text exactly as written; Excel and Parquet cells with their types. Rows
        without any cell filled in, and such columns without a name, are left out.

    Raises
    ------
    FileError
        If the file is missing, empty, unreadable, or its rows do not fit its header.
    """
    table = read_numbered(
        path, sheet=sheet, delimiter=delimiter, encoding=encoding, comment=comment
    )
    return table.reset_index(drop=True)


def read_numbered(
    path: Path,
    *,
    sheet: str | int | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
) -> pd.DataFrame:
    """Read as :func:`read_table`, with each row's place in the file as the index.

    The index is named ``line`` for text and ``row`` for Excel, both counted from 1 with the
    header, and ``row`` without a header for Parquet.
    """
    path = Path(path)
    magic = magic_of(path)
    if not magic:
        raise FileError(f"{path} is empty. Export the table again.")
    try:
        if magic[:4] == b"PAR1":
            table = _read_parquet(path)
        elif magic[:4] == b"PK\x03\x04":
            table = _read_excel(path, sheet)
        elif magic == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
            raise FileError(f"{path} is an old Excel file (.xls). Save it as .xlsx or CSV.")
        else:
            table = _read_csv(path, magic, delimiter, encoding, comment)
    except FileError:
        raise
    except Exception as error:  # parsers raise many kinds; all mean an unreadable file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FileError(f"{path} cannot be read: {reason}.") from error
    if table.empty:
        raise FileError(f"{path} has a header but no rows. Export the table again.")
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_parquet(path)
    if any(name is not None for name in table.index.names):
        table = table.reset_index()  # the identifier may stand in a saved index
    table.columns = check_header(path, dict(enumerate(table.columns)))
    table.index = pd.RangeIndex(1, len(table) + 1, name="row")
    return table


def _read_excel(path: Path, sheet: str | int | None) -> pd.DataFrame:
    import warnings

    import openpyxl

    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of styles and extensions, not of cells
        # pandas would take texts such as None, NA and error cells for missing without a word
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        names = book.sheetnames
        if isinstance(sheet, str) and sheet not in names:
            raise FileError(f"{path} has no sheet {sheet!r}; its sheets are {', '.join(names)}.")
        if isinstance(sheet, int) and not 0 <= sheet < len(names):
            raise FileError(
                f"{path} has no sheet number {sheet}; counted from 0, its sheets are "
                f"{', '.join(names)}."
            )
        page = book[sheet if isinstance(sheet, str) else names[sheet or 0]]
        if hasattr(page, "reset_dimensions"):
            page.reset_dimensions()  # some exports state them wrongly
            cells = [list(row) for row in page.iter_rows(values_only=True)]
        else:
            raise FileError(f"{path}: the sheet {page.title!r} is a chart; a table is expected.")
        book.close()
    rows, numbers = _filled(cells, range(1, len(cells) + 1))
    return framed(path, rows, numbers, "row")


def _read_csv(
    path: Path, magic: bytes, delimiter: str | None, encoding: str | None, comment: str | None
) -> pd.DataFrame:
    import csv
    import io

    text = _text(path, magic, encoding)
    if comment:  # emptied, not removed, so that lines keep their numbers
        text = "\n".join("" if li.startswith(comment) else li for li in text.split("\n"))
    if not text.strip():
        raise FileError(f"{path} is empty. Export the table again.")
    hint = re.match(r'"?sep=(.)"?\n', text)  # Excel's own note of the delimiter
    if hint:
        delimiter, text = delimiter or hint[1], "\n" + text[hint.end() :]
    delimiter = delimiter or delimiter_of(path, text)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    cells, starts, start = [], [], 1
    for row in reader:
        cells.append(row)
        starts.append(start)
        start = reader.line_num + 1  # a quoted cell may hold line ends
    rows, numbers = _filled(cells, starts)
    if not rows:
        raise FileError(f"{path} is empty. Export the table again.")
    check_ragged(path, rows, numbers, delimiter)
    return framed(path, rows, numbers, "line")


def check_ragged(path: Path, rows: list[list[Any]], numbers: list[int], delimiter: str) -> None:
    """Refuse rows of text that do not fit the header; empty cells at their end are cut off."""
    width, ragged = len(rows[0]), []
    for i, row in enumerate(rows):
        if len(row) != width:
            if any(cell.strip() for cell in row[width:] + rows[0][len(row) :]):
                ragged.append(numbers[i])
            rows[i] = row[:width]
    if ragged:
        shown = ", ".join(map(str, ragged[:5])) + (" ..." if len(ragged) > 5 else "")
        raise FileError(
            f"{path}: {len(ragged)} row{'s do' if len(ragged) > 1 else ' does'} not have the "
            f"header's {width} cells (line{'s' if len(ragged) > 1 else ''} {shown}). The delimiter "
            f"read is a {_DELIMITERS.get(delimiter, repr(delimiter))}; quote cells that hold it, "
            "or state `delimiter`."
        )


def _text(path: Path, magic: bytes, encoding: str | None) -> str:
    """Whole text of a delimited file, each line ended by a line feed."""
    raw = gzip.decompress(path.read_bytes()) if magic[:2] == b"\x1f\x8b" else path.read_bytes()
    if encoding is None and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    for attempt in (encoding,) if encoding else ("utf-8", "cp1252"):
        try:
            text = raw.decode(attempt)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\0" not in text:  # Windows-1252 decodes nearly any bytes
            return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    raise FileError(
        f"{path} is not text in {encoding or 'UTF-8 or Windows-1252'}. "
        "State `encoding` for the table in the study file, or export the table as CSV."
    )


def delimiter_of(path: Path, text: str) -> str:
    """Delimiter of a text by its first line."""
    header = next(line for line in text.split("\n") if line.strip())
    header = re.sub(r'"[^"]*"', "", header)  # quoted names may hold other delimiters
    best = max(_DELIMITERS, key=header.count)
    if best not in header:
        raise FileError(
            f"{path} has a single column: no comma, semicolon, tab or bar stands in its first "
            "line. State `delimiter` for the table in the study file."
        )
    return best


def blank(cell: object) -> bool:
    """Whether nothing stands in a cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _filled(
    cells: Sequence[list[Any]], numbers: Sequence[int]
) -> tuple[list[list[Any]], list[int]]:
    """Rows in which something stands, with their numbers."""
    kept = [
        (row, n)
        for row, n in zip(cells, numbers, strict=True)
        if not all(blank(cell) for cell in row)
    ]
    return [row for row, _ in kept], [n for _, n in kept]


def framed(path: Path, rows: list[list[Any]], numbers: list[int], word: str) -> pd.DataFrame:
    """Rows under their header, the first row; its nameless empty columns are left out."""
    import pandas as pd

    if not rows:
        raise FileError(f"{path} is empty. Export the table again.")
    width = max(map(len, rows))
    padded = [row + [None] * (width - len(row)) for row in rows]
    index = pd.Index(numbers[1:], name=word, dtype="int64")
    table = pd.DataFrame(padded[1:], columns=range(width), index=index, dtype=object)
    names = {
        i: cell
        for i, cell in enumerate(padded[0])
        if not blank(cell) or not all(map(blank, table[i]))
    }
    table = table[list(names)]
    table.columns = check_header(path, names)
    return table


def check_header(path: Path, cells: Mapping[int, Any]) -> pd.Index:
    """Check the names of columns; those without one are called by their number."""
    import pandas as pd

    if sum(map(_is_number, cells.values())) > len(cells) / 2:
        raise FileError(
            f"{path} has no header: most cells of its first row are numbers. "
            "Add a row with the names of the columns."
        )
    names = [
        f"(column {i + 1}, no name)" if blank(cell) else " ".join(str(cell).split())
        for i, cell in cells.items()
    ]
    doubled = sorted(name for name, n in Counter(names).items() if n > 1)
    if doubled:
        raise FileError(f"{path} has columns of the same name: {', '.join(doubled)}. Rename them.")
    return pd.Index(names, dtype=object)


def _is_number(cell: object) -> bool:
    try:
        return float(str(cell).replace(",", ".")) == float(str(cell).replace(",", "."))
    except ValueError:
        return False


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Parameters
    ----------
    path : Path
    what : str
        What the file is, for messages: "study file", "policy file".

    Raises
    ------
    FileError
        If it is missing or unreadable.
    DataError
        If it is not YAML, or no mapping.
    """
    import yaml

    try:
        document = read_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileError(f"There is no {what} {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise FileError(f"The {what} {path} cannot be read: {why}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise DataError(f"{path}{where}: not valid YAML ({problem}).") from None
    if not isinstance(document, dict):
        raise DataError(f"{path}: a {what} is a YAML mapping; see the README's example.")
    return document


def make_folder(path: Path) -> Path:
    """Make a folder for results; an existing one is used.

    Raises
    ------
    FileError
        If it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder {path} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise FileError(f"The folder {path} cannot be written to. Choose another with --out.")
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``, renamed when the block succeeds, else removed.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def written_chunks(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Give a function that adds a chunk of rows to a Parquet file, whole or not at all.

    The first chunk tells the types of the columns; one without any value in it holds text.

    Raises
    ------
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written_chunks(Path(folder) / "t.parquet") as write:
    ...         write(pd.DataFrame({"level": [None]}))
    ...         write(pd.DataFrame({"level": ["desert"]}))
    ...     pd.read_parquet(Path(folder) / "t.parquet")["level"].tolist()
    [nan, 'desert']
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_whole(path) as temporary, ExitStack() as stack:
        writer: Any = None

        def write(chunk: pd.DataFrame) -> None:
            nonlocal writer
            if writer is None:
                found = pa.Schema.from_pandas(chunk, preserve_index=False)
                fields = [
                    f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in found
                ]
                writer = stack.enter_context(pq.ParquetWriter(temporary, pa.schema(fields)))
            writer.write_table(
                pa.Table.from_pandas(chunk, schema=writer.schema, preserve_index=False)
            )

        yield write
        stack.close()  # before the file is renamed


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet by the file's ending, whole or not at all.

    Raises
    ------
    FileError
        If the ending is neither ``.csv`` nor ``.parquet``, or the file cannot be written.
    """
    path = Path(path)
    writers: dict[str, Callable[[Any], Any]] = {
        ".csv": lambda temporary: table.to_csv(temporary, index=False),
        ".parquet": lambda temporary: table.to_parquet(temporary, index=False),
    }
    if path.suffix.lower() not in writers:
        raise FileError(f"{path.name} must end in .csv or .parquet.")
    with written_whole(path) as temporary:
        writers[path.suffix.lower()](temporary)

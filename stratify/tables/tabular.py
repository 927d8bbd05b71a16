"""Files and folders of results, written whole or not at all; YAML files that hold a mapping."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratify.errors import DataError, FileError
from stratify.tables.documents import read_yaml

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "guarded",
    "make_folder",
    "read_mapping",
    "sha256_of",
    "unguarded",
    "write_table",
    "written_chunks",
    "written_whole",
]


# a sign before a number is no formula; one apostrophe more is put before one that stands there
_FORMULA = re.compile(
    r"'*(?:[=@\t\r\n]|[+-](?![0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?$)(?=.*[^\s+-]))", re.DOTALL
)
_GUARDED = re.compile(rf"'(?={_FORMULA.pattern})", re.DOTALL)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping."""
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
    """Make a folder for results; an existing one is used."""
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
    """Give a temporary name next to ``path``, renamed when the block succeeds, else removed."""
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

    The first chunk decides the types of the columns; one without any value in it holds text.

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


def guarded(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would take for a formula.

    Those begin with ``=``, ``@``, a tabulator or a line break, or with ``+`` or ``-`` and are no
    number. Numbers and all other texts are as they were; :func:`unguarded` takes it off again.

    Source: https://owasp.org/www-community/attacks/CSV_Injection

    Examples
    --------
    >>> import pandas as pd
    >>> guarded(pd.DataFrame({"patient_id": ["=1+1", "-3.5", "P-1"]}))["patient_id"].tolist()
    ["'=1+1", '-3.5', 'P-1']
    """
    return _where(table, _FORMULA, lambda text: f"'{text}")


def unguarded(table: pd.DataFrame) -> pd.DataFrame:
    """Take off the apostrophes of :func:`guarded`."""
    return _where(table, _GUARDED, lambda text: text[1:])


def _where(table: pd.DataFrame, pattern: re.Pattern[str], to: Callable[[str], str]) -> pd.DataFrame:
    import pandas as pd

    def mended(cell: Any) -> Any:
        return to(cell) if isinstance(cell, str) and pattern.match(cell) else cell

    texts = [i for i, dtype in enumerate(table.dtypes) if pd.api.types.is_string_dtype(dtype)]
    columns = [table.iloc[:, i] for i in range(table.shape[1])]
    for i in texts:
        columns[i] = columns[i].map(mended)
    return pd.concat(columns, axis=1) if texts else table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet by the file's ending, whole or not at all.

    A text that a spreadsheet would calculate gets an apostrophe before it in a CSV, see
    :func:`guarded`.
    """
    path = Path(path)
    writers: dict[str, Callable[[Any], Any]] = {
        ".csv": lambda temporary: guarded(table).to_csv(temporary, index=False),
        ".parquet": lambda temporary: table.to_parquet(temporary, index=False),
    }
    if path.suffix.lower() not in writers:
        raise FileError(f"{path.name} must end in .csv or .parquet.")
    with written_whole(path) as temporary:
        writers[path.suffix.lower()](temporary)

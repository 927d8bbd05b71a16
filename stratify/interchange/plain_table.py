"""A table of patients in names of its own: which column is which, by names and values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from stratify.errors import DataError, FileError
from stratify.interchange.source_data import (
    SourceData,
    cell_text,
    check_one_row,
    first_named,
    known_names,
    plain,
)
from stratify.tables.files import read_numbered
from stratify.tables.findings import listed
from stratify.tables.schema import Field, field_named, load_schema, patient_panels

__all__ = ["read_plain_table"]

_ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")


def read_plain_table(path: Path) -> SourceData:
    r"""Read a table, one row a patient, and find its columns by their names.

    Names are those of the dictionaries, their titles, and those of ``interchange.yaml``. A unit
    that stands in the name is taken; else the one unit in which the median is usual, with a note.

    Parameters
    ----------
    path : path
        The file, or a folder that holds it alone.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = "Patient,Age,Albumin [g/L],LDH\na-1,61,38,190\na-2,58,41,230\n"
    ...     _ = (Path(folder) / "patients.csv").write_text(table)
    ...     export = read_plain_table(Path(folder))
    >>> export.columns["albumin"], export.units["albumin"]
    ('Albumin [g/L]', 'g/L')
    """
    file = _file(path)
    table = read_numbered(file).map(cell_text)
    key = first_named(table.columns, known_names()["table"]["patient_id"])
    if not key:
        unique = [str(name) for name in table if not table[name].duplicated().any()]
        if not unique:
            raise DataError(
                f"{file.name} has no column of identifiers: none is named like one, and none is "
                "filled with different texts. Add one, one row a patient."
            )
        key = unique[0]
    check_one_row(table, key, file.name)
    notes = [f"Patients are named by {key}."]
    columns, units = _columns(table.drop(columns=key), notes)
    left = [str(name) for name in table if name not in {key, *columns.values()}]
    if left:
        notes.append(f"Not mapped, since the name is not known: {listed(left)}.")
    return SourceData(
        name=file.stem,
        files=file.name,
        key=key,
        patients=table,
        columns=columns,
        units=units,
        notes=notes,
    )


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileError(f"There is no file or folder {path}.")
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in _ENDINGS)
    if len(found) != 1:
        raise FileError(
            f"{path} holds {len(found)} tables ({', '.join(_ENDINGS)}); name the one that has one "
            "row a patient."
        )
    return found[0]


def _fields() -> Iterator[Field]:
    for panel in patient_panels():
        for name, field in load_schema(panel).fields.items():
            if name != "patient_id" and field.family is None:
                yield field


def _columns(table: pd.DataFrame, notes: list[str]) -> tuple[dict[str, str], dict[str, str | None]]:
    """Canonical name to column, and units."""
    synonyms = known_names()["table"]["columns"]
    stated = {name: _parted(name) for name in map(str, table.columns)}
    columns: dict[str, str] = {}
    units: dict[str, str | None] = {}
    guessed = []
    for field in _fields():
        names = {plain(field.name), plain(field.title), *map(plain, synonyms.get(field.name, []))}
        fitting = [
            (column, unit)
            for column, (bare, text) in stated.items()
            if column not in columns.values()
            for unit in [_unit(bare, text, names, field)]
            if unit is not None
        ]
        if not fitting:
            continue
        column, unit = fitting[0]
        columns[field.name] = column
        if len(fitting) > 1:
            others = listed([each for each, _ in fitting[1:]])
            notes.append(f"{field.name} is {column}; not taken: {others}.")
        if field.numeric and len(field.accepted_units) > 1:
            units[field.name] = unit or _usual_unit(table[column], field)
            if not unit and units[field.name]:
                guessed.append(f"{field.name} in {units[field.name]}")
    if guessed:
        notes.append(f"Units taken from the values, to be checked: {listed(guessed)}.")
    return columns, units


def _parted(column: str) -> tuple[str, str]:
    """Name without what stands in brackets, and that."""
    found = re.search(r"[\(\[]([^()\[\]]*)[\)\]]\s*$", column)
    return (plain(column[: found.start()]), found[1]) if found else (plain(column), "")


def _unit(bare: str, text: str, names: set[str], field: Field) -> str | None:
    """Give the unit of a column of one of the names, "" if it states none; None for others."""
    units = {plain(unit): unit for unit in field.accepted_units}
    units |= {"percent": "percent", "": ""} if "percent" in field.accepted_units else {"": ""}
    said = "percent" if text.strip() == "%" else plain(text)
    if bare in names:
        return units.get(said, "")
    for name in names:
        if bare.startswith(name) and (rest := bare[len(name) :]) in units:
            return units[rest]
    return None


def _usual_unit(cells: pd.Series, field: Field) -> str | None:
    """Give the one unit in which the median is usual; None where there is none or several."""
    numbers = pd.to_numeric(cells.str.replace(",", ".", regex=False), errors="coerce").dropna()
    if field.typical is None or not len(numbers):
        return None
    low, high = field.typical
    median = float(np.median(numbers))
    fitting = [
        unit
        for unit, factor in field_named(field.name).accepted_units.items()
        if unit != "mutations" and low <= median * float(factor) <= high
    ]
    return fitting[0] if len(fitting) == 1 else None

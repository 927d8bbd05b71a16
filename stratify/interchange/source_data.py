"""Clinical data in a format of trials or portals: one row a patient, in the source's own names.

Which column is which stands in ``data_schemas/interchange.yaml``; a choice between several leaves
a note. The formats are read in :mod:`stratify.interchange.adam` and
:mod:`stratify.interchange.cbioportal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from stratify.errors import DataError, FileError
from stratify.tables.documents import document
from stratify.tables.findings import lines_text, listed
from stratify.tables.schema import field_named

__all__ = [
    "OPEN",
    "SourceData",
    "cell_text",
    "check_cells",
    "check_one_row",
    "coding_of",
    "event_coding",
    "files_of",
    "first_named",
    "known_names",
    "missing_texts",
    "need_columns",
    "only_level",
    "plain",
    "recognised",
    "rows_text",
    "unit_named",
]

# Stands in a study file where the user's answer is wanted.
OPEN = "FILL-IN"


@dataclass
class SourceData:
    """What a folder holds.

    Attributes
    ----------
    name, files, key : str
        Name of the study, of its files, and of the column of patient identifiers.
    patients : DataFrame of shape (n_patients, ...)
        Cells as text, empty where missing.
    columns : dict of str to str
        Canonical name to the column of ``patients`` or ``outcomes``.
    units, assays : dict of str to (str or None)
        Unit and assay by canonical name, as far as the source says them.
    outcomes, adverse_events : DataFrame, optional
        Further tables of ADaM with ``key``; the outcomes of cBioPortal stand in ``patients``.
    censoring : bool
        Event columns hold CNSR (0 is an event).
    notes : list of str
        What was chosen, in sentences without a patient's value.
    """

    name: str
    files: str
    key: str
    patients: pd.DataFrame
    columns: dict[str, str] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    assays: dict[str, str] = field(default_factory=dict)
    outcomes: pd.DataFrame | None = None
    adverse_events: pd.DataFrame | None = None
    censoring: bool = False
    notes: list[str] = field(default_factory=list)


@cache
def known_names() -> dict[str, Any]:
    """Names and levels of ``interchange.yaml``."""
    return document("interchange")


def plain(text: object) -> str:
    """Text as names and levels are compared.

    Examples
    --------
    >>> plain("Overall Survival (Months)") == plain("OVERALL_SURVIVAL_MONTHS")
    True
    """
    return re.sub(r"[^a-z0-9]", "", str(text).lower())


@cache
def missing_texts() -> frozenset[str]:
    """Strings that mean missing, as :func:`plain`."""
    return frozenset({plain(text) for text in known_names()["missing"]} | {""})


def cell_text(cell: Any) -> str:
    """Cell as text; empty where missing, also as cBioPortal writes it: ``[Not Available]``.

    Examples
    --------
    >>> [cell_text(cell) for cell in (61.0, 0.5, None, "[Not Available]", " Drug  A ")]
    ['61', '0.5', '', '', 'Drug A']
    """
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if hasattr(cell, "isoformat"):
        return str(cell.isoformat())
    text = " ".join(str(cell).split())
    return "" if re.fullmatch(r"\[[A-Za-z ]+\]", text) else text


def first_named(columns: Iterable[str], names: Iterable[str]) -> str:
    """First column that has one of the names, else an empty text.

    Examples
    --------
    >>> first_named(["patientId", "SEX"], ["PATIENT_ID"])
    'patientId'
    """
    known = {plain(column): column for column in columns}
    return next((known[plain(name)] for name in names if plain(name) in known), "")


def unit_named(text: str) -> str | None:
    """Find a unit of time by its name in any number and case.

    Examples
    --------
    >>> unit_named("DAYS"), unit_named("cycles")
    ('days', None)
    """
    units = known_names()["units"]
    return next((unit for unit, names in units.items() if plain(text) in names), None)


def recognised(
    columns: Iterable[str], known: Mapping[str, list[str]], notes: list[str]
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Canonical name to column, and the unit that ends the column's name.

    Examples
    --------
    >>> recognised(["OS_MONTHS", "Note"], {"os": ["OS", "Overall Survival"]}, [])
    ({'os': 'OS_MONTHS'}, {'os': 'months'})
    """
    bare, units = {}, {}
    for column in columns:
        unit = re.search(r"[ _(]+(days?|weeks?|months?|years?)\)?$", column, re.IGNORECASE)
        bare[column] = plain(column[: unit.start()] if unit else column)
        units[column] = unit_named(unit[1]) if unit else None
    found: dict[str, str] = {}
    for name, names in known.items():
        wanted = [plain(n) for n in names]
        fitting = [column for column in bare if bare[column] in wanted]
        fitting.sort(key=lambda column: wanted.index(bare[column]))
        if fitting:
            found[name] = fitting[0]
        if len(fitting) > 1:
            notes.append(f"{name} is {fitting[0]}; not taken: {listed(fitting[1:])}.")
    return found, {name: units[column] for name, column in found.items()}


def only_level(table: pd.DataFrame, column: str) -> str:
    """Value of a column that has one value, else an empty text."""
    levels = set(table[column]) - {""} if column in table else set()
    return str(levels.pop()) if len(levels) == 1 else ""


def files_of(folder: Path, holds: str) -> list[Path]:
    """Files of a folder by name; ``holds`` says what is expected there."""
    if not folder.is_dir():
        raise FileError(f"There is no folder {folder}. Give the folder that holds {holds}.")
    return sorted(path for path in folder.iterdir() if path.is_file())


def need_columns(table: pd.DataFrame, file: str, columns: list[str]) -> None:
    """Raise if the file lacks one of the columns."""
    if absent := [column for column in columns if column not in table]:
        raise DataError(
            f"{file} has no column {listed(absent)}; {listed(columns)} "
            f"{'are' if len(columns) > 1 else 'is'} expected. Export it again with all columns."
        )


def rows_text(wrong: pd.Series) -> str:
    """Return the number of rows marked, as text.

    Examples
    --------
    >>> rows_text(pd.Series([True, False]))
    '1 row'
    """
    n = int(wrong.sum())
    return f"{n} row{'' if n == 1 else 's'}"


def check_cells(wrong: pd.Series, file: str, found: str, expected: str) -> None:
    """Raise if cells are wrong: where, how many, what was ``found``, what is ``expected``."""
    if wrong.any():
        lines = lines_text(wrong.index[wrong], str(wrong.index.name or "row"))
        raise DataError(f"{file}, {lines}: {found} ({rows_text(wrong)}); {expected}")


def check_one_row(table: pd.DataFrame, key: str, file: str, of: str = "") -> None:
    """Raise if an identifier is empty or stands more than once."""
    expected = "one row a patient is expected. Keep the right one."
    for wrong, kind in (
        (table[key] == "", "no identifier"),
        (table[key].duplicated(keep=False), "identifiers that stand more than once"),
    ):
        check_cells(wrong, file, f"{kind} in column {key}{of}", expected)


def coding_of(cells: pd.Series, name: str) -> dict[str, Any]:
    """Coding of a column's levels; those not known are left open.

    Examples
    --------
    >>> coding_of(pd.Series(["M", "F", "X", ""]), "sex")
    {'F': 'female', 'M': 'male', 'X': 'FILL-IN sex'}
    """
    levels = known_names()["levels"].get(name, {})
    if not levels and field_named(name).type == "boolean":
        levels = known_names()["levels"]["boolean"]
    known: dict[str, Any] = dict.fromkeys(missing_texts())
    known |= {plain(text): level for level, texts in levels.items() for text in texts}
    known |= {plain(level): level for level in field_named(name).enum}
    texts = sorted(set(cells) - {"", ".", "-"})
    return {text: known.get(plain(text), f"{OPEN} {name}") for text in texts}


def event_coding(cells: pd.Series, name: str, where: str) -> dict[str, Any]:
    """Coding of a status with a prefix (1: is an event), or of bare words; never of both."""
    levels = known_names()["levels"]["events"].items()
    words: dict[str, bool] = {plain(text): event for event, texts in levels for text in texts}
    kept = cells[~cells.map(plain).isin(missing_texts())]
    prefixed = kept.str.match("[01] ?:")
    if 0 < (n := int(prefixed.sum())) < len(kept):
        raise DataError(
            f"{where} mixes two event codings: with the prefix 0: or 1: ({rows_text(prefixed)}) "
            f"and without ({rows_text(~prefixed)}). One is expected; export the column again."
        )
    coding: dict[str, Any] = {}
    for text in sorted(set(kept)):
        said = words.get(plain(text[text.index(":") :] if n else text))
        coding[text] = (text[0] == "1") if n else said
        if said not in (None, coding[text]):
            raise DataError(
                f"{where} contradicts itself: prefix and word disagree on whether there was an "
                f"event ({rows_text(cells == text)}). 1: is expected before events, 0: before "
                "others; correct the export."
            )
        if coding[text] is None:
            coding[text] = f"{OPEN} {name}"
    return coding

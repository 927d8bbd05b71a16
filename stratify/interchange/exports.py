"""Scores and labels written in a format of trials or portals; each format is one object.

A package adds a format by an object of the protocol :class:`Export`, named as an entry point of the
group ``stratify.exports``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pandas as pd

from stratify.errors import ArgumentError, DataError
from stratify.extensions import by_name
from stratify.interchange.adam_export import AdamExport
from stratify.interchange.cbioportal_export import CbioportalExport
from stratify.tables.files import read_numbered
from stratify.tables.findings import listed
from stratify.tables.schema import load_schema
from stratify.tables.tabular import unguarded

__all__ = ["Export", "exports", "read_result", "write_export"]


class Export(Protocol):
    """A format that scores and labels are written in."""

    @property
    def name(self) -> str:
        """Name by which it is asked for."""

    @property
    def title(self) -> str:
        """The format and its files, in a few words."""

    def write(self, scores: pd.DataFrame, labels: pd.DataFrame | None, folder: Path) -> list[Path]:
        """Write the files of the format.

        Parameters
        ----------
        scores, labels : DataFrame of shape (n_patients, ...)
            With the columns of their dictionaries; labels may be None. Not to be changed.
        folder : Path
            Where it is missing, it is made when all is ready to be written.

        Returns
        -------
        list of Path
            The files written.
        """


def exports() -> dict[str, Export]:
    """Every format by name: those of this package, then those of installed ones.

    Examples
    --------
    >>> list(exports())[:2]
    ['adam', 'cbioportal']
    """
    own: list[Export] = [AdamExport(), CbioportalExport()]
    return by_name("stratify.exports", own)


def write_export(
    name: str, scores: pd.DataFrame, labels: pd.DataFrame | None, folder: str | Path
) -> list[Path]:
    """Write scores and labels in a format.

    Parameters
    ----------
    scores, labels : DataFrame of shape (n_patients, ...)
        As in the dictionaries ``scores`` and ``labels``; labels may be None.

    Examples
    --------
    >>> write_export("fhir", pd.DataFrame(), None, "out")
    Traceback (most recent call last):
        ...
    stratify.errors.ArgumentError: There is no export format 'fhir'; there are adam, cbioportal.
    """
    known = exports()
    if name not in known:
        raise ArgumentError(f"There is no export format {name!r}; there are {', '.join(known)}.")
    for what, table in (("scores", scores), ("labels", labels)):
        columns = load_schema(what).fields
        if table is not None and (absent := [c for c in columns if c not in table]):
            raise ArgumentError(
                f"`{what}` has no column {listed(absent)}; {', '.join(columns)} are expected. Pass "
                f"{what} as stratify writes them."
            )
    return known[name].write(scores, labels, Path(folder))


def read_result(path: Path, what: str) -> pd.DataFrame:
    """Read a table of results: numbers as numbers, all else as text, empty cells as missing."""
    table = unguarded(read_numbered(path).reset_index(drop=True))
    table = table.mask(table == "", None)
    for name, field in load_schema(what).fields.items():
        if name in table and field.numeric:
            numbers = pd.to_numeric(table[name], errors="coerce")
            if n := int((numbers.isna() & table[name].notna()).sum()):
                raise DataError(
                    f"{path}: column {name} holds cells that are no number ({n}); pass {what} as "
                    "stratify writes them."
                )
            table[name] = numbers.astype(float)
    return table

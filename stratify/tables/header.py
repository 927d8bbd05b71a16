"""The header of a table: what cells it holds, and the names of the columns under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stratify.errors import FileError

__all__ = ["blank", "column_names"]


def blank(cell: object) -> bool:
    """Whether nothing stands in a cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def column_names(
    path: Path, header: Sequence[Any], filled: Callable[[int], bool] | None = None
) -> dict[int, str]:
    """Names of the columns by their number from 0.

    Parameters
    ----------
    filled : callable, optional
        Whether something stands in a column. One without a name is left out if nothing does, and
        called by its number, from 1, otherwise.

    Examples
    --------
    >>> column_names(Path("t.csv"), ["ID", "", " Age  (years)"], lambda i: i != 1)
    {0: 'ID', 2: 'Age (years)'}

    Columns of one name are distinguished by their number.

    >>> column_names(Path("t.csv"), ["ID", "Complete?", "Age", "Complete?"])
    {0: 'ID', 1: 'Complete? (column 2)', 2: 'Age', 3: 'Complete? (column 4)'}
    """
    cells = {
        i: cell for i, cell in enumerate(header) if not blank(cell) or filled is None or filled(i)
    }
    if sum(map(_is_number, cells.values())) > len(cells) / 2:
        raise FileError(
            f"{path} has no header: most cells of its first row are numbers. "
            "Add a row with the names of the columns."
        )
    names = {
        i: f"(column {i + 1}, no name)" if blank(cell) else " ".join(str(cell).split())
        for i, cell in cells.items()
    }
    times = Counter(names.values())
    return {i: f"{n} (column {i + 1})" if times[n] > 1 else n for i, n in names.items()}


def _is_number(cell: object) -> bool:
    try:
        number = float(str(cell).replace(",", "."))
    except ValueError:
        return False
    return number == number  # "nan" is a name

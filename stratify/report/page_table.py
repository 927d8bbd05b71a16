"""A table ready to print on a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["PageTable", "page_cells"]


class PageTable(NamedTuple):
    """Column heads, which columns hold numbers, and rows of texts."""

    caption: str
    heads: list[str]
    numeric: list[bool]
    rows: list[list[str]]


def page_cells(
    caption: str, heads: Iterable[str], rows: list[list[str]], words: int | None = None
) -> PageTable:
    """Put texts into a table as they stand; columns after the first `words` hold numbers.

    Examples
    --------
    >>> page_cells("Patients", ["Group", "n"], [["all", "12"]], words=1).numeric
    [False, True]
    """
    names = list(heads)
    numeric = [words is not None and k >= words for k in range(len(names))]
    return PageTable(caption, names, numeric, rows)

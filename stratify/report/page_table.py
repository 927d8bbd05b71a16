"""Tables ready to print on a page: each cell as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from stratify.report.figures import estimate
from stratify.report.text import METRICS, TEXT

__all__ = [
    "NUMBERS",
    "PageTable",
    "Row",
    "cell_words",
    "finding_table",
    "metric_words",
    "model_words",
    "page_cells",
    "page_pairs",
    "page_table",
    "share_words",
]

_COUNTS = ("count", "n", "n_events", "n_remaining")
NUMBERS = {*_COUNTS, "share", "share_missing", "mean_abs_shap", "threshold", "median"}
NUMBERS |= {"hazard_ratio", "value"}
_CODED = {"step": "steps", "state": "states", "split": "splits"}
_CODES = {"reason", "recommendation", "direction", "panel", "group"}  # codes with underscores
_FINDING = ("code", "severity", "cohort", "column", "count", "message", "advice")

Row = Mapping[Any, Any]


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


def share_words(value: float) -> str:
    """Write a share as a percentage; a missing one as a dash."""
    return "–" if pd.isna(value) else f"{100 * value:.1f}\u00a0%"


def _plain(value: Any) -> str:
    """One fact or cell as text; missing and empty ones as a dash."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(each)}" for key, each in value.items()) or "–"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(_plain(each) for each in value) or "–"
    if value is None or value == "" or pd.isna(value):
        return "–"
    if isinstance(value, bool):
        return str(TEXT["yes"] if value else TEXT["no"])
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def model_words(name: str) -> str:
    """Name of a model or reference in words."""
    return str(TEXT["models"].get(name) or name.replace("_", " "))


def metric_words(name: str) -> str:
    """Name of a metric in words."""
    return METRICS[name][0] if name in METRICS else name.replace("_", " ")


def cell_words(column: str, row: Row) -> str:
    """Write a column's cell; the other columns of the row hold limits and the metric."""
    value = row[column]
    if column in ("value", "hazard_ratio"):
        digits = METRICS[row["metric"]][1] if row.get("metric") in METRICS else 2
        return estimate(value, row["low"], row["high"], digits)
    if column in _COUNTS:
        return estimate(value, digits=0)
    if column in ("share", "share_missing"):
        return share_words(value)
    if column == "mean_abs_shap":
        return estimate(value, digits=3)
    if column == "median":
        return TEXT["not_reached"] if pd.isna(value) else estimate(value, digits=1)
    if column in ("model", "reference"):
        return model_words(value)
    if column == "metric":
        return metric_words(value)
    if column == "subgroup":
        return str(value).replace("=", ": ").replace("_", " ")
    if column in _CODED:
        return str(TEXT[_CODED[column]].get(value) or value)
    return _plain(value).replace("_", " ") if column in _CODES else _plain(value)


def page_table(caption: str, rows: Iterable[Row], columns: Sequence[str]) -> PageTable:
    """Put rows of a result table into a table, columns and codes in words."""
    heads = [TEXT["columns"][column] for column in columns]
    cells = [[cell_words(column, row) for column in columns] for row in rows]
    return PageTable(caption, heads, [column in NUMBERS for column in columns], cells)


def page_pairs(caption: str, names: Mapping[str, Any]) -> PageTable:
    """Put names and their values into a table of two columns."""
    rows = [[str(name), _plain(value)] for name, value in names.items()]
    return PageTable(caption, [TEXT["name"], TEXT["value"]], [False, False], rows)


def finding_table(findings: pd.DataFrame, columns: Sequence[str] = _FINDING) -> PageTable:
    """Put findings about the data into a table, with their number under a head of its own."""
    rows = findings.rename(columns={"n": "count"}).to_dict("records")
    return page_table(TEXT["findings"], rows, columns)

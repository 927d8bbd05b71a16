"""Rows of a table that several modules derive something from: columns as numbers, and their faults.

A fault of a column is added to the findings of its table, with the limits of its dictionary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Floats
from stratify.tables.findings import Findings
from stratify.tables.plausibility import ENOUGH_VALUES, FEW
from stratify.tables.schema import Field, Schema

__all__ = ["add_number_faults", "add_unknown_levels", "check_table", "numbers_of"]


def check_table(**tables: Any) -> None:
    """Refuse what is no DataFrame, by the name of the argument."""
    for name, table in tables.items():
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"{name} is a {type(table).__name__}; expected a DataFrame.")


def numbers_of(table: pd.DataFrame, name: str) -> Floats:
    """Column as numbers, NaN where absent, missing or not a number."""
    if name not in table:
        return np.full(len(table), np.nan)
    column = table[name]
    if column.dtype.kind not in "biuf":
        column = pd.to_numeric(column, errors="coerce")
    return column.to_numpy(dtype=float, na_value=np.nan)


def add_number_faults(table: pd.DataFrame, schema: Schema, found: Findings) -> None:
    """Add numbers that cannot be, and fractions that look like percent or the reverse.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, ...)
    schema : Schema
        Its dictionary; columns of numbers, and of yes or no as 1 and 0, are looked at.
    """
    for field in schema.fields.values():
        column = field.name
        if column not in table or field.type not in ("number", "integer", "boolean"):
            continue
        numbers = numbers_of(table, column)
        unread = np.isnan(numbers)
        if unread.any():
            unread &= table[column].notna().to_numpy()
            found.add_rows("not_numeric", column, unread, f"{column} is not a number.")
        if field.unit == "fraction" and _add_unit_fault(numbers, field, found):
            continue
        low, high = field.minimum or 0.0, np.inf if field.maximum is None else field.maximum
        unit = f" {field.unit}" if field.unit else ""
        if field.type == "boolean":
            low, high, unit = 0.0, 1.0, " (no or yes)"
        wrong = (numbers < low) | (numbers > high)
        if field.type == "boolean":
            wrong |= (numbers > low) & (numbers < high)
        text = f"{column} outside {low:g} to {high:g}{unit}."
        found.add_rows("outside_limits", column, wrong, text)
        if field.unit == "fraction" and field.typical is not None:
            _add_percent_warning(numbers, field, found)


def _add_unit_fault(numbers: Floats, field: Field, found: Findings) -> bool:
    """Add that fractions look like percent, and say whether they do."""
    low, high = field.minimum or 0.0, np.inf if field.maximum is None else field.maximum
    above, known = numbers > high, int(np.isfinite(numbers).sum())
    strange = (numbers > 100 * high).any() or (numbers < low).any()
    if above.sum() <= FEW * known or strange:
        return False
    text = (
        f"{field.name} is read as a fraction but looks like percent ({int(above.sum())} of "
        f"{known} values exceed 1)."
    )
    found.add_rows("looks_like_another_unit", field.name, above, text)
    return True


def _add_percent_warning(numbers: Floats, field: Field, found: Findings) -> None:
    """Add that percent may have been divided by a hundred twice, by the usual median."""
    finite, (low, high) = np.isfinite(numbers), field.typical or (0.0, np.inf)
    if finite.sum() > ENOUGH_VALUES and (numbers > 0).any():
        median = float(np.median(numbers[numbers > 0]))
        if median < low <= 100 * median <= high:
            text = (
                f"{field.name} may be fractions stated in percent: the median lies below {low:g}."
            )
            found.add_rows("unusual_value", field.name, finite, text)


def add_unknown_levels(table: pd.DataFrame, field: Field, found: Findings) -> None:
    """Add levels that the dictionary does not have, if the table has the column."""
    if field.name in table:
        unknown = table[field.name].notna() & ~table[field.name].isin(field.enum)
        text = f"{field.name} not known; expected {', '.join(field.enum)}."
        found.add_rows("unknown_category", field.name, unknown, text)

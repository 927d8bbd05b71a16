"""Rows of a table that several modules derive something from: its columns as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Floats

__all__ = ["check_table", "numbers_of"]


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

"""Values that cannot be: the dictionary's limits, levels and kinds of number, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats, Strings
from stratify.tables.schema import Field, field_named

__all__ = ["LONGEST_LEVEL", "contradicts", "impossible_numbers", "unknown_levels"]

LONGEST_LEVEL = 200  # characters of a level that a dictionary does not list


class _Limits(NamedTuple):
    low: Floats
    high: Floats
    whole: Flags


@lru_cache(maxsize=256)
def _limits(names: tuple[str, ...]) -> _Limits:
    fields = [field_named(name) for name in names]
    whole = np.array([field.type in ("integer", "boolean") for field in fields], dtype=bool)
    ends = [
        (0.0, 1.0) if field.type == "boolean" else (field.minimum, field.maximum)
        for field in fields
    ]
    low = np.array([-np.inf if least is None else least for least, _ in ends], dtype=float)
    high = np.array([np.inf if most is None else most for _, most in ends], dtype=float)
    return _Limits(low, high, whole)


def impossible_numbers(matrix: Floats, names: tuple[str, ...]) -> dict[str, Flags]:
    """Find numbers that cannot be, by the code of the finding.

    Parameters
    ----------
    matrix : ndarray of shape (n_patients, n_columns)
        Numbers and yes/no in the units of the dictionaries, NaN for missing.

    Returns
    -------
    dict of str to ndarray of bool of shape (n_patients, n_columns)

    Examples
    --------
    >>> impossible_numbers(np.array([[1.0], [1.5], [np.nan], [9.0]]), ("ecog",))["not_integer"].T
    array([[False,  True, False, False]])
    """
    low, high, whole = _limits(names)
    infinite = np.isinf(matrix)
    outside = ((matrix < low) | (matrix > high)) & ~infinite
    fractions = np.zeros_like(outside)
    if whole.any():
        cells = matrix[:, whole]
        fractions[:, whole] = np.isfinite(cells) & (cells != np.floor(cells)) & ~outside[:, whole]
    return {"not_numeric": infinite, "outside_limits": outside, "not_integer": fractions}


def unknown_levels(levels: Strings, field: Field) -> list[Flags]:
    """Find levels that a dictionary does not list, or that are no levels: too long; none or one.

    Examples
    --------
    >>> unknown_levels(np.array(["male", None, "m"], dtype=object), field_named("sex"))
    [array([False, False,  True])]
    """
    kinds, distinct = pd.factorize(levels)
    bad = [
        level not in field.enum if field.enum else len(str(level)) > LONGEST_LEVEL
        for level in distinct
    ]
    return [np.array([*bad, False], dtype=bool)[kinds]] if any(bad) else []


def contradicts(rule: Mapping[str, Any], columns: Mapping[str, Any] | pd.DataFrame) -> Any:
    """Find patients in whom a column is smaller than a rule of its dictionary has it.

    Bounds count where they are there: up to the upper one of the larger column, from the lower
    one of the smaller.

    Examples
    --------
    >>> rule = {"column": "pdl1_cps", "at_least": "pdl1_tps", "tolerance": 0.1}
    >>> columns = {"pdl1_cps": np.array([10.0, 60]), "pdl1_tps": np.array([50.0, 50])}
    >>> contradicts(rule, columns)
    array([ True, False])
    """
    larger, smaller = rule["column"], rule["at_least"]
    high, low = f"{larger}_high", f"{smaller}_low"
    most = columns[high if high in columns else larger]
    return most < columns[low if low in columns else smaller] - rule["tolerance"]

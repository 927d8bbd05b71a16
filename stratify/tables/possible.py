"""Values that cannot be: the dictionary's limits, levels and kinds of number, cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags
from stratify.tables.schema import Field

__all__ = ["LONGEST_LEVEL", "impossible"]

LONGEST_LEVEL = 200  # characters of a level that a dictionary does not list


def impossible(values: npt.NDArray[Any], field: Field) -> dict[str, Flags]:
    """Which values of a column cannot be, by the code of the finding.

    Parameters
    ----------
    values : ndarray of shape (n_patients,)
        In the unit of the dictionary; float64 with NaN for missing, or levels as objects.
    field : Field

    Returns
    -------
    dict of str to ndarray of bool of shape (n_patients,)
        Codes of the findings that arise, missing values in none of them.

    Examples
    --------
    >>> from stratify.tables.schema import field_named
    >>> impossible(np.array([1.0, 1.5, np.nan, 9.0]), field_named("ecog"))
    {'outside_limits': array([False, False, False,  True]),
     'not_integer': array([False,  True, False, False])}
    >>> impossible(np.array(["male", None, "m"], dtype=object), field_named("sex"))
    {'unknown_category': array([False, False,  True])}
    """
    found: dict[str, Flags] = {}
    if values.dtype == np.float64:
        infinite = np.isinf(values)
        if field.type == "boolean":
            outside = ~np.isin(values, (0.0, 1.0)) & np.isfinite(values)
        else:
            low = -np.inf if field.minimum is None else field.minimum
            high = np.inf if field.maximum is None else field.maximum
            outside = ((values < low) | (values > high)) & ~infinite
        found["not_numeric"], found["outside_limits"] = infinite, outside
        if field.type == "integer":
            found["not_integer"] = np.isfinite(values) & (values % 1 != 0) & ~outside
    else:
        given = ~np.asarray(pd.isna(values), dtype=bool)
        allowed = field.enum
        found["unknown_category"] = given & np.array(
            [
                (text not in allowed) if allowed else len(str(text)) > LONGEST_LEVEL
                for text in values
            ],
            dtype=bool,
        )
    return {code: wrong for code, wrong in found.items() if wrong.any()}

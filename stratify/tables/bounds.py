"""Values reported as an interval (PD-L1 "1-49 %") against a cut-off: yes, no, or unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Floats

__all__ = ["reaches"]


def reaches(
    table: pd.DataFrame | Mapping[str, Any], column: str, limit: float, n: int | None = None
) -> Floats:
    """Whether a value is at or above a limit, by its bounds where it was reported with some.

    Parameters
    ----------
    table : DataFrame or mapping of str to array of shape (n_patients,)
        ``column`` and, where reported, ``<column>_low`` and ``<column>_high``. Of an interval the
        upper bound is excluded, so that ``<1`` does not reach 1.
    limit : float
        In the unit of the column.
    n : int, optional
        Number of patients, where `table` is a mapping that may lack the column.

    Returns
    -------
    ndarray of shape (n_patients,)
        1 if it does, 0 if not, NaN where the value is missing or its interval spans the limit.

    Examples
    --------
    >>> table = pd.DataFrame({"pdl1_tps": [0.5, 50.5, 75.0, 20.0, None],
    ...                       "pdl1_tps_low": [0.0, 1.0, 50.0, None, None],
    ...                       "pdl1_tps_high": [1.0, 100.0, 100.0, None, None]})
    >>> reaches(table, "pdl1_tps", 50), reaches(table, "pdl1_tps", 1)
    (array([ 0., nan,  1.,  0., nan]), array([ 0.,  1.,  1.,  1., nan]))
    """
    n = len(table) if n is None else n
    value = _numbers(table.get(column), n)
    low, high = (
        np.where(np.isnan(bound), value, bound)
        for bound in (_numbers(table.get(f"{column}_{end}"), n) for end in ("low", "high"))
    )
    below = np.where(high > low, high <= limit, high < limit)
    found: Floats = np.select([np.isnan(value), low >= limit, below], [np.nan, 1.0, 0.0], np.nan)
    return found


def _numbers(values: Any, n: int) -> Floats:
    if values is None:
        return np.full(n, np.nan)
    return pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(dtype=float, na_value=np.nan)

"""Characteristics of a cohort by group, the Table 1 of a paper; nothing that could tell a patient.

Counts from 1 to 4 are left out, and quartiles of fewer than ten patients.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.cohort.subgroups import SMALLEST_COUNT
from stratify.tables.schema import field_named

__all__ = ["characteristics"]

_QUARTILES_FROM = 10  # patients
_LEVELS = 8  # commonest levels of a category


def characteristics(table: pd.DataFrame, features: list[str], group: pd.Series) -> pd.DataFrame:
    """Describe features by group of patients: counts, shares and quartiles.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
    features : list of str
        Canonical names; columns that are absent are left out.
    group : Series of shape (n_patients,)
        Group of each patient.

    Returns
    -------
    DataFrame
        ``feature, title, level, group, n_group, n_measured, n, share, median, low, high``: `n` and
        `share` of a level (or of yes) among those measured; the median with the quartiles, to two
        digits, of a number. What is left out is NaN.

    Examples
    --------
    >>> table = pd.DataFrame({"albumin": [3.0, 3.5, 4.0, 4.5] * 5, "sex": ["female", "male"] * 10})
    >>> group = pd.Series(["low"] * 10 + ["high"] * 10)
    >>> found = characteristics(table, ["albumin", "sex"], group)
    >>> found[["feature", "level", "group", "n", "median"]].head(4)
       feature   level group    n  median
    0  albumin           low  NaN     3.5
    1  albumin          high  NaN     4.0
    2      sex  female   low  5.0     NaN
    3      sex  female  high  5.0     NaN
    """
    groups = {name: (group == name).to_numpy() for name in dict.fromkeys(group)}
    rows: list[dict[str, object]] = []
    for feature in [name for name in features if name in table]:
        field, values = field_named(feature), table[feature]
        if field.categorical:
            levels = values.value_counts().index[:_LEVELS].tolist()
        else:
            levels = ["yes"] if field.type == "boolean" else [""]
        for level in levels:
            for name, mask in groups.items():
                here = values[mask].dropna()
                row = {"feature": feature, "title": field.title, "level": level, "group": name}
                row |= {"n_group": int(mask.sum()), "n_measured": _told(len(here))}
                if level == "":
                    rows.append(row | _quartiles(here.to_numpy(dtype=float)))
                else:
                    n = int((here == (1.0 if field.type == "boolean" else level)).sum())
                    shown = n == 0 or n >= SMALLEST_COUNT
                    shown &= len(here) - n == 0 or len(here) - n >= SMALLEST_COUNT
                    share = n / len(here) if len(here) and shown else np.nan
                    rows.append(row | {"n": n if shown else np.nan, "share": share})
    columns = ["feature", "title", "level", "group", "n_group", "n_measured", "n", "share"]
    return pd.DataFrame(rows, columns=[*columns, "median", "low", "high"])


def _told(n: int) -> float:
    return float(n) if n == 0 or n >= SMALLEST_COUNT else np.nan


def _quartiles(values: np.ndarray) -> dict[str, float]:
    if len(values) < _QUARTILES_FROM:
        return {}
    low, median, high = (float(f"{q:.2g}") for q in np.quantile(values, [0.25, 0.5, 0.75]))
    return {"median": median, "low": low, "high": high}

"""Derived columns with those that a file reports, and where the two differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from stratify.arrays import Flags
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of
from stratify.tables.schema import field_named

__all__ = ["measured_columns", "merged", "with_derived"]

# Derived and reported values agree within this share, or this much where printed digits are few.
SAME_SHARE, SAME = 0.01, 0.001


def measured_columns(derived: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Take derived columns, by patient, that hold a value of one of the cohort's patients."""
    ours = derived[derived.index.isin(patients["patient_id"])]
    return derived.loc[:, ours.notna().any()]


def missing_in(values: npt.NDArray[Any]) -> Flags:
    """Which values are missing."""
    if values.dtype == np.float64:
        return np.asarray(np.isnan(values))
    return np.asarray(pd.isna(values), dtype=bool)


def merged(
    name: str,
    reported: npt.NDArray[Any],
    derived: npt.NDArray[Any],
    source: str,
    cohort: str,
    findings: Findings | None,
) -> npt.NDArray[Any]:
    """Fill gaps of reported values by derived ones; both are compared.

    Examples
    --------
    >>> reported, derived = np.array([4.0, np.nan, 9.0]), np.array([4.0, 2.5, 3.0])
    >>> found = Findings()
    >>> merged("nlr", reported, derived, "blood counts", "home", found)
    array([4. , 2.5, 9. ])
    >>> found.codes()
    ['reported_differs', 'filled_by_derivation']
    """
    known, given = ~missing_in(derived), ~missing_in(reported)
    fills = known & ~given
    if findings is not None:
        where = {"cohort": cohort, "panel": field_named(name).panel, "column": name}
        both = known & given
        if reported.dtype == np.float64:
            differs = both & ~np.isclose(derived, reported, rtol=SAME_SHARE, atol=SAME)
        else:
            differs = both & np.asarray(derived != reported, dtype=bool)
        if differs.any():
            findings.add(
                "reported_differs",
                f"{source}: {name} as derived differs from what is reported in "
                f"{int(differs.sum())} of {int(both.sum())} patients; the reported one is used.",
                n=int(differs.sum()),
                **where,
            )
        if fills.any():
            findings.add(
                "filled_by_derivation",
                f"{source}: {name} of {int(fills.sum())} patients, for whom it is not reported.",
                n=int(fills.sum()),
                **where,
            )
    return np.where(fills, derived, reported) if fills.any() else reported


def with_derived(
    patients: pd.DataFrame, derived: pd.DataFrame, source: str, cohort: str, findings: Findings
) -> pd.DataFrame:
    """Add derived columns, numbers or levels; gaps of reported ones are filled.

    Parameters
    ----------
    patients, derived : DataFrame of shape (n_patients, ...)
        In the same order; a level that is not known is NaN or None.

    Examples
    --------
    >>> patients = pd.DataFrame({"patient_id": ["a", "b"]})
    >>> derived = pd.DataFrame({"til_score": [2, None], "immune_phenotype": ["desert", None]})
    >>> with_derived(patients, derived, "regions.csv", "home", Findings())
      patient_id  til_score immune_phenotype
    0          a        2.0           desert
    1          b        NaN              NaN
    """
    columns = {}
    for name in map(str, derived):
        numeric = field_named(name).dtype == "float64"
        values = derived[name].to_numpy(dtype=float if numeric else object)
        if name in patients:
            reported = (
                numbers_of(patients, name) if numeric else patients[name].to_numpy(dtype=object)
            )
            values = merged(name, reported, values, source, cohort, findings)
        columns[name] = values
    return patients.assign(**columns)

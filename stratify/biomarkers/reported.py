"""Derived columns with those that a file reports, and where the two differ."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.arrays import Floats, Strings
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of
from stratify.tables.schema import field_named

__all__ = ["measured_columns", "with_derived"]

# Derived and reported values agree within this share, or this much where printed digits are few.
SAME_SHARE, SAME = 0.01, 0.001


def measured_columns(derived: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Take derived columns, by patient, that hold a value of one of the cohort's patients."""
    ours = derived[derived.index.isin(patients["patient_id"])]
    return derived.loc[:, ours.notna().any()]


def with_derived(
    patients: pd.DataFrame, derived: pd.DataFrame, file: str, cohort: str, findings: Findings
) -> pd.DataFrame:
    """Add derived columns, numbers or levels; one that a file reports stays.

    Parameters
    ----------
    patients, derived : DataFrame of shape (n_patients, ...)
        In the same order; a level that is not known is NaN or None.
    file, cohort : str
        For findings.
    findings : Findings
        Says in how many patients the reported value is another one.

    Examples
    --------
    >>> patients = pd.DataFrame({"patient_id": ["a", "b"]})
    >>> derived = pd.DataFrame({"til_score": [2, None], "immune_phenotype": ["desert", None]})
    >>> with_derived(patients, derived, "regions.csv", "home", Findings())
      patient_id  til_score immune_phenotype
    0          a        2.0           desert
    1          b        NaN              NaN
    """
    joined = patients.copy()
    for name in map(str, derived):
        field = field_named(name)
        values: Floats | Strings
        reported: Floats | Strings
        if field.type != "string":
            values, reported = derived[name].to_numpy(dtype=float), numbers_of(patients, name)
            same = np.isclose(values, reported, rtol=SAME_SHARE, atol=SAME)
        else:
            values = derived[name].to_numpy(dtype=object, na_value=np.nan)
            reported = patients.get(name, derived[name]).to_numpy(dtype=object)
            same = np.asarray(values == reported)
        if name not in patients:
            joined[name] = values
            continue
        both = pd.notna(reported) & pd.notna(values)
        differs = both & ~same
        if differs.any():
            findings.add(
                "reported_differs",
                f"{file}: {name} as derived differs from what is reported in "
                f"{int(differs.sum())} of {int(both.sum())} patients; the reported one is used.",
                cohort=cohort,
                panel=field.panel,
                column=name,
                n=int(differs.sum()),
            )
    return joined

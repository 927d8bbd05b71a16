"""Derived columns beside those that a file reports, and what is told of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stratify.arrays import Floats, Strings
from stratify.tables.findings import Findings
from stratify.tables.rows import numbers_of
from stratify.tables.schema import field_named

__all__ = ["add_not_measured", "tell_all", "with_derived"]

# Derived and reported values agree within this share, or this much where printed digits are few.
SAME_SHARE, SAME = 0.01, 0.001


def tell_all(found: list[dict[str, Any]], panel: str, cohort: str) -> Findings:
    """Give findings of a table their cohort."""
    told = Findings()
    for each in found:
        code, text = str(each["code"]), str(each["message"])
        told.add(
            code, text, cohort=cohort, panel=panel, column=str(each["column"]), n=int(each["n"])
        )
    return told


def add_not_measured(
    missing: pd.Series, file: str, column: str, cohort: str, findings: Findings
) -> None:
    """Tell how many patients have no row in a file, and are missing therefore."""
    n = int(missing.sum())
    if n:
        findings.add(
            "not_measured",
            f"{file}: {n} of {len(missing)} patients have no usable row; they are read as not "
            "measured.",
            cohort=cohort,
            panel=field_named(column).panel,
            column=column,
            n=n,
        )


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

"""Derived columns beside those that a file reports, and what is told of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

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
    """Add derived columns; one that a file reports stays, so that a column has one definition."""
    together = patients.copy()
    for name in derived:
        field = field_named(str(name))
        values = derived[name].to_numpy(dtype=float)
        if name not in patients:
            together[name] = values
            continue
        reported = numbers_of(patients, str(name))
        both = np.isfinite(reported) & np.isfinite(values)
        differs = both & ~np.isclose(values, reported, rtol=SAME_SHARE, atol=SAME)
        if differs.any():
            findings.add(
                "reported_differs",
                f"{file}: {name} as derived differs from what is reported in "
                f"{int(differs.sum())} of {int(both.sum())} patients; the reported one is used.",
                cohort=cohort,
                panel=field.panel,
                column=field.name,
                n=int(differs.sum()),
            )
    return together

"""Subgroups in which a model is judged on its own, and when they are too small to be shown.

A subgroup is shown from 20 patients and 5 of each label. Of a column, so many subgroups are shown
that what is left over, missing values too, is nobody or at least 5 patients in each count: no
number below 5 can be had by subtraction from the whole cohort.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Floats
from stratify.cohort.features import panels_missing
from stratify.tables.schema import known_field

__all__ = ["SMALLEST_CLASS", "SMALLEST_SUBGROUP", "large_enough", "subgroups"]


SMALLEST_SUBGROUP = 20
SMALLEST_CLASS = 5
# Counts from 1 to below this could tell of single patients.
SMALLEST_COUNT = 5
_LEVELS = ("cancer_type", "sex", "race", "site")
_OLDER = 65


def large_enough(label: Floats) -> bool:
    """Whether patients with these labels may be shown as a group.

    Examples
    --------
    >>> large_enough(np.repeat([0.0, 1.0], [5, 15])), large_enough(np.repeat([0.0, 1.0], [4, 40]))
    (True, False)
    """
    smaller_class = min(label.sum(), (1 - label).sum())
    return bool(len(label) >= SMALLEST_SUBGROUP and smaller_class >= SMALLEST_CLASS)


def subgroups(table: pd.DataFrame, label: Floats) -> list[tuple[str, Flags]]:
    """Find the groups by tumour, sex, age, race, site, line of therapy and panels measured.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Canonical columns; those that are absent give no group.
    label : ndarray of shape (n_patients,)
        1 or 0.

    Returns
    -------
    list of (str, ndarray of bool of shape (n_patients,))
        Name such as ``sex=female`` and its patients. A group of all patients is none, and small
        ones are left out by the rule of this module.

    Examples
    --------
    >>> table = pd.DataFrame({"sex": ["female"] * 30 + ["male"] * 30, "age": [70.0] * 60})
    >>> [name for name, _ in subgroups(table, np.tile([0.0, 1.0], 30))]
    ['sex=female', 'sex=male']
    """
    found = []
    for name, levels in _columns(table).items():
        masks = {
            f"{name}={level}": (levels == level).to_numpy(dtype=bool)
            for level in sorted(levels.dropna().unique())
        }
        shown = [key for key, mask in masks.items() if large_enough(label[mask])]
        shown.sort(key=lambda key: -int(masks[key].sum()))
        while shown and _tells(label, [masks[key] for key in shown]):
            shown.pop()
        found += [(key, masks[key]) for key in masks if key in shown and not masks[key].all()]
    return found


def _tells(label: Floats, shown: list[Flags]) -> bool:
    """Whether the patients that are not shown make a small count."""
    left = ~np.any(shown, axis=0)
    counts = (left.sum(), label[left].sum(), (1 - label[left]).sum())
    return any(0 < count < SMALLEST_COUNT for count in counts)


def _columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    columns = {name: table[name] for name in _LEVELS if name in table}
    if "age" in table:
        older = np.where(table["age"] < _OLDER, "below_65", "65_and_over")
        columns["age"] = pd.Series(older, table.index, dtype=object).where(table["age"].notna())
    if "prior_lines" in table and table["prior_lines"].notna().any():
        lines = table["prior_lines"].clip(upper=2)
        columns["line"] = lines.map({0: "first", 1: "second", 2: "third_or_later"})
    elif "prior_systemic_therapy" in table:
        columns["line"] = table["prior_systemic_therapy"].map({0: "first", 1: "later"})
    fields = {name: known_field(str(name)) for name in table}
    features = [name for name, field in fields.items() if field and field.role == "feature"]
    if features:
        missing = panels_missing(table[features])
        columns["panels_missing"] = missing.where(missing != "", "none")
    return columns

"""Features of a cohort: which columns a model may learn from, and their matrix.

A baseline model may use only what is known before the first dose; a landmark model also what is
known at its landmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from stratify.arrays import Flags, Ints, Strings
from stratify.cohort.reading import Cohort
from stratify.errors import CohortError, DataError
from stratify.tables.schema import field_named, load_schema, patient_panels

__all__ = [
    "features_matrix",
    "informative_features",
    "model_matrix",
    "named_marks",
    "panels_missing",
    "panels_without_value",
]


def features_matrix(
    table: pd.DataFrame, features: list[str], *, landmark_weeks: float | None = None
) -> pd.DataFrame:
    """Features by canonical name; columns the table does not have are missing.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)
        Canonical columns.
    landmark_weeks : float, optional
        Landmark of the model, in weeks from the first dose; by default the baseline.

    Returns
    -------
    DataFrame of shape (n_patients, n_features)
        float64 (1 yes, 0 no), levels as object.

    Examples
    --------
    >>> features_matrix(pd.DataFrame({"albumin": [3.9]}), ["albumin", "cancer_type"])
       albumin cancer_type
    0      3.9         NaN
    """
    fields = [field_named(name) for name in features]
    wrong = [
        f"{field.name} ({field.role}, known at {field.available_at})"
        for field in fields
        if not field.enters_models or not field.known_by(landmark_weeks)
    ]
    if wrong:
        what = "a baseline model" if landmark_weeks is None else "a model at this landmark"
        raise DataError(
            f"{', '.join(wrong)} cannot enter {what}; remove "
            f"{'them' if len(wrong) > 1 else 'it'} from `features`."
        )
    return model_matrix(table, features)


def model_matrix(table: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    """Features of a fitted model, which were checked when it was fitted.

    Parameters
    ----------
    table : DataFrame of shape (n_patients, ...)

    Returns
    -------
    DataFrame of shape (n_patients, n_features)
        As :func:`features_matrix`.
    """
    empty = pd.Series(np.nan, index=table.index)
    return pd.DataFrame(
        {
            name: table.get(name, empty).astype(
                "object" if field_named(name).categorical else "float64"
            )
            for name in features
        },
        index=table.index,
    )


def informative_features(
    cohort: Cohort, requested: list[str] | None, *, landmark_weeks: float | None = None
) -> list[str]:
    """Features a model can learn from: known in time and not the same for all.

    Parameters
    ----------
    requested : list of str or None
        The study's ``features``; by default every feature that is known in time, without
        ``alternative`` forms of one.
    landmark_weeks : float, optional
        Landmark of the model; by default the baseline.
    """
    names = requested or [
        name
        for panel in patient_panels()
        for name, field in load_schema(panel).fields.among(cohort.table.columns).items()
        if field.role == "feature" and field.known_by(landmark_weeks)
    ]
    kept = []
    for name in names:
        distinct = cohort.table[name].nunique() if name in cohort.table else 0
        if distinct > 1:
            kept.append(name)
        else:
            what = "one value for all" if distinct else "no value for any"
            cohort.findings.add(
                "uninformative_feature",
                f"{what} of {len(cohort)} training patients.",
                panel=field_named(name).panel,
                column=name,
                n=len(cohort),
            )
    if not kept:
        raise CohortError(
            "No feature is left to learn from: map at least one biomarker with two values."
        )
    return kept


def panels_missing(matrix: pd.DataFrame) -> pd.Series:
    """Panels without any value for a patient, as text separated by semicolons.

    Examples
    --------
    >>> matrix = pd.DataFrame({"albumin": [3.9, 4.1], "tmb": [None, 5.0]})
    >>> panels_missing(matrix).tolist()
    ['tmb', '']
    """
    texts = panels_without_value(matrix.isna().to_numpy(), list(matrix.columns))
    return pd.Series(texts, index=matrix.index, dtype=object)


def panels_without_value(missing: Flags, features: Sequence[str]) -> Strings:
    """As :func:`panels_missing`, by which values are missing.

    Parameters
    ----------
    missing : ndarray of bool of shape (n_patients, n_features)
    """
    panels, members = _members_of_panels(tuple(features))
    absent = ~missing @ members == 0
    return named_marks(absent, panels)


@lru_cache(maxsize=64)
def _members_of_panels(features: tuple[str, ...]) -> tuple[list[str], Ints]:
    """Panels with a feature, and which features are theirs, of shape (n_features, n_panels)."""
    panel_of = [field_named(name).panel for name in features]
    panels = [panel for panel in patient_panels() if panel in panel_of]
    belongs = [[own == panel for panel in panels] for own in panel_of]
    return panels, np.array(belongs, dtype=np.int64).reshape(len(features), len(panels))


def named_marks(marks: Flags, names: Sequence[str]) -> Strings:
    """Names of the columns marked in each row, as text separated by semicolons.

    Examples
    --------
    >>> named_marks(np.array([[True, False], [True, True], [False, False]]), ["a", "b"]).tolist()
    ['a', 'a;b', '']
    """
    if len(marks) == 1:
        text = ";".join(name for name, marked in zip(names, marks[0], strict=True) if marked)
        return np.array([text], dtype=object)
    keys = marks @ (1 << np.arange(marks.shape[1], dtype=np.int64))
    combinations, firsts, which = np.unique(keys, return_index=True, return_inverse=True)
    texts = np.empty(len(combinations), dtype=object)
    texts[:] = [
        ";".join(name for name, marked in zip(names, marks[row], strict=True) if marked)
        for row in firsts
    ]
    return texts[which]
